"""What is wrong with a document, and where: every reason with its line and column. Pure and offline."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from dataclasses import dataclass

from cli.document_files import Part
from cli.margo_files import Package
from cli.margo_packages import MargoOptions, package_warnings, read_given
from topics.errors import ContractError, Reason
from topics.yaml_loader import load_yaml
from topics.yaml_positions import Position, Positions, positions_of, split_position, yaml_of_json


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding and its place in the file; a ``warning`` does not make the document invalid."""

    position: Position
    reason: Reason
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """One document: ``kind`` and ``name`` as far as they can be told (``name`` empty if not)."""

    source: str
    line: int
    kind: str
    name: str
    problems: tuple[Problem, ...]

    @property
    def valid(self) -> bool:
        return all(problem.warning for problem in self.problems)


def check_part(part: Part, options: MargoOptions) -> Checked:
    """Check one document: a spec, or a Margo deployment with what ``options`` say of it."""
    kind, name = "", ""
    try:
        _, document = read_given(part.payload, options)
        kind = "ApplicationDeployment" if document.margo else document.spec.kind
        name, warnings = document.spec.name, document.warnings
    except ContractError as error:
        return Checked(part.file, part.line, kind, name, tuple(placed(error.reasons, part.payload, part.line)))
    return Checked(part.file, part.line, kind, name, tuple(placed(warnings, part.payload, part.line, warning=True)))


def check_package(package: Package, line: int, options: MargoOptions) -> Checked:
    """Check an application package whose description starts on this line of its file."""
    name = ""
    try:
        name, warnings = package_warnings(package, options)
        problems = placed(warnings, package.content, line, warning=True)
    except ContractError as error:
        problems = placed(error.reasons, package.content, line)
    return Checked(package.source, line, "ApplicationDescription", name, tuple(problems))


def located(file: str, line: int, payload: bytes, reasons: Iterable[Reason]) -> list[str]:
    """The reasons against a document that starts on this line of its file, as lines ``file:line:column: …``."""
    return [shown(file, problem) for problem in placed(reasons, payload, line)]


def shown(file: str, problem: Problem) -> str:
    """One line for a problem; compilers and editors know the form."""
    level = "warning: " if problem.warning else ""
    reason = " ".join(str(problem.reason).split("\n"))
    return f"{file}:{problem.position.line}:{problem.position.column}: {level}{reason}"


def placed(reasons: Iterable[Reason], payload: bytes, line: int, *, warning: bool = False) -> list[Problem]:
    """The reasons in the order of their places in the file, where the document starts on this line."""
    text = payload.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace")
    positions: Positions | None = None
    found = []
    for given in reasons:
        reason, position = split_position(given)
        if position is None and given.code in _WHOLE:
            position = _first_bad_character(payload)
        if position is None and given.code in _PARSER_CODES:
            position = _where_yaml_stops(text, given.code)
        if position is None:
            positions = positions or positions_of(text)
            position = positions.of(reason.path, reason.code) or Position(1, 1)
        found.append(Problem(Position(position.line + line - 1, position.column), reason, warning))
    return sorted(found, key=lambda problem: problem.position)


_WHOLE = frozenset({"oversize", "not-utf8"})
"""Codes of documents that are not read at all; a text that is too large is not searched for a place."""


def _first_bad_character(payload: bytes) -> Position:
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError as error:
        before = payload[: error.start].removeprefix(codecs.BOM_UTF8).decode("utf-8")
        return Position(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
    return Position(1, 1)


_PARSER_CODES = frozenset({"duplicate-key", "bad-number", "too-deep", "malformed"})
"""The codes of ``parse_json``, which does not know the place of all of them."""


def _where_yaml_stops(text: str, code: str) -> Position | None:
    """Where the YAML reader refuses the same text for the same reason."""
    try:
        load_yaml(yaml_of_json(text))
    except ContractError as error:
        reason, position = split_position(error.reasons[0])
        return position if reason.code == code else None
    return None
