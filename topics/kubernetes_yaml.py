"""YAML as Kubernetes and Helm read it, which is not how Python's YAML library reads it.

Both go through Go's YAML 1.1 decoder and then JSON. Against PyYAML that means: ``y`` and ``n`` are
booleans, ``12:30`` and ``2024-01-01`` are text, ``1e3`` is a number, ``0o14`` is 12, whole floats become
integers, and keys become text. A port mapping ``22:22`` that turned into the number 1342 would be
applied without a complaint. Tested against Helm's own decoder.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from topics.bounded_yaml import MAX_DEPTH, check_depth

MAX_TEXT_BYTES = 8 * 1024 * 1024
"""Largest text that is parsed at once."""

_MAX_NODES = 500_000
_TRUE = ["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"]
_FALSE = ["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"]
_INT = re.compile(r"[-+]?(?:0[bB][01]+|0[oO]?[0-7]+|0[xX][0-9a-fA-F]+|0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")
_WORDS = re.compile(r"(?:" + "|".join(_TRUE + _FALSE) + r")\Z")
_NUMBER = re.compile(r"[-+.0-9][-+.0-9a-zA-Z_]*\Z")


class _Loader(yaml.CSafeLoader):
    """Go's rules for plain scalars in place of PyYAML's."""

    yaml_implicit_resolvers: dict[str | None, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's form

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        # Keys become text here already: in a Python dictionary 1, 1.0 and True are one key.
        self.flatten_mapping(node)
        return {
            _key(self.construct_object(key, deep=True)): self.construct_object(value, deep=deep)
            for key, value in node.value
        }

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        # Merge keys copy: nested ones would grow without bound.
        if len(node.value) > _MAX_NODES:
            raise yaml.YAMLError("merge keys expand to too many entries")


def _number(text: str) -> int | float | str:
    # Go's decoder drops underscores only where the scalar does not begin with the point.
    plain = text if text.startswith(".") else text.replace("_", "")
    if _INT.match(plain):
        sign, digits = (-1, plain[1:]) if plain[0] == "-" else (1, plain.removeprefix("+"))
        if len(digits) > 1 and digits[0] == "0" and digits[1] in "01234567":
            digits = "0o" + digits[1:]
        value = sign * int(digits, 0) if len(digits) <= 70 else None
        if value is not None and -(2**63) <= value < 2**64:
            return value
    if _FLOAT.match(plain):
        return float(plain)
    return text


def _construct_number(loader: _Loader, node: yaml.ScalarNode) -> int | float | str:
    return _number(node.value)


def _construct_text(loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


def _construct_special(loader: _Loader, node: yaml.ScalarNode) -> float:
    raise yaml.YAMLError(f"{node.value} is not a number that JSON has")


def _construct_binary(loader: _Loader, node: yaml.ScalarNode) -> str:
    return loader.construct_yaml_binary(node).decode("utf-8", "replace")


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", _WORDS, list("yYnNtTfFoO"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:~|null|Null|NULL|)\Z"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"<<\Z"), ["<"])
_Loader.add_implicit_resolver("!special", _SPECIAL, list("-+."))
_Loader.add_implicit_resolver("!number", _NUMBER, list("-+.0123456789"))
_Loader.add_constructor("!number", _construct_number)
_Loader.add_constructor("!special", _construct_special)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_number)
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_number)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _construct_text)
_Loader.add_constructor("tag:yaml.org,2002:binary", _construct_binary)
_Loader.bool_values = {word.lower(): word in _TRUE for word in _TRUE + _FALSE}


def load_document(text: str) -> Any:
    """The JSON value of one YAML document; ``None`` if there is nothing in it but comments.

    Raises ``ValueError`` with line and column for what cannot be read, is nested too deeply, or grows
    beyond bounds through aliases.
    """
    if len(text) > MAX_TEXT_BYTES:
        raise ValueError(f"is larger than {MAX_TEXT_BYTES // (1024 * 1024)} MiB")
    try:
        check_depth(text)
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 - it is the safe loader with other scalars
        return _json(value, [_MAX_NODES])
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ValueError(f"is not YAML: {error.problem or error.context}{where}") from error
    except (yaml.YAMLError, OverflowError) as error:
        raise ValueError(f"is not YAML: {error}") from error


def _json(value: Any, left: list[int], depth: int = 0) -> Any:
    """The value as JSON has it; ``left`` counts down for the whole document. Aliases may nest what is nested, and
    themselves."""
    left[0] -= 1
    if depth > MAX_DEPTH:
        raise ValueError(f"is nested deeper than {MAX_DEPTH} levels through its aliases")
    if left[0] < 0:
        raise ValueError("grows beyond bounds through its aliases")
    if isinstance(value, dict):
        return {key: _json(item, left, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_json(item, left, depth + 1) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("holds a number that JSON does not have")
        return int(value) if value == int(value) and abs(value) < 2**53 else value
    return value


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    if key is None:
        return "null"
    if isinstance(key, int | float | str):
        return str(key)
    raise ValueError("has a key that is neither text nor a number")


def split_documents(text: str) -> Iterator[str]:
    """The documents of a rendered file, split at every line that begins with ``---``.

    As Helm does it, text after the dashes belongs to the document that follows.
    """
    lines: list[str] = []
    for line in text.splitlines(keepends=True):
        if line.startswith("---"):
            if any(item.strip() for item in lines):
                yield "".join(lines)
            rest = line.removeprefix("---").lstrip()
            lines = [rest] if rest else []
        else:
            lines.append(line)
    if any(item.strip() for item in lines):
        yield "".join(lines)
