"""The device itself, as the probe finds it and as its operator corrects it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

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


Correction: TypeAlias = Callable[[Capabilities], Capabilities]
"""What somebody who knows better makes of a measurement."""


def as_measured(capabilities: Capabilities) -> Capabilities:
    """Nobody knows better."""
    return capabilities


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
        correct: Correction = as_measured,
        log: EventLog,
    ) -> None:
        self._told = told
        self._data = data
        self._appliers = tuple(sorted(appliers))
        self._version = agent_version
        self._runtimes = runtimes
        self._correct = correct
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
        return self._correct(measured)

    def free(self, capabilities: Capabilities) -> Share:
        from edge_agent.probe import measure_free

        free = measure_free(capabilities.storage)
        return Share(memory=free.memory, storage=free.storage)

    def _note(self, problems: tuple[str, ...]) -> None:
        """Log what is wrong once, and not with every measurement."""
        for problem in problems:
            if problem not in self._problems:
                self._log.warning("a runtime is configured and cannot be asked", reason=problem)
        self._problems = problems
