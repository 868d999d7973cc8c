"""Reads YAML of the plain kind in which programs write configuration, such as a kubeconfig.

An agent's install has no YAML parser, and needs this one file of YAML. Block mappings and block sequences of
one-line scalars are read, and ``{}`` and ``[]``; every scalar but an empty one is a string. Anchors, tags,
flow collections and texts over several lines are refused with the line, never guessed at.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple, TypeAlias

Value: TypeAlias = "str | dict[str, Value] | list[Value] | None"

_LARGEST = 1024 * 1024
_DEEPEST = 20
_KEY = re.compile(
    r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|(?:[^\s'"#&*!|>%@`{}\[\],?-]|-(?=\S))[^:#]{0,200}?) {0,9}:(?:\s+(.*))?\Z"""
)
_DOUBLE = re.compile(r'"(?:[^"\\]|\\.)*"')
_SINGLE = re.compile(r"'(?:[^']|'')*'")


class BlockYamlError(ValueError):
    """The text is not YAML of that kind; the message names the line."""


class _Line(NamedTuple):
    number: int
    indent: int
    text: str


def read_block_yaml(text: str) -> Value:
    """The value of a text. Raises ``BlockYamlError``."""
    if len(text) > _LARGEST:
        raise BlockYamlError(f"{len(text)} characters are more than {_LARGEST}")
    lines = [line for number, raw in enumerate(text.splitlines(), start=1) if (line := _line(number, raw))]
    if lines and lines[0].text == "---":
        lines.pop(0)
    if not lines:
        return None
    reader = _Reader(lines)
    value = reader.block(lines[0].indent, 0)
    if reader.lines:
        raise _wrong(reader.lines[-1], "it is indented unlike what is around it")
    return value


class _Reader:
    def __init__(self, lines: list[_Line]) -> None:
        self.lines = lines[::-1]  # the next one is the last

    def block(self, indent: int, depth: int) -> Value:
        """The collection that starts with the next line."""
        first = self.lines[-1]
        if depth > _DEEPEST:
            raise _wrong(first, f"it is nested deeper than {_DEEPEST} levels")
        if _is_item(first):
            return self._sequence(indent, depth)
        if _KEY.match(first.text):
            return self._mapping(indent, depth)
        return _scalar(self.lines.pop())

    def _sequence(self, indent: int, depth: int) -> list[Value]:
        items: list[Value] = []
        while self._goes_on(indent) and _is_item(self.lines[-1]):
            line = self.lines.pop()
            rest = line.text[1:].lstrip()
            if rest:
                # What follows the dash is a line of its own, further in.
                inner = indent + len(line.text) - len(rest)
                self.lines.append(_Line(line.number, inner, rest))
                items.append(self.block(inner, depth + 1))
            else:
                items.append(self._inner(indent, depth))
        return items

    def _mapping(self, indent: int, depth: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        while self._goes_on(indent) and not _is_item(self.lines[-1]):
            line = self.lines.pop()
            match = _KEY.match(line.text)
            if match is None:
                raise _wrong(line, "it is not 'key: value'")
            key = _unquoted(line, match.group(1))
            if key in found:
                raise _wrong(line, f"the key {key[:60]!r} stands there twice")
            rest = match.group(2) or ""
            if rest and not rest.startswith("#"):
                found[key] = _scalar(_Line(line.number, line.indent, rest))
            elif self._goes_on(indent) and _is_item(self.lines[-1]):
                found[key] = self._sequence(indent, depth + 1)  # as client-go writes lists: not further in
            else:
                found[key] = self._inner(indent, depth)
        return found

    def _inner(self, indent: int, depth: int) -> Value:
        if self.lines and self.lines[-1].indent > indent:
            return self.block(self.lines[-1].indent, depth + 1)
        return None

    def _goes_on(self, indent: int) -> bool:
        return bool(self.lines) and self.lines[-1].indent == indent


def _line(number: int, raw: str) -> _Line | None:
    text = raw.strip()
    if not text or text.startswith("#"):
        return None
    indent = len(raw) - len(raw.lstrip(" "))
    if raw[indent] == "\t":
        raise BlockYamlError(f"line {number}: it is indented with a tab")
    return _Line(number, indent, text)


def _is_item(line: _Line) -> bool:
    return line.text == "-" or line.text.startswith("- ")


def _scalar(line: _Line) -> Value:
    text = line.text
    for quoted in (_DOUBLE, _SINGLE):
        if match := quoted.match(text):
            after = text[match.end() :].strip()
            if after and not after.startswith("#"):
                raise _wrong(line, "something follows the quoted text")
            return _unquoted(line, match.group())
    plain = re.split(r"\s#", text, maxsplit=1)[0].strip()
    if plain in ("{}", "[]"):
        return {} if plain == "{}" else []
    if plain in ("~", "null"):
        return None
    if plain[0] in "'\"&*!|>%@`{}[],?#" or ": " in plain or plain.endswith(":"):
        raise _wrong(line, "only plain and quoted values on one line are read")
    return plain


def _unquoted(line: _Line, text: str) -> str:
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    if text.startswith('"'):
        try:
            return str(json.loads(text))
        except ValueError as error:
            raise _wrong(line, "a quoted text has an escape that is not read") from error
    return text


def _wrong(line: _Line, what: str) -> BlockYamlError:
    return BlockYamlError(f"line {line.number}: {what}")
