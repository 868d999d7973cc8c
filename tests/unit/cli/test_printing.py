"""Ages, spans and safe text."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cli.context import Output
from cli.printing import age, emit, enough, grid, named, precise, span, visible


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


def test_a_narrow_terminal_cuts_no_name(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A table that is wider than the terminal runs over its edge; only the last column wraps."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("TERM", "dumb")
    headings = ("DEPLOYMENT", "DEVICE", "STATE", "MESSAGE")
    row = ("com-example-hello-margo", "edge-01", "NotPlaceable", "needs 10Gi storage, 6.2Gi left of 32Gi, and more")
    emit(Output.TABLE, lambda: None, lambda: grid(headings, [row]))
    head, first, *rest = capsys.readouterr().out.splitlines()
    assert [head.split()[index] for index in range(4)] == list(headings)
    assert first.split()[:3] == list(row[:3])
    assert " ".join([*first.split()[3:], *(line.strip() for line in rest)]) == row[3]


def test_many_names_are_the_first_and_a_number() -> None:
    """And one other is not 'others'."""
    assert named(f"e{number}" for number in range(1022)).endswith("e19 and 1,002 more")
    assert (enough(1), enough(2)) == ("1 other is enough", "2 others are enough")
