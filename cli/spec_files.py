"""Specs from files, folders and standard input: exactly the bytes that will be sent, checked first.

A YAML file may hold several documents separated by ``---``; each is one spec and one message. All of
them are checked before anything is sent: a typing error in the third must not leave two of five applied.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.exits import CliError, Exit
from topics.documents.spec import DeploymentSpec
from topics.errors import ContractError
from topics.spec_reader import read_spec

_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
_SEPARATOR = re.compile(rb"^---(?=\s|$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SpecFile:
    """One valid spec: where it was written, the bytes to send, and what they say."""

    source: str
    payload: bytes
    spec: DeploymentSpec

    @property
    def name(self) -> str:
        return self.spec.name


def load_specs(paths: Sequence[Path]) -> list[SpecFile]:
    """Every spec in the files, folders (their ``*.yaml``, ``*.yml`` and ``*.json``) and ``-``.

    Raises ``CliError`` (usage) with every reason in every file: nothing readable, not valid, or two
    specs of one name.
    """
    found: list[SpecFile] = []
    details: list[str] = []
    for source, payload in _documents(paths):
        try:
            found.append(SpecFile(source, payload, read_spec(payload)))
        except ContractError as error:
            details += [f"{source}: {reason}" for reason in error.reasons]
    seen: dict[str, str] = {}
    for item in found:
        if item.name in seen:
            details.append(f"{item.source}: the name {item.name!r} is already used in {seen[item.name]}")
        seen.setdefault(item.name, item.source)
    if details:
        raise CliError(Exit.USAGE, "not valid, nothing was sent:", details)
    if not found:
        raise CliError(Exit.USAGE, f"no deployment spec in {', '.join(str(path) for path in paths)}")
    return found


def split_documents(content: bytes) -> list[tuple[int, bytes]]:
    """The YAML documents in a file as (first line, bytes); a file with only one is returned whole.

    A ``---`` at the start of a line always ends a document in YAML, inside a block of text too.
    """
    starts = [0, *(match.start() for match in _SEPARATOR.finditer(content))]
    parts = [
        (content.count(b"\n", 0, start) + 1, content[start:end])
        for start, end in zip(starts, [*starts[1:], len(content)], strict=True)
    ]
    parts = [(line, part) for line, part in parts if _has_content(part)]
    return [(1, content)] if len(parts) <= 1 else parts


def _has_content(part: bytes) -> bool:
    """Whether there is more than comments and the separator, whose own line may carry content."""
    body = _SEPARATOR.sub(b"", part, count=1) if part.startswith(b"---") else part
    return any(line.strip() and not line.lstrip().startswith(b"#") for line in body.splitlines())


def _documents(paths: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        for source, content in _files(path):
            parts = split_documents(content)
            for line, part in parts:
                yield (source if len(parts) == 1 else f"{source} (document from line {line})"), part


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    if str(path) == "-":
        yield "standard input", sys.stdin.buffer.read()
    elif path.is_dir():
        files = sorted(item for item in path.iterdir() if item.suffix in _SUFFIXES and item.is_file())
        if not files:
            raise CliError(Exit.USAGE, f"{path} holds no *.yaml, *.yml or *.json file")
        for file in files:
            yield str(file), _read(file)
    else:
        yield str(path), _read(path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CliError(Exit.USAGE, f"cannot read {path}: {error.strerror}") from error
