"""The property document: Margo's names, and what a device does not say."""

from __future__ import annotations

import re

from topics.documents.device import Capabilities
from topics.eligibility import Subject, subject_of
from topics.eligibility import subject as subject_module
from topics.eligibility.pointers import finder

GI = 2**30
FULL = Capabilities.model_validate({
    "device": "edge-01",
    "gateway": "gate-1",
    "labels": {"line": "press", "example.com/tier": "2"},
    "cpus": [{"architecture": "amd64", "cores": 4, "physicalCores": 2, "model": "N100"}, {"architecture": "arm64", "cores": 2}],
    "memory": 8 * GI,
    "storage": [{"path": "/", "capacity": 20 * GI}, {"path": "/data", "capacity": 50 * GI}],
    "interfaces": [{"name": "eth0", "type": "ethernet", "address": "10.0.0.1"}, {"name": "wlan0", "type": "wifi"}],
    "peripherals": [{"type": "gpu", "manufacturer": "NVIDIA", "model": "A2"}, {"type": "camera"}],
    "operatingSystem": "Debian 12", "kernel": "6.1.0", "vendor": "Maker", "model": "M1", "serial": "S1",
    "agentVersion": "0.1.0", "appliers": ["kubernetes"], "deploymentTypes": ["helm"],
    "runtimes": [{"name": "kubernetes", "version": "1.34.1", "nodes": 1, "cpu": 4000, "memory": 7 * GI}],
})  # fmt: skip


def test_the_property_document_has_margos_names() -> None:
    """All of it, once: what the table in the docstring says."""
    assert Subject(FULL).properties == {
        "id": "gate-1/edge-01",
        "vendor": "Maker", "modelNumber": "M1", "serialNumber": "S1",
        "cpus": [{"cores": 4, "architecture": "amd64", "physicalCores": 2, "model": "N100"},
                 {"cores": 2, "architecture": "arm64"}],
        "memory": 8 * GI,
        "storage": 50 * GI,
        "peripherals": [{"type": "gpu", "manufacturer": "NVIDIA", "model": "A2"}, {"type": "camera"}],
        "interfaces": [{"type": "ethernet", "name": "eth0"}, {"type": "wifi", "name": "wlan0"}],
        "supportedRuntimes": ["oci"],
        "supportedDeploymentTypes": ["helm"],
        "labels": {"line": "press", "example.com/tier": "2"},
        "volumes": [{"path": "/", "capacity": 20 * GI}, {"path": "/data", "capacity": 50 * GI}],
        "runtimes": [{"name": "kubernetes", "version": "1.34.1", "nodes": 1, "cpu": 4000, "memory": 7 * GI}],
        "operatingSystem": "Debian 12", "kernel": "6.1.0", "agentVersion": "0.1.0",
        "appliers": ["kubernetes"],
    }  # fmt: skip


def test_every_property_stands_in_the_documented_table() -> None:
    """And the table names nothing else."""
    table = re.findall(r"^\| (`.*?`) \|", subject_module.__doc__ or "", re.MULTILINE)
    named = {pointer for cell in table for pointer in re.findall(r"`/(\w+)`", cell)}
    assert named == set(Subject(FULL).properties)


def test_what_a_device_does_not_say_is_no_property() -> None:
    """No empty texts, lists or sizes of zero: ``Exists`` would hold for them."""
    assert Subject(Capabilities(device="edge-01")).properties == {"id": "edge-01"}


def test_the_number_zero_is_said_inside_of_entries() -> None:
    """A cluster with no nodes is something else than a cluster that does not say."""
    device = Capabilities.model_validate({"device": "a", "runtimes": [{"name": "kubernetes", "nodes": 0}]})
    assert Subject(device).properties["runtimes"] == [{"name": "kubernetes", "nodes": 0}]


def test_helm_and_compose_alone_run_no_containers() -> None:
    """``oci`` is for what runs containers itself."""
    for name, runs in (("docker", True), ("podman", True), ("containerd", True), ("helm", False), ("compose", False)):
        device = Capabilities.model_validate({"device": "a", "runtimes": [{"name": name}]})
        assert ("supportedRuntimes" in Subject(device).properties) is runs


def test_labels_with_a_prefix_are_reached_by_an_escaped_pointer() -> None:
    """A ``/`` in the label's name is ``~1`` in the pointer."""
    assert finder("/labels/example.com~1tier")(Subject(FULL).properties) == "2"


def test_a_subject_is_prepared_once() -> None:
    """The same objects each time; and a subject given as one is taken as it is."""
    subject = Subject(FULL)
    assert subject.properties is subject.properties
    assert subject.capacity is subject.capacity
    assert subject_of(subject) is subject
    assert subject_of(FULL).capabilities is FULL


def test_capacity_is_the_best_entry_and_never_negative() -> None:
    """Of each architecture the entry with the most cores, of the volumes the largest."""
    device = Capabilities.model_validate({
        "device": "a", "memory": -5, "storage": [{"path": "/", "capacity": -1}],
        "cpus": [{"architecture": "arm64", "cores": 2}, {"architecture": "arm64", "cores": 8}, {"architecture": "arm", "cores": -1}],
    })  # fmt: skip
    capacity = Subject(device).capacity
    assert (dict(capacity.cores), capacity.memory, capacity.storage) == ({"arm64": 8, "arm": 0}, 0, 0)
