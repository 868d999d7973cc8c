"""The device itself, as the probe finds it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from edge_agent.model import Share
from topics.documents.device import Capabilities


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
