"""The chart cache: one file per digest, complete or absent, checked whenever it is read."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from orchestrator.charts.archive import ChartArchive, digest_of, open_archive


class ChartCache:
    """Archives below ``folder`` as ``sha256/<hex>.tgz``. Safe for several threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "sha256"

    def path(self, digest: str) -> Path:
        """Where the archive of a digest (``sha256:…``) is or would be."""
        return self._folder / f"{digest.removeprefix('sha256:')}.tgz"

    def get(self, digest: str) -> ChartArchive | None:
        """The archive of a digest, or ``None``. A damaged file is removed, so that it is fetched again."""
        path = self.path(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        if digest_of(data) != digest:
            path.unlink(missing_ok=True)
            return None
        return open_archive(data)

    def put(self, archive: ChartArchive) -> None:
        """Keep an archive: written beside its place, synced, then renamed into it."""
        path = self.path(archive.digest)
        if path.exists():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self._folder, prefix=".incoming-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(archive.data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
