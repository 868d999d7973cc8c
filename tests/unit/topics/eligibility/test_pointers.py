"""JSON pointers: the examples of RFC 6901, and what never resolves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topics.documents.selection import check_pointer
from topics.eligibility.pointers import finder, tokens_of

# The document and the pointers of RFC 6901, section 5.
DOCUMENT: dict[str, Any] = {
    "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7, "m~n": 8,
}  # fmt: skip


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", DOCUMENT),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_rfc_6901_examples_evaluate_as_listed(pointer: str, value: object) -> None:
    """Each pointer of the RFC's own table names what the table says."""
    assert finder(pointer)(DOCUMENT) == value


@pytest.mark.parametrize(
    "pointer",
    [
        "/foo/2",
        "/foo/-",
        "/foo/01",
        "/foo/00",
        "/foo/+1",
        "/foo/-1",
        "/foo/1e0",
        "/foo/ 1",
        "/foo/",
        "/foo/\u0661",
        "/foo/" + "9" * 400,
        "/foo/0/0",
        "/foo/length",
        "/bar",
        "/a/b",
        "//0",
    ],
)
def test_what_is_not_there_is_not_found(pointer: str) -> None:
    """Behind the end, ``-``, leading zeros, signs, other digits, members of scalars: nothing, and no error."""
    assert finder(pointer)(DOCUMENT) is None


def test_tilde_escapes_are_read_in_the_order_of_the_rfc() -> None:
    """``~01`` is ``~1`` and not ``/`` (section 4)."""
    assert tokens_of("/~01/~10/~0~1") == ("~1", "/0", "~/")


def test_a_null_is_as_if_nothing_were_there() -> None:
    """Also in the middle of a pointer."""
    assert finder("/a")({"a": None}) is None
    assert finder("/a/b")({"a": None}) is None


@pytest.mark.parametrize("pointer", ["", "foo", "/m~n", "/~", "/~2", "/~~01", "/a~/b", "/" + "a" * 500])
def test_what_is_no_pointer_is_refused_by_the_document(pointer: str) -> None:
    """No leading slash, a lone ``~``, too long; and the whole document, which is no property."""
    with pytest.raises(ValueError, match=r"is not a JSON pointer|has a '~'"):
        check_pointer(pointer)


names = st.text(max_size=4) | st.sampled_from(["~", "/", "~1", "0", "-", "01"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=15,
)


def places(value: Any, pointer: str = "") -> list[tuple[str, Any]]:
    """Every place of a JSON value with the pointer that names it."""
    found = [(pointer, value)]
    if isinstance(value, dict):
        for name, member in value.items():
            found += places(member, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += places(item, f"{pointer}/{index}")
    return found


@given(json_values)
def test_every_place_of_a_document_is_found_by_its_pointer(value: Any) -> None:
    """Whatever the names are."""
    for pointer, member in places(value):
        assert finder(pointer)(value) is member


@given(json_values, st.lists(names, max_size=4))
def test_any_pointer_finds_something_or_nothing(value: Any, steps: list[str]) -> None:
    """No pointer into any document raises."""
    json.dumps(finder("".join(f"/{step}" for step in steps))(value))
