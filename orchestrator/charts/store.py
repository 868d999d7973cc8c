"""Where charts come from: a folder, an archive, an HTTP repository, an address, an OCI registry, or the spec itself.

Every chart that leaves here is pinned: it carries the digest over its exact bytes, and those bytes are
in the cache under that digest. A chart whose digest is known already is taken from the cache and no
server is asked. What the digest covers, and why, is in ``docs/decisions/2026-11-23-chart-digests.md``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.charts import repository
from orchestrator.charts.archive import MAX_ARCHIVE_BYTES, ChartArchive, digest_of, open_archive, too_large
from orchestrator.charts.cache import ChartCache
from orchestrator.charts.credentials import Credentials
from orchestrator.charts.download import Downloader, Limits, shown
from orchestrator.charts.errors import ChartFetchError
from orchestrator.charts.oci import OciPuller, OciReference
from orchestrator.charts.packaging import package_folder
from orchestrator.charts.provenance import MAX_PROVENANCE_BYTES, missing, verify
from orchestrator.charts.versions import satisfies
from topics.documents.spec import HelmChart

DEFAULT_TIMEOUT = 60.0
"""Seconds for one chart, index and archive together."""


class ChartStore:
    """Fetches charts and caches them by digest. Use as a context manager, or call ``close``.

    ``local_root`` is where relative chart paths start, and with it no path may lead out of it; without
    it paths are taken as the process sees them. ``credentials_file`` has the form of Docker's
    ``config.json``; ``ca_file`` names authorities to trust beside the system's. With a ``keyring`` every chart that is fetched must be signed by a key in it; a folder on this
    machine is the operator's own and is not. One store serves several threads.
    """

    def __init__(
        self,
        cache_dir: Path,
        *,
        local_root: Path | None = None,
        credentials_file: Path | None = None,
        ca_file: Path | None = None,
        keyring: Path | None = None,
    ) -> None:
        self._cache = ChartCache(cache_dir)
        self._local_root = local_root
        self._credentials = Credentials(credentials_file)
        self._keyring = keyring
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
        chart: HelmChart,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> ChartArchive:
        """The chart that the spec names, pinned and cached.

        ``timeout`` in seconds for all of it; ``cancelled`` is asked between pieces of a download.
        Raises ``ChartFetchError``.
        """
        if chart.digest is not None:
            cached = self._cached(chart, chart.digest)
            if cached is not None:
                return cached
        archive = self._from_source(chart, Limits(timeout, cancelled))
        self._cache.put(archive)
        if archive.artifact is not None:
            self._cache.put_artifact(OciReference.parse(chart.chart).repository, archive.digest, archive.artifact)
        return archive

    def _cached(self, chart: HelmChart, digest: str) -> ChartArchive | None:
        cached = self._cache.get(digest)
        if cached is None or not satisfies_spec(chart, cached):
            return None
        if self._keyring is not None:
            signed = self._cache.provenance(digest)
            if signed is None:
                return None  # its source may have it
            verify(cached, signed, self._keyring)
        if chart.archive is not None or not chart.chart.startswith("oci://"):
            return cached
        reference = OciReference.parse(chart.chart)
        artifact = reference.digest or self._cache.artifact(reference.repository, digest)
        # Without it the same spec would be rendered in two ways; the registry knows.
        return None if artifact is None else replace(cached, artifact=artifact)

    def _from_source(self, chart: HelmChart, limits: Limits) -> ChartArchive:
        manifest_digest, signed = None, None
        signing = self._keyring is not None
        if chart.archive is not None:
            data = _carried(chart.archive)
        elif chart.chart.startswith("oci://"):
            pulled = OciPuller(OciReference.parse(chart.chart), self._downloader, self._credentials, limits).pull(
                chart.version or "", provenance=signing
            )
            data, manifest_digest, signed = pulled.data, pulled.manifest_digest, pulled.provenance
        elif chart.repository is not None:
            data, url = self._from_repository(chart, chart.repository, limits)
            signed = self._signature(url, limits) if signing else None
        elif chart.chart.startswith(("http://", "https://")):
            data = self._download(chart.chart, limits)
            signed = self._signature(chart.chart, limits) if signing else None
        else:
            data = self._from_path(chart.chart)
            signed = self._beside(chart.chart) if signing else None
        archive = replace(open_archive(data), artifact=manifest_digest)
        _check_pin(chart, archive, manifest_digest)
        if not satisfies_spec(chart, archive):
            raise ChartFetchError(
                "chart-version-mismatch",
                f"{shown_reference(chart)} holds another version of {archive.name}",
                required=chart.version,
                available=archive.version,
            )
        if self._keyring is not None and not self._is_own_folder(chart):
            if signed is None:
                raise missing(shown_reference(chart))
            verify(archive, signed, self._keyring)
            self._cache.put_provenance(archive.digest, signed)
        return archive

    def _signature(self, url: str, limits: Limits) -> bytes | None:
        """The provenance file beside an archive on a server; ``None`` if there is none."""
        base, mark, query = url.partition("?")
        try:
            return self._get(f"{base}.prov{mark}{query}", limits, MAX_PROVENANCE_BYTES)
        except ChartFetchError as error:
            if error.code == "chart-not-found":
                return None
            raise

    def _beside(self, text: str) -> bytes | None:
        path = self._path(text)
        try:
            return path.with_name(path.name + ".prov").read_bytes()
        except OSError:
            return None

    def _is_own_folder(self, chart: HelmChart) -> bool:
        local = chart.archive is None and chart.repository is None and "://" not in chart.chart.removeprefix("file://")
        return local and self._path(chart.chart).is_dir()

    def _from_repository(self, chart: HelmChart, address: str, limits: Limits) -> tuple[bytes, str]:
        """The archive, and its address."""
        if not address.startswith(("http://", "https://")):
            raise ChartFetchError(
                "chart-reference-invalid",
                f"repository {address[:200]!r} is not an http:// or https:// address",
                hint="for a registry write the whole reference in 'chart': oci://host/path/name",
            )
        index = self._get(repository.index_url(address), limits, repository.MAX_INDEX_BYTES)
        entry = repository.find(index, address, chart.chart, chart.version or "")
        if entry.digest is not None and (cached := self._cache.get(entry.digest)) is not None:
            return cached.data, entry.url
        if not entry.url.startswith(("http://", "https://")):
            raise ChartFetchError("chart-invalid", f"the repository's index leads to {entry.url[:200]!r}")
        data = self._get(entry.url, limits, MAX_ARCHIVE_BYTES)
        if entry.digest is not None and digest_of(data) != entry.digest:
            # An archive that was cut is told from one that was exchanged.
            open_archive(data)
            raise ChartFetchError(
                "chart-digest-mismatch",
                f"{shown(entry.url)} is not the archive that the repository's index names",
                retryable=True,
                required=entry.digest,
                available=digest_of(data),
                hint="the repository is being updated, or its archive was exchanged",
            )
        return data, entry.url

    def _download(self, url: str, limits: Limits) -> bytes:
        return self._get(url, limits, MAX_ARCHIVE_BYTES)

    def _get(self, url: str, limits: Limits, max_bytes: int) -> bytes:
        host = url.partition("://")[2].partition("/")[0].rpartition("@")[2]
        return self._downloader.get(url, limits, max_bytes, auth=self._credentials.of(host))

    def _path(self, text: str) -> Path:
        path = Path(text.removeprefix("file://"))
        return path if self._local_root is None else self._local_root / path

    def _from_path(self, text: str) -> bytes:
        path = self._path(text)
        if self._local_root is not None and not path.resolve().is_relative_to(self._local_root.resolve()):
            raise ChartFetchError("chart-reference-invalid", f"{text!r} leads out of the folder of local charts")
        try:
            if path.is_dir():
                return package_folder(path)
            size = path.stat().st_size
            if size > MAX_ARCHIVE_BYTES:
                raise too_large(size)
            return path.read_bytes()
        except FileNotFoundError as error:
            raise ChartFetchError(
                "chart-not-found",
                f"there is no file or folder {text!r} here",
                hint="paths start at the folder of --charts; a name in an HTTP repository also needs 'repository'",
            ) from error
        except OSError as error:
            raise ChartFetchError("chart-unreachable", f"{text!r} cannot be read: {error.strerror}") from error


def shown_reference(chart: HelmChart) -> str:
    """The chart's place as it may stand in a message: without user, password and query."""
    return shown(chart.chart) if "://" in chart.chart else chart.chart


def satisfies_spec(chart: HelmChart, archive: ChartArchive) -> bool:
    """Whether the archive's version is what the spec asks for."""
    try:
        return satisfies(chart.version or "", archive.version)
    except ValueError as error:
        raise ChartFetchError("chart-reference-invalid", str(error)) from error


def _carried(archive: str) -> bytes:
    """The chart that the spec carries."""
    try:
        return base64.b64decode(archive, validate=True)
    except binascii.Error as error:
        raise ChartFetchError("chart-invalid", f"'archive' is not base64: {error}") from error


def _check_pin(chart: HelmChart, archive: ChartArchive, manifest_digest: str | None) -> None:
    if chart.digest is None or chart.digest == archive.digest:
        return
    hint = "if the change is wanted, put the available digest into 'digest'"
    if chart.digest == manifest_digest:
        hint = "'digest' holds that of the OCI manifest; it must be that of the chart layer"
    raise ChartFetchError(
        "chart-digest-mismatch",
        f"{shown_reference(chart)} is not the chart that 'digest' pins",
        required=chart.digest,
        available=archive.digest,
        hint=hint,
    )
