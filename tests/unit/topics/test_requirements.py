"""Can this device run that: each refusal, and the boundaries."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topics.allocation import share_of
from topics.documents.device import Capabilities, Cpu, Interface, Peripheral, Volume
from topics.documents.spec import Requirements
from topics.eligibility import Subject
from topics.quantity import parse_quantity
from topics.requirements import MAX_REASONS_PER_RULE, MAX_RULES_EXPLAINED, compile_requirements, unmet, unsupported

GI = 2**30


def device(**changes: Any) -> Capabilities:
    fields: dict[str, Any] = {
        "device": "edge-01",
        "cpus": (Cpu(architecture="amd64", cores=4),),
        "memory": 4 * GI,
        "storage": (Volume(path="/", capacity=20 * GI), Volume(path="/data", capacity=50 * GI)),
        "interfaces": (Interface(name="eth0", type="ethernet"), Interface(name="wlan0", type="wifi")),
        "peripherals": (Peripheral(type="gpu", manufacturer="NVIDIA", model="A2"), Peripheral(type="camera")),
        "appliers": ("kubernetes",),
        "labels": {"line": "press"},
        "vendor": "Maker",
    }
    return Capabilities(**{**fields, **changes})


def needs(**fields: Any) -> Requirements:
    return Requirements.model_validate(fields)


@pytest.mark.parametrize(
    ("wanted", "path", "code", "required", "available"),
    [
        ({"cpu": {"architectures": ["arm64", "arm"]}}, "cpu.architectures", "architecture", "arm64,arm", "amd64"),
        ({"cpu": {"cores": "4001m"}}, "cpu.cores", "cpu", "4001m", "4"),
        ({"cpu": {"cores": 5, "architectures": ["amd64"]}}, "cpu.cores", "cpu", "5", "4"),
        ({"memory": "4097Mi"}, "memory", "memory", "4097Mi", "4Gi"),
        ({"memory": str(4 * GI + 1)}, "memory", "memory", str(4 * GI + 1), "4Gi"),
        ({"storage": "50.1Gi"}, "storage", "storage", "50.1Gi", "50Gi"),
        ({"storage": "30Gi", "images": "20.1Gi"}, "storage", "storage", "50.1Gi", "50Gi"),
        ({"images": "51Gi"}, "storage", "storage", "51Gi", "50Gi"),
        ({"peripherals": [{"type": "display"}]}, "peripherals[0]", "peripheral", "display", "gpu NVIDIA A2, camera"),
        (
            {"peripherals": [{"type": "gpu", "manufacturer": "AMD"}]},
            "peripherals[0]",
            "peripheral",
            "gpu AMD",
            "gpu NVIDIA A2, camera",
        ),
        (
            {"peripherals": [{"type": "camera"}, {"type": "gpu", "manufacturer": "NVIDIA", "model": "H100"}]},
            "peripherals[1]",
            "peripheral",
            "gpu NVIDIA H100",
            "gpu NVIDIA A2, camera",
        ),
        (
            {"peripherals": [{"type": "camera", "manufacturer": "NVIDIA"}]},
            "peripherals[0]",
            "peripheral",
            "camera NVIDIA",
            "gpu NVIDIA A2, camera",
        ),
        (
            {"interfaces": [{"type": "wifi"}, {"type": "canbus"}]},
            "interfaces[1]",
            "interface",
            "canbus",
            "ethernet, wifi",
        ),
    ],
)
def test_each_refusal_compares(wanted: dict[str, Any], path: str, code: str, required: str, available: str) -> None:
    """The reason has the field's path, what is required, what there is, and the device."""
    (reason,) = unmet(needs(**wanted), device())
    assert (reason.path, reason.code) == (f"spec.requirements.{path}", code)
    assert (reason.required, reason.available, reason.device) == (required, available, "edge-01")
    assert reason.message
    assert not compile_requirements(needs(**wanted)).suits(Subject(device()))


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"cpu": {"cores": 4}},
        {"cpu": {"cores": "4000m", "architectures": ["arm64", "amd64"]}},
        {"memory": "4Gi"},
        {"memory": "4 Gi"},
        {"storage": "50Gi"},
        {"storage": "30Gi", "images": "20Gi"},
        {"images": "50Gi"},
        {"peripherals": [{"type": "gpu"}, {"type": "gpu", "model": "A2"}, {"type": "camera"}]},
        {"interfaces": [{"type": "ethernet"}, {"type": "wifi"}]},
        {"cpu": {"cores": 4, "architectures": ["amd64"]}, "memory": "4Gi", "storage": "50Gi"},
    ],
)
def test_exactly_enough_fits(wanted: dict[str, Any]) -> None:
    """Equal is enough, for each of them and for all together."""
    assert unmet(needs(**wanted), device()) == ()
    assert compile_requirements(needs(**wanted)).suits(Subject(device()))


def test_images_are_promised_beside_what_is_stored() -> None:
    """Both sides count with it; where nobody says their size, they count as nothing."""
    assert share_of(needs(storage="1Gi", images="0.5Gi")).storage == 3 * GI // 2
    assert share_of(needs(storage="1Gi")).storage == GI
    (reason,) = unmet(needs(storage="40Gi", images="20Gi"), device())
    assert reason.message == "needs 60Gi storage with its images, the device has 50Gi"


def test_all_reasons_come_at_once() -> None:
    """Nobody has to publish four times to learn four reasons."""
    reasons = unmet(needs(cpu={"cores": 64}, memory="1Ti", storage="1Pi"), device())
    assert [reason.code for reason in reasons] == ["cpu", "memory", "storage"]
    assert [r.code for r in unmet(needs(cpu={"cores": 64, "architectures": ["arm"]}, memory="1Ti"), device())] == [
        "architecture",
        "memory",
    ]


@given(st.lists(st.integers(1, 64), max_size=5), st.integers(1, 128))
def test_cpu_entries_are_never_summed(entries: list[int], cores: int) -> None:
    """A device fits if one entry has the cores, however many others there are."""
    cpus = tuple(Cpu(architecture="amd64", cores=entry) for entry in entries)
    assert (unmet(needs(cpu={"cores": cores}), device(cpus=cpus)) == ()) == (max(entries, default=0) >= cores)


def test_cores_count_on_the_right_architecture_only() -> None:
    """Eight cores of another architecture are none."""
    cpus = (Cpu(architecture="arm64", cores=8), Cpu(architecture="amd64", cores=2))
    (reason,) = unmet(needs(cpu={"cores": 4, "architectures": ["amd64"]}), device(cpus=cpus))
    assert (reason.code, reason.available) == ("cpu", "2")
    assert unmet(needs(cpu={"cores": 4, "architectures": ["amd64", "arm64"]}), device(cpus=cpus)) == ()


def test_a_device_that_says_nothing_fits_nothing() -> None:
    """Absent capabilities are zero, not unlimited."""
    empty = device(cpus=(), memory=0, storage=(), interfaces=(), peripherals=())
    wanted = needs(
        cpu={"cores": "1m", "architectures": ["amd64"]}, memory=1, storage=1,
        peripherals=[{"type": "gpu"}], interfaces=[{"type": "wifi"}],
    )  # fmt: skip
    reasons = unmet(wanted, empty)
    assert [reason.code for reason in reasons] == ["architecture", "memory", "storage", "peripheral", "interface"]
    assert reasons[-1].message == "needs an interface wifi, the device has none"
    assert unmet(needs(), empty) == ()


@given(st.integers(0, 2**50), st.integers(0, 2**50))
def test_memory_is_compared_exactly(wanted: int, available: int) -> None:
    """To the byte, also where the shown figures are equal."""
    assert (unmet(needs(memory=wanted), device(memory=available)) == ()) == (wanted <= available)
    assert parse_quantity(wanted) == wanted


def test_an_applier_is_needed_for_each_type() -> None:
    """One reason for each type that nothing on the device takes, in order."""
    assert unsupported(["kubernetes", "kubernetes"], device()) == ()
    reasons = unsupported(["helm-release", "compose", "kubernetes"], device())
    assert [(reason.code, reason.required) for reason in reasons] == [
        ("no-applier", "compose"),
        ("no-applier", "helm-release"),
    ]
    assert reasons[0].available == "kubernetes"
    assert "the device has none" in unsupported(["compose"], device(appliers=()))[0].message


def item(key: str, operator: str, **conditions: list[str]) -> dict[str, Any]:
    """An expression on the items of a list, each condition an ``In``."""
    expressions = [{"key": f"/{name}", "operator": "In", "values": values} for name, values in conditions.items()]
    return {"key": key, "operator": operator, "itemSelector": {"matchExpressions": expressions}}


def rule(*expressions: dict[str, Any], **labels: str) -> dict[str, Any]:
    made: dict[str, Any] = {"propertySelector": {"matchExpressions": list(expressions)}} if expressions else {}
    return {**made, "labelSelector": {"matchLabels": labels}} if labels else made


GREAT_MEMORY = {"key": "/memory", "operator": "Gt", "values": ["60Gi"]}
OTHER_VENDOR = {"key": "/vendor", "operator": "In", "values": ["A", "B"]}
THIS_VENDOR = {"key": "/vendor", "operator": "In", "values": ["Maker"]}


def test_rules_like_those_of_margos_digitron_want_an_item_for_each_value() -> None:
    """A gpu of NVIDIA in one item, and an ethernet and a bluetooth interface. Worked out operator by operator:

    - ``/peripherals ContainsAll {type In [gpu], manufacturer In [NVIDIA]}`` has one combination; the gpu of the
      device is both: holds.
    - ``/interfaces ContainsAll {type In [ethernet, bluetooth]}`` has two, and an interface has one type: ethernet
      is there, bluetooth is not: does not hold.
    - Expressions are AND'd, and there is no other rule: the device does not suit, for want of bluetooth.
    """
    digitron = needs(rules=[rule(
        item("/peripherals", "ContainsAll", type=["gpu"], manufacturer=["NVIDIA"]),
        item("/interfaces", "ContainsAll", type=["ethernet", "bluetooth"]),
    )])  # fmt: skip
    northstar = device(
        cpus=(Cpu(architecture="amd64", cores=24),),
        memory=59 * GI,
        peripherals=(Peripheral(type="gpu", manufacturer="NVIDIA"),),
    )
    (reason,) = unmet(digitron, northstar)
    assert reason.path == "spec.requirements.rules[0].propertySelector.matchExpressions[1]"
    assert reason.code == "rule"
    assert reason.message == "/interfaces must contain an item with type bluetooth; the device has ethernet, wifi"
    assert (reason.required, reason.available) == (
        "ContainsAll item with type ethernet or bluetooth", "ethernet, wifi",
    )  # fmt: skip
    bluetooth = northstar.model_copy(
        update={"interfaces": (*northstar.interfaces, Interface(name="hci0", type="bluetooth"))}
    )
    assert unmet(digitron, bluetooth) == ()


def test_one_rule_that_holds_is_enough() -> None:
    """Rules are OR'd, in whatever order; no rules ask for nothing."""
    assert unmet(needs(rules=[rule(OTHER_VENDOR), rule(GREAT_MEMORY), rule(THIS_VENDOR)]), device()) == ()
    assert unmet(needs(rules=[rule(THIS_VENDOR), rule(OTHER_VENDOR)]), device()) == ()
    assert unmet(needs(rules=[]), device()) == ()


def test_all_of_a_rule_must_hold() -> None:
    """Its selectors and their expressions are AND'd."""
    assert unmet(needs(rules=[rule(THIS_VENDOR, line="press")]), device()) == ()
    (by_label,) = unmet(needs(rules=[rule(THIS_VENDOR, line="paint")]), device())
    assert by_label.path == "spec.requirements.rules[0].labelSelector.matchLabels.line"
    assert by_label.message == "label line must be paint; the device has press"
    (by_property,) = unmet(needs(rules=[rule(THIS_VENDOR, GREAT_MEMORY, line="press")]), device())
    assert by_property.path == "spec.requirements.rules[0].propertySelector.matchExpressions[1]"
    assert (by_property.required, by_property.available) == ("Gt 60Gi", "4Gi")


def test_of_several_rules_it_is_said_that_one_has_to_hold() -> None:
    """First that, then every failed expression of each."""
    reasons = unmet(needs(rules=[rule(OTHER_VENDOR, GREAT_MEMORY), rule(GREAT_MEMORY, line="press")]), device())
    assert [(reason.code, reason.path.removeprefix("spec.requirements.rules")) for reason in reasons] == [
        ("rules", ""),
        ("rule", "[0].propertySelector.matchExpressions[0]"),
        ("rule", "[0].propertySelector.matchExpressions[1]"),
        ("rule", "[1].propertySelector.matchExpressions[0]"),
    ]  # fmt: skip
    assert reasons[0].message.startswith("one of the 2 rules has to hold and none does")
    assert {reason.device for reason in reasons} == {"edge-01"}


def test_capacity_is_asked_whatever_the_rules_say() -> None:
    """It comes first and is AND'd with them; all reasons come at once."""
    assert [reason.code for reason in unmet(needs(memory="1Ti", rules=[rule(THIS_VENDOR)]), device())] == ["memory"]
    wanted = needs(
        memory="1Ti", interfaces=[{"type": "canbus"}], peripherals=[{"type": "display"}], rules=[rule(OTHER_VENDOR)]
    )
    assert [reason.code for reason in unmet(wanted, device())] == ["memory", "peripheral", "interface", "rule"]


def test_reasons_of_many_rules_are_bounded() -> None:
    """Some rules, some expressions of each, and how many more there are; a rule behind them still counts."""
    broken = rule(*[OTHER_VENDOR] * 100)
    reasons = unmet(needs(rules=[broken] * 100), device())
    assert len(reasons) == 1 + MAX_RULES_EXPLAINED * (MAX_REASONS_PER_RULE + 1)
    assert reasons[0].message.startswith("one of the 100 rules has to hold")
    assert f"first {MAX_RULES_EXPLAINED}" in reasons[0].message
    assert reasons[-1].code == "more"
    assert reasons[-1].message == "and 95 more expressions do not hold"
    assert sum(len(reason.model_dump_json()) for reason in reasons) < 32_768
    assert unmet(needs(rules=[*[broken] * 99, rule(THIS_VENDOR)]), device()) == ()


def test_shared_reasons_are_one_object_for_all_devices() -> None:
    """Alike but for the name of the device, and not made again for the next device."""
    compiled = compile_requirements(needs(memory="1Ti", rules=[rule(OTHER_VENDOR)]))
    first, second = (compiled.unmet_shared(Subject(device(device=name))) for name in ("a", "b"))
    assert [one is other for one, other in zip(first, second, strict=True)] == [True, True]
    assert [reason.device for reason in first] == [None, None]
    assert [reason.message for reason in first] == [reason.message for reason in compiled.unmet(Subject(device()))]
