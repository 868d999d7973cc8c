"""Fetches Compose packages and keeps them by digest, so that a generation is the same whenever it is rendered."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.charts.archive import ChartArchive, digest_of
from orchestrator.charts.credentials import Credentials
from orchestrator.charts.download import Downloader, Limits, shown
from orchestrator.charts.errors import ChartFetchError
from orchestrator.charts.oci import OciReference
from orchestrator.packages.archive import MAX_PACKAGE_BYTES, open_package
from orchestrator.packages.errors import as_package_error
from orchestrator.packages.oci import PackagePuller
from topics.documents.spec import ComposePackage

DEFAULT_TIMEOUT = 60.0
"""Seconds for one package."""


class PackageStore:
    """Use as a context manager, or call ``close``. One store serves several threads.

    ``credentials_file`` has the form of Docker's ``config.json``.
    """

    def __init__(self, cache_dir: Path, *, credentials_file: Path | None = None, ca_file: Path | None = None) -> None:
        self._folder = cache_dir / "packages"
        self._credentials = Credentials(credentials_file)
        self._downloader = Downloader(ca_file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._downloader.close()

    def fetch(
        self,
        package: ComposePackage,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> ChartArchive:
        """The package that a component names, in the form in which renderers get what was fetched.

        Raises ``ChartFetchError`` with a code of packages (``package-not-found``, ``package-digest-mismatch``, …).
        """
        try:
            data = self._data(package, Limits(timeout, cancelled))
            open_package(data)
        except ChartFetchError as error:
            raise as_package_error(error) from error
        digest = digest_of(data)
        if package.digest is not None and digest != package.digest:
            raise ChartFetchError(
                "package-digest-mismatch",
                f"{shown_reference(package)} is not the package that 'digest' pins",
                required=package.digest,
                available=digest,
                hint="if the change is wanted, put the available digest into 'digest'",
            )
        self._put(digest, data)
        return ChartArchive(shown_reference(package), package.revision or "", digest, data)

    def _data(self, package: ComposePackage, limits: Limits) -> bytes:
        if package.digest is not None and (kept := self._get(package.digest)) is not None:
            return kept
        place = package.repository or package.location or ""
        if place.startswith("oci://"):
            reference = OciReference.parse(place)
            puller = PackagePuller(reference, self._downloader, self._credentials, limits)
            return puller.pull_package(package.revision or "")
        if place.startswith(("http://", "https://")):
            host = place.partition("://")[2].partition("/")[0].rpartition("@")[2]
            return self._downloader.get(place, limits, MAX_PACKAGE_BYTES, auth=self._credentials.of(host))
        raise ChartFetchError(
            "package-reference-invalid",
            f"{place[:200]!r} is no place that the orchestrator can fetch from",
            hint="write oci://host/path with a revision, or the https:// address of an archive",
        )

    def _path(self, digest: str) -> Path:
        return self._folder / digest.removeprefix("sha256:")

    def _get(self, digest: str) -> bytes | None:
        """The package of a digest. A damaged file is removed, so that it is fetched again."""
        path = self._path(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        if digest_of(data) == digest:
            return data
        path.unlink(missing_ok=True)
        return None

    def _put(self, digest: str, data: bytes) -> None:
        path = self._path(digest)
        if path.exists():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self._folder, prefix=".incoming-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def shown_reference(package: ComposePackage) -> str:
    """The package's place as it may stand in a message: without user, password and query."""
    place = package.repository or package.location or ""
    return shown(place) if "://" in place else place
