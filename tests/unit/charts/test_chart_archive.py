"""Archives are checked before anything reads them; folders are packed the same every time."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import time
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from orchestrator.charts.archive import MAX_ARCHIVE_BYTES, digest_of, open_archive
from orchestrator.charts.bounded_yaml import MAX_DEPTH, load
from orchestrator.charts.cache import ChartCache
from orchestrator.charts.errors import ChartFetchError
from orchestrator.charts.helmignore import HelmIgnore
from orchestrator.charts.packaging import package_folder
from tests.unit.charts.chart_files import WEB, archive, chart, write


def refused(data: bytes) -> str:
    """The code with which an archive is refused."""
    with pytest.raises(ChartFetchError) as caught:
        open_archive(data)
    return caught.value.code


def test_archive_carries_name_version_and_digest() -> None:
    """They come from Chart.yaml and from exactly the bytes."""
    data = archive(WEB)
    opened = open_archive(data)
    assert (opened.name, opened.version, opened.digest, opened.data) == ("web", "1.2.3", digest_of(data), data)


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "web/../../evil", "web\\..\\evil"])
def test_entry_that_leaves_the_folder_is_refused(name: str) -> None:
    """A hostile path never reaches a renderer."""
    data = archive({**{f"web/{key}": text for key, text in WEB.items()}, name: "x"}, top="")
    assert refused(data) == "chart-invalid"


def test_link_is_refused() -> None:
    """A link in an archive may point anywhere."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        entry = tarfile.TarInfo("web/values.yaml")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(entry)
    assert refused(buffer.getvalue()) == "chart-invalid"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "chart-invalid"),
        (b"<html>Not found</html>", "chart-invalid"),
        (archive({"values.yaml": "a: 1"}), "chart-invalid"),
        (archive({"Chart.yaml": "[1, 2]"}), "chart-invalid"),
        (archive({"Chart.yaml": "name: web"}), "chart-invalid"),
        (archive({"Chart.yaml": "a: " + "[" * 100_000}), "chart-invalid"),
        (archive({"Chart.yaml": b"\xff\xfe\xff"}), "chart-invalid"),
        (gzip.compress(b"no tar at all" * 100), "chart-truncated"),
        (bytes(MAX_ARCHIVE_BYTES + 1), "chart-too-large"),
        (archive({**WEB, "big": bytes(110 * 1024 * 1024)}), "chart-too-large"),
    ],
    ids=["empty", "html", "no-chart", "list", "no-version", "deep", "encoding", "no-tar", "large", "bomb"],
)
def test_what_is_no_chart_is_refused(data: bytes, code: str) -> None:
    """Each with its own code; a bomb is stopped while it is being expanded."""
    assert refused(data) == code


@given(st.integers(0, len(archive(WEB)) - 1))
def test_cut_archive_is_refused_wherever_it_is_cut(end: int) -> None:
    """No prefix of an archive passes for the chart, and none raises anything but the fetch error."""
    assert refused(archive(WEB)[:end]) in ("chart-truncated", "chart-invalid")


@given(st.binary(max_size=300))
def test_random_bytes_only_ever_raise_the_fetch_error(noise: bytes) -> None:
    """Whatever a server sends, the refusal is a fetch error."""
    assert refused(b"\x1f\x8b" + noise).startswith("chart-")


def test_same_content_gives_the_same_digest(tmp_path: Path) -> None:
    """Times, order of creation and modes do not count."""
    first = write(tmp_path / "a", WEB)
    second = write(tmp_path / "b", dict(reversed(WEB.items())))
    (second / "values.yaml").chmod(0o755)
    os.utime(second / "Chart.yaml", (time.time() - 1e6,) * 2)
    assert package_folder(first) == package_folder(second)
    assert open_archive(package_folder(first)).version == "1.2.3"


_names = st.text("abcxyz-.", min_size=1, max_size=120).filter(lambda name: name.strip("."))


@settings(max_examples=30)
@given(st.dictionaries(_names, st.binary(max_size=70_000), max_size=5), st.randoms())
def test_packed_folder_holds_exactly_its_content(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], random: object
) -> None:
    """The archive unpacks, with other software, to the files it was made of."""
    folder = write(tmp_path_factory.mktemp("chart"), {"Chart.yaml": WEB["Chart.yaml"]})
    files = {f"files/{name}": data for name, data in files.items()}
    for name, data in files.items():
        (folder / "files").mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    with tarfile.open(fileobj=io.BytesIO(package_folder(folder)), mode="r:gz") as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    assert found.pop("web/Chart.yaml") == WEB["Chart.yaml"].encode()
    assert found == {f"web/{name}": data for name, data in files.items()}


def test_other_content_gives_another_digest(tmp_path: Path) -> None:
    """One changed value is another chart."""
    first = package_folder(write(tmp_path / "a", WEB))
    assert first != package_folder(write(tmp_path / "b", chart(**{"values.yaml": "replicas: 2\nport: 80\n"})))


def test_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    """A folder chart cannot carry off other files of the orchestrator; a link inside is its content."""
    folder = write(tmp_path / "web", WEB)
    (folder / "copy.yaml").symlink_to("values.yaml")
    assert open_archive(package_folder(folder)).name == "web"
    (folder / "stolen").symlink_to("/etc/hostname")
    with pytest.raises(ChartFetchError, match="stolen"):
        package_folder(folder)


@pytest.mark.parametrize(
    ("rules", "path", "folder", "left_out"),
    [
        ("", "templates/.swp", False, True),
        ("", "values.yaml", False, False),
        ("*.bak\n", "templates/a.bak", False, True),
        ("# *.yaml\n\n", "values.yaml", False, False),
        ("ci/\n", "ci", True, True),
        ("ci/\n", "ci", False, False),
        ("/values.yaml\n", "sub/values.yaml", False, False),
        ("docs/*.md\n", "docs/a.md", False, True),
        ("docs/*.md\n", "docs/x/a.md", False, False),
        ("[ab].txt\n", "a.txt", False, True),
        ("[^ab].txt\n", "a.txt", False, False),
        ("a?c\n", "abc", False, True),
        ("!*.yaml\n", "README.md", False, True),
        ("!*.yaml\n", "values.yaml", False, False),
    ],
)
def test_helmignore_rules_follow_helm(rules: str, path: str, folder: bool, left_out: bool) -> None:
    """The documented rules, one by one."""
    assert HelmIgnore(rules).leaves_out(path, folder=folder) is left_out


def test_helmignore_keeps_files_out_of_the_archive(tmp_path: Path) -> None:
    """A file that is left out does not change the digest, and Helm's refusal of ``**`` is kept."""
    folder = write(tmp_path / "web", {**WEB, ".helmignore": "*.log\nci/\n"})
    before = package_folder(folder)
    write(folder, {"debug.log": "x", "ci/values.yaml": "y"})
    assert package_folder(folder) == before
    write(folder, {".helmignore": "a/**/b\n"})
    with pytest.raises(ChartFetchError, match=r"\*\*"):
        package_folder(folder)


def test_damaged_cache_entry_is_dropped(tmp_path: Path) -> None:
    """What does not match its digest is not used and not kept."""
    cache = ChartCache(tmp_path)
    opened = open_archive(archive(WEB))
    cache.put(opened)
    assert cache.get(opened.digest) == opened
    cache.path(opened.digest).write_bytes(opened.data[:-1])
    assert cache.get(opened.digest) is None
    assert not cache.path(opened.digest).exists()
    assert list(cache.path(opened.digest).parent.iterdir()) == []


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 100_000, "{a: " * 50_000, "? " * 100_000])
def test_deeply_nested_yaml_is_refused_and_does_not_end_the_process(text: str) -> None:
    """The C loader alone would crash on these."""
    with pytest.raises(ValueError, match=f"deeper than {MAX_DEPTH}"):
        load(text.encode())


def test_nesting_up_to_the_limit_is_read() -> None:
    """The limit itself is allowed."""
    assert load(("[" * MAX_DEPTH + "]" * MAX_DEPTH).encode())


@given(st.text("ab*?/", max_size=8), st.text("ab/", max_size=8))
def test_a_rule_matches_as_a_slow_reading_of_it_does(glob: str, path: str) -> None:
    """Whatever stars it has: one never crosses a slash."""
    assume("**" not in glob and glob.strip("/") and "/" not in (glob[0], glob[-1]))
    subject = path if "/" in glob else path.rpartition("/")[2]

    def fits(rule: str, text: str) -> bool:
        if not rule:
            return not text
        if rule[0] == "*":
            return fits(rule[1:], text) or (text[:1] not in ("", "/") and fits(rule, text[1:]))
        return bool(text) and (text[0] == rule[0] or (rule[0] == "?" and text[0] != "/")) and fits(rule[1:], text[1:])

    assert HelmIgnore(glob).leaves_out(path, folder=False) is (
        fits(glob, subject) or HelmIgnore().leaves_out(path, folder=False)
    )


def test_a_rule_with_many_stars_is_decided_at_once() -> None:
    """Backtracking over all of them would take longer than anybody waits."""
    rules = HelmIgnore("*a" * 120 + "b")
    assert not rules.leaves_out("a" * 250, folder=False)
    assert rules.leaves_out("a" * 250 + "b", folder=False)


def test_a_rule_longer_than_any_path_is_refused() -> None:
    """Reading it takes time that grows with its square."""
    with pytest.raises(ChartFetchError, match="at most 1000"):
        HelmIgnore("[" * 100_000)
