"""Documents from files, folders and standard input, cut at ``---``: their bytes, and where they came from."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cli.exits import CliError, Exit
from cli.margo_files import find_package

STDIN = Path("-")
"""How standard input is named on the command line."""

MAX_FILE_BYTES = 64 * 1024 * 1024
"""Largest file: many documents may stand in one, and a device file or a pipe must not fill the memory."""

_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
_SEPARATOR = re.compile(rb"^---(?=\s|$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Part:
    """One document: its file, the line on which it starts there, its bytes, and whether it is one of several.

    ``folder`` is where its relative paths start (the working directory for standard input).
    """

    file: str
    line: int
    payload: bytes
    folder: Path
    several: bool = False

    @property
    def source(self) -> str:
        """``specs.yaml``, or ``specs.yaml:12`` for one of several documents."""
        return f"{self.file}:{self.line}" if self.several else self.file


def read_parts(path: Path) -> Iterator[Part]:
    """The documents of a path: of a folder those of its files, of an application package its description.

    Raises ``CliError`` (usage) for what cannot be read.
    """
    for file, content, folder in _read_files(path):
        parts = split_documents(content)
        for line, payload in parts:
            yield Part(file, line, payload, folder, several=len(parts) > 1)


def split_documents(content: bytes) -> list[tuple[int, bytes]]:
    """The YAML documents in a file as (first line, bytes); a file with only one is returned whole.

    A ``---`` at the start of a line always ends a document in YAML, inside a block of text too.
    """
    starts = [0, *(match.start() for match in _SEPARATOR.finditer(content))]
    parts = []
    line, before = 1, 0
    for start, end in zip(starts, [*starts[1:], len(content)], strict=True):
        line, before = line + content.count(b"\n", before, start), start
        parts.append((line, content[start:end]))
    parts = [(line, part) for line, part in parts if _has_content(part)]
    return [(1, content)] if len(parts) <= 1 else parts


def _has_content(part: bytes) -> bool:
    """Whether there is more than comments and the separator, whose own line may carry content."""
    body = _SEPARATOR.sub(b"", part, count=1) if part.startswith(b"---") else part
    return any(line.strip() and not line.lstrip().startswith(b"#") for line in body.splitlines())


def _read_files(path: Path) -> Iterator[tuple[str, bytes, Path]]:
    if path == STDIN:
        yield "standard input", _read(sys.stdin.buffer, "standard input"), Path()
        return
    with ExitStack() as stack:
        package = find_package(path, stack)
    if package is not None:
        yield package.source, package.content, path
    elif path.is_dir():
        files = sorted(item for item in path.iterdir() if item.suffix in _SUFFIXES and item.is_file())
        if not files:
            raise CliError(Exit.USAGE, f"{path} holds no *.yaml, *.yml or *.json file")
        for file in files:
            yield str(file), _open(file), path
    else:
        yield str(path), _open(path), path.parent


def _open(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return _read(file, str(path))
    except OSError as error:
        raise CliError(Exit.USAGE, f"cannot read {path}: {error.strerror}") from error


def _read(file: IO[bytes], name: str) -> bytes:
    content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise CliError(Exit.USAGE, f"{name} is larger than {MAX_FILE_BYTES // 2**20} MiB")
    return content
