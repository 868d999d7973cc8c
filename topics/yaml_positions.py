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
        self._members: dict[int, _Members] = {}  # of a mapping that was asked for; a document has many wrong fields

    def of(self, path: str, code: str = "") -> Position | None:
        """The place of a path, or of the last part of it that is there; ``None`` where nothing is known.

        ``code`` is the reason's: some speak of the key. A collection is shown at its key.
        """
        if self._root is None:
            return None
        found, node, rest = self._root, self._root, path
        while rest:
            step = self._step(node, rest)
            if step is None:
                break
            key, node, rest = step
            at_key = key is not None and (code in _AT_KEY or rest or not isinstance(node, yaml.ScalarNode))
            found = key if at_key else node
        return Position(found.start_mark.line + 1, found.start_mark.column + 1)

    def _step(self, node: Any, rest: str) -> tuple[Any, Any, str] | None:
        """The key's node (``None`` in a list), the value's node and what is left of the path; ``None`` if the next
        step is not there."""
        if isinstance(node, yaml.SequenceNode):
            match = _INDEX.match(rest)
            if match is None or int(match[1]) >= len(node.value):
                return None
            return None, node.value[int(match[1])], rest[match.end() :].removeprefix(".")
        if not isinstance(node, yaml.MappingNode):
            return None
        members = self._members.get(id(node))
        if members is None:
            members = self._members[id(node)] = _Members(node)
        return members.longest(rest)


class _Members:
    """A mapping's members by their names."""

    def __init__(self, node: yaml.MappingNode) -> None:
        self._by_name = {key.value: (key, value) for key, value in node.value}
        self._lengths = sorted({len(name) for name in self._by_name}, reverse=True)

    def longest(self, path: str) -> tuple[Any, Any, str] | None:
        """The member that a path starts with, and what is left of the path. Keys may hold dots themselves: the
        longest one that fits is meant."""
        for length in self._lengths:
            if path[length : length + 1] in ("", ".", "[") and (found := self._by_name.get(path[:length])):
                return (*found, path[length:].removeprefix("."))
        return None


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
