"""Reading the kernel's small files, where an absent one is an answer and not an error.

A driver may refuse a read (EIO, ENODEV), a file may need root (the DMI serial number) or vanish
with its device between listing and reading: each means that the machine does not show this fact.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

_LIMIT = 1 << 20
"""More than any file that is read here holds (``/proc/cpuinfo`` of 256 cores: 400 KiB)."""


def read(path: Path) -> str:
    """The stripped text of a file, without NULs (the device tree ends its strings so); empty if not shown."""
    return read_bytes(path).decode(errors="replace").replace("\0", "").strip()


def read_bytes(path: Path) -> bytes:
    """The first MiB of a file; empty if it is not shown."""
    try:
        with open_file(path) as file:
            return file.read(_LIMIT)
    except OSError:
        return b""


def open_file(path: Path) -> BinaryIO:
    """The file, opened for reading. Raises ``OSError``, and never waits: opening a pipe would, until somebody
    writes into it."""
    return open(path, "rb", opener=_at_once)  # Path.open has no opener


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def entries(folder: Path) -> tuple[Path, ...]:
    """What is in a folder, by name; nothing if it is not shown."""
    try:
        return tuple(sorted(folder.iterdir(), key=_natural))
    except OSError:
        return ()


def fields(path: Path, separator: str = "=") -> dict[str, str]:
    """``KEY=value`` lines as a mapping; quotes around a value are dropped, the first of a key counts."""
    found: dict[str, str] = {}
    for line in read(path).splitlines():
        key, equals, value = line.partition(separator)
        if equals and not key.startswith("#"):
            found.setdefault(key.strip(), value.strip().strip("\"'"))
    return found


def target(link: Path) -> str:
    """The name of what a link points to (``device/driver`` → ``e1000e``); empty if there is no link."""
    try:
        return link.readlink().name
    except OSError:
        return ""


def _natural(path: Path) -> tuple[str, int, str]:
    # card2 before card10: the number at the end counts as a number.
    stem = path.name.rstrip("0123456789")
    number = path.name[len(stem) :]
    return stem, int(number) if number.isascii() and number else -1, path.name
