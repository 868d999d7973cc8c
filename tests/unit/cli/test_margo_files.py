"""Packages from folders and archives: nothing leaves its folder, nothing is followed, nothing grows without end."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli import margo_files
from cli.exits import CliError, Exit
from cli.margo_files import files_below, find_package, read_file, resource, unpack

DESCRIPTION = b"apiVersion: v1\n"


def tar_of(*members: tuple[str, bytes | tarfile.TarInfo], compressed: bool = True) -> bytes:
    """A tar with these files; a ``TarInfo`` is put in as it is."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if compressed else "w") as archive:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                archive.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_of(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip with these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def special(kind: bytes, target: str = "/etc/passwd") -> tarfile.TarInfo:
    """A link, a device or a pipe."""
    info = tarfile.TarInfo()
    info.type, info.linkname = kind, target
    return info


def refused(folder: Path, name: str, content: bytes) -> str:
    """Why an archive is refused; and nothing of it is outside its folder."""
    archive = folder / name
    archive.write_bytes(content)
    inside = folder / "inside"
    inside.mkdir()
    with pytest.raises(CliError) as raised:
        unpack(archive, inside)
    assert raised.value.code is Exit.USAGE
    assert {item.name for item in folder.iterdir()} == {name, "inside"}
    return str(raised.value)


@pytest.mark.parametrize("suffix", margo_files.SUFFIXES)
@pytest.mark.parametrize("top", ["", "press/"])
def test_a_package_is_found_in_every_kind_of_archive(suffix: str, top: str, tmp_path: Path) -> None:
    """At its top or in its only folder; the files beside it are there until the stack is closed."""
    members = [(f"{top}margo.yaml", DESCRIPTION), (f"{top}charts/a/Chart.yaml", b"name: a")]
    content = zip_of(*members) if suffix == ".zip" else tar_of(*members, compressed=suffix != ".tar")
    archive = tmp_path / f"package{suffix}"
    archive.write_bytes(content)
    with ExitStack() as stack:
        package = find_package(archive, stack)
        assert package is not None
        assert (package.content, package.source) == (DESCRIPTION, f"{archive}:{top}margo.yaml")
        assert package.folder is not None
        assert resource(package.folder, "./charts/a/Chart.yaml").read_bytes() == b"name: a"
        unpacked = package.folder
    assert not unpacked.exists()


def test_a_folder_with_a_description_is_a_package(tmp_path: Path) -> None:
    """One without is a folder of specs, and another file is none."""
    (tmp_path / "margo.yaml").write_bytes(DESCRIPTION)
    (tmp_path / "plain").mkdir()
    with ExitStack() as stack:
        package = find_package(tmp_path, stack)
        assert package is not None
        assert package.folder == tmp_path
        assert find_package(tmp_path / "plain", stack) is None
        assert find_package(tmp_path / "margo.yaml", stack) is None
        assert find_package(tmp_path / "missing.zip", stack) is None
        (tmp_path / "margo.yml").write_bytes(DESCRIPTION)
        with pytest.raises(CliError, match="both"):
            find_package(tmp_path, stack)


def test_an_archive_without_a_description_is_an_error(tmp_path: Path) -> None:
    """It was given as a package."""
    archive = tmp_path / "chart.tgz"
    archive.write_bytes(tar_of(("chart/Chart.yaml", b"name: a")))
    with ExitStack() as stack, pytest.raises(CliError, match=r"no margo\.yaml"):
        find_package(archive, stack)


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "..", "a\\..\\evil", "C:evil", "//evil"])
@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_a_name_that_leaves_the_folder_is_refused(
    name: str, make: Callable[[tuple[str, bytes]], bytes], tmp_path: Path
) -> None:
    """Whatever system wrote it."""
    assert "leaves the package's folder" in refused(
        tmp_path, "x.zip" if make is zip_of else "x.tgz", make((name, b"x"))
    )


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(kind: bytes, tmp_path: Path) -> None:
    """A link is the second half of a way out: the next entry would be written through it."""
    content = tar_of(("way", special(kind, "..")), ("way/evil", b"x"))
    assert "is a link or a device" in refused(tmp_path, "x.tgz", content)


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    """There it is a file with a mode."""
    info = zipfile.ZipInfo("way")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert "is a link or a device" in refused(tmp_path, "x.zip", zip_of((info, b"..")))


def test_an_archive_that_expands_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is what comes out, not what a header says."""
    monkeypatch.setattr(margo_files, "MAX_EXPANDED_BYTES", 2**20)
    zeros = bytes(2**21)
    for name, content in (("x.zip", zip_of(("a", zeros))), ("y.tgz", tar_of(("a", zeros)))):
        folder = tmp_path / name[0]
        folder.mkdir()
        assert len(content) < 2**14
        assert "unpacks to more than 1 MiB" in refused(folder, name, content)


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size in the directory is set to one byte; the data behind it is larger."""
    monkeypatch.setattr(margo_files, "MAX_EXPANDED_BYTES", 2**20)
    content = bytearray(zip_of(("a", bytes(2**22))))
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = (1).to_bytes(4, "little")
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "x.zip").write_bytes(bytes(content))
    with pytest.raises(CliError):
        unpack(tmp_path / "x.zip", inside)
    assert sum(file.stat().st_size for file in inside.iterdir()) <= 2**20


def test_a_bomb_in_the_headers_of_a_tar_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An extended header is read into memory before any file is seen."""
    monkeypatch.setattr(margo_files, "MAX_EXPANDED_BYTES", 2**20)
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 2**23
    content = gzip.compress(header.tobuf() + bytes(2**23) + bytes(1024))
    assert "unpacks to more than" in refused(tmp_path, "x.tgz", content)


def test_holes_in_a_sparse_file_are_not_written_out(tmp_path: Path) -> None:
    """A few bytes would become a file of a terabyte."""
    info = tarfile.TarInfo("sparse")
    info.pax_headers = {
        "GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": str(2**40), "GNU.sparse.map": "0,0",
    }  # fmt: skip
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info)
    assert "only files and folders" in refused(tmp_path, "x.tar", buffer.getvalue())


def test_too_many_entries_are_refused(tmp_path: Path) -> None:
    """Empty files are files."""
    names = [(f"f{number}", b"") for number in range(margo_files.MAX_ENTRIES + 1)]
    assert "more than 5000 entries" in refused(tmp_path, "x.tgz", tar_of(*names))


@pytest.mark.parametrize(
    ("name", "content"),
    [("x.zip", b"no archive"), ("x.tgz", b"\x1f\x8b broken"), ("x.tar", b"a" * 600), ("x.zip", b""),
     ("x.tgz", tar_of(("margo.yaml", DESCRIPTION))[:-20]), ("x.tgz", tar_of(("a", b"x"), ("a", b"y"))),
     ("x.tgz", tar_of(("a", b"x"), ("a/b", b"y"))), ("x.tgz", tar_of(("a" * 300, b"y"))),
     ("x.zip", zip_of(("a", b"x"), method=zipfile.ZIP_LZMA))],
    ids=lambda value: value if isinstance(value, str) else "content",  # the bytes hold the time of their making
)  # fmt: skip
def test_a_damaged_or_contradictory_archive_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    """Two entries of one name, a file that is a folder, an end that is missing."""
    assert refused(tmp_path, name, content)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_makes_another_error(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Any bytes, and any few bytes changed in a good archive: unpacked below its folder, or refused."""
    good = data.draw(st.sampled_from(GOOD))
    content = bytearray(good)
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("fuzz")
    name = data.draw(st.sampled_from(["x.zip", "x.tgz", "x.tar"]))
    (folder / name).write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]) or bytes(content))
    inside = folder / "inside"
    inside.mkdir()
    try:
        unpack(folder / name, inside)
    except CliError as error:
        assert error.code is Exit.USAGE  # noqa: PT017
    assert {item.name for item in folder.iterdir()} == {name, "inside"}
    assert not any(path.is_symlink() for path in inside.rglob("*"))


GOOD = (
    tar_of(("margo.yaml", DESCRIPTION), ("a/b", b"x" * 600), ("l" * 120, b"long")),
    tar_of(("margo.yaml", DESCRIPTION), ("a/b", b"x" * 600), compressed=False),
    zip_of(("margo.yaml", DESCRIPTION), ("a/b", b"x" * 600)),
)


def test_resources_stay_in_the_package(tmp_path: Path) -> None:
    """No way up, no absolute path, no link on the way, and what is missing is said."""
    package = tmp_path / "package"
    (package / "charts").mkdir(parents=True)
    (tmp_path / "secret").write_text("x")
    (package / "link").symlink_to(tmp_path)
    for wrong in ("../secret", "/etc/passwd", "charts/../../secret", "", "a\\b", "a\0b"):
        with pytest.raises(CliError, match="not a path within the package"):
            resource(package, wrong)
    with pytest.raises(CliError, match="symbolic link"):
        resource(package, "link/secret")
    with pytest.raises(CliError, match="no file or folder"):
        resource(package, "charts/none")
    assert resource(package, "./charts") == package / "charts"


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    """Neither a link, nor a pipe that would wait for ever, nor a file without end."""
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    assert read_file(tmp_path / "file", 5) == b"12345"
    with pytest.raises(CliError, match="larger than 4 bytes"):
        read_file(tmp_path / "file", 4)
    for name in ("link", "pipe", "none"):
        with pytest.raises(CliError):
            read_file(tmp_path / name)
    with pytest.raises(CliError, match="symbolic link"):
        list(files_below(tmp_path))
