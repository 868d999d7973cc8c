"""Memory and storage: how much there is, and how much is free now. All in bytes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import psutil

from edge_agent.probe.source import fields
from topics.documents.device import Volume

_RUNTIME_FOLDERS = (
    "var/lib/docker",
    "var/lib/containers",
    "var/lib/containerd",
    "var/lib/rancher",
    "var/lib/kubelet",
)
"""Where images, volumes and pods of Docker, Podman, containerd, k3s and the kubelet lie, if nobody moved them."""


class FreeResources(NamedTuple):
    """What is free at this moment, in bytes: memory without swapping, storage for an ordinary user."""

    memory: int
    storage: int


def probe_memory(root: Path) -> int:
    """The memory the kernel manages: less than what is installed, and what workloads can have at most."""
    total = fields(root / "proc/meminfo", ":").get("MemTotal", "").split()
    if len(total) == 2 and total[0].isdigit() and total[1] == "kB":
        return int(total[0]) * 1024
    return int(psutil.virtual_memory().total)


def probe_storage(data_dir: Path, root: Path = Path("/")) -> tuple[Volume, ...]:
    """The file systems that deployments fill: that of the data folder (or of where it will be made), then those
    of the runtimes' own folders that lie on others."""
    found: dict[int, Volume] = {}
    for folder in (_existing(data_dir), *(root / name for name in _RUNTIME_FOLDERS)):
        try:
            number, capacity = folder.stat().st_dev, int(psutil.disk_usage(str(folder)).total)
        except OSError:
            continue  # no such runtime, or not for this user to see
        found.setdefault(number, Volume(path=str(folder if found else data_dir), capacity=capacity))
    return tuple(found.values())


def measure_free(volumes: Iterable[Volume]) -> FreeResources:
    """What is free now: memory of this machine, and storage of the largest of the volumes, which is the one
    that is promised from. One that an operator named and that cannot be looked at counts as empty."""
    largest = max(volumes, key=lambda volume: volume.capacity, default=None)
    if largest is None:
        return FreeResources(memory=int(psutil.virtual_memory().available), storage=0)
    path = Path(largest.path).absolute()
    try:
        free = int(psutil.disk_usage(str(path)).free)
    except OSError:
        free = largest.capacity
    return FreeResources(memory=int(psutil.virtual_memory().available), storage=free)


def _existing(folder: Path) -> Path:
    absolute = folder.absolute()
    return next(path for path in (absolute, *absolute.parents) if path.exists())
