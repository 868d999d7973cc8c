"""Margo's device capabilities in and out: every form is read, and what is written is read again as the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.topics.margo.documents import MISSING, changed
from topics.documents.device import Capabilities, Cpu, Interface, Peripheral, Runtime, Volume
from topics.eligibility import properties_of
from topics.errors import ContractError, Reason
from topics.margo import capabilities_manifest, read_capabilities
from topics.margo.capabilities_manifest import margo_size
from topics.margo.vocabulary import INTERFACES, MARGO_ARCHITECTURES, PERIPHERALS
from topics.quantity import parse_quantity

CURRENT: dict[str, Any] = {
    "properties": {
        "id": "gateway-4/edge-11",
        "vendor": "Example Works",
        "modelNumber": "EW-9",
        "serialNumber": "0042",
        "cpus": [{"cores": 8, "architecture": "arm64"}, {"cores": 2, "architecture": "arm"}],
        "memory": "16Gi",
        "storage": "240Gi",
        "peripherals": [{"type": "camera", "manufacturer": "Lens Ltd", "model": "L1"}],
        "interfaces": [{"type": "ethernet"}, {"type": "canbus"}],
        "otelCollector": True,
        "supportedRuntimes": ["oci"],
        "supportedDeploymentTypes": ["helm", "compose"],
    }
}
PR1: dict[str, Any] = {
    "apiVersion": "device.margo.org/v1alpha1",
    "kind": "DeviceCapabilitiesManifest",
    "properties": {
        "id": "edge-12", "vendor": "Example Works", "modelNumber": "EW-9", "serialNumber": "0043",
        "roles": ["Standalone Device"],
        "resources": {
            "cpu": {"cores": 4, "architecture": "amd64"}, "memory": "8 Gi", "storage": "100 Gi",
            "peripherals": [], "interfaces": [{"type": "wifi"}],
        },
    },
}  # fmt: skip
OLD: dict[str, Any] = {
    "apiVersion": "device.margo/v1",
    "kind": "DeviceCapability",
    "properties": {
        "id": "edge-13", "vendor": "Example Works", "modelNumber": "EW-7", "serialNumber": "0044",
        "roles": ["cluster lead"],
        "resources": {"cpu": [{"architecture": "Intel x64", "cores": 4}], "memory": "8.0 GB", "storage": "500 GB"},
        "peripherals": [{"name": "Screen 21", "type": "Display", "modelNumber": "S21",
                         "properties": {"manufacturer": "Glass Ltd"}}],
        "interfaces": [{"name": "Radio", "type": "Wi-Fi", "modelNumber": "R1", "properties": {"bands": ["5 GHz"]}}],
    },
}  # fmt: skip


def refusals(document: object) -> list[tuple[str, str]]:
    """Code and path of every reason."""
    with pytest.raises(ContractError) as caught:
        read_capabilities(document)
    assert all(reason.message for reason in caught.value.reasons)
    return [(reason.code, reason.path) for reason in caught.value.reasons]


def paths(warnings: tuple[Reason, ...]) -> list[str]:
    """The paths of the tolerances."""
    assert all(reason.code == "tolerated" for reason in warnings)
    return [reason.path for reason in warnings]


def test_the_current_form_needs_no_tolerance() -> None:
    """Everything that it says is there, and the device is behind its gateway."""
    found, warnings = read_capabilities(CURRENT)
    assert warnings == ()
    assert (found.device, found.gateway) == ("edge-11", "gateway-4")
    assert (found.vendor, found.model, found.serial) == ("Example Works", "EW-9", "0042")
    assert [(cpu.cores, cpu.architecture) for cpu in found.cpus] == [(8, "arm64"), (2, "arm")]
    assert (found.memory, found.storage[0].capacity) == (16 * 2**30, 240 * 2**30)
    assert [(item.type, item.manufacturer, item.model) for item in found.peripherals] == [("camera", "Lens Ltd", "L1")]
    assert [item.type for item in found.interfaces] == ["ethernet", "canbus"]
    assert found.deployment_types == ("helm", "compose")
    assert properties_of(found)["supportedRuntimes"] == ["oci"]


def test_the_form_of_pr1_is_read() -> None:
    """Resources one level deeper, one processor, roles, a space in the quantities."""
    found, warnings = read_capabilities(PR1)
    assert (found.memory, found.deployment_types) == (8 * 2**30, ("compose",))
    assert [cpu.cores for cpu in found.cpus] == [4]
    inner = "properties.resources"
    assert paths(warnings) == [
        "apiVersion", inner, "properties.roles", f"{inner}.cpu", f"{inner}.cpu", f"{inner}.memory", f"{inner}.storage",
    ]  # fmt: skip


def test_the_form_of_2024_is_read() -> None:
    """Free texts for architecture and types, decimal sizes with a B, a manufacturer among the properties."""
    found, warnings = read_capabilities(OLD)
    assert (found.memory, found.storage[0].capacity) == (8 * 10**9, 500 * 10**9)
    assert (found.cpus[0].architecture, found.deployment_types) == ("amd64", ("helm",))
    assert [(item.type, item.manufacturer, item.model) for item in found.peripherals] == [
        ("display", "Glass Ltd", "S21")
    ]
    assert [(item.type, item.name) for item in found.interfaces] == [("wifi", "Radio")]
    inner = "properties.resources"
    assert paths(warnings) == [
        "kind", inner, "properties.roles", f"{inner}.cpu", f"{inner}.cpu[0].architecture", f"{inner}.memory",
        f"{inner}.storage", "properties.peripherals[0]", "properties.peripherals[0].type",
        "properties.interfaces[0]", "properties.interfaces[0].type",
    ]  # fmt: skip


def test_a_gateway_that_takes_no_workloads_says_only_who_it_is() -> None:
    """Nothing more is required of it, and nothing more is written."""
    document = {"properties": {"id": "gateway-4", "vendor": "v", "modelNumber": "m", "serialNumber": ""}}
    found, warnings = read_capabilities(document)
    assert (warnings, found.deployment_types) == ((), ())
    assert capabilities_manifest(found) == document


def test_a_newer_document_may_say_more() -> None:
    """A program wrote it: what is unknown is named and ignored, as in all documents of programs."""
    found, warnings = read_capabilities(changed(CURRENT, ("properties/installContext", {"a": {"value": "b"}})))
    assert paths(warnings) == ["properties.installContext"]
    assert found == read_capabilities(CURRENT)[0]


@pytest.mark.parametrize(
    ("path", "value", "code", "where"),
    [
        ("properties", MISSING, "missing", "properties"),
        ("properties", [], "wrong-type", "properties"),
        ("kind", "Pudding", "wrong-kind", "kind"),
        ("apiVersion", "device.margo.org/v9", "unsupported-version", "apiVersion"),
        ("properties/id", MISSING, "missing", "properties.id"),
        ("properties/id", "a/b/c", "bad-id", "properties.id"),
        ("properties/id", "a b", "bad-id", "properties.id"),
        ("properties/vendor", MISSING, "missing", "properties.vendor"),
        ("properties/serialNumber", None, "missing", "properties.serialNumber"),
        ("properties/cpus", MISSING, "missing", "properties.cpus"),
        ("properties/cpus", [], "missing", "properties.cpus"),
        ("properties/cpus/0/cores", 2.5, "invalid", "properties.cpus[0].cores"),
        ("properties/cpus/0/cores", -1, "invalid", "properties.cpus[0].cores"),
        ("properties/cpus/0/cores", True, "wrong-type", "properties.cpus[0].cores"),
        ("properties/cpus/0/cores", MISSING, "missing", "properties.cpus[0].cores"),
        ("properties/cpus/0/architecture", "sparc", "not-allowed", "properties.cpus[0].architecture"),
        ("properties/memory", MISSING, "missing", "properties.memory"),
        ("properties/memory", "much", "invalid", "properties.memory"),
        ("properties/memory", "9999999Ei", "invalid", "properties.memory"),
        ("properties/memory", [], "wrong-type", "properties.memory"),
        ("properties/storage", MISSING, "missing", "properties.storage"),
        ("properties/peripherals/0/type", "toaster", "not-allowed", "properties.peripherals[0].type"),
        ("properties/peripherals/0/type", "other", "not-allowed", "properties.peripherals[0].type"),
        ("properties/interfaces/0/type", "serial", "not-allowed", "properties.interfaces[0].type"),
        ("properties/interfaces", "ethernet", "wrong-type", "properties.interfaces"),
        ("properties/interfaces", [{"type": "usb"}] * 1001, "too-many", "properties.interfaces"),
        ("properties/roles", ["Butler"], "not-allowed", "properties.roles[0]"),
        ("properties/supportedRuntimes", [7], "wrong-type", "properties.supportedRuntimes[0]"),
        ("properties/supportedDeploymentTypes", MISSING, "missing", "properties.supportedDeploymentTypes"),
    ],
)
def test_what_could_not_be_matched_against_is_refused(path: str, value: Any, code: str, where: str) -> None:
    """One fault, one reason, with its path."""
    assert refusals(changed(CURRENT, (path, value))) == [(code, where)]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("properties/cpus/0/cores", "8"), ("properties/cpus/0/cores", 8.0),
        ("properties/cpus/0/architecture", "aarch64"), ("properties/memory", "16 Gi"),
        ("properties/memory", 17179869184), ("properties/interfaces/1/type", "CAN bus"),
        ("properties/peripherals/0/type", "Camera"), ("properties/otelCollector", False),
        ("properties/supportedDeploymentTypes", ["helm.v3", "compose"]), ("properties/serialNumber", 42),
    ],
)  # fmt: skip
def test_another_spelling_is_the_same_device(path: str, value: Any) -> None:
    """With one warning, at its place."""
    found, warnings = read_capabilities(changed(CURRENT, (path, value)))
    assert len(warnings) == 1
    assert warnings[0].path.startswith("properties.")
    as_it_was = read_capabilities(CURRENT)[0]
    assert found.model_copy(update={"serial": as_it_was.serial}) == as_it_was


@pytest.mark.parametrize("value", [None, [], "x", 7, {1: 2}])
def test_what_is_no_document_is_refused(value: object) -> None:
    """Never a crash."""
    assert refusals(value) == [("malformed", "")]


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
capabilities = st.builds(
    Capabilities,
    device=st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,8}[a-z0-9])?", fullmatch=True),
    gateway=st.none() | st.just("gateway-1"),
    vendor=texts,
    model=texts,
    serial=texts,
    labels=st.just({"line": "3"}),
    cpus=st.lists(
        st.builds(Cpu, architecture=st.sampled_from(MARGO_ARCHITECTURES), cores=st.integers(1, 512)),
        min_size=1, max_size=3,
    ).map(tuple),
    memory=st.integers(1, 2**40).map(lambda kibi: kibi * 1024),
    storage=st.integers(1, 2**50).map(lambda kibi: (Volume(path="/", capacity=kibi * 1024),)),
    peripherals=st.lists(
        st.builds(Peripheral, type=st.sampled_from(PERIPHERALS), manufacturer=texts, model=texts), max_size=3
    ).map(tuple),
    interfaces=st.lists(
        st.sampled_from(INTERFACES).map(lambda kind: Interface.model_validate({"name": kind, "type": kind})), max_size=4
    ).map(tuple),
    runtimes=st.just((Runtime(name="kubernetes"), Runtime(name="docker"))),
    deployment_types=st.sampled_from([("helm",), ("compose",), ("helm", "compose")]),
)  # fmt: skip

_MARGO = ("id", "vendor", "modelNumber", "serialNumber", "cpus", "memory", "storage", "peripherals", "interfaces",
          "supportedRuntimes", "supportedDeploymentTypes")  # fmt: skip


@given(capabilities)
def test_what_is_written_is_read_again_as_the_same_device(device: Capabilities) -> None:
    """As far as Margo has words for it, and without a tolerance; writing it again gives the same document."""
    document = capabilities_manifest(device, otel_collector=True)
    found, warnings = read_capabilities(document)
    assert warnings == ()
    before, after = properties_of(device), properties_of(found)
    assert {key: before.get(key) for key in _MARGO} == {key: after.get(key) for key in _MARGO}
    assert capabilities_manifest(found, otel_collector=True) == document


def test_what_margo_has_no_word_for_is_left_out() -> None:
    """Other hardware, an architecture beyond its three, labels; the processor itself stays."""
    device = Capabilities(
        device="edge-1", labels={"a": "b"}, cpus=(Cpu(architecture="riscv64", cores=4),), memory=2**30 + 5,
        storage=(Volume(path="/", capacity=2**40), Volume(path="/data", capacity=3 * 2**40)),
        interfaces=(Interface(name="x", type="other"),), peripherals=(Peripheral(type="other"),),
        deployment_types=("helm", "kubernetes"), runtimes=(Runtime(name="kubernetes"),),
    )  # fmt: skip
    properties = capabilities_manifest(device)["properties"]
    assert properties["cpus"] == [{"cores": 4}]
    assert (properties["memory"], properties["storage"]) == ("1Gi", "3Ti")
    assert (properties["interfaces"], properties["peripherals"]) == ([], [])
    assert properties["supportedDeploymentTypes"] == ["helm"]


@given(st.integers(0, 2**63 - 1))
def test_a_size_is_never_written_as_more_than_it_is(size: int) -> None:
    """And as less than a Ki less."""
    written = parse_quantity(margo_size(size))
    assert size - 1024 < written <= size
