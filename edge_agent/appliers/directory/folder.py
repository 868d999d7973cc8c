"""The watched folder: writes, empties and unlinks the files it is told to, and compares them.

It does not decide what is owned; the caller does, with the inventory.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable
from pathlib import Path

from edge_agent.appliers.directory import files
from edge_agent.appliers.directory.inventory import Entry
from edge_agent.appliers.directory.plan import PlannedFile, empty_content
from edge_agent.appliers.port import ApplyError, CancelCheck, Cancelled

_EMPTY = PlannedFile("", "", empty_content()).sha256


class ManifestFolder:
    """One watched folder. All methods raise ``ApplyError``, and none reads the inventory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # When a file was emptied (monotonic seconds); lost with the process, then its grace starts anew.
        self._emptied_at: dict[str, float] = {}

    def refuse_foreign(self, planned: Iterable[PlannedFile], owned: Iterable[str]) -> None:
        """Raise unless every planned name is free, owned, or holds exactly what would be written.

        The last is what a device finds that lost its data folder and kept its manifests: its own files.
        """
        names = frozenset(owned)
        for file in planned:
            if file.name in names or not os.path.lexists(self.path / file.name):
                continue
            with files.apply_errors("to read the manifest folder", file.part):
                found = files.sha256_of(self.path, file.name)
            if found != file.sha256:
                raise ApplyError(
                    "foreign-file",
                    f"{self.path / file.name} is there and was not written by this agent; move it away",
                    retryable=False,
                    component=file.part,
                )

    def write(self, planned: Iterable[PlannedFile], part: str, cancelled: CancelCheck) -> None:
        """Write the files that are not as they should be; the others keep their time stamps."""
        written = False
        with files.apply_errors("to write the manifest folder", part):
            files.ensure_folder(self.path)
            for file in planned:
                stop_if(cancelled, part)
                if files.sha256_of(self.path, file.name) == file.sha256:
                    files.unlink_if_there(self.path, files.temporary_name(file.name))
                    continue
                files.write_whole(self.path, file.name, file.content)
                self._emptied_at.pop(file.name, None)
                written = True
            if written:
                files.sync_folder(self.path)

    def empty(self, names: Iterable[str], cancelled: CancelCheck) -> bool:
        """Make the files hold no object; whether any of them is there."""
        there = False
        with files.apply_errors("to empty a file in the manifest folder"):
            for name in names:
                stop_if(cancelled)
                found = files.sha256_of(self.path, name)
                if found not in (None, _EMPTY):
                    files.write_whole(self.path, name, empty_content())
                self._emptied_at.setdefault(name, time.monotonic())
                there = there or found is not None
            if there:
                files.sync_folder(self.path)
        return there

    def was_emptied_for(self, name: str, seconds: float) -> bool:
        """Whether this process emptied the file at least so long ago."""
        since = self._emptied_at.get(name)
        return since is not None and time.monotonic() - since >= seconds

    def unlink(self, names: Iterable[str]) -> None:
        """Remove the files, with what a crash left of writing them."""
        removed = False
        with files.apply_errors("to remove a file from the manifest folder"):
            for name in names:
                removed |= files.unlink_if_there(self.path, files.temporary_name(name))
                removed |= files.unlink_if_there(self.path, name)
                self._emptied_at.pop(name, None)
            if removed:
                files.sync_folder(self.path)

    def finding(self, name: str, entry: Entry, generation: int) -> str:
        """What is wrong with an owned file when ``generation`` should run; empty if nothing is."""
        with files.apply_errors("to read the manifest folder", entry.part):
            found = files.sha256_of(self.path, name)
        if entry.generation != generation:
            gone = found is None or (entry.emptied and found == _EMPTY)
            return "" if gone else f"{name} should be gone"
        if found is None:
            return f"{name} is missing"
        return "" if found == entry.sha256 else f"{name} was changed"


def check_writable(folder: Path, size: int) -> None:
    """Make the folder if need be; raise ``ApplyError`` unless it is writable and has ``size`` bytes free."""
    with files.apply_errors(f"to use {folder}"):
        files.ensure_folder(folder)
        system = os.statvfs(folder)
        if system.f_flag & os.ST_RDONLY:
            raise _os_error(errno.EROFS, folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise _os_error(errno.EACCES, folder)
        if system.f_bavail * system.f_frsize < size:
            raise _os_error(errno.ENOSPC, folder)


def stop_if(cancelled: CancelCheck, component: str | None = None) -> None:
    """Raise ``Cancelled`` if the caller asks for it."""
    if cancelled():
        raise Cancelled("stopped on request", component=component)


def _os_error(number: int, folder: Path) -> OSError:
    return OSError(number, os.strerror(number), str(folder))
