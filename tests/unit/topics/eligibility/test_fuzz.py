"""Any selector document on any property document: taken or refused, never an error, never long."""

from __future__ import annotations

import time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from topics.documents.device import Capabilities
from topics.documents.selection import ItemSelector, PropertyExpression, Rule, Selector
from topics.documents.spec import Requirements
from topics.eligibility import Subject, selects, unselected
from topics.eligibility.operators import Combinations, holds_of
from topics.eligibility.wording import explainer
from topics.requirements import compile_requirements

names = st.text(max_size=6) | st.sampled_from(["type", "key", "operator", "values", "~", "/", "0", "-"])
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["4Gi", "-1e99", "\ud800"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
operators = st.sampled_from(
    ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "ContainsAll", "ContainsAny", "Regex", ""]
)
keys = st.builds("/".join, st.lists(names, min_size=1, max_size=4)) | st.text(max_size=8).map(lambda text: "/" + text)
entries = st.fixed_dictionaries(
    {"key": keys, "operator": operators}, optional={"values": st.lists(anything, max_size=3)}
)
expressions = st.fixed_dictionaries(
    {"key": keys, "operator": operators},
    optional={
        "values": st.lists(anything, max_size=3),
        "itemSelector": anything | st.fixed_dictionaries({"matchExpressions": st.lists(entries, max_size=3)}),
    },
)
selectors = anything | st.fixed_dictionaries({}, optional={
    "matchLabels": anything | st.dictionaries(names, names),
    "matchExpressions": anything | st.lists(expressions, max_size=3),
})  # fmt: skip


@settings(max_examples=400)
@given(expressions, anything)
def test_any_expression_on_any_value_is_answered(expression: dict[str, Any], value: Any) -> None:
    """Refused as a document, or decided for whatever JSON the pointer found, and put into words."""
    try:
        document = PropertyExpression.model_validate(expression)
    except ValidationError:
        return
    assert holds_of(document)(value) in (True, False)
    finding = explainer(document)(value)
    assert all(len(text) < 1_000 for text in finding if text)


@settings(max_examples=300)
@given(selectors)
def test_any_selector_is_refused_or_decides(selector: Any) -> None:
    """As the assignment of agents, and within a rule."""
    subject = Subject(Capabilities.model_validate({"device": "edge-01", "labels": {"type": "key"}, "memory": 5}))
    try:
        document = Selector.model_validate(selector)
    except ValidationError:
        pass
    else:
        assert selects(document, subject) == (not unselected(document, subject))
    for part in ("propertySelector", "labelSelector"):
        try:
            rule = Rule.model_validate({part: selector})
        except ValidationError:
            continue
        compiled = compile_requirements(Requirements(rules=(rule,)))
        assert compiled.suits(subject) == (not compiled.unmet(subject))


def test_items_times_combinations_is_not_the_work() -> None:
    """30,000 different interfaces, as many as a message holds, against the most combinations: one look at each."""
    items = [{"a": number % 10, "b": number // 10 % 10, "c": 10 + number, "n": number} for number in range(30_000)]
    entries = [{"key": f"/{key}", "operator": "In", "values": list(range(10))} for key in "abc"]
    combinations = Combinations(ItemSelector.model_validate({"matchExpressions": entries}))
    began = time.process_time()
    assert not combinations.complete(items)
    assert len(list(combinations.missing(items))) == 1_000
    covering = [{"a": n % 10, "b": n // 10 % 10, "c": n // 100 % 10, "n": n} for n in range(30_000)]
    assert combinations.complete(covering)
    assert time.process_time() - began < 2.0  # 30,000,000 comparisons take ten times as long


def test_values_that_equal_in_many_ways_stay_cheap() -> None:
    """Spellings of one number on all sides: what an item covers multiplies, but each kind of item only once."""
    spelled = ["4", 4, "4.0", "4000m", "4e0", "0.004k", "4.00", "+4", " 4", "4 "]
    entries = [{"key": f"/{key}", "operator": "In", "values": spelled} for key in "abc"]
    combinations = Combinations(ItemSelector.model_validate({"matchExpressions": entries}))
    items = [{"a": 4, "b": ("4", 4)[number % 2], "c": "4", "n": number} for number in range(30_000)]
    began = time.process_time()
    assert not combinations.complete(items)
    assert time.process_time() - began < 2.0
    assert combinations.complete([*items, {"a": 4, "b": 4, "c": 4}])
