"""Memory and storage: how much there is, and how much is free now. All in bytes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import psutil

from edge_agent.probe.source import fields
from topics.documents.device import Volume


class FreeResources(NamedTuple):
    """What is free at this moment, in bytes: memory without swapping, storage for the agent's user."""

    memory: int
    storage: int


def probe_memory(root: Path) -> int:
    """The memory the kernel manages: less than what is installed, and what workloads can have at most."""
    total = fields(root / "proc/meminfo", ":").get("MemTotal", "").split()
    if len(total) == 2 and total[0].isdigit() and total[1] == "kB":
        return int(total[0]) * 1024
    return int(psutil.virtual_memory().total)


def probe_storage(data_dir: Path) -> tuple[Volume, ...]:
    """The file system that the data folder is on, or will be on when it is made."""
    return (Volume(path=str(data_dir), capacity=int(psutil.disk_usage(str(_existing(data_dir))).total)),)


def measure_free(data_dir: Path) -> FreeResources:
    """What is free now on this machine, and on the file system of ``data_dir``."""
    return FreeResources(
        memory=int(psutil.virtual_memory().available),
        storage=int(psutil.disk_usage(str(_existing(data_dir))).free),
    )


def _existing(folder: Path) -> Path:
    absolute = folder.absolute()
    return next(path for path in (absolute, *absolute.parents) if path.exists())
