"""HTTP chart repositories: ``index.yaml`` names the versions, their archives and digests."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import yaml

from orchestrator.charts import bounded_yaml
from orchestrator.charts.errors import ChartFetchError
from orchestrator.charts.versions import Version, newest_match

MAX_INDEX_BYTES = 32 * 1024 * 1024
"""Largest ``index.yaml``; the largest public ones are about 20 MiB."""


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One version of a chart in a repository: the archive's address, and its digest where the index has it."""

    version: str
    url: str
    digest: str | None


def index_url(repository: str) -> str:
    """The address of a repository's index; a query of the repository's address is kept."""
    base, mark, query = repository.partition("?")
    return f"{base.rstrip('/')}/index.yaml{mark}{query}"


def find(index: bytes, repository: str, chart: str, wanted: str) -> IndexEntry:
    """The entry for ``chart`` in the version that ``wanted`` asks for (exact, range, empty = newest).

    Raises ``ChartFetchError``: no such chart or version (with what there is), or no index.
    """
    versions = _entries(index).get(chart)
    if not isinstance(versions, list) or not versions:
        raise ChartFetchError(
            "chart-not-found",
            f"the repository has no chart {chart!r}",
            hint="check 'chart' and 'repository'; the name is the one in the repository's index.yaml",
        )
    entries = {
        str(entry["version"]): entry for entry in reversed(versions) if isinstance(entry, dict) and "version" in entry
    }
    version = choose(wanted, list(entries), chart)
    urls = entries[version].get("urls")
    if not isinstance(urls, list) or not urls or not isinstance(urls[0], str):
        raise ChartFetchError("chart-invalid", f"the repository's index has no address for {chart} {version}")
    digest = entries[version].get("digest")
    return IndexEntry(
        version,
        urljoin(repository.partition("?")[0].rstrip("/") + "/", urls[0]),
        f"sha256:{digest.removeprefix('sha256:').lower()}" if isinstance(digest, str) and digest else None,
    )


def choose(wanted: str, available: list[str], chart: str) -> str:
    """The version among ``available`` that ``wanted`` asks for. Raises ``ChartFetchError``."""
    try:
        version = newest_match(wanted, available)
    except ValueError as error:
        raise ChartFetchError("chart-reference-invalid", str(error)) from error
    if version is None:
        raise ChartFetchError(
            "chart-not-found",
            f"chart {chart!r} has no version that fits {wanted or 'any stable version'!r}",
            required=wanted or "newest stable version",
            available=_newest(available),
        )
    return version


def _newest(available: list[str]) -> str:
    def key(text: str) -> Version:
        try:
            return Version.parse(text)
        except ValueError:
            return Version(0, 0, 0, "0", text)

    ordered = sorted(available, key=key, reverse=True)
    return ", ".join(ordered[:5]) + (f" and {len(ordered) - 5} more" if len(ordered) > 5 else "")


def _entries(index: bytes) -> Mapping[str, Any]:
    try:
        # Some static hosts keep the index compressed and send it so, whatever the client asked for.
        text = _gunzip(index) if index.startswith(b"\x1f\x8b") else index
        document = bounded_yaml.load(text)
    except (yaml.YAMLError, ValueError, OSError, EOFError, zlib.error) as error:
        raise ChartFetchError("chart-invalid", f"the repository's index.yaml cannot be read: {error}") from error
    entries = document.get("entries") if isinstance(document, dict) else None
    if not isinstance(entries, dict):
        raise ChartFetchError(
            "chart-invalid",
            "the repository's index.yaml has no 'entries'",
            hint="'repository' is the address of the folder that holds index.yaml",
        )
    return entries


def _gunzip(data: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        text = file.read(MAX_INDEX_BYTES + 1)
    if len(text) > MAX_INDEX_BYTES:
        raise ChartFetchError("chart-too-large", "the repository's index.yaml is larger than 32 MiB")
    return text
