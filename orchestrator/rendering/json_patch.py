"""JSON patch (RFC 6902) with JSON pointers (RFC 6901): six operations on a JSON value.

The library for it works in place and names neither the operation nor the place that failed, so it is done
here; the test suite of the working group (https://github.com/json-patch/json-patch-tests) was the guide.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_INDEX = re.compile(r"0|[1-9][0-9]*\Z")
_TILDE = re.compile(r"~(?![01])")
_MISSING = object()


class PatchError(ValueError):
    """An operation cannot be done; the text says which and why. ``index`` is its place in the patch."""

    def __init__(self, index: int, message: str) -> None:
        self.index = index
        super().__init__(message)


def apply_operations(value: Any, operations: Sequence[Mapping[str, Any]]) -> Any:
    """The value with all operations done in order; the given one stays as it is. Raises ``PatchError``."""
    result = copy.deepcopy(value)
    for index, operation in enumerate(operations):
        try:
            result = _apply(result, operation)
        except (ValueError, KeyError) as error:
            text = str(error.args[0]) if error.args else "cannot be done"
            raise PatchError(index, text) from error
    return result


def _apply(root: Any, operation: Mapping[str, Any]) -> Any:
    kind = operation.get("op")
    match kind:
        case "add":
            return _add(root, _path(operation, "path"), copy.deepcopy(_value(operation)))
        case "remove":
            return _removed(root, _path(operation, "path"))[0]
        case "replace":
            return _replace(root, _path(operation, "path"), copy.deepcopy(_value(operation)))
        case "move":
            origin, path = _path(operation, "from"), _path(operation, "path")
            if path[: len(origin)] == origin and path != origin:
                raise ValueError(f"op 'move' puts {_shown(origin)} into itself")
            root, moved = _removed(root, origin)
            return _add(root, path, moved)
        case "copy":
            found = copy.deepcopy(_get(root, _path(operation, "from")))
            return _add(root, _path(operation, "path"), found)
        case "test":
            path, wanted = _path(operation, "path"), _value(operation)
            found = _get(root, path)
            if not _equal(found, wanted):
                raise ValueError(f"op 'test': {_shown(path)} is {_text(found)} and not {_text(wanted)}")
            return root
        case _:
            raise ValueError(f"op {kind!r} is none of add, remove, replace, move, copy and test")


def _value(operation: Mapping[str, Any]) -> Any:
    if "value" not in operation:
        raise ValueError(f"op {operation.get('op')!r} has no 'value'")
    return operation["value"]


def _path(operation: Mapping[str, Any], field: str) -> list[str]:
    pointer = operation.get(field)
    if not isinstance(pointer, str):
        raise ValueError(f"op {operation.get('op')!r} has no {field!r}")  # noqa: TRY004  # told as a fault of the patch
    if not pointer:
        return []
    if not pointer.startswith("/") or _TILDE.search(pointer):
        raise ValueError(f"{field} {pointer!r} is no JSON pointer such as /spec/replicas; '/' in a key is written ~1")
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/")]


def _get(root: Any, path: Sequence[str]) -> Any:
    value = root
    for depth, step in enumerate(path):
        value = _child(value, step)
        if value is _MISSING:
            raise ValueError(f"there is nothing at {_shown(path[: depth + 1])}")
    return value


def _child(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return value.get(step, _MISSING)
    if isinstance(value, list) and _INDEX.fullmatch(step) and len(step) < 10 and int(step) < len(value):
        return value[int(step)]
    return _MISSING


def _add(root: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _get(root, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list):
        if last == "-":
            parent.append(value)
        elif _INDEX.fullmatch(last) and len(last) < 10 and int(last) <= len(parent):
            parent.insert(int(last), value)
        else:
            raise ValueError(f"{_shown(path)} is no place in a list of {len(parent)}; '-' stands for its end")
    else:
        raise ValueError(f"{_shown(path[:-1])} is neither an object nor a list")  # noqa: TRY004  # as above
    return root


def _removed(root: Any, path: Sequence[str]) -> tuple[Any, Any]:
    if not path:
        raise ValueError("the whole object cannot be removed")
    found = _get(root, path)
    parent = _get(root, path[:-1])
    del parent[path[-1] if isinstance(parent, dict) else int(path[-1])]
    return root, found


def _replace(root: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    _get(root, path)
    parent = _get(root, path[:-1])
    parent[path[-1] if isinstance(parent, dict) else int(path[-1])] = value
    return root


def _equal(one: Any, other: Any) -> bool:
    """JSON's equality: 1 is 1.0, and neither is true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    comparable = type(one) is type(other) or _numbers(one, other)
    return comparable and bool(one == other)


def _numbers(one: Any, other: Any) -> bool:
    return isinstance(one, int | float) and isinstance(other, int | float)


def _shown(path: Sequence[str]) -> str:
    return "/" + "/".join(step.replace("~", "~0").replace("/", "~1") for step in path) if path else "the whole object"


def _text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."
