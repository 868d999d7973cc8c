"""JSON pointers (RFC 6901), read once and followed often."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_INDEX = re.compile(r"(?:0|[1-9][0-9]{0,17})\Z")
"""An array index: no sign, no leading zero (RFC 6901, section 4); longer ones are beyond any list."""


def tokens_of(pointer: str) -> tuple[str, ...]:
    """The reference tokens of a pointer: ``/a~1b/0`` has ``a/b`` and ``0``; the empty pointer has none.

    ``~1`` is replaced before ``~0``, so that ``~01`` is ``~1`` and not ``/`` (section 4).
    """
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:])


def finder(pointer: str) -> Callable[[Any], Any]:
    """A function that returns what ``pointer`` names in a JSON value.

    ``None`` where there is nothing, which a JSON null is too: nobody can select by the difference. ``-``, the
    element after the last one, never names anything.
    """
    tokens = tokens_of(pointer)
    if len(tokens) == 1:
        (only,) = tokens

        def find_member(value: Any) -> Any:
            return value.get(only) if type(value) is dict else _step(value, only)

        return find_member

    def find(value: Any) -> Any:
        for token in tokens:
            value = value.get(token) if type(value) is dict else _step(value, token)
            if value is None:
                return None
        return value

    return find


def _step(value: Any, token: str) -> Any:
    if isinstance(value, list) and _INDEX.match(token):
        index = int(token)
        return value[index] if index < len(value) else None
    return None
