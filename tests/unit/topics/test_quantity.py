"""Quantities and durations, against exact fractions."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from topics.quantity import (
    MAX_DURATION_SECONDS,
    Duration,
    Quantity,
    format_bytes,
    format_cores,
    number_of,
    parse_duration,
    parse_quantity,
)

FACTORS: dict[str, Fraction] = {
    "": Fraction(1),
    "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000),
    "k": Fraction(10**3), "M": Fraction(10**6), "G": Fraction(10**9), "T": Fraction(10**12), "P": Fraction(10**15),
    "E": Fraction(10**18), "Ki": Fraction(2**10), "Mi": Fraction(2**20), "Gi": Fraction(2**30), "Ti": Fraction(2**40),
    "Pi": Fraction(2**50), "Ei": Fraction(2**60),
}  # fmt: skip


@given(
    st.integers(0, 10**20),
    st.integers(0, 12),
    st.sampled_from(sorted(FACTORS)),
    st.sampled_from(["", " "]),
    st.sampled_from(["", "+"]),
)
def test_quantities_are_exact(digits: int, places: int, suffix: str, space: str, sign: str) -> None:
    """A decimal number times its suffix, without any rounding, with or without the tolerated space."""
    text = str(digits).zfill(places + 1)
    text = f"{text[:-places]}.{text[-places:]}" if places else text
    assert parse_quantity(sign + text + space + suffix) == Fraction(digits, 10**places) * FACTORS[suffix]


@given(st.integers(0, 10**9), st.integers(-99, 99), st.sampled_from("eE"))
def test_decimal_exponents_are_exact(number: int, exponent: int, letter: str) -> None:
    """``12e6`` and ``12E6`` are 12 times ten to the sixth."""
    assert parse_quantity(f"{number}{letter}{exponent}") == number * Fraction(10) ** exponent


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # From the Kubernetes documentation on resource units: all of these are about or exactly the same.
        ("128974848", 128974848), ("129e6", 129_000_000), ("129M", 129_000_000), ("123Mi", 123 * 2**20),
        ("128974848000m", 128974848), ("0.1", Fraction(1, 10)), ("100m", Fraction(1, 10)), ("0.5", Fraction(1, 2)),
        ("500m", Fraction(1, 2)), ("1", 1), ("1E", 10**18), ("1E3", 1000), (".5Gi", 2**29), ("1.", 1), ("1.5Gi", 3 * 2**29),
        # From Margo's published examples.
        ("59 Gi", 59 * 2**30), (" 2 ", 2),
    ],
)  # fmt: skip
def test_published_examples(text: str, value: Fraction) -> None:
    """The values that the sources give."""
    assert parse_quantity(text) == value


def test_plain_numbers_are_taken() -> None:
    """YAML gives numbers, not texts."""
    assert parse_quantity(2) == 2
    assert parse_quantity(0.25) == Fraction(1, 4)
    assert parse_quantity(1e22) == 10**22


@pytest.mark.parametrize(
    "text",
    ["", " ", ".", "m", "Gi", "-1", "-0.5Gi", "1K", "1gi", "1GI", "1 e3", "1e", "1e100", "1ee3", "1Gi2", "1 2", "1,5", "0x10",
     "1_0", "1" * 31, "1." + "0" * 31, "٣", "1\n2", "1\tGi", "59\nGi", "1 GiB", "inf", "nan", "--1", "+-1", "1m5", "1" * 10**6],
)  # fmt: skip
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    """The message shows what was written, bounded, and either calls it negative or shows right ones."""
    with pytest.raises(ValueError, match=r"is not a quantity such as 500m|is negative") as caught:
        parse_quantity(text)
    assert len(str(caught.value)) < 200


@given(st.text(max_size=12) | st.text(alphabet="0123456789.eE+-kmMGi ", max_size=12))
def test_no_text_gives_a_negative_or_raises_anything_else(text: str) -> None:
    """Either a value from zero up, or ``ValueError``."""
    try:
        assert parse_quantity(text) >= 0
        parse_duration(text)
    except ValueError as error:
        assert "is not a" in str(error) or "negative" in str(error) or "longer" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("8m30s", 510.0), ("90s", 90.0), ("1h", 3600.0), ("90", 90.0), ("1.5h", 5400.0), ("250ms", 0.25), ("0", 0.0),
     ("1h1m1s", 3661.0), ("1m500ms", 60.5), ("8784h", MAX_DURATION_SECONDS)],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    """Go's form, as Helm takes it; a plain number is seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "1d", "1 h", "h1", "1h 1m", "5m x", "1.s", ".5s", "٣s", "1h\n", "1e3s", "inf", "10us"]
)
def test_wrong_durations_are_refused_with_an_example(text: str) -> None:
    """The message shows right ones."""
    with pytest.raises(ValueError, match="is not a duration such as 90s"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["8785h", "999999999999h", "31622401", "999999999999h" * 1000])
def test_durations_beyond_a_year_are_refused(text: str) -> None:
    """No timer and no lock can wait for ever: a mistake in the unit must not stop a device."""
    with pytest.raises(ValueError, match="longer than a year"):
        parse_duration(text)


@given(st.integers(0, 2**63))
def test_bytes_for_people_are_near_the_value(value: int) -> None:
    """What is shown is a quantity itself, and off by no more than its one decimal."""
    shown = format_bytes(value)
    assert abs(parse_quantity(shown) - value) <= max(value * Fraction(6, 100), 1)
    assert re.fullmatch(r"[0-9.e+]+([KMGTPE]i)?", shown)


@given(st.integers(0, 10**6))
def test_cores_for_people_are_exact(millicores: int) -> None:
    """Whole cores, or millicores."""
    assert parse_quantity(format_cores(Fraction(millicores, 1000))) == Fraction(millicores, 1000)


class _Fields(BaseModel):
    quantity: Quantity = "1"
    duration: Duration = "1s"


def test_fields_keep_what_was_written() -> None:
    """A quantity stays the text it was, so that a person finds it again; numbers become texts."""
    assert _Fields.model_validate({"quantity": "59 Gi", "duration": 90}).model_dump() == {
        "quantity": "59 Gi",
        "duration": "90",
    }
    for wrong in ({"quantity": True}, {"quantity": None}, {"quantity": []}, {"duration": True}, {"quantity": "1x"}):
        with pytest.raises(ValidationError):
            _Fields.model_validate(wrong)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (4, 4),
        (-4, -4),
        (0.1, Fraction(1, 10)),
        (2.0, 2),
        ("59 Gi", 59 * 2**30),
        ("4000m", 4),
        ("-1.5k", -1500),
        (True, None),
        ("true", None),
        ("", None),
        ("--5", None),
        (float("nan"), None),
        (float("-inf"), None),
        (None, None),
        ([4], None),
    ],
)
def test_the_number_of_a_json_value_is_exact_or_none(value: object, number: object) -> None:
    """Numbers and quantities, negative ones too; a float is the decimal number that it is written as."""
    assert number_of(value) == number
    assert type(number_of(value)) in (int, Fraction, type(None))
