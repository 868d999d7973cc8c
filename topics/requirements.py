"""The one validator: can this device run that? Used for placement, by the device, and by the CLI."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from topics.documents.device import Capabilities
from topics.documents.spec import Requirements
from topics.errors import Reason
from topics.quantity import format_bytes, format_cores, parse_quantity

_AT = "spec.requirements"


def unmet(requirements: Requirements, capabilities: Capabilities) -> tuple[Reason, ...]:
    """Every reason why the device cannot take a deployment with these requirements; empty if it can.

    One CPU entry must have both the architecture and the cores: entries are never summed (Margo).
    Storage is that of the volume the agent keeps its data on, the largest one reported.
    """
    return tuple(_reasons(requirements, capabilities))


def unsupported(types: Iterable[str], capabilities: Capabilities) -> tuple[Reason, ...]:
    """A reason for each manifest type that no applier of the device takes."""
    return tuple(
        Reason(
            path="spec.components", code="no-applier", device=capabilities.device,
            message=f"needs an applier for {kind!r}, the device has {_listed(capabilities.appliers)}",
            required=kind, available=",".join(capabilities.appliers),
            hint="start the agent with an applier that takes it",
        )
        for kind in sorted(set(types) - set(capabilities.appliers))
    )  # fmt: skip


def _reasons(requirements: Requirements, capabilities: Capabilities) -> Iterable[Reason]:
    device = capabilities.device
    cpu = requirements.cpu
    if cpu.architectures:
        found = sorted({entry.architecture for entry in capabilities.cpus})
        if not set(found) & set(cpu.architectures):
            yield Reason(
                path=f"{_AT}.cpu.architectures", code="architecture", device=device,
                message=f"needs {_listed(cpu.architectures)}, the device is {_listed(found)}",
                required=",".join(cpu.architectures), available=",".join(found),
            )  # fmt: skip
    if cpu.cores is not None:
        needed = parse_quantity(cpu.cores)
        fitting = [
            entry for entry in capabilities.cpus if not cpu.architectures or entry.architecture in cpu.architectures
        ]
        most = max((entry.cores for entry in fitting), default=0)
        if needed > most and (fitting or not cpu.architectures):
            yield Reason(
                path=f"{_AT}.cpu.cores", code="cpu", device=device,
                message=f"needs {format_cores(needed)} cores, the device has {most}",
                required=cpu.cores, available=str(most),
            )  # fmt: skip
    largest = max((volume.capacity for volume in capabilities.storage), default=0)
    for field, wanted, available in (
        ("memory", requirements.memory, capabilities.memory),
        ("storage", requirements.storage, largest),
    ):
        if wanted is not None and parse_quantity(wanted) > available:
            yield Reason(
                path=f"{_AT}.{field}", code=field, device=device,
                message=f"needs {wanted} {field}, the device has {format_bytes(available)}",
                required=wanted, available=format_bytes(available),
            )  # fmt: skip


def _listed(items: Sequence[str]) -> str:
    return " or ".join(items) if items else "none"
