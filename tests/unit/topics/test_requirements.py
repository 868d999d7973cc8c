"""Can this device run that: each refusal, and the boundaries."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topics.documents.device import Capabilities, Cpu, Volume
from topics.documents.spec import Requirements
from topics.quantity import parse_quantity
from topics.requirements import unmet, unsupported

GI = 2**30


def device(**changes: Any) -> Capabilities:
    fields: dict[str, Any] = {
        "device": "edge-01",
        "cpus": (Cpu(architecture="amd64", cores=4),),
        "memory": 4 * GI,
        "storage": (Volume(path="/", capacity=20 * GI), Volume(path="/data", capacity=50 * GI)),
        "appliers": ("kubernetes",),
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
    ],
)
def test_each_refusal_compares(wanted: dict[str, Any], path: str, code: str, required: str, available: str) -> None:
    """The reason has the field's path, what is required, what there is, and the device."""
    (reason,) = unmet(needs(**wanted), device())
    assert (reason.path, reason.code) == (f"spec.requirements.{path}", code)
    assert (reason.required, reason.available, reason.device) == (required, available, "edge-01")
    assert reason.message


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"cpu": {"cores": 4}},
        {"cpu": {"cores": "4000m", "architectures": ["arm64", "amd64"]}},
        {"memory": "4Gi"},
        {"memory": "4 Gi"},
        {"storage": "50Gi"},
        {"cpu": {"cores": 4, "architectures": ["amd64"]}, "memory": "4Gi", "storage": "50Gi"},
    ],
)
def test_exactly_enough_fits(wanted: dict[str, Any]) -> None:
    """Equal is enough, for each of them and for all together."""
    assert unmet(needs(**wanted), device()) == ()


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
    empty = device(cpus=(), memory=0, storage=())
    wanted = needs(cpu={"cores": "1m", "architectures": ["amd64"]}, memory=1, storage=1)
    assert [reason.code for reason in unmet(wanted, empty)] == ["architecture", "memory", "storage"]
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
