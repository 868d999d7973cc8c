"""Chart versions are chosen as Helm chooses them."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.charts.versions import Version, VersionRange, newest_match, satisfies

AVAILABLE = ["0.2.3", "0.2.9", "0.3.0", "1.0.0", "1.2.0", "1.2.5", "1.4.1", "2.0.0-rc.1", "2.0.0", "2.1.0-beta", "junk"]


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("", "2.0.0"),
        ("*", "2.0.0"),
        ("1.2.0", "1.2.0"),
        ("v1.2.0", "1.2.0"),
        ("1.2", "1.2.5"),
        ("1.x", "1.4.1"),
        ("1.2.x", "1.2.5"),
        ("^1.0.0", "1.4.1"),
        ("^0.2.3", "0.2.9"),
        ("^0.2", "0.2.9"),
        ("^0", "0.3.0"),
        ("~1.2.0", "1.2.5"),
        ("~1", "1.4.1"),
        (">=1.2 <2", "1.4.1"),
        (">=1.2, <1.4", "1.2.5"),
        (">1.2", "2.0.0"),
        ("<=1.2", "1.2.5"),
        ("<1.2", "1.0.0"),
        ("!=2.0.0", "1.4.1"),
        ("1.0 - 1.3", "1.2.5"),
        ("^0.2.0 || ^1.0.0", "1.4.1"),
        (">=2.0.0-0", "2.1.0-beta"),
        ("2.0.0-rc.1", "2.0.0-rc.1"),
        ("junk", "junk"),
        ("^3", None),
    ],
)
def test_newest_version_that_fits_is_chosen(wanted: str, chosen: str | None) -> None:
    """Exact text first, then the newest in the range; pre-releases only where the range names one."""
    assert newest_match(wanted, AVAILABLE) == chosen


@pytest.mark.parametrize("text", ["latest", "1.2.3.4", "^", ">=", "1.2 and 3", "a" * 300, "||"])
def test_text_that_is_no_range_is_refused(text: str) -> None:
    """What is neither a version nor a range raises, except the empty alternatives of ``||``."""
    with pytest.raises(ValueError, match="range"):
        VersionRange(text)


def test_prerelease_order_follows_semver() -> None:
    """The example of semver.org, paragraph 11."""
    texts = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
             "1.0.0-rc.1", "1.0.0"]  # fmt: skip
    versions = [Version.parse(text) for text in texts]
    assert sorted(Random(1).sample(versions, len(versions))) == versions


_versions = st.tuples(*[st.integers(0, 9)] * 3).map(lambda parts: ".".join(map(str, parts)))


@given(_versions, _versions)
def test_caret_never_crosses_a_major_version(low: str, high: str) -> None:
    """``^`` holds from its bound on, and for one major version only."""
    bound, version = Version.parse(low), Version.parse(high)
    if version in VersionRange(f"^{low}"):
        assert version >= bound
        assert version.major == bound.major


@given(_versions, _versions)
def test_comparisons_partition_all_versions(low: str, high: str) -> None:
    """Exactly one of ``<``, ``=`` and ``>`` holds."""
    version = Version.parse(high)
    assert [version in VersionRange(sign + low) for sign in ("<", "=", ">")].count(True) == 1


def test_no_wish_is_satisfied_by_any_version() -> None:
    """An empty version asks for nothing, pre-releases included: somebody named this archive."""
    assert satisfies("", "1.0.0-rc.1")
    assert not satisfies("1.0.0", "1.0.1")


def test_digits_of_other_scripts_make_no_version() -> None:
    """Helm reads ASCII digits only: what is taken here would be refused there."""
    assert newest_match("1.x", ["1.\u0662.3", "1.1.0"]) == "1.1.0"
    with pytest.raises(ValueError, match="neither a version"):
        newest_match("\u0661.x", ["1.1.0"])
