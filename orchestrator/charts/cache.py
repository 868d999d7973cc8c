"""The chart cache: one file per digest, complete or absent, checked whenever it is read.

Beside the archives it remembers under which OCI manifest a registry holds one, so that a chart out of the cache
renders to the same as one that was just pulled.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path

from orchestrator.charts.archive import ChartArchive, digest_of, open_archive

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")


class ChartCache:
    """Archives below ``folder`` as ``sha256/<hex>.tgz``. Safe for several threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "sha256"
        self._artifacts = folder / "artifacts"
        self._provenance = folder / "provenance"

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
        if not path.exists():
            _write(path, archive.data)

    def artifact(self, repository: str, digest: str) -> str | None:
        """The digest of the manifest that ``repository`` (``host/name``) holds the archive ``digest`` under."""
        try:
            text = self._artifact_path(repository, digest).read_text("ascii")
        except (FileNotFoundError, UnicodeDecodeError):
            return None
        return text if _DIGEST.match(text) else None

    def put_artifact(self, repository: str, digest: str, artifact: str) -> None:
        """Remember it; the newest one counts."""
        if self.artifact(repository, digest) != artifact:
            _write(self._artifact_path(repository, digest), artifact.encode())

    def provenance(self, digest: str) -> bytes | None:
        """The provenance file of the archive ``digest``; whoever takes it verifies it again."""
        try:
            return self._provenance_path(digest).read_bytes()
        except FileNotFoundError:
            return None

    def put_provenance(self, digest: str, provenance: bytes) -> None:
        """Keep it; the newest one counts."""
        if self.provenance(digest) != provenance:
            _write(self._provenance_path(digest), provenance)

    def _provenance_path(self, digest: str) -> Path:
        return self._provenance / f"{digest.removeprefix('sha256:')}.prov"

    def _artifact_path(self, repository: str, digest: str) -> Path:
        return self._artifacts / hashlib.sha256(f"{repository} {digest}".encode()).hexdigest()


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".incoming-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
