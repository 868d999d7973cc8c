"""Ages, spans and safe text."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cli.printing import age, precise, span, visible


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (-5, "0s"), (0, "0s"), (59, "59s"), (119, "119s"), (120, "2m"), (7200, "2h"), (86400 * 3, "3d")],
)
def test_a_span_is_told_in_its_largest_sensible_unit(seconds: float | None, text: str) -> None:
    """One number, one unit; clocks that differ give no negative age."""
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("time", "text"),
    [
        ("2026-05-04T11:59:30Z", "30s"), ("2026-05-04T13:59:30+02:00", "30s"), ("2026-05-04T11:59:30", "30s"),
        ("1970-01-01T00:00:00Z", "20577d"), ("yesterday", "-"), ("", "-"), (None, "-"),
    ],
)  # fmt: skip
def test_an_age_is_read_from_rfc_3339(time: str | None, text: str) -> None:
    """A time nobody can read is no age, and no error."""
    assert age(time, datetime(2026, 5, 4, 12, 0, tzinfo=UTC)) == text


def test_short_spans_are_precise() -> None:
    """Stages take milliseconds."""
    assert [precise(item) for item in (None, 0.042, 3.14, 600.0)] == ["-", "42 ms", "3.1 s", "10m"]


def test_control_characters_do_not_reach_the_terminal() -> None:
    """What a device sends must not move the cursor or set the title."""
    assert visible("a\x1b[2Jb\u202ec\nd") == "a�[2Jb�c\nd"
