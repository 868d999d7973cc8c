"""One program per data folder: two that share a journal would undo each other's work."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self


class DataFolderInUseError(Exception):
    """Another process works on the data folder."""


class DataFolderLock:
    """Holds ``<data>/lock`` from its construction for as long as the process lives; the kernel releases
    it, however that ends. Raises ``DataFolderInUseError``."""

    def __init__(self, data: Path) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self._file = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            raise DataFolderInUseError(f"another process works on {data}; give each program its own --data") from error

    def __enter__(self) -> Self:
        return self

    def release(self) -> None:
        """Let go of the folder before the process ends."""
        os.close(self._file)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
