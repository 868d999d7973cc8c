"""Regular expressions out of documents, in time linear in the text: RE2, never Python's own engine.

Python's backtracks, and ``(x+)+y`` would hang the process. RE2 has no look-around and no back references;
a pattern that needs them is refused with that reason. RE2 is only imported where a pattern is used:
the agent's install has none.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

MAX_PATTERN = 1000
"""Most characters of a pattern."""

MAX_TEXT = 10_000
"""Most characters of a text that is matched. The slowest pattern found takes 0.2 s for so many."""

_MAX_MEMORY = 1024 * 1024
"""Most bytes of a compiled pattern: time for a match grows with both, the text and the pattern."""


class PatternError(Exception):
    """The pattern cannot be used; the text says why, ``hint`` what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


@functools.lru_cache(maxsize=256)
def matcher(pattern: str) -> Callable[[str], bool]:
    """A function that says whether the pattern matches the whole of a text of at most ``MAX_TEXT`` characters.

    Whole, because a value is validated and not searched: ``.*@[a-z.]*`` means what its author thinks it
    does, and for ``^…$`` there is no difference. Raises ``PatternError``.
    """
    if len(pattern) > MAX_PATTERN:
        raise PatternError(f"has {len(pattern)} characters; at most {MAX_PATTERN} are taken")
    try:
        import re2  # type: ignore[import-untyped]
    except ImportError as error:
        raise PatternError(
            "cannot be checked here: RE2 is not installed", "install it with: pip install google-re2"
        ) from error
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    try:
        compiled = re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError) as error:
        raise PatternError(f"is no regular expression that RE2 takes: {_said(error)}", _ADVICE) from error

    def matches(text: str) -> bool:
        if len(text) > MAX_TEXT:
            return False
        try:
            return compiled.fullmatch(text) is not None
        except UnicodeEncodeError:  # half of a surrogate pair: no text at all
            return False

    return matches


_ADVICE = "look-around such as (?=…) and back references such as \\1 need unbounded time and are not taken"


def _said(error: Exception) -> str:
    what = error.args[0] if error.args else ""
    return what.decode("utf-8", "replace")[:200] if isinstance(what, bytes) else str(error)[:200]
