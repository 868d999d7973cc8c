"""Variables in a Compose project are filled in as Compose does, and what is not set is a finding."""

from __future__ import annotations

import contextlib
import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rendering.compose_interpolation import (
    InterpolationError,
    escape_all,
    escaped,
    fill_in,
    interpolate,
    read_env_file,
)
from tests.support.docker import no_engine

ENVIRONMENT = {"SET": "value", "EMPTY": ""}

CASES = [
    ("plain", "plain"), ("$SET", "value"), ("a-${SET}-b", "a-value-b"), ("$$SET", "$SET"), ("$${SET}", "${SET}"),
    ("${EMPTY}", ""), ("${EMPTY:-other}", "other"), ("${EMPTY-other}", ""), ("${NONE:-other}", "other"),
    ("${NONE-other}", "other"), ("${NONE:-}", ""), ("${SET:-other}", "value"), ("${SET:+instead}", "instead"),
    ("${NONE:+instead}", ""), ("${EMPTY:+instead}", ""), ("${EMPTY+instead}", "instead"), ("${SET:?why}", "value"),
    ("${EMPTY?why}", ""), ("${NONE:-${SET}}", "value"), ("${NONE:-${ALSO:-deep}}", "deep"), ("${NONE:-a:b}", "a:b"),
    ("${SET:-${NONE}}", "value"), ("$SET.$SET", "value.value"), ("}", "}"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "filled"), CASES)
def test_a_text_is_filled_in(text: str, filled: str) -> None:
    """Every form of the specification."""
    assert interpolate(text, ENVIRONMENT) == filled


@pytest.mark.skipif(no_engine() is not None, reason=str(no_engine()))
def test_compose_itself_agrees() -> None:
    """The same texts through ``docker compose config``."""
    project = {"services": {"a": {"image": "a", "labels": {f"case{n}": text for n, (text, _) in enumerate(CASES)}}}}
    done = subprocess.run(
        ["docker", "compose", "-p", "a", "-f", "-", "config", "--format", "json"],
        input=json.dumps(project), capture_output=True, text=True, check=True, env=ENVIRONMENT | {"PATH": "/usr/bin:/bin", "HOME": "/"},
    )  # fmt: skip
    labels = json.loads(done.stdout)["services"]["a"]["labels"]
    # What Compose prints is a project again, so a dollar sign stands twice.
    assert {key: value.replace("$$", "$") for key, value in labels.items()} == {
        f"case{n}": filled for n, (_, filled) in enumerate(CASES)
    }


@pytest.mark.parametrize(
    ("text", "missing", "said"),
    [
        ("$NONE", "NONE", "not set"), ("${NONE}", "NONE", "not set"), ("${NONE:?ask Ada}", "NONE", "ask Ada"),
        ("${EMPTY:?}", "EMPTY", "not set"), ("${NONE:-${ALSO}}", "ALSO", "not set"), ("5 $", None, "stands before no"),
        ("${SET", None, "goes on with"), ("${SET:-a", None, "not closed"), ("${1}", None, "stands before no"),
        ("${SET/a/b}", None, "goes on with"), ("${NONE:-" * 50 + "}" * 50, None, "deeper"),
    ],
)  # fmt: skip
def test_what_cannot_be_filled_in_is_said(text: str, missing: str | None, said: str) -> None:
    """The name of the variable, where it is that."""
    with pytest.raises(InterpolationError, match=said) as caught:
        interpolate(text, ENVIRONMENT)
    assert caught.value.missing == missing


def test_it_does_not_grow_without_bound() -> None:
    """A long value used many times."""
    with pytest.raises(InterpolationError, match="longer than"):
        interpolate("$SET" * 1000, {"SET": "x" * 1000})


@given(st.text(alphabet="$ {}:-?+AB_1x"))
def test_any_text_ends_in_a_text_or_a_finding(text: str) -> None:
    """No other exception, no hang."""
    with contextlib.suppress(InterpolationError):
        assert isinstance(interpolate(text, {"A": "1", "B": ""}), str)


@given(st.text())
def test_an_escaped_text_is_left_as_it_is(text: str) -> None:
    """Escaping and filling in are inverse."""
    assert interpolate(escaped(text), {}) == text


def test_only_values_are_filled_in_and_every_finding_has_its_path() -> None:
    """Keys, numbers and truth values stay; faults do not hide each other."""
    found: dict[str, str | None] = {}
    value = {"$SET": ["$SET", {"n": 1, "t": True, "bad": "$NONE"}, "${ALSO}"]}
    filled = fill_in(value, ENVIRONMENT, "top", lambda path, error: found.update({path: error.missing}))
    assert filled == {"$SET": ["value", {"n": 1, "t": True, "bad": "$NONE"}, "${ALSO}"]}
    assert found == {"top.$SET[1].bad": "NONE", "top.$SET[2]": "ALSO"}
    assert escape_all({"a": ["$x", 1]}) == {"a": ["$$x", 1]}


def test_an_env_file_is_read() -> None:
    """Comments, quotes, variables of the lines before."""
    text = "# a comment\n\nexport A=1\nB = two words # not this\nC='$A'\nD=\"$A\\n!\"\nE=$A-$B\n"
    assert read_env_file(text) == {"A": "1", "B": "two words", "C": "$A", "D": "1\n!", "E": "1-two words"}


@pytest.mark.parametrize(
    ("text", "said"), [("A=1\nB", "line 2"), ("1A=1", "line 1"), ("A='x", "quotes"), ("A=$B", "not set")]
)
def test_a_broken_env_file_is_said_with_its_line(text: str, said: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(InterpolationError, match=said):
        read_env_file(text)
