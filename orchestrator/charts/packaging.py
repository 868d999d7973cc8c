"""A chart folder as an archive: the same content gives the same bytes, on any machine, at any time.

Only names and contents count: entries are sorted, times, owners and modes are fixed, and the gzip layer
stores without compressing, because compressed bytes depend on the zlib they came from.
"""

from __future__ import annotations

import io
import os
import struct
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import yaml

from orchestrator.charts import bounded_yaml
from orchestrator.charts.archive import MAX_ARCHIVE_BYTES, MAX_ENTRIES, too_large
from orchestrator.charts.errors import ChartFetchError
from orchestrator.charts.helmignore import HelmIgnore

_STORED_BLOCK = 0xFFFF
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # no name, no time, unknown operating system


def package_folder(folder: Path) -> bytes:
    """The ``.tgz`` of a chart folder, without what its ``.helmignore`` leaves out.

    Raises ``ChartFetchError``: no ``Chart.yaml``, a link that leads out of the folder, or too large.
    """
    top = _chart_name(folder)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in sorted(_files(folder)):
            if buffer.tell() + path.stat().st_size > MAX_ARCHIVE_BYTES:
                raise too_large(buffer.tell() + path.stat().st_size)
            content = path.read_bytes()
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
    return _gzip_stored(buffer.getvalue())


def _chart_name(folder: Path) -> str:
    try:
        metadata = bounded_yaml.load((folder / "Chart.yaml").read_bytes())
    except FileNotFoundError as error:
        raise ChartFetchError("chart-invalid", f"{folder} is not a Helm chart: it has no Chart.yaml") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ChartFetchError("chart-invalid", f"{folder}/Chart.yaml cannot be read: {error}") from error
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not name or "/" in name or name in (".", ".."):
        raise ChartFetchError("chart-invalid", f"{folder}/Chart.yaml has no 'name' that can be a folder name")
    return name


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file that belongs to the chart, as (name with ``/``, path)."""
    root = folder.resolve()
    ignore_file = folder / ".helmignore"
    ignore = HelmIgnore(ignore_file.read_text("utf-8") if ignore_file.is_file() else "")
    count = 0
    for place, folders, files in os.walk(folder, followlinks=False):
        relative = Path(place).relative_to(folder)
        folders[:] = [name for name in folders if not ignore.leaves_out((relative / name).as_posix(), folder=True)]
        for name in [*files, *(item for item in folders if (Path(place) / item).is_symlink())]:
            path, shown = Path(place) / name, (relative / name).as_posix()
            if name in files and ignore.leaves_out(shown, folder=False):
                continue
            target = path.resolve()
            if not target.is_relative_to(root) or not target.is_file():
                raise ChartFetchError(
                    "chart-invalid",
                    f"{shown} in {folder} is a link out of the chart, a link to a folder, or not a file",
                    hint="put a copy in its place, or leave it out with .helmignore",
                )
            count += 1
            if count > MAX_ENTRIES:
                raise ChartFetchError("chart-too-large", f"{folder} has more than {MAX_ENTRIES} files")
            yield shown, target


def _gzip_stored(data: bytes) -> bytes:
    """A gzip member (RFC 1952) of stored blocks (RFC 1951, section 3.2.4)."""
    out = bytearray(_GZIP_HEADER)
    for start in range(0, len(data), _STORED_BLOCK):
        block = data[start : start + _STORED_BLOCK]
        last = start + _STORED_BLOCK >= len(data)
        out += struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF) + block
    return bytes(out + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF))
