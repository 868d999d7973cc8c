"""Agent selectors, references, and the words for what does not hold."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from topics.documents.device import Capabilities
from topics.documents.selection import ItemSelector, PropertyExpression, Selector
from topics.eligibility import Subject, compile_references, compile_selector, refers, selects, unselected

GI = 2**30


def device(**fields: Any) -> Subject:
    base: dict[str, Any] = {
        "device": "edge-01",
        "labels": {"line": "press", "tier": "2", "debug": "true", "empty": ""},
        "cpus": [{"architecture": "amd64", "cores": 4}, {"architecture": "arm64", "cores": 8}],
        "memory": 8 * GI,
        "storage": [{"path": "/", "capacity": 59 * GI}],
        "interfaces": [{"type": "ethernet", "name": "eth0"}, {"type": "wifi", "name": "wlan0"}],
        "peripherals": [{"type": "gpu", "manufacturer": "NVIDIA"}, {"type": "camera", "manufacturer": "Axis"}],
        "deploymentTypes": ["helm", "compose"],
        "vendor": "Maker",
        "serial": "007",
    }
    return Subject(Capabilities.model_validate({**base, **fields}))


def holds(key: str, operator: str, *values: Any, item: list[tuple[Any, ...]] | None = None) -> bool:
    """Whether one expression holds for the device above; ``unselected`` must agree."""
    expression: dict[str, Any] = {"key": key, "operator": operator, "values": list(values)}
    if item is not None:
        entries = [{"key": k, "operator": op, "values": list(rest)} for k, op, *rest in item]
        expression["itemSelector"] = {"matchExpressions": entries}
    selector = Selector.model_validate({"matchExpressions": [expression]})
    subject = device()
    found = selects(selector, subject)
    assert found == (not unselected(selector, subject))
    return found


FACTS: list[tuple[bool, str, str, tuple[Any, ...]]] = [
    # In: texts by their characters, numbers by their value.
    (True, "/vendor", "In", ("Other", "Maker")),
    (False, "/vendor", "In", ("maker",)),
    (True, "/cpus/0/cores", "In", (4,)),
    (True, "/cpus/0/cores", "In", ("4000m",)),
    (True, "/cpus/0/cores", "In", (4.0,)),
    (False, "/cpus/0/cores", "In", (4.5, 5, "four")),
    (False, "/cpus/0/cores", "In", (True,)),
    (True, "/memory", "In", ("8Gi",)),
    (True, "/memory", "In", ("8 Gi",)),
    (True, "/storage", "In", (59 * GI,)),
    (False, "/memory", "In", ("8G",)),
    (True, "/serialNumber", "In", ("007",)),
    (False, "/serialNumber", "In", (7, "7")),  # a text stays a text
    (True, "/labels/tier", "In", (2,)),
    (False, "/labels/tier", "In", ("2000m",)),
    (True, "/labels/debug", "In", (True,)),
    (False, "/labels/debug", "In", (1,)),
    (False, "/nothing", "In", ("x",)),
    (False, "/supportedDeploymentTypes", "In", ("helm",)),  # a list never equals
    (False, "/labels", "In", ("line",)),
    # NotIn: the opposite, a missing property among it.
    (True, "/vendor", "NotIn", ("Other",)),
    (False, "/vendor", "NotIn", ("Maker", "Other")),
    (False, "/memory", "NotIn", ("8Gi",)),
    (True, "/nothing", "NotIn", ("x",)),
    (True, "/supportedDeploymentTypes", "NotIn", ("helm",)),
    # Exists, DoesNotExist.
    (True, "/vendor", "Exists", ()),
    (True, "/cpus/1", "Exists", ()),
    (False, "/cpus/2", "Exists", ()),
    (False, "/cpus/-", "Exists", ()),
    (False, "/modelNumber", "Exists", ()),
    (True, "/modelNumber", "DoesNotExist", ()),
    (False, "/vendor", "DoesNotExist", ()),
    # Gt, Lt: exact, as quantities; never for what is no number.
    (True, "/memory", "Gt", ("4Gi",)),
    (False, "/memory", "Gt", ("8Gi",)),
    (True, "/memory", "Gt", (8 * GI - 1,)),
    (True, "/memory", "Gt", ("8589934591.9",)),
    (True, "/storage", "Gt", ("58.9 Gi",)),
    (False, "/memory", "Lt", ("8Gi",)),
    (True, "/memory", "Lt", ("8.0000000001Gi",)),
    (True, "/cpus/0/cores", "Lt", ("4001m",)),
    (True, "/cpus/0/cores", "Gt", (-1,)),
    (False, "/cpus/0/cores", "Lt", (-1,)),
    (True, "/labels/tier", "Gt", ("1",)),
    (True, "/labels/tier", "Lt", (2.5,)),
    (False, "/labels/tier", "Gt", ("2",)),
    (False, "/labels/tier", "Lt", ("2000m",)),
    (False, "/cpus/0/cores", "Gt", (4,)),
    (False, "/cpus/0/cores", "Lt", ("4",)),
    (False, "/vendor", "Gt", ("0",)),
    (False, "/vendor", "Lt", ("100",)),
    (False, "/labels/debug", "Gt", ("0",)),
    (False, "/nothing", "Gt", ("0",)),
    (False, "/nothing", "Lt", ("1Ei",)),
    (False, "/cpus", "Gt", ("0",)),
    # ContainsAll, ContainsAny with values.
    (True, "/supportedDeploymentTypes", "ContainsAll", ("helm",)),
    (True, "/supportedDeploymentTypes", "ContainsAll", ("compose", "helm", "helm")),
    (False, "/supportedDeploymentTypes", "ContainsAll", ("helm", "kubernetes")),
    (True, "/supportedDeploymentTypes", "ContainsAny", ("kubernetes", "helm")),
    (False, "/supportedDeploymentTypes", "ContainsAny", ("kubernetes",)),
    (False, "/nothing", "ContainsAll", ("x",)),
    (False, "/nothing", "ContainsAny", ("x",)),
    (False, "/vendor", "ContainsAny", ("Maker",)),  # a text is no list
    (False, "/interfaces", "ContainsAny", ("ethernet",)),  # objects equal no scalar
    # Labels.
    (True, "line", "In", ("press", "paint")),
    (False, "line", "In", ("paint",)),
    (True, "line", "NotIn", ("paint",)),
    (True, "absent", "NotIn", ("paint",)),
    (True, "line", "Exists", ()),
    (True, "empty", "Exists", ()),
    (False, "absent", "Exists", ()),
    (True, "absent", "DoesNotExist", ()),
    (True, "tier", "In", (2,)),
]


@pytest.mark.parametrize(("expected", "key", "operator", "values"), FACTS)
def test_each_operator_has_its_meaning(expected: bool, key: str, operator: str, values: tuple[Any, ...]) -> None:
    """One fact of the decision page a line."""
    assert holds(key, operator, *values) is expected


ITEM_FACTS: list[tuple[bool, str, str, list[tuple[Any, ...]]]] = [
    (True, "/peripherals", "ContainsAny", [("/type", "In", "gpu"), ("/manufacturer", "In", "NVIDIA")]),
    (False, "/peripherals", "ContainsAny", [("/type", "In", "camera"), ("/manufacturer", "In", "NVIDIA")]),
    (True, "/interfaces", "ContainsAny", [("/type", "In", "ethernet", "bluetooth")]),
    (True, "/interfaces", "ContainsAll", [("/type", "In", "ethernet", "wifi")]),
    (False, "/interfaces", "ContainsAll", [("/type", "In", "ethernet", "bluetooth")]),
    (True, "/peripherals", "ContainsAll", [("/type", "In", "gpu"), ("/manufacturer", "In", "NVIDIA")]),
    # gpu and camera, each of NVIDIA and of Axis: four items, two are there.
    (False, "/peripherals", "ContainsAll", [("/type", "In", "gpu", "camera"), ("/manufacturer", "In", "NVIDIA", "Axis")]),
    (True, "/peripherals", "ContainsAll", [("/type", "In", "gpu", "camera"), ("/manufacturer", "NotIn", "Intel")]),
    (False, "/peripherals", "ContainsAll", [("/type", "In", "gpu", "camera"), ("/manufacturer", "NotIn", "Axis")]),
    (True, "/peripherals", "ContainsAll", [("/model", "DoesNotExist")]),
    (False, "/peripherals", "ContainsAny", [("/model", "Exists")]),
    (True, "/cpus", "ContainsAny", [("/architecture", "In", "arm64"), ("/cores", "Gt", 7)]),
    (False, "/cpus", "ContainsAny", [("/architecture", "In", "amd64"), ("/cores", "Gt", 7)]),
    (True, "/cpus", "ContainsAll", [("/cores", "In", 4, "4000m", 8)]),  # 4 and 4000m: one item is both
    (False, "/nothing", "ContainsAny", [("/type", "DoesNotExist")]),
    (False, "/nothing", "ContainsAll", [("/type", "DoesNotExist")]),
    (False, "/vendor", "ContainsAny", [("/type", "DoesNotExist")]),
    (False, "/labels", "ContainsAny", [("/type", "DoesNotExist")]),
    (False, "/supportedDeploymentTypes", "ContainsAny", [("/type", "DoesNotExist")]),  # scalars are no items
    (False, "/supportedDeploymentTypes", "ContainsAll", [("/type", "DoesNotExist")]),
]  # fmt: skip


@pytest.mark.parametrize(("expected", "key", "operator", "item"), ITEM_FACTS)
def test_item_selectors_ask_for_one_item_or_for_all(
    expected: bool, key: str, operator: str, item: list[tuple[Any, ...]]
) -> None:
    """``ContainsAny``: one item satisfies all of it. ``ContainsAll``: one item for each combination of values."""
    assert holds(key, operator, item=item) is expected


def test_all_parts_of_a_selector_must_hold() -> None:
    """Labels, expressions on labels, expressions on properties; of no parts, always."""
    parts: dict[str, Any] = {
        "matchLabels": {"line": "press"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["1", "2"]},
            {"key": "/memory", "operator": "Gt", "values": ["4Gi"]},
        ],
    }
    fits = compile_selector(Selector.model_validate(parts))
    assert fits(device())
    assert not fits(device(memory=4 * GI))
    assert not fits(device(labels={"line": "press"}))
    assert not fits(device(labels={"tier": "2"}))
    assert selects(Selector(), device())


WORDS: list[tuple[dict[str, Any], str]] = [
    ({"key": "/vendor", "operator": "In", "values": ["A", "B"]}, "/vendor must be A or B; the device has Maker"),
    ({"key": "/nothing", "operator": "In", "values": ["A"]}, "/nothing must be A; the device has none"),
    ({"key": "/vendor", "operator": "NotIn", "values": ["Maker"]}, "/vendor must not be Maker; the device has Maker"),
    ({"key": "/model", "operator": "Exists"}, "/model must be there; the device has none"),
    ({"key": "/vendor", "operator": "DoesNotExist"}, "/vendor must not be there; the device has Maker"),
    ({"key": "/memory", "operator": "Gt", "values": ["10Gi"]}, "/memory must be greater than 10Gi; the device has 8Gi"),
    ({"key": "/memory", "operator": "Lt", "values": [5]}, "/memory must be less than 5; the device has 8589934592"),
    (
        {"key": "/vendor", "operator": "Gt", "values": [5]},
        "/vendor must be greater than 5; the device has Maker, which is no number or quantity",
    ),
    (
        {"key": "/supportedDeploymentTypes", "operator": "ContainsAll", "values": ["helm", "x", "y"]},
        "/supportedDeploymentTypes must contain x and y; the device has helm, compose",
    ),
    (
        {"key": "/vendor", "operator": "ContainsAny", "values": ["x", "y"]},
        "/vendor must contain x or y; the device has Maker, which is no list",
    ),
    (
        {"key": "/interfaces", "operator": "ContainsAll", "itemSelector": {"matchExpressions": [
            {"key": "/type", "operator": "In", "values": ["ethernet", "bluetooth"]}]}},
        "/interfaces must contain an item with type bluetooth; the device has ethernet, wifi",
    ),
    (
        {"key": "/interfaces", "operator": "ContainsAll", "itemSelector": {"matchExpressions": [
            {"key": "/type", "operator": "In", "values": ["usb", "bluetooth"]},
            {"key": "/name", "operator": "Exists"}]}},
        ("/interfaces must contain an item with type usb and any name, one with type bluetooth and any name; "
         "the device has ethernet eth0, wifi wlan0"),
    ),
    (
        {"key": "/peripherals", "operator": "ContainsAny", "itemSelector": {"matchExpressions": [
            {"key": "/type", "operator": "In", "values": ["gpu", "display"]},
            {"key": "/manufacturer", "operator": "NotIn", "values": ["NVIDIA"]},
            {"key": "/model", "operator": "DoesNotExist"},
            {"key": "/ports", "operator": "Gt", "values": [2]}]}},
        ("/peripherals must contain an item with type gpu or display and manufacturer not NVIDIA and no model and "
         "ports greater than 2; the device has gpu NVIDIA, camera Axis"),
    ),
    ({"key": "line", "operator": "In", "values": ["paint"]}, "label line must be paint; the device has press"),
    ({"key": "empty", "operator": "NotIn", "values": [""]}, 'label empty must not be ""; the device has ""'),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "sentence"), WORDS)
def test_a_reason_says_what_is_asked_and_what_is_there(expression: dict[str, Any], sentence: str) -> None:
    """In one sentence, with the path of the expression."""
    (reason,) = unselected(Selector.model_validate({"matchExpressions": [expression]}), device())
    assert reason.message == sentence
    assert (reason.path, reason.code) == ("spec.agents.selector.matchExpressions[0]", "selector")
    assert (reason.required or "").startswith(expression["operator"])
    assert reason.available
    assert reason.device == "edge-01"


def test_equality_with_a_list_names_the_operator_for_lists() -> None:
    """The hint: published packages make this mistake."""
    expression = {"key": "/supportedDeploymentTypes", "operator": "In", "values": ["helm"]}
    (reason,) = unselected(Selector.model_validate({"matchExpressions": [expression]}), device())
    assert "ContainsAny" in (reason.hint or "")


def test_labels_that_differ_have_their_path() -> None:
    """Of ``matchLabels`` each is a reason of its own."""
    reasons = unselected(Selector.model_validate({"matchLabels": {"line": "paint", "site": "north"}}), device())
    assert [reason.path for reason in reasons] == [
        "spec.agents.selector.matchLabels.line", "spec.agents.selector.matchLabels.site",
    ]  # fmt: skip


def test_reasons_stay_short_whatever_stands_in_the_document() -> None:
    """Long values, many values, many items, many missing combinations: each reason stays below 2,000 characters."""
    values = ["x" * 5_000 + str(number) for number in range(30)]
    many = [{"type": "other", "name": "n" * 5_000 + str(number)} for number in range(500)]
    entries = [
        {"key": "/name", "operator": "In", "values": values},
        {"key": "/type", "operator": "In", "values": values},
    ]
    expressions: list[dict[str, Any]] = [
        {"key": "/vendor", "operator": "In", "values": values},
        {"key": "/vendor", "operator": "ContainsAll", "values": values},
        {"key": "/interfaces", "operator": "ContainsAny", "values": values},
        {"key": "/interfaces", "operator": "ContainsAll", "itemSelector": {"matchExpressions": entries}},
        {"key": "/interfaces", "operator": "ContainsAny", "itemSelector": {"matchExpressions": entries * 50}},
        {"key": "/interfaces/0/name", "operator": "DoesNotExist"},
        {"key": "/" + "k" * 499, "operator": "Exists"},
    ]
    subject = device(interfaces=many, vendor="v" * 100_000)
    reasons = unselected(Selector.model_validate({"matchExpressions": expressions}), subject)
    assert len(reasons) == len(expressions)
    for reason in reasons:
        assert sum(len(text or "") for text in (reason.path, reason.message, reason.required, reason.available)) < 2_000


@pytest.mark.parametrize(
    ("reference", "gateway", "expected"),
    [
        ("edge-01", None, True),
        ("edge-01", "gate", True),
        ("edge-02", None, False),
        ("gate/edge-01", "gate", True),
        ("gate/edge-01", "other", False),
        ("gate/edge-01", None, False),
        ("gate/edge-02", "gate", False),
        ("gate/*", "gate", True),
        ("gate/*", "other", False),
        ("gate/*", None, False),
        ("edge-01/*", None, False),
        ("gate", "gate", False),
    ],
)
def test_references_name_devices_and_those_behind_a_gateway(
    reference: str, gateway: str | None, expected: bool
) -> None:
    """By id, by path, or all of a gateway; the gateway itself is not behind itself. The compiled form agrees."""
    subject = device(gateway=gateway)
    assert refers(reference, subject) is expected
    assert compile_references([reference, "unrelated"])(subject) is expected
    assert not compile_references([])(subject)


def test_combinations_are_bounded_where_the_document_is_read() -> None:
    """A thousand are taken, more are refused by the document itself; ``ContainsAny`` asks for no combinations."""
    ten, eleven = ([{"key": f"/{k}", "operator": "In", "values": list(range(n))} for k in "abc"] for n in (10, 11))
    assert ItemSelector.model_validate({"matchExpressions": ten}).combinations == 1_000
    with pytest.raises(ValidationError, match="1331"):
        PropertyExpression.model_validate(
            {"key": "/x", "operator": "ContainsAll", "itemSelector": {"matchExpressions": eleven}}
        )
    for operator, entries in (("ContainsAll", ten), ("ContainsAny", eleven)):
        PropertyExpression.model_validate(
            {"key": "/x", "operator": operator, "itemSelector": {"matchExpressions": entries}}
        )


@pytest.mark.parametrize("value", ["much", True, "", "4 Gi Gi", float("inf")])
def test_a_comparison_takes_numbers_and_quantities_only(value: Any) -> None:
    """An expression that no device could fulfil is refused with its document."""
    with pytest.raises(ValidationError, match="exactly one value"):
        PropertyExpression.model_validate({"key": "/memory", "operator": "Gt", "values": [value]})


def test_a_selector_has_a_bounded_number_of_expressions() -> None:
    """Each is asked of every device."""
    entry = {"key": "line", "operator": "Exists"}
    assert Selector.model_validate({"matchExpressions": [entry] * 100})
    with pytest.raises(ValidationError, match="at most 100"):
        Selector.model_validate({"matchExpressions": [entry] * 101})
