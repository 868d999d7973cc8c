"""Puts the families together into the capabilities document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from edge_agent.probe.graphics import probe_displays, probe_gpus
from edge_agent.probe.media import probe_cameras, probe_sound
from edge_agent.probe.network import probe_network
from edge_agent.probe.ports import probe_ports
from edge_agent.probe.processor import probe_cpu
from edge_agent.probe.resources import probe_memory, probe_storage
from edge_agent.probe.system import probe_kernel, probe_machine, probe_operating_system
from topics.documents.device import Capabilities, Runtime


def probe_capabilities(
    device: str,
    labels: Mapping[str, str],
    data_dir: Path,
    appliers: Iterable[str],
    agent_version: str,
    *,
    runtimes: Iterable[Runtime] = (),
    deployment_types: Iterable[str] = (),
    gateway: str | None = None,
    root: Path = Path("/"),
    machine: str = "",
) -> Capabilities:
    """What this device is; memory and storage in bytes.

    ``appliers`` are the manifest types it takes, ``runtimes`` and ``deployment_types`` what
    ``edge_agent.probe.runtimes`` found, ``gateway`` is the device in front of it. ``root`` is the root of the tree that is read: a
    fixture, or the host's root seen from a container. ``machine`` stands in for ``uname -m``.
    Equal hardware gives an equal document: everything is in a stable order.
    """
    maker = probe_machine(root)
    return Capabilities(
        device=device,
        labels=dict(sorted(labels.items())),
        cpus=(probe_cpu(root, machine),),
        memory=probe_memory(root),
        storage=probe_storage(data_dir, root),
        interfaces=(*probe_network(root), *probe_ports(root)),
        peripherals=(*probe_gpus(root), *probe_displays(root), *probe_cameras(root), *probe_sound(root)),
        operating_system=probe_operating_system(root),
        kernel=probe_kernel(root),
        vendor=maker.vendor,
        model=maker.model,
        serial=maker.serial,
        agent_version=agent_version,
        appliers=tuple(sorted(set(appliers))),
        runtimes=tuple(runtimes),
        deployment_types=tuple(deployment_types),
        gateway=gateway,
    )
