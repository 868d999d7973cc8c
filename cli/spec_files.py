"""Specs from files, folders, packages and standard input: exactly the bytes that will be sent, checked first.

A YAML file may hold several documents separated by ``---``; each is one spec and one message. All of
them are checked before anything is sent: a typing error in the third must not leave two of five applied.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from cli.context import Given
from cli.document_check import located
from cli.document_files import STDIN, Part, read_parts
from cli.exits import CliError, Exit
from cli.margo_files import Package, find_package
from cli.margo_packages import MargoOptions, package_name, read_given, spec_from
from cli.printing import note
from topics.documents.spec import DeploymentSpec
from topics.errors import ContractError, Reason
from topics.margo.package import is_description
from topics.yaml_loader import load_yaml

_OLD_KIND = re.compile(rb"kind[\"']?:\s*[\"']?(?:ApplicationDescription|application)\b")
_REMARKS = 10


@dataclass(frozen=True, slots=True)
class SpecFile:
    """One valid spec: where it was written, the bytes to send, what they say, and what was tolerated.

    ``folder`` is where its relative chart paths start. ``targeted``: --device said where it is to run.
    """

    source: str
    payload: bytes
    spec: DeploymentSpec
    warnings: tuple[Reason, ...] = ()
    package: bool = False
    margo: bool = False
    folder: Path = Path()
    targeted: bool = False

    @property
    def name(self) -> str:
        return self.spec.name


def load_specs(paths: Sequence[Path]) -> list[SpecFile]:
    """Every spec in the files, folders (their ``*.yaml``, ``*.yml`` and ``*.json``) and ``-``.

    Application packages are not taken: what becomes of them depends on options and on the devices. Raises
    ``CliError`` (usage) with every reason in every file: nothing readable, not valid, or two specs of one name.
    """
    return _checked(paths, (_native(part, MargoOptions()) for path in paths for part in read_parts(path)))


def load_documents(
    given: Given, paths: Sequence[Path], options: MargoOptions | None = None, *, live: bool = True
) -> list[SpecFile]:
    """Every spec in ``paths``, as ``load_specs``, and that of every application package among them.

    A package is a folder or archive with a ``margo.yaml``, or a file that holds an application description.
    ``options`` are for these, devices and name for Margo's deployments too; what was tolerated is remarked on
    standard error. With ``live`` the broker is asked for the devices. Raises ``CliError``.
    """
    options = options or MargoOptions()
    with ExitStack() as stack:
        found = _checked(paths, _loaded(given, paths, options, stack, live=live))
    options.check_use(
        packages=any(item.package for item in found), deployments=any(item.margo for item in found)
    )  # fmt: skip
    return found


def load_names(paths: Sequence[Path]) -> list[str]:
    """The names of the deployments that these files would make, for which no device needs to be known: of an
    application package that which it has without --name. Raises ``CliError`` as ``load_documents``."""
    anywhere = MargoOptions(devices=("any",), restricts=True)
    details: list[str] = []
    names: list[str] = []
    for path in paths:
        with ExitStack() as stack:
            package = None if path == STDIN else find_package(path, stack)
        parts = [Part(package.source, 1, package.content, path)] if package is not None else read_parts(path)
        for part in parts:
            try:
                if package is not None or describes_application(part.payload):
                    names.append(package_name(part.payload))
                else:
                    names.append(read_given(part.payload, anywhere)[1].spec.name)
            except ContractError as error:
                details += located(part.file, part.line, part.payload, error.reasons)
    if details:
        raise CliError(Exit.USAGE, "not valid, nothing was sent:", details)
    return names


_Result = tuple[SpecFile | None, list[str]]
"""What one document gave: a spec, or lines that say why it gave none."""


def _loaded(
    given: Given, paths: Sequence[Path], options: MargoOptions, stack: ExitStack, *, live: bool
) -> Iterator[_Result]:
    for path in paths:
        package = None if path == STDIN else find_package(path, stack)
        if package is not None:
            yield _packaged(given, package, options, live=live)
            continue
        for part in read_parts(path):
            if describes_application(part.payload):
                yield _packaged(given, package_of(part), options, line=part.line, live=live)
            else:
                yield _native(part, options)


def package_of(part: Part) -> Package:
    """The package whose description stands in a file by itself."""
    return Package(part.file, part.payload, None if part.file == "standard input" else part.folder)


def _native(part: Part, options: MargoOptions) -> _Result:
    """A spec, or a Margo deployment; for the latter ``options`` may say the name, and the devices if it does not."""
    try:
        payload, document = read_given(part.payload, options)
    except ContractError as error:
        return None, located(part.file, part.line, part.payload, error.reasons)
    remark(part.source, document.warnings)
    return SpecFile(
        part.source, payload, document.spec, document.warnings,
        margo=document.margo, folder=part.folder, targeted=payload != part.payload,
    ), []  # fmt: skip


def _packaged(given: Given, package: Package, options: MargoOptions, *, live: bool, line: int = 1) -> _Result:
    try:
        spec, payload, warnings = spec_from(given, package, options, live=live)
    except ContractError as error:
        lines = located(package.source, line, package.content, error.reasons)
        if b"{{" in package.content and any(reason.code in ("bad-key", "malformed") for reason in error.reasons):
            lines.append(f"{package.source}: it holds '{{{{ }}}}': it may be a template that must be filled in first")
        return None, lines
    remark(package.source, warnings)
    return SpecFile(package.source, payload, spec, warnings, package=True, targeted=bool(options.devices)), []


def remark(source: str, warnings: Sequence[Reason]) -> None:
    """Say on standard error what was tolerated in a document."""
    for reason in warnings[:_REMARKS]:
        note(f"{source}: warning: {reason}")
    if len(warnings) > _REMARKS:
        note(f"{source}: and {len(warnings) - _REMARKS} more warnings; 'fleetbus validate' shows them all")


def describes_application(payload: bytes) -> bool:
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
