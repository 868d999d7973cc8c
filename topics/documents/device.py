"""What a device says of itself: presence, capabilities, what is left."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from topics.documents.base import Int64, Message
from topics.identifiers import DeviceId, LabelKey, LabelValue

HEARTBEAT_SECONDS = 30.0
"""How often an agent repeats its presence."""

MISSED_HEARTBEATS = 3
"""After how many silent heartbeats a device counts as offline, will or no will."""


class Presence(Message):
    """Online or offline. The will carries the epoch of its session: one from an older session is ignored.

    ``epoch`` grows with every connection of the agent and survives restarts; ``time`` is the device's own clock. ``journal`` names the
    agent's journal: a device that was set up anew has another one, and counts from the start.
    """

    device: DeviceId
    online: bool
    epoch: Int64
    journal: str = ""
    agent_version: str = ""
    time: str = ""
    heartbeat_seconds: float = Field(default=HEARTBEAT_SECONDS, gt=0, le=86_400)


class OrchestratorPresence(Message):
    """Online or offline, for agents, operators and dashboards."""

    online: bool
    epoch: Int64
    version: str = ""


class Cpu(Message):
    """One CPU entry. Entries are never summed."""

    architecture: str
    cores: Int64
    physical_cores: Int64 | None = None
    model: str = ""


class Volume(Message):
    """Storage of one file system, in bytes."""

    path: str
    capacity: Int64


InterfaceType = Literal["ethernet", "wifi", "cellular", "bluetooth", "usb", "canbus", "rs232", "other"]
PeripheralType = Literal["gpu", "display", "camera", "microphone", "speaker", "other"]


class Interface(Message):
    """One communication interface."""

    name: str
    type: InterfaceType
    address: str = ""


class Peripheral(Message):
    """One peripheral, as the operating system shows it."""

    type: PeripheralType
    manufacturer: str = ""
    model: str = ""


class Runtime(Message):
    """Something on the device that runs or installs workloads, as it answered when it was asked.

    ``nodes``, ``cpu`` (millicores), ``memory`` and ``storage`` (bytes) are what a cluster's API says of all
    its nodes together; ``None`` where it does not say.
    """

    name: Literal["kubernetes", "helm", "docker", "podman", "compose", "containerd"]
    version: str = ""
    nodes: Int64 | None = None
    cpu: Int64 | None = None
    memory: Int64 | None = None
    storage: Int64 | None = None


Forbidden = Literal[
    "clusterScoped", "privileged", "capabilities", "hostNetwork", "hostPid", "hostIpc", "hostPath", "hostPort"
]
"""What a policy can forbid: objects that belong to no namespace, privileged containers, added Linux capabilities,
the host's network, processes and IPC, its folders (in Compose also its devices), its ports."""


class Policy(Message):
    """What the operator of a device forbids; without any of it everything is allowed. See ``topics.policy``.

    ``None`` for a list means: any. ``forbidden_kinds`` are written ``Ingress`` or ``Ingress.networking.k8s.io``,
    ``allowed_registries`` ``registry.example`` or ``registry.example/team``. ``forbid`` holds words of
    ``Forbidden``; one that a reader does not know yet is for others to keep.
    """

    allowed_namespaces: tuple[str, ...] | None = None
    forbidden_kinds: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()
    allowed_registries: tuple[str, ...] | None = None
    allow_unseen: bool = False


class Capabilities(Message):
    """What a device is. Memory and storage in bytes; ``appliers`` names the manifest types it takes.

    ``gateway`` is the device through which it is reached, if there is one. ``deployment_types`` are the
    kinds of components that it can run (``helm``, ``compose``, ``kubernetes``). ``policy`` is what
    its operator forbids. ``time`` is the device's own clock when it was measured; compared with the ``time``
    of its presence it says how old this is, whatever that clock shows.
    """

    device: DeviceId
    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    cpus: tuple[Cpu, ...] = ()
    memory: Int64 = 0
    storage: tuple[Volume, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    peripherals: tuple[Peripheral, ...] = ()
    operating_system: str = ""
    kernel: str = ""
    vendor: str = ""
    model: str = ""
    serial: str = ""
    agent_version: str = ""
    appliers: tuple[str, ...] = ()
    runtimes: tuple[Runtime, ...] = ()
    deployment_types: tuple[str, ...] = ()
    gateway: DeviceId | None = None
    policy: Policy | None = None
    time: str = ""


class Promise(Message):
    """What one deployment was promised on the device: millicores, bytes, bytes."""

    deployment: str
    cpu: Int64 = 0
    memory: Int64 = 0
    storage: Int64 = 0


class Allocatable(Message):
    """What a device has left after its promises: millicores, bytes of memory, bytes of storage."""

    device: DeviceId
    epoch: Int64
    cpu: Int64
    memory: Int64
    storage: Int64
    promised: tuple[Promise, ...] = ()
