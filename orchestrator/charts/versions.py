"""Chart versions and version ranges, as Helm reads them.

Helm takes both from github.com/Masterminds/semver: versions may be short (``1.2``) and carry a ``v``;
a range is comparisons joined by spaces or commas (all must hold) and by ``||`` (any), with ``=``, ``!=``,
``>``, ``<``, ``>=``, ``<=``, ``~``, ``^``, wildcards (``1.2.x``, ``*``) and hyphen ranges (``1.2 - 2.3``).
A pre-release fits only a comparison that names one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import total_ordering

_SUFFIX = r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
_VERSION = re.compile(rf"v?(\d{{1,18}})(?:\.(\d{{1,18}}))?(?:\.(\d{{1,18}}))?{_SUFFIX}\Z", re.ASCII)
_PART = r"(\d{1,18}|[xX*])"
_COMPARISON = re.compile(rf"(=<|=>|<=|>=|!=|~>|=|<|>|~|\^)?\s*v?{_PART}(?:\.{_PART})?(?:\.{_PART})?{_SUFFIX}", re.ASCII)
_HYPHEN = re.compile(r"(\S+)\s+-\s+(\S+)")
_MAX_LENGTH = 200


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """A semantic version; ``text`` is how it was written. Build metadata does not take part in order."""

    major: int
    minor: int
    patch: int
    prerelease: str
    text: str

    @classmethod
    def parse(cls, text: str) -> Version:
        """Raises ``ValueError`` for anything that is no version."""
        match = _VERSION.match(text) if len(text) <= _MAX_LENGTH else None
        if match is None:
            raise ValueError(f"{text!r:.60} is not a semantic version such as 1.4.0")
        major, minor, patch, prerelease, _build = match.groups()
        return cls(int(major), int(minor or 0), int(patch or 0), prerelease or "", text)

    @property
    def _key(self) -> tuple[object, ...]:
        # A version without pre-release is greater than any with one; numeric identifiers are smaller
        # than alphanumeric ones (semver.org, 11).
        identifiers = tuple(
            (0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.prerelease.split(".")
        )
        return (self.major, self.minor, self.patch, not self.prerelease, identifiers if self.prerelease else ())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self._key == other._key

    def __lt__(self, other: Version) -> bool:
        return self._key < other._key

    def __hash__(self) -> int:
        return hash(self._key)


@dataclass(frozen=True, slots=True)
class _Comparison:
    operator: str
    bound: Version
    parts: int  # how many of major, minor, patch are given; the rest are wildcards

    def holds(self, version: Version) -> bool:
        if version.prerelease and not self.bound.prerelease:
            return False
        return self._compares(version)

    def _compares(self, version: Version) -> bool:
        bound, operator = self.bound, self.operator
        if operator in ("", "="):
            return self._in_wildcard(version) if self.parts < 3 else version == bound
        if operator == "!=":
            return not self._in_wildcard(version) if self.parts < 3 else version != bound
        if operator == ">":
            return version > bound and not (self.parts < 3 and self._in_wildcard(version))
        if operator == "<=":
            return version <= bound or (self.parts < 3 and self._in_wildcard(version))
        if operator == "<":
            return version < bound
        if version < bound:
            return False
        return operator == ">=" or self._same_line(version)

    def _in_wildcard(self, version: Version) -> bool:
        return _numbers(version)[: self.parts] == _numbers(self.bound)[: self.parts]

    def _same_line(self, version: Version) -> bool:
        """For ``~`` the same minor version, for ``^`` the same leftmost part that is not 0."""
        bound = self.bound
        if self.operator in ("~", "~>"):
            keep = min(self.parts, 2)
        elif bound.major or self.parts < 2:
            keep = min(self.parts, 1)
        else:
            keep = 2 if bound.minor or self.parts < 3 else 3
        return _numbers(version)[:keep] == _numbers(bound)[:keep]


def _numbers(version: Version) -> tuple[int, int, int]:
    return (version.major, version.minor, version.patch)


class VersionRange:
    """A parsed range; an empty text is ``*``: any version that is no pre-release."""

    def __init__(self, text: str) -> None:
        """Raises ``ValueError`` for a text that is no range."""
        if len(text) > _MAX_LENGTH:
            raise ValueError(f"version range is longer than {_MAX_LENGTH} characters")
        self.text = text
        self._any = [_conjunction(part.strip(), text) for part in (text.strip() or "*").split("||")]

    def __contains__(self, version: Version) -> bool:
        return any(all(comparison.holds(version) for comparison in conjunction) for conjunction in self._any)


def _conjunction(part: str, whole: str) -> list[_Comparison]:
    part = _HYPHEN.sub(r">=\1 <=\2", part)
    found = []
    position = 0
    while position < len(part):
        match = _COMPARISON.match(part, position)
        if match is None:
            break
        found.append(_comparison(match))
        position = match.end()
        following = re.match(r"\s*,\s*|\s+", part[position:])
        if following is None:
            break
        position += following.end()
    if position < len(part) or not found:
        raise ValueError(f"{whole!r:.80} is neither a version nor a range such as ^1.4, ~1.4.2 or >=1.2 <2")
    return found


def _comparison(match: re.Match[str]) -> _Comparison:
    operator, *numbers, prerelease, _build = match.groups()
    given = 0
    for number in numbers:
        if number is None or number in "xX*":
            break
        given += 1
    major, minor, patch = [int(number) for number in numbers[:given]] + [0] * (3 - given)
    bound = Version(major, minor, patch, prerelease or "", match.group())
    return _Comparison({"=<": "<=", "=>": ">="}.get(operator or "", operator or ""), bound, given)


def newest_match(wanted: str, available: Iterable[str]) -> str | None:
    """The version that ``wanted`` stands for among ``available``, as it is written there, or ``None``.

    An exact text comes first, then the newest that is in the range; what is no semantic version is
    passed over. Raises ``ValueError`` if ``wanted`` is no range.
    """
    texts = list(available)
    if wanted and wanted in texts:
        return wanted
    allowed = VersionRange(wanted)
    fitting = [version for version in map(_lenient, texts) if version is not None and version in allowed]
    return max(fitting).text if fitting else None


def satisfies(wanted: str, version: str) -> bool:
    """Whether a chart of ``version`` is what ``wanted`` (exact, a range or empty) asks for."""
    return not wanted or newest_match(wanted, [version]) is not None


def _lenient(text: str) -> Version | None:
    try:
        return Version.parse(text)
    except ValueError:
        return None
