"""What is in a Compose package: one project, and the files beside it.

A package is a Compose file, or a tar archive (compressed with gzip or not) with a Compose file at its top or in its only
top folder. It is read in memory and never unpacked to disk; names that lead out, links, devices and everything beyond
the bounds are refused. A manifest has to fit a message of 1 MiB, so the bounds are narrow.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import yaml

from orchestrator.charts import bounded_yaml
from orchestrator.charts.archive import digest_of
from orchestrator.charts.errors import ChartFetchError
from orchestrator.packages.errors import invalid
from topics.documents.compose import check_file_path

MAX_PACKAGE_BYTES = 4 * 1024 * 1024
"""Largest package that is fetched. Its content must fit a manifest; more is somebody's images or documents."""

MAX_EXPANDED_BYTES = 8 * 1024 * 1024
MAX_ENTRIES = 2_000
_MAX_VALUES = 100_000
COMPOSE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
"""Compose's own names for its file, the preferred one first."""

__all__ = ["COMPOSE_NAMES", "MAX_PACKAGE_BYTES", "PackageContent", "digest_of", "open_package", "too_large"]


@dataclass(frozen=True, slots=True)
class PackageContent:
    """The project, and the other files by their path beside it: texts, and what is no UTF-8 text."""

    project: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)
    binary_files: dict[str, bytes] = field(default_factory=dict)


def open_package(data: bytes) -> PackageContent:
    """The content of a package. Raises ``ChartFetchError`` (``package-invalid``, ``package-too-large``, …)."""
    if len(data) > MAX_PACKAGE_BYTES:
        raise too_large(len(data))
    if data.startswith(b"\x1f\x8b"):
        return _content(_entries(_expanded(data)))
    if data[257:262] == b"ustar":
        return _content(_entries(data))
    return PackageContent(_project(data, "the file"))


def too_large(size: int) -> ChartFetchError:
    """The refusal of a package of ``size`` bytes (or more: where reading stopped)."""
    return ChartFetchError(
        "package-too-large",
        f"the package is larger than {MAX_PACKAGE_BYTES // 2**20} MiB, or {MAX_EXPANDED_BYTES // 2**20} MiB unpacked "
        f"({size} bytes read)",
        hint="leave out of it what the services do not read: images come from a registry",
    )


def _expanded(data: bytes) -> bytes:
    inflate = zlib.decompressobj(wbits=31)
    try:
        expanded = inflate.decompress(data, MAX_EXPANDED_BYTES + 1)
    except zlib.error as error:
        raise ChartFetchError("package-truncated", f"the package is damaged: {error}", retryable=True) from error
    if len(expanded) > MAX_EXPANDED_BYTES:
        raise too_large(len(expanded))
    if not inflate.eof:
        raise ChartFetchError("package-truncated", "the package ends too early", retryable=True)
    return expanded


def _entries(data: bytes) -> dict[str, bytes]:
    if len(data) > MAX_EXPANDED_BYTES:
        raise too_large(len(data))
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for count, member in enumerate(archive):
                if count >= MAX_ENTRIES:
                    raise invalid(f"it has more than {MAX_ENTRIES} entries")
                if member.isdir():
                    continue
                if not member.isreg():
                    raise invalid(f"entry {member.name[:100]!r} is a link or a device")
                name = str(PurePosixPath(member.name))
                try:
                    check_file_path(name)
                except ValueError as error:
                    raise invalid(str(error)) from error
                file = archive.extractfile(member)
                found[name] = file.read() if file else b""
    except (EOFError, tarfile.TarError) as error:
        raise ChartFetchError("package-truncated", f"the package is damaged: {error}", retryable=True) from error
    return found


def _content(entries: dict[str, bytes]) -> PackageContent:
    entries = _at_top(entries)
    names = [name for name in COMPOSE_NAMES if name in entries]
    if not names:
        raise invalid(f"there is no {COMPOSE_NAMES[0]} at its top", "see docs/compose.md for what a package is")
    if len(names) > 1:
        raise invalid(f"it holds both {' and '.join(names)}")
    project = _project(entries.pop(names[0]), names[0])
    files: dict[str, str] = {}
    binary_files: dict[str, bytes] = {}
    for name, content in sorted(entries.items()):
        try:
            files[name] = content.decode("utf-8")
        except UnicodeDecodeError:
            binary_files[name] = content
    return PackageContent(project, files, binary_files)


def _at_top(entries: dict[str, bytes]) -> dict[str, bytes]:
    """The entries below the only top folder, where there is nothing else."""
    tops = {name.partition("/")[0] for name in entries}
    if len(tops) == 1 and all("/" in name for name in entries):
        return {name.partition("/")[2]: content for name, content in entries.items()}
    return entries


def _project(data: bytes, name: str) -> dict[str, Any]:
    try:
        project = bounded_yaml.load(data)
    except (yaml.YAMLError, ValueError) as error:
        raise invalid(f"{name} cannot be read: {str(error)[:300]}", "the address may lead to a web page") from error
    if not isinstance(project, dict) or any(not isinstance(key, str) for key in project):
        raise invalid(f"{name} is not a Compose project", "the address may lead to a web page")
    plain = _json(project, 0, [_MAX_VALUES])
    assert isinstance(plain, dict)
    return plain


def _json(value: Any, depth: int, left: list[int]) -> Any:
    """The value as JSON has it: keys as texts, dates as they are written.

    ``left`` counts down: aliases of aliases are small in YAML and without end here. Raises ``ChartFetchError``.
    """
    left[0] -= 1
    if depth > bounded_yaml.MAX_DEPTH or left[0] < 0:
        raise invalid(f"its Compose file has more than {_MAX_VALUES} values, or refers to itself")
    if isinstance(value, dict):
        return {("" if key is None else str(key)): _json(item, depth + 1, left) for key, item in value.items()}
    if isinstance(value, list):
        return [_json(item, depth + 1, left) for item in value]
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)
