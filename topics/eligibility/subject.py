"""A device as selectors and rules see it: prepared once, asked often.

The *property document* is what the JSON pointers of expressions point into. Its names are those of Margo's
``DeviceCapabilities``; the second part of the table is ours. What a device does not say is left out (empty texts,
empty lists, sizes of zero), so that ``Exists`` asks whether there is something.

<!-- property-table -->
| pointer | holds |
| --- | --- |
| `/id` | the device's id; behind a gateway `<gateway>/<device>` |
| `/vendor`, `/modelNumber`, `/serialNumber` | texts, as the hardware gives them |
| `/cpus` | list of `{cores, architecture}`, with `physicalCores` and `model` where known; never summed |
| `/memory` | bytes, an integer |
| `/storage` | bytes of the largest volume, an integer |
| `/peripherals` | list of `{type, manufacturer, model}` |
| `/interfaces` | list of `{type, name}`; addresses are left out, for they change |
| `/supportedRuntimes` | list: `oci` where something runs containers |
| `/supportedDeploymentTypes` | list of `helm`, `compose`, `kubernetes` |
| `/labels` | object: `/labels/line`; a `/` in a label's name is written `~1` |
| `/volumes` | list of `{path, capacity}`, capacity in bytes |
| `/runtimes` | list of `{name, version}`, of a cluster also `{nodes, cpu, memory, storage}` (millicores, bytes) |
| `/operatingSystem`, `/kernel`, `/agentVersion` | texts |
| `/appliers` | list: the manifest types that the device takes |
<!-- end -->
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from topics.documents.device import Capabilities

OCI_RUNTIMES = frozenset({"kubernetes", "docker", "podman", "containerd"})
"""Runtimes that run OCI containers; Helm and Compose only drive one of them."""

Properties: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Capacity:
    """What capacity requirements are compared with: the most cores of one CPU entry of each architecture,
    bytes of memory, bytes of the largest volume."""

    cores: Mapping[str, int]
    memory: int
    storage: int


class Subject:
    """A device to be matched. What is derived from its capabilities is derived when it is first asked for."""

    __slots__ = ("_capacity", "_properties", "capabilities", "device", "gateway", "labels")

    def __init__(self, capabilities: Capabilities) -> None:
        self.capabilities = capabilities
        self.device: str = capabilities.device
        self.gateway: str | None = capabilities.gateway
        self.labels: Mapping[str, str] = capabilities.labels
        self._capacity: Capacity | None = None
        self._properties: Properties | None = None

    @property
    def capacity(self) -> Capacity:
        """What capacity requirements are compared with."""
        if self._capacity is None:
            self._capacity = capacity_of(self.capabilities)
        return self._capacity

    @property
    def properties(self) -> Properties:
        """The property document; the same object each time, not to be changed."""
        if self._properties is None:
            self._properties = properties_of(self.capabilities)
        return self._properties


def subject_of(device: Subject | Capabilities) -> Subject:
    """The device as a subject, whichever of the two it is."""
    return device if isinstance(device, Subject) else Subject(device)


def capacity_of(capabilities: Capabilities) -> Capacity:
    """The capacity of a device, never below zero; CPU entries are never summed (Margo)."""
    cores: dict[str, int] = {}
    for cpu in capabilities.cpus:
        cores[cpu.architecture] = max(cpu.cores, cores.get(cpu.architecture, 0))
    return Capacity(cores, max(0, capabilities.memory), max(0, _largest_volume(capabilities)))


def properties_of(capabilities: Capabilities) -> Properties:
    """The property document of a device, as in the table above."""
    device, gateway = capabilities.device, capabilities.gateway
    found: Properties = {
        "id": f"{gateway}/{device}" if gateway else device,
        "vendor": capabilities.vendor,
        "modelNumber": capabilities.model,
        "serialNumber": capabilities.serial,
        "cpus": [
            _said({
                "cores": cpu.cores, "architecture": cpu.architecture,
                "physicalCores": cpu.physical_cores, "model": cpu.model,
            })
            for cpu in capabilities.cpus
        ],
        "memory": capabilities.memory or None,
        "storage": _largest_volume(capabilities) or None,
        "peripherals": [
            _said({"type": item.type, "manufacturer": item.manufacturer, "model": item.model})
            for item in capabilities.peripherals
        ],
        "interfaces": [_said({"type": item.type, "name": item.name}) for item in capabilities.interfaces],
        "supportedRuntimes": ["oci"] if any(item.name in OCI_RUNTIMES for item in capabilities.runtimes) else None,
        "supportedDeploymentTypes": list(capabilities.deployment_types),
        "labels": dict(capabilities.labels),
        "volumes": [{"path": item.path, "capacity": item.capacity} for item in capabilities.storage],
        "runtimes": [
            _said({
                "name": item.name, "version": item.version, "nodes": item.nodes,
                "cpu": item.cpu, "memory": item.memory, "storage": item.storage,
            })
            for item in capabilities.runtimes
        ],
        "operatingSystem": capabilities.operating_system,
        "kernel": capabilities.kernel,
        "agentVersion": capabilities.agent_version,
        "appliers": list(capabilities.appliers),
    }  # fmt: skip
    return _said(found)


def _largest_volume(capabilities: Capabilities) -> int:
    return max([volume.capacity for volume in capabilities.storage], default=0)


def _said(members: Properties) -> Properties:
    """Without what the device does not say: an absent value, an empty text, list or object. A number 0 is said."""
    return {name: value for name, value in members.items() if value or value == 0}
