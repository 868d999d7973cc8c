"""The CPU: architecture by Go's name, cores, model."""

from __future__ import annotations

import platform
import struct
from pathlib import Path

import psutil

from edge_agent.probe.source import entries, read
from topics.documents.device import Cpu

_GO_NAMES = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "i386": "386",
    "i486": "386",
    "i586": "386",
    "i686": "386",
    "riscv64": "riscv64",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
}
_OF_32_BITS = {"amd64": "386", "arm64": "arm"}

# Arm Ltd's and others' part numbers (MIDR_EL1), for the cores that edge devices are built with.
_ARM_PARTS = {
    ("0x41", "0xb76"): "ARM1176",
    ("0x41", "0xc07"): "Cortex-A7",
    ("0x41", "0xc08"): "Cortex-A8",
    ("0x41", "0xc09"): "Cortex-A9",
    ("0x41", "0xc0f"): "Cortex-A15",
    ("0x41", "0xd03"): "Cortex-A53",
    ("0x41", "0xd04"): "Cortex-A35",
    ("0x41", "0xd05"): "Cortex-A55",
    ("0x41", "0xd07"): "Cortex-A57",
    ("0x41", "0xd08"): "Cortex-A72",
    ("0x41", "0xd09"): "Cortex-A73",
    ("0x41", "0xd0a"): "Cortex-A75",
    ("0x41", "0xd0b"): "Cortex-A76",
    ("0x41", "0xd0c"): "Neoverse-N1",
    ("0x41", "0xd41"): "Cortex-A78",
    ("0x41", "0xd42"): "Cortex-A78AE",
    ("0x4e", "0x003"): "Denver 2",
    ("0x4e", "0x004"): "Carmel",
}


def probe_cpu(root: Path, machine: str = "") -> Cpu:
    """The one CPU entry of the device, with all online cores; ``machine`` is ``uname -m`` if given."""
    blocks = _blocks(root / "proc/cpuinfo")
    logical = sum("processor" in block for block in blocks)
    physical = _physical_cores(root, blocks)
    if not logical:
        # No /proc (a developer's laptop): psutil asks the operating system in its own way.
        logical, physical = psutil.cpu_count() or 1, psutil.cpu_count(logical=False)
    return Cpu(
        architecture=go_architecture(machine or platform.machine(), bits=64 if machine else struct.calcsize("P") * 8),
        cores=logical,
        physical_cores=physical,
        model=_model(blocks),
    )


def go_architecture(machine: str, *, bits: int = 64) -> str:
    """The Go name of a machine as ``uname -m`` gives it; an unknown one stays as it is.

    ``bits`` are those of the agent's own process: a 32-bit system on a 64-bit kernel, common on
    Raspberry Pis, reports ``aarch64`` and yet runs 32-bit programs only.
    """
    name = machine.lower()
    if name.startswith("arm") and name != "arm64":
        return "arm"
    known = _GO_NAMES.get(name, name)
    return _OF_32_BITS.get(known, known) if bits == 32 else known


def _blocks(cpuinfo: Path) -> list[dict[str, str]]:
    blocks: list[dict[str, str]] = []
    for text in read(cpuinfo).split("\n\n"):
        pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
        blocks.append({key.strip(): value.strip() for key, _, value in pairs})
    return blocks


def _physical_cores(root: Path, blocks: list[dict[str, str]]) -> int | None:
    siblings = {
        read(cpu / "topology/thread_siblings_list")
        for cpu in entries(root / "sys/devices/system/cpu")
        if cpu.name.removeprefix("cpu").isdigit()
    } - {""}
    if siblings:
        return len(siblings)
    cores = {(block["physical id"], block["core id"]) for block in blocks if {"physical id", "core id"} <= block.keys()}
    return len(cores) or None


def _model(blocks: list[dict[str, str]]) -> str:
    for key in ("model name", "Processor", "uarch", "cpu"):
        for block in blocks:
            if block.get(key):
                return block[key]
    parts = {(block.get("CPU implementer", ""), block.get("CPU part", "")): None for block in blocks}
    # Devices with cores of two kinds show both.
    return " + ".join(_ARM_PARTS[part] for part in parts if part in _ARM_PARTS)
