"""Rendered YAML is read as Kubernetes reads it; Helm's own decoder is the judge."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.rendering.kubernetes_yaml import load_document, split_documents

helm_python = pytest.importorskip("helm_python", reason="helm-python-sdk is not installed")

SCALARS = [
    "yes", "No", "on", "y", "N", "true", "TRUE", "tRUE", "12:30", "22:22", "2024-01-01", "2024-01-01T10:00:00Z", "1e3",
    "1e+3", "1E-2", "0o14", "014", "089", "0x1F", "-0x1f", "0b11", "1_000", "_1", "+1", "-1", "1.", ".5", "-.5", "1.0",
    "1.5", "~", "null", "Null", "nULL", "", "1.2.3", "12345678901234567890123", "-0", "0", "00",
    "'1'", '"yes"', "=", "<", "a: b", "[1, yes]", "{a: 1e2, 2: no}", "!!str 12", "!!int '3'", "!!float 3", "!!binary aGk=",
    "-", "--1", "1-2", "1e", "e1", "0o8", "0b2", "0xg", "500m", "1Gi", "1.5e3",
]  # fmt: skip


@pytest.mark.parametrize("scalar", SCALARS)
def test_scalar_is_read_as_helm_reads_it(scalar: str) -> None:
    """Go's rules decide what is a number, a boolean or text."""
    text = f"a: {scalar}\n"
    try:
        wanted = helm_python.values_from_yaml(text)
    except helm_python.HelmError:
        with pytest.raises(ValueError, match="not YAML"):
            load_document(text)
    else:
        assert json.dumps(load_document(text), sort_keys=True) == json.dumps(wanted, sort_keys=True)


@given(st.text("0123456789abefoxyXnN+-._:~", min_size=1, max_size=10))
@example("0_")
@example(".0_")
def test_any_plain_scalar_is_read_as_helm_reads_it(scalar: str) -> None:
    """The same over all short plain scalars of the characters that numbers are made of."""
    text = f"a: {scalar}\n"
    try:
        wanted = helm_python.values_from_yaml(text)
    except helm_python.HelmError:
        return  # Go refuses some that libyaml takes, such as tabs; the other way is tested above
    assert json.dumps(load_document(text)) == json.dumps(wanted)


def test_keys_become_text() -> None:
    """As JSON has no others."""
    assert load_document("1: a\nyes: b\n~: c\n") == {"1": "a", "true": "b", "null": "c"}


def test_nothing_is_none() -> None:
    """An empty or commented file holds no object."""
    assert load_document("# only a comment\n") is None
    assert load_document("") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "line"),
        ("a: .nan", "JSON"),
        ("a: .inf", "JSON"),
        ("? [a]\n: b", "neither"),
        ("[" * 100_000, "deep"),
        ("!!python/object:os.system a", "not YAML"),
        ("a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(9)), "aliases"),
        ("a: &a {x: 1}\n" + "".join(
            f"{chr(98 + i)}: &{chr(98 + i)} {{<<: [{','.join(['*' + chr(97 + i)] * 10)}]}}\n" for i in range(12)), "merge"),
        ("a: &a\n  b: *a", "aliases"),
        ("a: &a " + "[" * 150 + "]" * 150 + "\n" + "".join(
            f"{chr(98 + i)}: &{chr(98 + i)} {'[' * 150}*{chr(97 + i)}{']' * 150}\n" for i in range(9)), "aliases"),
    ],
    ids=["open", "nan", "inf", "list-key", "deep", "python", "bomb", "merge-bomb", "within-itself", "deep-by-aliases"],
)  # fmt: skip
def test_hostile_text_is_refused(text: str, says: str) -> None:
    """Each within bounded time and memory, as a ``ValueError``."""
    with pytest.raises(ValueError, match=says):
        load_document(text)


def test_documents_are_split_as_helm_splits() -> None:
    """At every line that begins with dashes, even where a template left no line break behind them."""
    text = "---\n# a comment\na: 1\n---\n\n--- # Source: x\nb: 2\n---c: 3\nd: '---'\n"
    assert [load_document(part) for part in split_documents(text)] == [{"a": 1}, {"b": 2}, {"c": 3, "d": "---"}]
