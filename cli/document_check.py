"""What is wrong with a document, and where: every reason with its line and column. Pure and offline."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from topics.codec import check_size, parse_json
from topics.errors import ContractError, Reason
from topics.margo.package import is_description, read_description
from topics.spec_reader import read_document
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


def check_document(source: str, line: int, payload: bytes) -> Checked:
    """Check one document that starts on this line of its file: a spec, a Margo deployment, or the description
    of an application package."""
    text = payload.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace")
    kind, name = "", ""
    try:
        check_size(payload)
        value = _described(text)
        if value is not None:
            kind = "ApplicationDescription"
            description, warnings = read_description(value)
            name = description.id
        else:
            document = read_document(payload)
            kind = "ApplicationDeployment" if document.margo else document.spec.kind
            name, warnings = document.spec.name, document.warnings
    except ContractError as error:
        return Checked(source, line, kind, name, tuple(_placed(error.reasons, text, line)))
    return Checked(source, line, kind, name, tuple(_placed(warnings, text, line, warning=True)))


def _described(text: str) -> Any:
    """The document if it is an application description, otherwise ``None``; what cannot be read is none."""
    if "deploymentProfiles" not in text and "Application" not in text and "application" not in text:
        return None
    try:
        value = parse_json(text) if text.lstrip()[:2] in ('{"', "{}") else load_yaml(text)
    except ContractError:
        return None
    return value if is_description(value) else None


def _placed(reasons: Iterable[Reason], text: str, line: int, *, warning: bool = False) -> Iterable[Problem]:
    """The reasons in the order of their places."""
    positions: Positions | None = None
    found = []
    for given in reasons:
        reason, position = split_position(given)
        if position is None and given.code in _PARSER_CODES:
            position = _where_yaml_stops(text, given.code)
        if position is None:
            positions = positions or positions_of(text)
            position = positions.of(reason.path, reason.code) or Position(1, 1)
        found.append(Problem(Position(position.line + line - 1, position.column), reason, warning))
    return sorted(found, key=lambda problem: problem.position)


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
