"""Where the parts of a document stand."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topics.errors import ContractError, Reason
from topics.yaml_loader import load_yaml
from topics.yaml_positions import Position, positions_of, split_position

TEXT = """\
apiVersion: fleetbus/v1
spec:
  agents:
    selector:
      matchLabels: {a.b/c: x, a: {b/c: y}}
  components:
    - name: Foo
      bogus: 1
    - &two
      name: two
  more: [*two]
"""


@pytest.mark.parametrize(
    ("path", "code", "line", "column"),
    [
        ("apiVersion", "", 1, 13),
        ("apiVersion", "unknown-field", 1, 1),
        ("spec", "", 2, 1),
        ("spec.components", "", 6, 3),
        ("spec.components[0].name", "", 7, 13),
        ("spec.components[0].bogus", "unknown-field", 8, 7),
        ("spec.components[1]", "", 9, 7),
        ("spec.components[2].name", "", 6, 3),
        ("spec.components[0].helm.chart", "missing", 7, 7),
        ("spec.requirements.memory", "", 2, 1),
        ("spec.agents.selector.matchLabels.a.b/c", "", 5, 28),
        ("spec.more[0].name", "", 10, 13),
        ("", "", 1, 1),
        ("nowhere", "missing", 1, 1),
    ],
)
def test_a_path_leads_to_its_place(path: str, code: str, line: int, column: int) -> None:
    """The value of a scalar, the key of a collection or of an unknown field, else the last part that is there."""
    assert positions_of(TEXT).of(path, code) == Position(line, column)


@pytest.mark.parametrize(
    "text",
    ['{"a":\t"\\ud83d\\ude00",\n\t"b": [1,\n\t{"c": 2}]}', '{"a": "\\/",\n "b": [1,\n  {"c": 2}]}'],
    ids=["tabs and surrogates", "escaped slash"],
)
def test_json_has_places_too(text: str) -> None:
    """Also where YAML spells it otherwise."""
    json.loads(text)
    found = positions_of(text).of("b[1].c")
    assert found is not None
    assert found.line == 3


def test_a_text_nobody_can_read_has_no_places() -> None:
    """Bombs and deep nesting are refused before anything is composed."""
    bomb = "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))])
    began = time.monotonic()
    for text in (bomb, "[" * 100_000, "a: [", "", "{" * 5000 + "}" * 5000):
        assert positions_of(text).of("a") is None
    assert time.monotonic() - began < 5


@given(st.text(alphabet="ab:{}[],\n\t -&*'\"\\u012.", max_size=80), st.text(max_size=20))
def test_no_text_and_no_path_breaks_it(text: str, path: str) -> None:
    """What comes from anybody."""
    found = positions_of(text).of(path)
    assert found is None or (1 <= found.line <= text.count("\n") + 1 and found.column >= 1)


@pytest.mark.parametrize("text", ["a: [1,\n", "a: b\n c: d", "a: 1\na: 2", "1: a", "a: &x [*x]"])
def test_the_place_of_a_syntax_error_is_taken_out_of_its_message(text: str) -> None:
    """The message stays without it."""
    with pytest.raises(ContractError) as caught:
        load_yaml(text)
    reason, position = split_position(caught.value.reasons[0])
    assert position is not None
    assert "line" not in reason.message


def test_a_message_without_a_place_stays_as_it_is() -> None:
    """Words that only look like one are no place."""
    reason = Reason(path="a", code="b", message="needs line 3 column 4 of something")
    assert split_position(reason) == (reason, None)
