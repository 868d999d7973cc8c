"""Margo's words for architectures, peripherals and interfaces, and other spellings of the same things.

Real documents write ``Intel x64``, ``x86_64``, ``Wi-Fi`` or ``GPU``. Only spellings that can mean nothing else
are known here: a ``serial`` interface, for instance, need not be RS-232.
"""

from __future__ import annotations

import re
from typing import get_args

from topics.documents.device import InterfaceType, PeripheralType
from topics.documents.spec import Architecture

MARGO_ARCHITECTURES = ("amd64", "arm64", "arm")
"""Those that Margo's ``CpuArchitectureType`` has; the other names of Go are ours."""

PERIPHERALS: tuple[str, ...] = tuple(name for name in get_args(PeripheralType) if name != "other")
INTERFACES: tuple[str, ...] = tuple(name for name in get_args(InterfaceType) if name != "other")

_ARCHITECTURES: frozenset[str] = frozenset(get_args(Architecture))
_SPELLINGS = {
    **dict.fromkeys(("x86_64", "x86-64", "x64", "intel x64", "amd x64", "intel 64", "intel64"), "amd64"),
    **dict.fromkeys(("aarch64", "armv8", "arm64v8"), "arm64"),
    **dict.fromkeys(("armv7", "armv7l", "armhf", "arm32"), "arm"),
    **dict.fromkeys(("x86", "i386", "i686"), "386"),
}
_FILLERS = re.compile(r"[-_ ]")


def architecture(word: str) -> str | None:
    """Go's name of an architecture (``amd64``) in whatever spelling it comes; ``None`` for what is none."""
    plain = word.strip().lower()
    return plain if plain in _ARCHITECTURES else _SPELLINGS.get(plain)


def hardware(word: str, kinds: tuple[str, ...]) -> str | None:
    """The one of ``kinds`` that is meant (``Wi-Fi`` is ``wifi``, ``RS-232`` is ``rs232``); ``None`` for none."""
    plain = _FILLERS.sub("", word.strip().lower())
    return plain if plain in kinds else None
