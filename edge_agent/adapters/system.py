"""The device itself, as the probe finds it and as its operator corrects it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_agent.capabilities_file import CapabilitiesFileError, CapabilitiesOverlay, read_overlay
from edge_agent.probe.runtimes import RuntimeSources, deployment_types, probe_runtimes
from topics.allocation import Share
from topics.documents.device import Capabilities
from topics.program.logs import EventLog


@dataclass(frozen=True, slots=True)
class Told:
    """What the agent was told of its device and cannot measure."""

    device: str
    labels: Mapping[str, str] = field(default_factory=dict)
    gateway: str | None = None


class OperatorsFile:
    """The operator's file: read when the agent starts, and again at every measurement."""

    def __init__(self, path: Path, log: EventLog) -> None:
        """Raises ``CapabilitiesFileError``: a wrong file is noticed when the agent is started."""
        self._path = path
        self._log = log
        self._content: bytes | None
        self._content, self._overlay = read_overlay(path)

    def overlay(self) -> CapabilitiesOverlay:
        """What the file says now; if it cannot be read now, what it last said."""
        try:
            content, overlay = read_overlay(self._path)
        except CapabilitiesFileError as error:
            if self._content is not None:
                self._log.error("the capabilities file is not taken, what it said before stays", reason=str(error))
            self._content = None
            return self._overlay
        if content != self._content:
            self._log.info("the capabilities file is read", file=str(self._path))
        self._content, self._overlay = content, overlay
        return overlay


class DeviceProbe:
    """See ``edge_agent.ports.Probe``: what ``edge_agent.probe`` finds, with what the agent was told."""

    def __init__(
        self,
        told: Told,
        data: Path,
        appliers: Iterable[str],
        agent_version: str,
        *,
        runtimes: RuntimeSources,
        file: OperatorsFile | None,
        log: EventLog,
    ) -> None:
        self._told = told
        self._data = data
        self._appliers = tuple(sorted(appliers))
        self._version = agent_version
        self._runtimes = runtimes
        self._file = file
        self._log = log
        self._problems: tuple[str, ...] = ()

    def capabilities(self) -> Capabilities:
        from edge_agent.probe import probe_capabilities

        found = probe_runtimes(self._runtimes)
        self._note(found.problems)
        measured = probe_capabilities(
            device=self._told.device, labels=self._told.labels, data_dir=self._data, appliers=self._appliers,
            agent_version=self._version, runtimes=found.runtimes, gateway=self._told.gateway,
            deployment_types=deployment_types(self._appliers, found.runtimes),
        )  # fmt: skip
        return self._file.overlay().applied_to(measured) if self._file else measured

    def free(self) -> Share:
        from edge_agent.probe import measure_free

        free = measure_free(self._data)
        return Share(memory=free.memory, storage=free.storage)

    def _note(self, problems: tuple[str, ...]) -> None:
        """Log what is wrong once, and not with every measurement."""
        for problem in problems:
            if problem not in self._problems:
                self._log.warning("a runtime is configured and cannot be asked", reason=problem)
        self._problems = problems
