"""Where the parts of a YAML or JSON text stand: line and column for the field path of a reason.

Asked only when there is something to say, so it may read the text once more. Bombs and deep nesting are
refused by ``load_yaml`` before anything is composed. Pure.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import yaml

from topics.errors import ContractError, Reason
from topics.yaml_loader import load_yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_IN_MESSAGE = re.compile(r" (?:at |\()line ([0-9]{1,9}) column ([0-9]{1,9})\)?\Z")
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)")
_INDEX = re.compile(r"\[([0-9]{1,9})\]")
_AT_KEY = frozenset({"unknown-field"})
"""Codes that speak of the key and not of its value."""


class Position(NamedTuple):
    """A place in a text; both count from 1."""

    line: int
    column: int


class Positions:
    """The places of a document's parts by field path (``spec.components[0].helm``)."""

    def __init__(self, root: Any) -> None:
        self._root = root

    def of(self, path: str, code: str = "") -> Position | None:
        """The place of a path, or of the last part of it that is there; ``None`` where nothing is known.

        ``code`` is the reason's: some speak of the key. A collection is shown at its key.
        """
        if self._root is None:
            return None
        found, node, rest = self._root, self._root, path
        while rest:
            step = _step(node, rest)
            if step is None:
                break
            key, node, rest = step
            at_key = key is not None and (code in _AT_KEY or rest or not isinstance(node, yaml.ScalarNode))
            found = key if at_key else node
        return Position(found.start_mark.line + 1, found.start_mark.column + 1)


def positions_of(text: str) -> Positions:
    """The places in a text that was read without error; none for one that YAML cannot read.

    JSON is YAML but for a few spellings: escapes that YAML does not know and tabs are read as other
    characters of the same number.
    """
    if text.lstrip()[:1] in ("{", "["):
        text = yaml_of_json(text)
    try:
        load_yaml(text)
        return Positions(yaml.compose(text, Loader=_LOADER))
    except (ContractError, yaml.YAMLError):
        return Positions(None)


def yaml_of_json(text: str) -> str:
    """A text with the same places as this JSON, which every YAML reader takes; its strings may differ."""
    return _ESCAPE.sub(lambda match: "x" * len(match[0]), text).replace("\t", " ")


def split_position(reason: Reason) -> tuple[Reason, Position | None]:
    """A reason without the place that a parser wrote into its message, and that place."""
    match = _IN_MESSAGE.search(reason.message)
    if match is None:
        return reason, None
    bare = reason.model_copy(update={"message": reason.message[: match.start()]})
    return bare, Position(int(match[1]), int(match[2]))


def _step(node: Any, rest: str) -> tuple[Any, Any, str] | None:
    """The key's node (``None`` in a list), the value's node and what is left of the path; ``None`` if the next
    step is not there. Keys may hold dots themselves: the longest one that fits is meant."""
    if isinstance(node, yaml.SequenceNode):
        match = _INDEX.match(rest)
        if match is None or int(match[1]) >= len(node.value):
            return None
        return None, node.value[int(match[1])], rest[match.end() :].removeprefix(".")
    if not isinstance(node, yaml.MappingNode):
        return None
    best: tuple[Any, Any, str] | None = None
    for key, value in node.value:
        name = key.value
        if rest.startswith(name) and rest[len(name) : len(name) + 1] in ("", ".", "["):
            left = rest[len(name) :].removeprefix(".")
            if best is None or len(left) < len(best[2]):
                best = (key, value, left)
    return best
