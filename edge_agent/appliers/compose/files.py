"""The files of the compose applier: written whole or not at all, and durable before their names are."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge_agent.appliers.port import ApplyError

_FOLDER_MODE = 0o700
"""Projects hold passwords. What containers mount of them is reached through the mount, not through these folders."""

_FILE_MODE = 0o644
"""A container's user, whoever that is, must be able to read what is mounted into it."""

_INCOMING = ".incoming"

_CODES: dict[int, tuple[str, bool, str]] = {
    errno.ENOSPC: ("disk-full", True, "free some space"),
    errno.EDQUOT: ("disk-full", True, "free some space or raise the quota"),
    errno.EROFS: ("read-only", True, "mount the file system writable"),
    errno.EACCES: ("not-writable", False, "give the agent's user access to it"),
    errno.EPERM: ("not-writable", False, "give the agent's user access to it"),
    errno.ENOTDIR: ("not-a-folder", False, "move away the file that stands in the way"),
    errno.EEXIST: ("not-a-folder", False, "move away the file that stands in the way"),
}


@contextlib.contextmanager
def apply_errors(action: str, component: str | None = None) -> Iterator[None]:
    """Turn an ``OSError`` into the ``ApplyError`` that says what to do; ``action`` is "to write …"."""
    try:
        yield
    except OSError as error:
        code, retryable, remedy = _CODES.get(
            error.errno or 0, ("io-error", True, "look into the system log for the device")
        )
        where = f" at {error.filename}" if error.filename else ""
        raise ApplyError(
            code,
            f"it was not possible {action}: {error.strerror or error}{where}; {remedy}",
            retryable=retryable,
            component=component,
        ) from error


def ensure_folder(folder: Path) -> None:
    """Make the folder and those above it."""
    for path in reversed((folder, *folder.parents)):
        if not path.is_dir():
            with contextlib.suppress(FileExistsError):  # another deployment's worker was faster
                path.mkdir(_FOLDER_MODE)
            sync(path.parent)


def write_whole(folder: Path, name: str, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees all of it or the one before; durable when this returns."""
    temporary = folder / f"{_INCOMING}-{name}"
    _write(temporary, content)
    temporary.replace(folder / name)
    sync(folder)


def make_folder(parent: Path, name: str, content: Mapping[str, bytes]) -> None:
    """Make a folder with files (by path) so that it is there with all of them or not at all; durable then."""
    target = parent / name
    if target.is_dir():
        return
    incoming = parent / f"{_INCOMING}-{name}"
    if incoming.exists():
        shutil.rmtree(incoming)
    ensure_folder(incoming)
    folders = {incoming}
    for path, data in content.items():
        place = incoming / path
        ensure_folder(place.parent)
        folders.update(folder for folder in (place.parent, *place.parents) if folder.is_relative_to(incoming))
        _write(place, data)
    for folder in folders:
        sync(folder)
    incoming.rename(target)
    sync(parent)


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_writable(folder: Path, needed: int) -> None:
    """Raise ``OSError`` if nothing can be written below ``folder`` (which need not be there), or too little."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    space = os.statvfs(there)
    if space.f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(there))
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(there))
    if space.f_bavail * space.f_frsize < needed:
        raise OSError(errno.ENOSPC, f"{needed} bytes are needed", str(there))


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, _FILE_MODE)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fchmod(descriptor, _FILE_MODE)  # whatever the umask of the agent is
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
