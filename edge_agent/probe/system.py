"""The operating system, the kernel, and who made the device: DMI on PCs, the device tree elsewhere."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import NamedTuple

from edge_agent.probe.source import fields, read, read_bytes

# What board makers leave in the table instead of a value, in lower case.
_PLACEHOLDERS = frozenset(
    {
        "0",
        "0123456789",
        "123456789",
        "default string",
        "empty",
        "n/a",
        "none",
        "not applicable",
        "not available",
        "not specified",
        "o.e.m.",
        "oem",
        "system manufacturer",
        "system product name",
        "system serial number",
        "to be filled by o.e.m.",
        "unknown",
    }
)


class Machine(NamedTuple):
    """Vendor, model and serial number; each empty if the device does not tell."""

    vendor: str
    model: str
    serial: str


def probe_machine(root: Path) -> Machine:
    """Who made the device. The DMI serial number is readable by root only."""
    dmi = root / "sys/class/dmi/id"
    tree = _device_tree(root)
    # The first of a device tree's compatible strings is the board's own: "raspberrypi,4-model-b".
    board = read_bytes(tree / "compatible").split(b"\0")[0].decode(errors="replace")
    return Machine(
        vendor=_first(read(dmi / "sys_vendor"), read(dmi / "board_vendor"), board.partition(",")[0]),
        model=_first(read(dmi / "product_name"), read(dmi / "board_name"), read(tree / "model")),
        serial=_first(read(dmi / "product_serial"), read(dmi / "board_serial"), read(tree / "serial-number")),
    )


def probe_operating_system(root: Path) -> str:
    """The operating system's own name for itself (``Debian GNU/Linux 12 (bookworm)``)."""
    for path in ("etc/os-release", "usr/lib/os-release"):
        release = fields(root / path)
        name = release.get("PRETTY_NAME") or " ".join(filter(None, (release.get("NAME"), release.get("VERSION_ID"))))
        if name:
            return name
    return platform.system()


def probe_kernel(root: Path) -> str:
    """The running kernel's release (``6.1.0-18-arm64``)."""
    return read(root / "proc/sys/kernel/osrelease") or platform.release()


def _device_tree(root: Path) -> Path:
    tree = root / "proc/device-tree"
    return tree if tree.is_dir() else root / "sys/firmware/devicetree/base"


def _first(*values: str) -> str:
    return next((value for value in values if value and value.lower() not in _PLACEHOLDERS), "")
