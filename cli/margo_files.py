"""Application packages on disk: a folder or an archive with a ``margo.yaml``, and what it refers to.

An archive comes from anybody. It is unpacked into a temporary folder with every name checked (no absolute
path, no ``..``, no links, no devices) and every byte counted as it is decompressed, whatever its headers say;
nothing is read through a symbolic link.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from cli.exits import CliError, Exit
from topics.codec import MAX_PAYLOAD_BYTES

NAMES = ("margo.yaml", "margo.yml")
SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")

MAX_ARCHIVE_BYTES = 50 * 1024 * 1024
MAX_EXPANDED_BYTES = 100 * 1024 * 1024
"""Largest sum of all files of a package: what one chart may have (``orchestrator.charts.archive``)."""

MAX_ENTRIES = 5000
_PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Package:
    """An application description as it was found. ``folder`` is where its relative paths start; ``None`` for one
    from standard input."""

    source: str
    content: bytes
    folder: Path | None


def find_package(path: Path, stack: ExitStack) -> Package | None:
    """The package in a folder or an archive; ``None`` for a folder without a ``margo.yaml``, or another file.

    An archive is unpacked until ``stack`` is closed. Raises ``CliError`` (usage) for one that is not safe or
    holds no package.
    """
    if path.is_dir():
        found = _description_in(path)
        return None if found is None else Package(str(found), read_file(found), path)
    if not path.name.lower().endswith(SUFFIXES) or not path.is_file():
        return None
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleetbus-package-")))
    unpack(path, folder)
    tops = [item for item in folder.iterdir() if item.is_dir()]
    for place in (folder, *(tops if len(tops) == 1 else ())):
        found = _description_in(place)
        if found is not None:
            shown = f"{path}:{found.relative_to(folder).as_posix()}"
            return Package(shown, read_file(found), place)
    raise CliError(Exit.USAGE, f"{path} holds no margo.yaml, neither at its top nor in its only folder")


def resource(folder: Path, relative: str) -> Path:
    """The file or folder of the package that a description names. Raises ``CliError``.

    The path stays within the package, and no step of it is a symbolic link.
    """
    parts = PurePosixPath(relative).parts
    if not parts or relative.startswith("/") or ".." in parts or "\\" in relative or "\0" in relative:
        raise CliError(Exit.USAGE, f"{relative[:200]!r} is not a path within the package")
    place = folder
    for part in parts:
        place /= part
        if place.is_symlink():
            raise CliError(Exit.USAGE, f"{relative[:200]!r} leads through a symbolic link, which is not followed")
    if not place.exists():
        raise CliError(
            Exit.USAGE,
            f"the package has no file or folder {relative[:200]!r}",
            ["an address starts with oci:// or https://; anything else is a path within the package"],
        )
    return place


def files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """The regular files of a folder of the package, as (name with ``/``, path), sorted. Raises ``CliError`` for a link."""
    found: list[tuple[str, Path]] = []
    for place, folders, files in os.walk(folder, followlinks=False):
        for name in (*folders, *files):
            path = Path(place) / name
            if path.is_symlink():
                raise CliError(Exit.USAGE, f"{path} is a symbolic link, which is not followed")
        found += [((Path(place) / name).relative_to(folder).as_posix(), Path(place) / name) for name in files]
        if len(found) > MAX_ENTRIES:
            raise CliError(Exit.USAGE, f"{folder} holds more than {MAX_ENTRIES} files")
    yield from sorted(found)


def read_file(path: Path, limit: int = MAX_PAYLOAD_BYTES) -> bytes:
    """The content of a regular file that is no link, at most ``limit`` bytes. Raises ``CliError``."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise CliError(Exit.USAGE, f"{path} is not a regular file")
            content = file.read(limit + 1)
    except OSError as error:
        raise CliError(Exit.USAGE, f"cannot read {path}: {error.strerror}") from error
    if len(content) > limit:
        raise CliError(Exit.USAGE, f"{path} is larger than {limit} bytes")
    return content


def read_text(path: Path, limit: int = MAX_PAYLOAD_BYTES) -> str:
    """The content of a regular file that is a text in UTF-8. Raises ``CliError``."""
    try:
        return read_file(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CliError(Exit.USAGE, f"{path} is not UTF-8 at byte {error.start}; only texts are taken") from error


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a ``.zip``, ``.tar`` or gzip-compressed tar into an empty folder. Raises ``CliError`` (usage).

    Nothing but folders and regular files is made, all of them new and below ``folder``; modes, owners and
    times are not taken over.
    """
    content = io.BytesIO(read_file(archive, MAX_ARCHIVE_BYTES))
    budget = _Budget(archive)
    try:
        if archive.name.lower().endswith(".zip"):
            with zipfile.ZipFile(content) as zipped:
                _unpack_zip(zipped, folder, budget)
        else:
            zipped_tar = content.getvalue().startswith(b"\x1f\x8b")
            with (
                gzip.GzipFile(fileobj=content) if zipped_tar else content as plain,
                tarfile.open(fileobj=_Counted(plain, budget), mode="r|") as tarred,
            ):
                _unpack_tar(tarred, folder, budget)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise CliError(Exit.USAGE, f"{archive} is damaged, or no archive: {error}") from error
    except (NotImplementedError, RuntimeError, ValueError) as error:  # zipfile: a method or password it does not have
        raise CliError(Exit.USAGE, f"{archive} cannot be unpacked: {error}") from error
    except OSError as error:  # two entries of one name, a name too long for the file system, no space
        raise CliError(Exit.USAGE, f"{archive} cannot be unpacked: {error.strerror or error}") from error


class _Budget:
    """What an archive may still unpack to."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._bytes = MAX_EXPANDED_BYTES
        self._entries = MAX_ENTRIES

    def spend(self, count: int) -> None:
        self._bytes -= count
        if self._bytes < 0:
            raise CliError(Exit.USAGE, f"{self._archive} unpacks to more than {MAX_EXPANDED_BYTES // 2**20} MiB")

    def enter(self, name: str) -> PurePosixPath:
        """The checked name of one more entry."""
        self._entries -= 1
        if self._entries < 0:
            raise CliError(Exit.USAGE, f"{self._archive} holds more than {MAX_ENTRIES} entries")
        path = PurePosixPath(name)
        if not path.parts or path.is_absolute() or ".." in path.parts or any(sign in name for sign in "\\\0:"):
            raise self.refused(name, "leaves the package's folder, or has a name that no system takes alike")
        return path

    def refused(self, name: str, why: str) -> CliError:
        return CliError(Exit.USAGE, f"{self._archive}: entry {name[:100]!r} {why}")


class _Counted(io.RawIOBase):
    """A stream whose bytes are counted as they are decompressed: headers of a tar can be a bomb, too."""

    def __init__(self, stream: gzip.GzipFile | IO[bytes], budget: _Budget) -> None:
        super().__init__()
        self._stream = stream
        self._budget = budget

    def read(self, size: int | None = -1) -> bytes:
        piece = self._stream.read(_PIECE if size is None or size < 0 else min(size, _PIECE))
        self._budget.spend(len(piece))
        return piece


def _unpack_tar(tarred: tarfile.TarFile, folder: Path, budget: _Budget) -> None:
    for member in tarred:
        if member.name in (".", "./"):
            continue
        name = budget.enter(member.name)
        if member.isdir():
            (folder / name).mkdir(parents=True, exist_ok=True)
        elif (
            member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)
            and not member.issparse()  # its holes would be written out, and nothing counts them
            and (file := tarred.extractfile(member)) is not None
        ):
            _write(folder / name, file, None)
        else:
            raise budget.refused(member.name, "is a link or a device; only files and folders are taken")


def _unpack_zip(zipped: zipfile.ZipFile, folder: Path, budget: _Budget) -> None:
    for info in zipped.infolist():
        name = budget.enter(info.filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise budget.refused(info.filename, "is a link or a device; only files and folders are taken")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # zipfile bounds what one read expands to for these two only.
            raise budget.refused(info.filename, "is compressed in another way than 'deflate'")
        if info.is_dir():
            (folder / name).mkdir(parents=True, exist_ok=True)
        else:
            with zipped.open(info) as file:
                _write(folder / name, file, budget)


def _write(path: Path, content: IO[bytes], budget: _Budget | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:  # never over another entry
        while piece := content.read(_PIECE):
            if budget is not None:
                budget.spend(len(piece))
            file.write(piece)


def _description_in(folder: Path) -> Path | None:
    found = [folder / name for name in NAMES if (folder / name).is_file()]
    if len(found) > 1:
        raise CliError(Exit.USAGE, f"{folder} holds both {' and '.join(NAMES)}: keep one of them")
    return found[0] if found else None
