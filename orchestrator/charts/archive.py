"""A chart as bytes with its digest, checked before anything else reads it.

The archive is never unpacked to disk. Before it is handed on, its entries are walked in memory: one top folder
with a ``Chart.yaml``, no absolute path, no ``..``, no links or devices, and bounded when expanded, so
neither a hostile name nor a decompression bomb reaches the renderer.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import yaml

from orchestrator.charts import bounded_yaml
from orchestrator.charts.errors import ChartFetchError

MAX_ARCHIVE_BYTES = 20 * 1024 * 1024
"""Largest chart archive that is fetched; Helm's own limit for a chart in a Secret is about 1 MiB."""

MAX_EXPANDED_BYTES = 100 * 1024 * 1024
"""Largest sum of all files in a chart; the value is Helm 4's own limit for a decompressed chart."""

MAX_ENTRIES = 20_000
_MAX_METADATA_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ChartArchive:
    """A chart archive: name and version from its ``Chart.yaml``, the digest over exactly ``data``.

    ``artifact`` is the digest of the OCI manifest that it was pulled by, for who fetches it from there again:
    a registry knows it by that, and ``digest`` is only the manifest's chart layer.
    """

    name: str
    version: str
    digest: str
    data: bytes = field(repr=False)
    artifact: str | None = None


def digest_of(data: bytes) -> str:
    """``sha256:`` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def open_archive(data: bytes) -> ChartArchive:
    """The chart in ``data`` (a ``.tgz``), checked.

    Raises ``ChartFetchError`` (``chart-invalid``, ``chart-truncated``, ``chart-too-large``).
    """
    if len(data) > MAX_ARCHIVE_BYTES:
        raise too_large(len(data))
    if not data.startswith(b"\x1f\x8b"):
        raise _invalid("it is not a gzip-compressed tar archive", _NOT_ARCHIVE)
    metadata = _chart_yaml(data)
    name, version = metadata.get("name"), metadata.get("version")
    if not isinstance(name, str) or not name or not isinstance(version, str) or not version:
        raise _invalid("its Chart.yaml has no name or no version")
    return ChartArchive(name, version, digest_of(data), data)


def too_large(size: int, limit: int = MAX_ARCHIVE_BYTES) -> ChartFetchError:
    """The refusal of an archive of ``size`` bytes (or more: where reading stopped)."""
    return ChartFetchError(
        "chart-too-large",
        f"the chart is larger than {limit // (1024 * 1024)} MiB ({size} bytes read)",
        hint="leave large files out of the chart with .helmignore",
    )


_NOT_ARCHIVE = "the address may lead to a web page instead of a chart"


def _invalid(message: str, hint: str | None = None) -> ChartFetchError:
    return ChartFetchError("chart-invalid", f"this is not a Helm chart: {message}", hint=hint)


def _chart_yaml(data: bytes) -> dict[str, Any]:
    tops: set[str] = set()
    expanded = entries = 0
    text: bytes | None = None
    try:
        stream = _Bounded(data)
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                entries += 1
                expanded += member.size
                if entries > MAX_ENTRIES or expanded > MAX_EXPANDED_BYTES:
                    raise too_large(expanded, MAX_EXPANDED_BYTES)
                if member.type in (tarfile.XGLTYPE, tarfile.XHDTYPE):
                    continue
                parts = _safe_parts(member)
                tops.add(parts[0])
                if len(parts) == 2 and parts[1] == "Chart.yaml" and member.isreg():
                    if member.size > _MAX_METADATA_BYTES:
                        raise _invalid("its Chart.yaml is larger than 1 MiB")
                    file = archive.extractfile(member)
                    text = file.read() if file else None
        # tar ends before its gzip layer does; the checksum of all of it stands at that end.
        while stream.read():
            pass
    except (EOFError, tarfile.ReadError, tarfile.HeaderError, zlib.error) as error:
        raise ChartFetchError(
            "chart-truncated",
            f"the chart archive is damaged or incomplete: {error}",
            retryable=True,
            hint="fetch it by hand and unpack it with tar to see whether the server has a whole one",
        ) from error
    if len(tops) != 1 or text is None:
        raise _invalid("an archive has one top folder with a Chart.yaml in it", _NOT_ARCHIVE)
    return _parsed(text)


def _safe_parts(member: tarfile.TarInfo) -> tuple[str, ...]:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in member.name:
        raise _invalid(f"entry {member.name[:100]!r} leaves the chart's folder")
    if not (member.isreg() or member.isdir()):
        raise _invalid(f"entry {member.name[:100]!r} is a link or a device")
    return path.parts


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        metadata = bounded_yaml.load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise _invalid(f"its Chart.yaml cannot be read: {error}") from error
    if not isinstance(metadata, dict):
        raise _invalid("its Chart.yaml is not a mapping")
    return metadata


class _Bounded(io.RawIOBase):
    """Decompresses as it is read and stops at ``MAX_EXPANDED_BYTES``, whatever the headers claim."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._inflate = zlib.decompressobj(wbits=31)
        self._rest = data
        self._total = 0

    def read(self, size: int | None = -1) -> bytes:
        want = size if size is not None and size > 0 else 64 * 1024
        out = bytearray()
        while len(out) < want and not self._inflate.eof:
            piece = self._inflate.decompress(self._rest, want - len(out))
            self._rest = self._inflate.unconsumed_tail
            out += piece
            if not piece and not self._rest and not self._inflate.eof:
                raise EOFError("compressed data ends before its end mark")
        self._total += len(out)
        # Headers and padding come on top of the files themselves.
        if self._total > MAX_EXPANDED_BYTES + 1024 * MAX_ENTRIES:
            raise too_large(self._total, MAX_EXPANDED_BYTES)
        return bytes(out)
