"""Kubernetes quantities and durations, with exact arithmetic.

Quantities follow the Kubernetes API's serialisation format (decimal suffixes ``n u m k M G T P E``,
binary suffixes ``Ki`` to ``Ei``, decimal exponents) and, as Margo's published examples need, tolerate
a space before the suffix (``"59 Gi"``). Durations follow Go's form, as Helm takes them (``8m30s``).
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

_SUFFIXES: dict[str, Fraction] = {
    "": Fraction(1),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 10**3),
    **{letter: Fraction(1000**power) for power, letter in enumerate("kMGTPE", start=1)},
    **{letter + "i": Fraction(1024**power) for power, letter in enumerate("KMGTPE", start=1)},
}
_BINARY_SIZES = tuple((letter + "i", 1024**power) for power, letter in reversed(tuple(enumerate("KMGTPE", start=1))))
_QUANTITY = re.compile(
    r"([+-]?)(?=\.?[0-9])([0-9]{0,30})(?:\.([0-9]{0,30}))?(?:[eE]([+-]?[0-9]{1,2})| *([numkMGTPE]|[KMGTPE]i))?\Z"
)
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?\Z")
_DURATION_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(h|ms|m|s)")
MAX_DURATION_SECONDS = 366 * 86_400.0
"""Longest duration: what a person can mean, and well below what a timer or a lock can wait for."""

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def parse_quantity(text: str | float) -> Fraction:
    """The exact value of a quantity (``500m`` is 1/2, ``1.5Gi`` is 1610612736).

    Raises ``ValueError`` for anything else, negative values among them.
    """
    match = _QUANTITY.match(str(text).strip())
    if match is None:
        raise ValueError(f"{text!r:.60} is not a quantity such as 500m, 2, 1.5Gi or 2e9")
    if match.group(1) == "-":
        raise ValueError(f"{text!r:.60} is negative")
    return _value(match)


def _value(match: re.Match[str]) -> Fraction:
    """The value without its sign."""
    _, whole, decimals, exponent, suffix = match.groups()
    decimals = decimals or ""
    value = Fraction(int(whole + decimals), 10 ** len(decimals))
    if exponent:
        return value * Fraction(10) ** int(exponent)
    return value * _SUFFIXES[suffix or ""]


def number_of(value: object) -> int | Fraction | None:
    """The exact value of a JSON number, or of a text that is a quantity; ``None`` for anything else.

    Unlike a requirement, a property may be negative (a temperature, a signal level). Truth values are no numbers.
    A float stands for the decimal number that it is written as: 0.1 is 1/10.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return _whole(Fraction(repr(value))) if math.isfinite(value) else None
    if not isinstance(value, str):
        return None
    match = _QUANTITY.match(value.strip())
    if match is None:
        return None
    number = _value(match)
    return _whole(-number if match.group(1) == "-" else number)


def _whole(value: Fraction) -> int | Fraction:
    return value.numerator if value.denominator == 1 else value


def format_bytes(value: Fraction | int) -> str:
    """A number of bytes for people: the largest binary suffix, at most one decimal (``6.2Gi``)."""
    for suffix, size in _BINARY_SIZES:
        if value >= size:
            return f"{round(float(value / size), 1):g}{suffix}"
    return f"{float(value):g}"


def format_cores(value: Fraction | int) -> str:
    """A number of cores for people: ``2``, or millicores where it is not whole (``500m``)."""
    return str(int(value)) if value == int(value) else f"{float(value * 1000):g}m"


def parse_duration(text: str) -> float:
    """The seconds of a duration (``8m30s``, ``90s``, ``1h``, or a plain number of seconds).

    Raises ``ValueError`` for anything else, and for more than a year.
    """
    seconds = _seconds(text)
    if seconds > MAX_DURATION_SECONDS:
        raise ValueError(f"{text!r:.60} is longer than a year")
    return seconds


def _seconds(text: str) -> float:
    if _NUMBER.match(text):
        return float(text)
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r:.60} is not a duration such as 90s, 8m30s or 1h")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def _text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _checked_quantity(text: str) -> str:
    parse_quantity(text)
    return text


def _checked_duration(text: str) -> str:
    parse_duration(text)
    return text


Quantity = Annotated[str, BeforeValidator(_text), AfterValidator(_checked_quantity)]
"""A quantity as it was written; a plain number is taken as its text."""

Duration = Annotated[str, BeforeValidator(_text), AfterValidator(_checked_duration)]
"""A duration as it was written; a plain number is seconds."""
