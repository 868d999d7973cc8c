"""Fills in ``${NAME}`` in a Compose project, as the Compose specification says (its page "Interpolation").

``$NAME``, ``${NAME}``; ``${NAME:-default}`` and ``${NAME-default}``; ``${NAME:?message}`` and ``${NAME?message}``;
``${NAME:+instead}`` and ``${NAME+instead}``; ``$$`` for a dollar sign. With the colon, empty is as not set. Defaults
may hold variables themselves. Compose takes a variable that is not set for empty and warns; here that is a finding,
because nobody sees a warning on a device.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-?+]")
MAX_NESTING = 20
"""Deepest nesting of variables in defaults."""

MAX_LENGTH = 256 * 1024
"""Longest text after filling in: a few variables in each other's defaults must not grow without bound."""


class InterpolationError(ValueError):
    """A text cannot be filled in; ``missing`` is the variable that is not set, if it is that."""

    def __init__(self, message: str, *, missing: str | None = None) -> None:
        self.missing = missing
        super().__init__(message)


def interpolate(text: str, environment: Mapping[str, str]) -> str:
    """The text with every variable filled in and ``$$`` as ``$``. Raises ``InterpolationError``."""
    if "$" not in text:
        return text
    filled, end = _until(text, 0, environment, closing=False, depth=0)
    assert end == len(text), "only a closing brace ends before the end"
    return filled


def escaped(text: str) -> str:
    """The text as it must stand in a project so that Compose leaves it as it is."""
    return text.replace("$", "$$")


def fill_in(
    value: Any, environment: Mapping[str, str], path: str, report: Callable[[str, InterpolationError], None]
) -> Any:
    """A copy of a JSON value with every text in it filled in; what cannot be is reported with its path and kept."""
    if isinstance(value, str):
        try:
            return interpolate(value, environment)
        except InterpolationError as error:
            report(path, error)
            return value
    if isinstance(value, dict):
        return {key: fill_in(item, environment, f"{path}.{key}", report) for key, item in value.items()}
    if isinstance(value, list):
        return [fill_in(item, environment, f"{path}[{index}]", report) for index, item in enumerate(value)]
    return value


def escape_all(value: Any) -> Any:
    """A copy of a JSON value in which Compose fills in nothing."""
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, dict):
        return {key: escape_all(item) for key, item in value.items()}
    if isinstance(value, list):
        return [escape_all(item) for item in value]
    return value


def read_env_file(text: str) -> dict[str, str]:
    """The variables of a ``.env`` file: ``NAME=value`` lines, values plain or in quotes, ``#`` before comments.

    Variables in values that are not in single quotes are filled in from the lines before. Raises
    ``InterpolationError`` with the line's number.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip().removeprefix("export ")
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = (part.strip() for part in stripped.partition("="))
        if not equals or not _NAME.fullmatch(name):
            raise InterpolationError(f"line {number} is not NAME=value")
        try:
            found[name] = _env_value(value, found)
        except InterpolationError as error:
            raise InterpolationError(f"line {number}: {error}", missing=error.missing) from error
    return found


def _env_value(value: str, known: Mapping[str, str]) -> str:
    quote = value[:1]
    if quote in ("'", '"'):
        end = value.find(quote, 1)
        if end < 0:
            raise InterpolationError("the quotes are not closed; a value stands on one line")
        inner = value[1:end]
        return inner if quote == "'" else interpolate(inner.replace("\\n", "\n"), known)
    return interpolate(value.partition(" #")[0].rstrip(), known)


def _until(text: str, start: int, environment: Mapping[str, str], *, closing: bool, depth: int) -> tuple[str, int]:
    """The text from ``start``, filled in, up to its end or to the brace that closes a variable; and where that is."""
    if depth > MAX_NESTING:
        raise InterpolationError(f"variables are nested deeper than {MAX_NESTING}")
    out: list[str] = []
    size, at = 0, start
    while at < len(text):
        if closing and text[at] == "}":
            return "".join(out), at
        following = min(
            (place for mark in ("$", "}" if closing else "$") if (place := text.find(mark, at)) >= 0), default=len(text)
        )
        if following > at:
            piece, at = text[at:following], following
        elif text.startswith("$$", at):
            piece, at = "$", at + 2
        else:
            piece, at = _variable(text, at + 1, environment, depth)
        out.append(piece)
        size += len(piece)
        if size > MAX_LENGTH:
            raise InterpolationError(f"becomes longer than {MAX_LENGTH} characters")
    if closing:
        raise InterpolationError("a '${' is not closed; write '$$' for a dollar sign")
    return "".join(out), at


def _variable(text: str, at: int, environment: Mapping[str, str], depth: int) -> tuple[str, int]:
    """The value of the variable whose ``$`` stands before ``at``, and where the text goes on."""
    braced = text.startswith("{", at)
    name = _NAME.match(text, at + braced)
    if name is None:
        raise InterpolationError("a '$' stands before no variable's name; write '$$' for a dollar sign")
    value = environment.get(name.group())
    at = name.end()
    if not braced:
        return _set(name.group(), value), at
    if text.startswith("}", at):
        return _set(name.group(), value), at + 1
    operator = _OPERATOR.match(text, at)
    if operator is None:
        raise InterpolationError(f"'${{{name.group()}' goes on with none of '}}', ':-', '-', ':?', '?', ':+', '+'")
    sign = operator.group()
    there = bool(value) if sign.startswith(":") else value is not None
    # What is not used may name variables that are not set, so it is only read over.
    used = (sign[-1] == "+") == there
    rest, end = _until(text, operator.end(), environment if used else _Anything(), closing=True, depth=depth + 1)
    match sign[-1]:
        case "-":
            return (value or "") if there else rest, end + 1
        case "+":
            return rest if there else "", end + 1
        case _:
            if not there:
                raise InterpolationError(
                    f"the variable {name.group()} is not set{': ' + rest[:200] if rest else ''}", missing=name.group()
                )
            return value or "", end + 1


def _set(name: str, value: str | None) -> str:
    if value is None:
        raise InterpolationError(f"the variable {name} is not set and has no default", missing=name)
    return value


class _Anything(dict[str, str]):
    """An environment in which every variable is set."""

    def get(self, key: str, default: Any = None) -> Any:
        return "set"
