"""YAML from anybody: plain values, or a refusal with its line and column."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from topics.codec import MAX_DEPTH
from topics.errors import ContractError, Reason
from topics.yaml_loader import MAX_NODES, load_yaml


def refusal(text: str) -> Reason:
    """The only reason why the text is refused."""
    with pytest.raises(ContractError) as caught:
        load_yaml(text)
    (reason,) = caught.value.reasons
    assert len(reason.message) < 500
    reason.message.encode()
    return reason


def bomb(anchors: int, fan: int = 9) -> str:
    """Lists of aliases of lists of aliases: ``fan ** anchors`` nodes from a few bytes."""
    rows = ["a0: &a0 [x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * fan)}]" for n in range(1, anchors)]
    return "\n".join(rows)


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("a: 1\nb: [1,\n", "malformed", 3, 1),
        ("a:\n\tb: 1", "malformed", 2, 1),
        ("a: b\n c: d", "malformed", 2, 3),
        ("a: 'x", "malformed", 1, 6),
        ('a: "\\q"', "malformed", 1, 5),
        ('a: "\\ud800"', "malformed", 1, 7),
        ("a: é\nb: \x00", "malformed", 2, 4),
        ("a: \x07", "malformed", 1, 4),
        ("é\ud800", "malformed", 1, 2),
        ("%YAML 2.0\n---\na: 1", "malformed", 1, 1),
        ("a: *x", "malformed", 1, 4),
        ("&a [*a]", "malformed", 1, 5),
        ("&a {b: {c: *a}}", "malformed", 1, 12),
        ("a: &a {b: 1}\nc:\n  <<: *a", "merge-key", 3, 3),
        ("<<: {a: 1}", "merge-key", 1, 1),
        ("a: 1\nb: 2\na: 3", "duplicate-key", 3, 1),
        ("x: {a: 1, b: 2, 'a': 3}", "duplicate-key", 1, 17),
        ("1: a", "bad-key", 1, 1),
        ("a: {true: 1}", "bad-key", 1, 5),
        ("~: 1", "bad-key", 1, 1),
        ("? [a]\n: 1", "bad-key", 1, 3),
        ("{a: 1}: 2", "bad-key", 1, 1),
        ("a: !!python/object:os.system x", "bad-tag", 1, 4),
        ("a: !!python/object/apply:os.system [x]", "bad-tag", 1, 4),
        ("!!python/dict {a: 1}", "bad-tag", 1, 1),
        ("!!binary aGk=", "bad-tag", 1, 1),
        ("!!timestamp 2001-01-01", "bad-tag", 1, 1),
        ("!!set {a}", "bad-tag", 1, 1),
        ("!!omap [a: 1]", "bad-tag", 1, 1),
        ("!!str {a: 1}", "bad-tag", 1, 1),
        ("!!map [a]", "bad-tag", 1, 1),
        ("!Ref a", "bad-tag", 1, 1),
        ("!Sub {a: 1}", "bad-tag", 1, 1),
        ("!!int abc", "bad-tag", 1, 1),
        ("!!int true", "bad-tag", 1, 1),
        ("!!null x", "bad-tag", 1, 1),
        ("!!bool yes", "bad-tag", 1, 1),
        ("a: 1\n---\nb: 2", "several-documents", 2, 1),
        ("a: 1\n...\n---\n", "several-documents", 3, 1),
        (".inf", "bad-number", 1, 1),
        ("a: -.INF", "bad-number", 1, 4),
        ("[.nan]", "bad-number", 1, 2),
        ("1e400", "bad-number", 1, 1),
        ("1e99999", "bad-number", 1, 1),
        ("1" * 5000, "bad-number", 1, 1),
        ("zip: 08010", "bad-number", 1, 6),
        ("-017", "bad-number", 1, 1),
        ("[" * (MAX_DEPTH + 1), "too-deep", 1, MAX_DEPTH + 1),
        (bomb(7), "too-large", 7, 10),
    ],
    ids=range(49),
)
def test_refusals_name_line_and_column(text: str, code: str, line: int, column: int) -> None:
    """Each kind of refusal has its code and the place where a person finds it."""
    reason = refusal(text)
    assert reason.code == code
    assert re.search(rf"line {line} column {column}\b", reason.message), reason.message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("# only a comment", None), ("~", None), ("null", None), ("NULL", None), ("nUll", "nUll"),
        ("true", True), ("False", False), ("tRUE", "tRUE"), ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"),
        ("y", "y"), ("0", 0), ("-0", 0), ("+12", 12), ("12", 12), ("0o17", 15), ("017", 15), ("0644", 420), ("0o8", "0o8"),
        ("0xFf", 255), ("0b1", "0b1"), ("1_000", "1_000"), ("1:30", "1:30"), ("22:22", "22:22"), ("1.5", 1.5), ("1.", 1.0),
        (".5", 0.5), ("-1e3", -1000.0), ("1e-3", 0.001), ("1e", "1e"), (".", "."), ("-", [None]), ("1.2.3", "1.2.3"),
        ("2001-01-01", "2001-01-01"), ("=", "="), ("'12'", "12"), ('"true"', "true"), ("! 12", "12"), ("!!str 12", "12"),
        ("!!int '12'", 12), ("!!float 1", 1.0), ("!!bool 'true'", True), ("!!null ''", None), ("|\n  12\n", "12\n"),
        ("'<<': 1", {"<<": 1}), ("a: &x '<<'\n*x : 1", {"a": "<<", "<<": 1}), ("- <<", ["<<"]), ("!!map {a: 1}", {"a": 1}), ("!!seq [a]", ["a"]),
        ("%YAML 1.2\n---\na: 1", {"a": 1}), ("---\na: 1\n...\n", {"a": 1}), ("\ufeffa: 1", {"a": 1}),
        ("[&a 1, *a, &a 2, *a]", [1, 1, 2, 2]), ("a: &x {b: [1]}\nc: *x", {"a": {"b": [1]}, "c": {"b": [1]}}),
        ("9" * 300, 10**300 - 1),
    ],
    ids=range(58),
)  # fmt: skip
def test_scalars_follow_the_core_schema(text: str, value: Any) -> None:
    """YAML 1.2 core scalars as Kubernetes users expect them, with kubectl's octal; the type counts too."""
    loaded = load_yaml(text)
    assert (loaded, type(loaded)) == (value, type(value))


@pytest.mark.parametrize("opening", ["[", "{a: ", "{[", "- ", "? ", "[[{a: [", "!!seq [", "&a [", '{"a":'])
def test_deep_nesting_in_one_line_is_refused_quickly(opening: str) -> None:
    """100,000 levels: no crash, no recursion, and no more time than a glance."""
    started = time.monotonic()
    assert refusal(opening * 100_000).code in {"too-deep", "bad-key"}
    assert time.monotonic() - started < 5


def test_deep_nesting_in_block_style_is_refused() -> None:
    """Nesting by indentation, as deep as 1 MiB allows."""
    text = "\n".join(" " * level + "a:" for level in range(1400))
    assert refusal(text).code == "too-deep"
    assert refusal("\n".join(" " * level + "-" for level in range(1400))).code == "too-deep"


def test_the_deepest_nesting_is_taken() -> None:
    """The limit itself is allowed."""
    value = load_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    for _ in range(MAX_DEPTH - 1):
        (value,) = value
    assert value == []


def test_aliases_do_not_add_up_to_deeper_nesting() -> None:
    """Each line is one level deep, and the last alias would be hundreds: refused where it passes the limit."""
    rows = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 500)]
    reason = refusal("\n".join(rows))
    assert reason.code == "too-deep"
    assert f"line {MAX_DEPTH} " in reason.message  # line 64 would be the 65th level below the mapping
    assert load_yaml("\n".join(rows[: MAX_DEPTH - 1]))


def test_an_alias_bomb_is_refused_by_what_it_would_expand_to() -> None:
    """A few hundred bytes for ten million nodes; below the limit, aliases are ordinary."""
    started = time.monotonic()
    assert refusal(bomb(60)).code == "too-large"
    assert time.monotonic() - started < 2
    assert len(load_yaml(bomb(5))["a4"]) == 9


@pytest.mark.parametrize(
    "text",
    [
        "[" + "1," * 500_000,
        "- 1\n" * 260_000,
        "a: " + "x" * 1_000_000,
        "&" + "a" * 1_000_000 + " 1",
        "*" + "a" * 1_000_000,
        "!" + "a" * 1_000_000 + " 1",
        "'" * 1_000_001,
        '"' + "\\" * 1_000_000,
        "{" + ",".join(f"k{number}: 1" for number in range(90_000)) + ", k1: 1}",
        "1" * 1_000_000,
        "1e" + "9" * 1_000_000,
        "0." + "9" * 1_000_000 + "x",
        "#" * 1_000_000,
        "\n" * 1_000_000,
        ": " * 500_000,
        "? " + "a" * 1_000_000,
        "%" * 1_000_000,
        "a" * 2000 + ": 1",
        "&a a: *a\n" * 100_000,
        "- &a [x]\n- *a\n" * 70_000,
    ],
    ids=range(20),
)
def test_a_mebibyte_of_hostile_text_takes_bounded_time(text: str) -> None:
    """Whatever it is, it is read or refused in seconds, and an answer about it is short."""
    started = time.monotonic()
    try:
        load_yaml(text)
    except ContractError as error:
        assert len(str(error)) < 500  # noqa: PT017 - both outcomes are right
    assert time.monotonic() - started < 20


def test_too_many_nodes_are_refused() -> None:
    """A document may have 200,000 nodes and not one more."""
    assert len(load_yaml("[" + "1," * (MAX_NODES - 1) + "]")) == MAX_NODES - 1
    assert refusal("[" + "1," * MAX_NODES + "]").code == "too-large"


# YAML reads the other line breaks and DEL of JSON strings otherwise or not at all.
plain = st.characters(
    codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="\x7f\x85\ufeff\ufffe\uffff"
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(plain, max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(plain, max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(json_values, st.sampled_from([None, 2]))
def test_json_is_yaml(value: Any, indent: int | None) -> None:
    """JSON text, in one line or indented, is read as the JSON reader reads it."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    assert load_yaml(text) == json.loads(text)


@given(
    st.text(max_size=80)
    | st.text(alphabet="ab:-?[]{}&*!|>'\"%@`#,\n\t <~=.01", max_size=80)
    | st.lists(
        st.sampled_from(
            ["a", ": ", "- ", "\n", "  ", "[", "]", "{", "}", ", ", "&x ", "*x", "!!int ", "? ", "---\n", "<<", "|\n"]
        ),
        max_size=30,
    ).map("".join)
)
@example("%YAML 1.2\n%YAML 1.2\n---\n")
@example("%TAG ! tag:yaml.org,2002:\n---\n!int 1")
def test_arbitrary_text_is_loaded_or_refused(text: str) -> None:
    """No text raises anything but a contract error, and what is loaded is plain JSON."""
    try:
        value = load_yaml(text)
    except ContractError as error:
        str(error).encode()
    else:
        json.dumps(value, allow_nan=False)
