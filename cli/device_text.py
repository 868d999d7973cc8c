"""What a device is and what it has left, in lines. Pure."""

from __future__ import annotations

from cli.tables import format_cores_short
from topics.documents.device import Allocatable, Capabilities, Runtime
from topics.quantity import format_bytes


def capability_lines(known: Capabilities) -> list[str]:
    """What a device is."""
    labels = ", ".join(f"{key}={value}" for key, value in sorted(known.labels.items()))
    lines = [f"Labels:       {labels or 'none'}", f"System:       {known.operating_system}, kernel {known.kernel}"]
    if known.gateway:
        lines.append(f"Gateway:      {known.gateway} (the spec may name it {known.gateway}/{known.device})")
    hardware = " ".join(part for part in (known.vendor, known.model, known.serial) if part)
    if hardware:
        lines.append(f"Hardware:     {hardware}")
    for cpu in known.cpus:
        physical = f" ({cpu.physical_cores} physical)" if cpu.physical_cores else ""
        lines.append(f"CPU:          {cpu.cores} cores{physical}, {cpu.architecture} {cpu.model}".rstrip())
    lines.append(f"Memory:       {format_bytes(known.memory)}")
    lines += [f"Storage:      {format_bytes(volume.capacity)} at {volume.path}" for volume in known.storage]
    lines += [f"Interface:    {item.name} ({item.type}) {item.address}".rstrip() for item in known.interfaces]
    lines += [f"Peripheral:   {item.type} {item.manufacturer} {item.model}".rstrip() for item in known.peripherals]
    lines += [f"Runtime:      {_runtime(item)}" for item in known.runtimes] or ["Runtime:      none"]
    lines.append(f"Runs:         {', '.join(known.deployment_types) or 'no type of component'}")
    lines.append(f"Appliers:     {', '.join(known.appliers) or 'none'}")
    return lines


def allocatable_lines(left: Allocatable) -> list[str]:
    """What a device has left, and to whom the rest is promised."""
    lines = [f"Left:         {_amounts(left.cpu, left.memory, left.storage)}"]
    return lines + [
        f"  promised to {item.deployment}: {_amounts(item.cpu, item.memory, item.storage)}" for item in left.promised
    ]


def _runtime(item: Runtime) -> str:
    text = f"{item.name} {item.version}".rstrip()
    parts = [f"{item.nodes} node{'s' * (item.nodes != 1)}"] if item.nodes is not None else []
    parts += [f"{format_cores_short(item.cpu)} cores"] if item.cpu is not None else []
    parts += [f"{format_bytes(item.memory)} memory"] if item.memory is not None else []
    parts += [f"{format_bytes(item.storage)} storage"] if item.storage is not None else []
    return f"{text} ({', '.join(parts)})" if parts else text


def _amounts(cpu: int, memory: int, storage: int) -> str:
    return f"{format_cores_short(cpu)} cores, {format_bytes(memory)} memory, {format_bytes(storage)} storage"
