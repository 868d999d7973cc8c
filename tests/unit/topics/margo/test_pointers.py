"""Pointers lead where ``helm --set`` would put the value, and variables are variables."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topics.margo.pointers import parse_pointer, set_value, variable_name, variable_text


@pytest.mark.parametrize(
    ("pointer", "values"),
    [
        ("a", {"a": 1}), ("a.b.c", {"a": {"b": {"c": 1}}}), ("a[1].b", {"a": [None, {"b": 1}]}),
        ("a[0][1]", {"a": [[None, 1]]}), (r"annotations.example\.com/team", {"annotations": {"example.com/team": 1}}),
        ("env.OTEL_URL", {"env": {"OTEL_URL": 1}}), ("with space", {"with space": 1}),
    ],
)  # fmt: skip
def test_a_pointer_makes_what_is_missing(pointer: str, values: dict[str, Any]) -> None:
    """Names and indexes, and a backslash before a dot that belongs to a name."""
    found: dict[str, Any] = {}
    set_value(found, pointer, 1)
    assert found == values


def test_what_is_there_already_stays() -> None:
    """Several parameters go into one document."""
    values: dict[str, Any] = {}
    for number, pointer in enumerate(["a.x", "a.y", "l[1]", "l[0]", "a.x"]):
        set_value(values, pointer, number)
    assert values == {"a": {"x": 4, "y": 1}, "l": [3, 2]}


@pytest.mark.parametrize(
    "pointer", ["", ".", "a.", ".a", "a..b", "a[", "a[x]", "[0]", "a[-1]", "a[64]", "a]b", "a=b", "a{b}", "a" * 501,
                ".".join("a" * 17), "a\\", "a\0", "a[0]b", "a.[0]"],
)  # fmt: skip
def test_what_is_no_pointer_is_refused(pointer: str) -> None:
    """An index is bounded, because the entries before it are filled up."""
    with pytest.raises(ValueError, match=r"pointer|index|steps"):
        parse_pointer(pointer)


@pytest.mark.parametrize("second", ["a.b", "a[0]"])
def test_a_pointer_through_a_value_is_refused(second: str) -> None:
    """A text has no members."""
    values: dict[str, Any] = {"a": "text"}
    with pytest.raises(ValueError, match=r"members|list"):
        set_value(values, second, 1)
    assert values == {"a": "text"}


@given(st.text(max_size=30) | st.text("a.[]0\\", max_size=12))
def test_any_text_is_a_pointer_or_refused(text: str) -> None:
    """Nothing but ``ValueError``; and what is set is found again by the parsed steps."""
    values: dict[str, Any] = {}
    try:
        set_value(values, text, 7)
    except ValueError:
        return
    place: Any = values
    for step in parse_pointer(text):
        place = place[step]
    assert place == 7


def test_a_variable_is_a_name() -> None:
    """The prefix of 2024 is taken off."""
    assert (variable_name("POLL_SECONDS"), variable_name("ENV.POLL")) == ("POLL_SECONDS", "POLL")
    for wrong in ("", "ENV.", "A B", "1A", "A=B", "A\n", "ENV.ENV.A"):
        with pytest.raises(ValueError, match="environment variable"):
            variable_name(wrong)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b", "a b"),
        (True, "true"),
        (30, "30"),
        (1.5, "1.5"),
        (["a", 2, False], "a,2,false"),
        ([], ""),
        (None, "null"),
    ],
)
def test_a_variable_holds_a_text(value: object, text: str) -> None:
    """As a person would write it into a Compose file."""
    assert variable_text(value) == text
