"""Files as the directory applier needs them: written whole or not at all, and never through a link.

Nothing here knows what the files mean. Every function takes a folder and the plain name of a file.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from edge_agent.appliers.port import ApplyError

FILE_MODE = 0o600
"""Manifests may hold Secret objects; k3s, k0s and a kubelet read them as root."""

NOT_A_FILE = "not-a-file"

_CODES: dict[int, tuple[str, bool, str]] = {
    errno.ENOSPC: ("disk-full", True, "free some space"),
    errno.EDQUOT: ("disk-full", True, "free some space or raise the quota"),
    errno.EROFS: ("read-only", True, "mount the file system writable"),
    errno.EACCES: ("not-writable", False, "give the agent's user access to it"),
    errno.EPERM: ("not-writable", False, "give the agent's user access to it"),
    errno.ENOTDIR: ("not-a-folder", False, "move away the file that stands in the way"),
    errno.EEXIST: ("not-a-folder", False, "move away the file that stands in the way"),
    errno.EISDIR: ("not-a-file", False, "move away the folder that stands in the way"),
    errno.ELOOP: ("not-a-file", False, "move away the link that stands in the way"),
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
    """Make the folder, and durably so; nothing happens if it is there."""
    missing = [path for path in (folder, *folder.parents) if not path.is_dir()]
    for path in reversed(missing):
        with contextlib.suppress(FileExistsError):  # another deployment's worker was faster
            path.mkdir(0o755)
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        sync_folder(path.parent)


def temporary_name(name: str) -> str:
    """The dot-file that ``name`` is written through.

    It is derived from the name, so that one left by a crash is found without a search, and does
    not end in ``.yaml``: k0s' pattern ``*.yaml`` takes dot-files too.
    """
    return f".{name}.tmp"


def write_whole(folder: Path, name: str, content: bytes, *, durable: bool = True) -> None:
    """Write a file so that a reader, or a crash, sees all of it or the one before.

    The caller syncs the folder (``sync_folder``) once it has written all its files.
    """
    temporary = folder / temporary_name(name)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(temporary, flags, FILE_MODE)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(folder / name)
    except OSError as error:
        # A full disk is no place for a half-written file.
        with contextlib.suppress(OSError):
            temporary.unlink()
        error.filename = error.filename or str(folder / name)
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unlink_if_there(folder: Path, name: str) -> bool:
    """Remove the file; whether there was one."""
    try:
        (folder / name).unlink()
    except FileNotFoundError:
        return False
    return True


def sha256_of(folder: Path, name: str) -> str | None:
    """The SHA-256 of a regular file's bytes (hex).

    ``None`` if nothing is there, ``NOT_A_FILE`` for what cannot be what was written: a link, a
    folder, a pipe.
    """
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link, which O_NOFOLLOW does not open
            return NOT_A_FILE
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return NOT_A_FILE
        with open(descriptor, "rb", closefd=False) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    finally:
        os.close(descriptor)
