"""The clock, the lock of the data folder, and the device itself."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from edge_agent.model import Share
from topics.documents.device import Capabilities


class SystemClock:
    """See ``edge_agent.ports.Clock``."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> str:
        return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class FolderInUseError(Exception):
    """Another agent works on the data folder."""


class FolderLock:
    """Keeps a second agent out of the data folder; the system releases it when the process ends."""

    def __init__(self, folder: Path) -> None:
        path = folder / "lock"
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            raise FolderInUseError(
                f"the data folder {folder} is used by another agent; stop it, or give this one its own --data"
            ) from error

    def release(self) -> None:
        os.close(self._file)


class DeviceProbe:
    """See ``edge_agent.ports.Probe``: what ``edge_agent.probe`` finds, with what the agent was told."""

    def __init__(
        self, device: str, labels: Mapping[str, str], data: Path, appliers: Iterable[str], agent_version: str
    ) -> None:
        self._device = device
        self._labels = dict(labels)
        self._data = data
        self._appliers = tuple(sorted(appliers))
        self._version = agent_version

    def capabilities(self) -> Capabilities:
        from edge_agent.probe import probe_capabilities

        return probe_capabilities(
            device=self._device, labels=self._labels, data_dir=self._data, appliers=self._appliers,
            agent_version=self._version,
        )  # fmt: skip

    def free(self) -> Share:
        from edge_agent.probe import measure_free

        free = measure_free(self._data)
        return Share(memory=free.memory, storage=free.storage)
