"""Specs from files, folders, packages and standard input: exactly the bytes that will be sent, checked first.

A YAML file may hold several documents separated by ``---``; each is one spec and one message. All of
them are checked before anything is sent: a typing error in the third must not leave two of five applied.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from cli.context import Given
from cli.exits import CliError, Exit
from cli.margo_files import Package, find_package
from cli.margo_packages import MargoOptions, read_given, spec_from
from cli.printing import note
from topics.documents.spec import DeploymentSpec
from topics.errors import ContractError, Reason
from topics.margo.package import is_description
from topics.yaml_loader import load_yaml

_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
_OLD_KIND = re.compile(rb"kind[\"']?:\s*[\"']?(?:ApplicationDescription|application)\b")
_REMARKS = 10
_SEPARATOR = re.compile(rb"^---(?=\s|$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SpecFile:
    """One valid spec: where it was written, the bytes to send, what they say, and what was tolerated."""

    source: str
    payload: bytes
    spec: DeploymentSpec
    warnings: tuple[Reason, ...] = ()
    package: bool = False
    margo: bool = False

    @property
    def name(self) -> str:
        return self.spec.name


def load_specs(paths: Sequence[Path]) -> list[SpecFile]:
    """Every spec in the files, folders (their ``*.yaml``, ``*.yml`` and ``*.json``) and ``-``.

    Application packages are not taken: what becomes of them depends on options and on the devices. Raises
    ``CliError`` (usage) with every reason in every file: nothing readable, not valid, or two specs of one name.
    """
    return _checked(paths, (_native(source, payload) for source, payload in _documents(paths)))


def load_documents(
    given: Given, paths: Sequence[Path], options: MargoOptions | None = None, *, live: bool = True
) -> list[SpecFile]:
    """Every spec in ``paths``, as ``load_specs``, and that of every application package among them.

    A package is a folder or archive with a ``margo.yaml``, or a file that holds an application description.
    ``options`` are for these, devices and name for Margo's deployments too; what was tolerated is remarked on standard error. With ``live`` the
    broker is asked for the devices. Raises ``CliError``.
    """
    options = options or MargoOptions()
    with ExitStack() as stack:
        found = _checked(paths, _loaded(given, paths, options, stack, live=live))
    packages = any(item.package for item in found)
    if options.for_packages and not packages:
        raise CliError(
            Exit.USAGE,
            "--set, --set-file, --profile, --selector and --namespace are for application packages: "
            "there is none among the files",
        )
    if options.given and not packages and not any(item.margo for item in found):
        raise CliError(Exit.USAGE, "--device and --name are for Margo documents: there is none among the files")
    return found


_Result = tuple[SpecFile | None, list[str]]
"""What one document gave: a spec, or lines that say why it gave none."""


def _loaded(
    given: Given, paths: Sequence[Path], options: MargoOptions, stack: ExitStack, *, live: bool
) -> Iterator[_Result]:
    for path in paths:
        package = None if str(path) == "-" else find_package(path, stack)
        if package is not None:
            yield _packaged(given, package, options, live=live)
            continue
        for source, payload in _documents([path]):
            if _describes_application(payload):
                folder = None if str(path) == "-" else path if path.is_dir() else path.parent
                yield _packaged(given, Package(source, payload, folder), options, live=live)
            else:
                yield _native(source, payload, options)


def _native(source: str, payload: bytes, options: MargoOptions | None = None) -> _Result:
    """A spec, or a Margo deployment; for the latter ``options`` may say the name, and the devices if it does not."""
    try:
        payload, document = read_given(payload, options or MargoOptions())
    except ContractError as error:
        return None, [f"{source}: {reason}" for reason in error.reasons]
    remark(source, document.warnings)
    return SpecFile(source, payload, document.spec, document.warnings, margo=document.margo), []


def _packaged(given: Given, package: Package, options: MargoOptions, *, live: bool) -> _Result:
    try:
        spec, payload, warnings = spec_from(given, package, options, live=live)
    except ContractError as error:
        lines = [f"{package.source}: {reason}" for reason in error.reasons]
        if b"{{" in package.content and any(reason.code in ("bad-key", "malformed") for reason in error.reasons):
            lines.append(f"{package.source}: it holds '{{{{ }}}}': it may be a template that must be filled in first")
        return None, lines
    remark(package.source, warnings)
    return SpecFile(package.source, payload, spec, warnings, package=True), []


def remark(source: str, warnings: Sequence[Reason]) -> None:
    """Say on standard error what was tolerated in a document."""
    for reason in warnings[:_REMARKS]:
        note(f"{source}: warning: {reason}")
    if len(warnings) > _REMARKS:
        note(f"{source}: and {len(warnings) - _REMARKS} more warnings; 'fleetbus validate' shows them all")


def _describes_application(payload: bytes) -> bool:
    """Whether the document is the description of an application package, as far as its words tell before parsing."""
    if b"deploymentProfiles" not in payload and not _OLD_KIND.search(payload):
        return False
    try:
        return is_description(load_yaml(payload.decode("utf-8-sig")))
    except (ContractError, UnicodeDecodeError):
        return b"deploymentProfiles" in payload  # its reader says what is wrong with it


def _checked(paths: Sequence[Path], results: Iterable[_Result]) -> list[SpecFile]:
    found: list[SpecFile] = []
    details: list[str] = []
    for spec, lines in results:
        details += lines
        if spec is not None:
            found.append(spec)
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
        for source, content in read_files(path):
            parts = split_documents(content)
            for line, part in parts:
                yield (source if len(parts) == 1 else f"{source} (document from line {line})"), part


def read_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """The files of a path as (name, content): of a folder its documents, of an application package its description.

    Raises ``CliError`` (usage) for what cannot be read.
    """
    if str(path) == "-":
        yield "standard input", sys.stdin.buffer.read()
        return
    with ExitStack() as stack:
        package = find_package(path, stack)
    if package is not None:
        yield package.source, package.content
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
