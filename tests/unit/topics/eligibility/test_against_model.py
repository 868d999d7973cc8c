"""Selectors and rules against a slow model that follows the sentences of the decision page one by one.

The model shares no code with the implementation but the documents.
"""

from __future__ import annotations

import itertools
import json
import re
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from topics.documents.device import Capabilities
from topics.documents.selection import MAX_COMBINATIONS, Selector
from topics.documents.spec import Requirements
from topics.eligibility import Subject, compile_selector, selects, unselected
from topics.eligibility.operators import holds_of
from topics.errors import Reason
from topics.requirements import compile_requirements, unmet

GONE = object()
SUFFIXES = {"": 1, "m": Fraction(1, 1000), "k": 1000, "Ki": 1024, "M": 10**6, "Mi": 1024**2, "G": 10**9, "Gi": 1024**3}


def point(value: Any, pointer: str) -> Any:
    for raw in pointer.split("/")[1:]:
        token = raw.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(token, GONE)
        elif isinstance(value, list):
            value = dict(enumerate(value)).get(int(token), GONE) if re.fullmatch("0|[1-9][0-9]*", token) else GONE
        else:
            return GONE
    return GONE if value is None else value


def amount(value: Any) -> Fraction | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return Fraction(str(value))
    found = (
        re.fullmatch(r"\s*(-?[0-9]+(?:\.[0-9]+)?) *(m|k|Ki|M|Mi|G|Gi)?\s*", value) if isinstance(value, str) else None
    )
    return Fraction(found[1]) * SUFFIXES[found[2] or ""] if found else None


def equal(prop: Any, value: Any) -> bool:
    if isinstance(prop, list | dict):
        return False
    if isinstance(prop, bool):
        return value is prop or value == json.dumps(prop)
    if isinstance(prop, int | float):
        return amount(value) is not None and amount(value) == amount(prop)
    return bool(prop == (value if isinstance(value, str) else json.dumps(value)))


def satisfied(prop: Any, operator: str, values: list[Any]) -> bool:
    if operator == "Exists":
        return prop is not GONE
    if operator == "DoesNotExist":
        return prop is GONE
    if operator == "In":
        return prop is not GONE and any(equal(prop, value) for value in values)
    if operator == "NotIn":
        return prop is GONE or not any(equal(prop, value) for value in values)
    there, limit = amount(prop), amount(values[0])
    assert limit is not None
    return there is not None and (there > limit if operator == "Gt" else there < limit)


def item_satisfies(item: Any, expressions: list[dict[str, Any]]) -> bool:
    return isinstance(item, dict) and all(
        satisfied(point(item, one["key"]), one["operator"], one["values"]) for one in expressions
    )


def narrowed(expressions: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The selector once for each combination of one value of each ``In``."""
    choices = [
        [{**one, "values": [value]} for value in one["values"]] if one["operator"] == "In" else [one]
        for one in expressions
    ]
    return [list(choice) for choice in itertools.product(*choices)]


def holds(prop: Any, expression: dict[str, Any]) -> bool:
    operator = expression["operator"]
    if not operator.startswith("Contains"):
        return satisfied(prop, operator, expression["values"])
    if not isinstance(prop, list):
        return False
    many = all if operator == "ContainsAll" else any
    if "itemSelector" not in expression:
        return many(any(equal(item, value) for item in prop) for value in expression["values"])
    expressions = expression["itemSelector"]["matchExpressions"]
    if operator == "ContainsAny":
        return any(item_satisfies(item, expressions) for item in prop)
    return all(any(item_satisfies(item, single) for item in prop) for single in narrowed(expressions))


def selected(selector: dict[str, Any], properties: dict[str, Any], labels: dict[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        holds(point(properties, one["key"]) if one["key"].startswith("/") else labels.get(one["key"], GONE), one)
        for one in selector.get("matchExpressions", [])
    )


def suitable(needs: dict[str, Any], device: dict[str, Any], properties: dict[str, Any]) -> bool:
    cpu = needs.get("cpu", {})
    entries = [
        one for one in device["cpus"] if not cpu.get("architectures") or one["architecture"] in cpu["architectures"]
    ]
    capacity = (
        (not cpu.get("architectures") or entries)
        and (not cpu.get("cores") or max((one["cores"] for one in entries), default=0) >= (amount(cpu["cores"]) or 0))
        and device["memory"] >= (amount(needs.get("memory", "0")) or 0)
        and max((one["capacity"] for one in device["storage"]), default=0) >= (amount(needs.get("storage", "0")) or 0)
    )
    things = all(
        any(all(item.get(key) == value for key, value in wanted.items()) for item in device[kind])
        for kind in ("peripherals", "interfaces")
        for wanted in needs.get(kind, [])
    )
    rules = needs.get("rules", [])
    return bool(capacity) and things and (not rules or any(
        selected(rule.get("propertySelector", {}), properties, device["labels"])
        and selected(rule.get("labelSelector", {}), properties, device["labels"])
        for rule in rules
    ))  # fmt: skip


WORDS = ["gpu", "camera", "a", "true", "4", "2", "2Gi", "0.5", "-1", "", "x y"]
KEYS = ["type", "maker", "cores"]
scalars = st.sampled_from([*WORDS, 0, 1, 2, 4, -1, 0.5, 2.0, True, False, 2 * 1024**3, "4000m", "2 Gi"])
quantities = st.sampled_from(["-1", "0", "0.5", "2", "4", "4000m", "2Gi", "1.9 Gi", 3, 0.5, -2])


@st.composite
def expressions(draw: st.DrawFn, keys: st.SearchStrategy[str], operators: tuple[str, ...]) -> dict[str, Any]:
    operator = draw(st.sampled_from(operators))
    values: list[Any] = []
    if operator in ("In", "NotIn"):
        values = draw(st.lists(scalars, min_size=1, max_size=4))
    elif operator in ("Gt", "Lt"):
        values = [draw(quantities)]
    made = {"key": draw(keys), "operator": operator, "values": values}
    if operator.startswith("Contains"):
        if draw(st.booleans()):
            made["values"] = draw(st.lists(scalars, min_size=1, max_size=4))
        else:
            entry = expressions(st.sampled_from([f"/{key}" for key in KEYS]), SIMPLE)
            made["itemSelector"] = {"matchExpressions": draw(st.lists(entry, min_size=1, max_size=4))}
    return made


SIMPLE = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
ALL = (*SIMPLE, "ContainsAll", "ContainsAny", "ContainsAll")
items = st.dictionaries(st.sampled_from(KEYS), scalars, max_size=3) | scalars | st.none()
properties = (
    scalars | st.lists(items, max_size=6) | st.lists(scalars, max_size=5)
    | st.dictionaries(st.sampled_from(KEYS), scalars, max_size=3) | st.none()
)  # fmt: skip


@settings(max_examples=600)
@given(properties, expressions(st.just("/x"), ALL))
def test_an_expression_holds_exactly_if_the_model_says_so(value: Any, expression: dict[str, Any]) -> None:
    """For any value, of any type, under any operator; and the words for it can be made."""
    document = Selector.model_validate({"matchExpressions": [expression]}).match_expressions[0]
    assert holds_of(document)(value) == holds(GONE if value is None else value, expression)


GI = 1024**3
ARCHITECTURES = ["amd64", "arm64", "arm"]
INTERFACES = ["ethernet", "wifi", "bluetooth"]
PERIPHERALS = ["gpu", "camera"]
MAKERS = ["", "NVIDIA", "Axis"]
labels = st.dictionaries(st.sampled_from(["line", "tier"]), st.sampled_from(["press", "2", ""]), max_size=2)
devices = st.fixed_dictionaries({
    "device": st.sampled_from(["edge-01", "edge-02"]),
    "labels": labels,
    "cpus": st.lists(
        st.fixed_dictionaries({"architecture": st.sampled_from(ARCHITECTURES), "cores": st.integers(0, 8)}), max_size=3
    ),
    "memory": st.sampled_from([0, 2 * GI, 4 * GI, 4 * GI + 1]),
    "storage": st.lists(
        st.fixed_dictionaries({"path": st.just("/"), "capacity": st.sampled_from([0, 2 * GI, 9 * GI])}), max_size=2
    ),
    "interfaces": st.lists(
        st.fixed_dictionaries({"name": st.sampled_from(["a", "b"]), "type": st.sampled_from(INTERFACES)}), max_size=3
    ),
    "peripherals": st.lists(
        st.fixed_dictionaries({"type": st.sampled_from(PERIPHERALS), "manufacturer": st.sampled_from(MAKERS)}), max_size=3
    ),
    "vendor": st.sampled_from(["", "Maker"]),
    "deploymentTypes": st.lists(st.sampled_from(["helm", "compose"]), unique=True),
})  # fmt: skip
pointers = st.sampled_from([
    "/vendor", "/memory", "/storage", "/cpus", "/cpus/0/cores", "/interfaces", "/peripherals", "/labels/tier", "/labels",
    "/supportedDeploymentTypes", "/supportedDeploymentTypes/0", "/id", "/nothing", "/cpus/-",
])  # fmt: skip
values = st.sampled_from(
    ["Maker", "helm", "compose", "press", "2", 2, "2Gi", "4Gi", "edge-01", "gpu", "NVIDIA", "ethernet", "wifi"]
)


@st.composite
def property_expressions(draw: st.DrawFn) -> dict[str, Any]:
    made = draw(expressions(pointers, ALL))
    if made["operator"] in ("In", "NotIn"):
        made["values"] = draw(st.lists(values, min_size=1, max_size=3))
    if "itemSelector" in made:
        made["itemSelector"] = {"matchExpressions": draw(st.lists(st.one_of(
            st.builds(lambda v, op: {"key": "/type", "operator": op, "values": v},
                      st.lists(st.sampled_from(INTERFACES + PERIPHERALS), min_size=1, max_size=3),
                      st.sampled_from(["In", "NotIn"])),
            st.builds(lambda v: {"key": "/manufacturer", "operator": "In", "values": v},
                      st.lists(st.sampled_from(MAKERS[1:]), min_size=1, max_size=2)),
            st.builds(lambda v: {"key": "/cores", "operator": "Gt", "values": [v]}, st.integers(0, 8)),
            st.just({"key": "/manufacturer", "operator": "Exists", "values": []}),
        ), min_size=1, max_size=3))}  # fmt: skip
    elif made["operator"].startswith("Contains"):
        made["values"] = draw(st.lists(st.sampled_from(["helm", "compose"]), min_size=1, max_size=2))
    return made


label_expressions = st.builds(
    lambda key, op, found: {"key": key, "operator": op, "values": found if op in ("In", "NotIn") else []},
    st.sampled_from(["line", "tier"]),
    st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]),
    st.lists(st.sampled_from(["press", "2", ""]), min_size=1, max_size=2),
)
selectors = st.fixed_dictionaries(
    {}, optional={
        "matchLabels": labels,
        "matchExpressions": st.lists(label_expressions | property_expressions(), max_size=3),
    },
)  # fmt: skip
rules = st.fixed_dictionaries(
    {"propertySelector": st.fixed_dictionaries({"matchExpressions": st.lists(property_expressions(), min_size=1, max_size=2)})},
    optional={"labelSelector": st.fixed_dictionaries({"matchLabels": labels, "matchExpressions": st.lists(label_expressions, max_size=2)})},
) | st.fixed_dictionaries({"labelSelector": st.fixed_dictionaries({"matchLabels": labels})})  # fmt: skip
wants = st.fixed_dictionaries({}, optional={
    "cpu": st.fixed_dictionaries({}, optional={
        "cores": st.sampled_from(["0", "500m", "2", "4001m"]),
        "architectures": st.lists(st.sampled_from(ARCHITECTURES), min_size=1, max_size=2),
    }),
    "memory": st.sampled_from(["0", "2Gi", "4Gi", "4.1 Gi"]),
    "storage": st.sampled_from(["0", "2Gi", "10G"]),
    "peripherals": st.lists(st.fixed_dictionaries(
        {"type": st.sampled_from(PERIPHERALS)}, optional={"manufacturer": st.sampled_from(MAKERS[1:])}), max_size=2),
    "interfaces": st.lists(st.fixed_dictionaries({"type": st.sampled_from(INTERFACES)}), max_size=2),
    "rules": st.lists(rules, max_size=4),
})  # fmt: skip


def sound(reasons: tuple[Reason, ...]) -> None:
    """Every reason can be published, and is short."""
    for reason in reasons:
        assert reason.message
        assert len(reason.model_dump_json()) < 2_000


@settings(max_examples=300)
@given(devices, selectors)
def test_a_selector_selects_exactly_what_the_model_selects(device: dict[str, Any], selector: dict[str, Any]) -> None:
    """In its three forms: at once, compiled, and by its reasons."""
    subject, document = Subject(Capabilities.model_validate(device)), Selector.model_validate(selector)
    expected = selected(selector, subject.properties, device["labels"])
    assert selects(document, subject) == expected
    assert compile_selector(document)(subject) == expected
    reasons = unselected(document, subject)
    assert (not reasons) == expected
    sound(reasons)


@settings(max_examples=500)
@given(devices, wants)
def test_a_device_suits_exactly_if_the_model_says_so(device: dict[str, Any], needs: dict[str, Any]) -> None:
    """And ``suits``, ``unmet`` and ``unmet_shared`` agree, the latter in every word."""
    capabilities = Capabilities.model_validate(device)
    subject, requirements = Subject(capabilities), Requirements.model_validate(needs)
    expected = suitable(needs, device, subject.properties)
    compiled = compile_requirements(requirements)
    reasons = compiled.unmet(subject)
    assert compiled.suits(subject) == expected
    assert (not reasons) == expected
    assert unmet(requirements, capabilities) == unmet(requirements, subject) == reasons
    shared = compiled.unmet_shared(subject)
    assert tuple(reason.model_copy(update={"device": subject.device}) for reason in shared) == reasons
    assert all(one is other for one, other in zip(shared, compiled.unmet_shared(Subject(capabilities)), strict=True))
    sound(reasons)


def test_the_bound_on_combinations_is_that_of_the_document() -> None:
    """What the model enumerates is what the document bounds."""
    entries = [{"key": f"/{key}", "operator": "In", "values": list(range(10))} for key in KEYS]
    assert len(narrowed(entries)) == MAX_COMBINATIONS
