"""The picture of the whole fleet, put together from the messages on the bus.

Pure: messages go in, rows come out. The orchestrator's aggregate
says what is wanted and whether a device is online; the device's own status is the newer word on the
state. Where one of them is missing the other alone makes the row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel

from cli.messages import Heard
from cli.printing import seconds_between
from topics.documents.answer import AggregateStatus, DeviceSummary, NotPlaceable, SpecResult
from topics.documents.device import Allocatable, Capabilities, OrchestratorPresence, Presence
from topics.documents.status import DeploymentStatus, Failure, TransitionEvent
from topics.lifecycle import State

K = TypeVar("K")
V = TypeVar("V")
M = TypeVar("M", bound=BaseModel)

NOT_PLACEABLE = "NotPlaceable"
WAITING = "Waiting"
"""Shown for a device that has not reported the deployment yet."""


@dataclass(slots=True)
class Timing:
    """When a deployment on a device moved, in monotonic seconds as seen here; ``None``: not seen.

    ``sequence`` is that of its newest transition: what a device repeats is no news.
    """

    journal: str = ""
    sequence: int = 0
    generation: int = 0
    state: State | None = None
    since: float | None = None
    started: float | None = None
    finished: float | None = None
    reached: list[State] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Row:
    """One deployment on one device. ``generation`` is the observed one, ``online`` ``None`` if nobody said."""

    deployment: str
    device: str
    state: str
    generation: int
    desired: int
    deployed: int | None
    online: bool | None
    last_seen: str | None
    message: str
    timing: Timing

    @property
    def settled(self) -> bool:
        """Whether the device runs exactly what is wanted."""
        return self.state == State.DEPLOYED and self.generation >= self.desired > 0


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """One device."""

    device: str
    online: bool
    last_seen: str | None
    presence: Presence | None
    capabilities: Capabilities | None
    allocatable: Allocatable | None
    deployments: int

    @property
    def measured(self) -> float | None:
        """How long before it last spoke the device was measured, in seconds by its own clock; ``None`` if it does
        not say. Both times are the same clock's, so it does not matter what that clock shows."""
        if self.presence is None or self.capabilities is None:
            return None
        return seconds_between(self.capabilities.time, self.presence.time)


class Fleet:
    """Everything heard so far, by kind."""

    def __init__(self) -> None:
        self.specs: dict[str, Heard] = {}
        self.results: dict[str, SpecResult] = {}
        self.aggregates: dict[str, AggregateStatus] = {}
        self.orchestrator: OrchestratorPresence | None = None
        self.presences: dict[str, Presence] = {}
        self.capabilities: dict[str, Capabilities] = {}
        self.allocatables: dict[str, Allocatable] = {}
        self.statuses: dict[tuple[str, str], DeploymentStatus] = {}
        self.problems: dict[str, str] = {}
        self.begun: dict[str, float] = {}
        """When a deployment's spec was published, where the caller knows; its times count from there."""
        self._timings: dict[tuple[str, str], Timing] = {}

    def take(self, heard: Heard) -> None:
        """Add one message to the picture."""
        now = heard.at
        self.problems.pop(heard.topic, None)
        if heard.problem is not None:
            self.problems[heard.topic] = heard.problem
        if heard.address is None:
            return
        device, deployment = heard.address.device, heard.address.deployment
        match heard.address.channel.name:
            case "spec":
                _put(self.specs, deployment, None if heard.cleared else heard)
            case "result":
                _put(self.results, deployment, _document(heard, SpecResult))
            case "aggregate":
                _put(self.aggregates, deployment, _document(heard, AggregateStatus))
            case "orchestrator-presence":
                self.orchestrator = _document(heard, OrchestratorPresence)
            case "presence":
                _put(self.presences, device, _document(heard, Presence))
            case "capabilities":
                _put(self.capabilities, device, _document(heard, Capabilities))
            case "allocatable":
                _put(self.allocatables, device, _document(heard, Allocatable))
            case "status":
                self._status(deployment, device, _document(heard, DeploymentStatus), heard.retained, now)
            case "event":
                if isinstance(heard.document, TransitionEvent):
                    self._moved(heard.document, heard.document.target, now)

    def names(self) -> list[str]:
        """Every deployment that anything is known of."""
        known = {deployment for deployment, _ in self.statuses}
        return sorted(known | set(self.specs) | set(self.results) | set(self.aggregates))

    def rows(self, name: str | None = None) -> list[Row]:
        """One row for each deployment and device, sorted; a deployment without devices has one with ``-``."""
        return [row for deployment in self.names() if name in (None, deployment) for row in self._rows_of(deployment)]

    def devices(self) -> list[DeviceRow]:
        """One row for each device that has said anything."""
        known = {device for _, device in self.statuses} | set(self.presences) | set(self.capabilities)
        return [self._device(device) for device in sorted(known | set(self.allocatables))]

    def online(self, device: str) -> bool | None:
        """Whether a device is online: not if its own presence or the orchestrator, which counts heartbeats,
        says otherwise. ``None`` when neither says anything."""
        presence = self.presences.get(device)
        summary = self._newest_summary(device)
        if presence is None:
            return None if summary is None else summary.online
        if summary is not None and summary.epoch == presence.epoch:
            return presence.online and summary.online
        return presence.online

    # -- the rows --------------------------------------------------------------------------------

    def _rows_of(self, deployment: str) -> list[Row]:
        aggregate = self.aggregates.get(deployment)
        summaries = {summary.device: summary for summary in aggregate.devices} if aggregate else {}
        refused = {refusal.device: refusal for refusal in aggregate.not_placeable} if aggregate else {}
        waiting = set(aggregate.waiting_for) if aggregate else set()
        reporting = {device for name, device in self.statuses if name == deployment}
        devices = sorted(set(summaries) | set(refused) | waiting | reporting)
        if not devices:
            return [self._bare_row(deployment)]
        return [self._row(deployment, device, summaries.get(device), refused.get(device)) for device in devices]

    def _row(self, deployment: str, device: str, summary: DeviceSummary | None, refusal: NotPlaceable | None) -> Row:
        status = self.statuses.get((deployment, device))
        newest = _newer(summary, status)
        aggregate = self.aggregates.get(deployment)
        wanted = [item.desired_generation for item in (summary, status) if item is not None]
        wanted = wanted or [aggregate.generation if aggregate else 0]
        online = self.online(device)
        state = str(newest.state) if newest is not None and newest.state is not None else WAITING
        generation = newest.generation if newest else 0
        timing = self._timings.get((deployment, device), Timing())
        if timing.state is not None and timing.sequence > (status.sequence if status else 0):
            state, generation = str(timing.state), timing.generation  # the event has overtaken the status
        message = _message(newest, online)
        if refusal is not None and newest is None and timing.state is None:
            state, message = NOT_PLACEABLE, "; ".join(reason.message for reason in refusal.reasons)
        return Row(
            deployment=deployment,
            device=device,
            state=state,
            generation=generation,
            desired=max(wanted),
            deployed=newest.deployed_generation if newest else None,
            online=online,
            last_seen=self._last_seen(device),
            message=message,
            timing=timing,
        )

    def _bare_row(self, deployment: str) -> Row:
        aggregate, result = self.aggregates.get(deployment), self.results.get(deployment)
        if aggregate is not None:
            state, message = str(aggregate.phase), aggregate.message
        elif result is not None:
            state, message = result.outcome.capitalize(), "; ".join(str(reason) for reason in result.reasons)
        else:
            state, message = "Unanswered", "no orchestrator has answered this spec"
        generation = aggregate.generation if aggregate else result.generation if result else 0
        return Row(deployment, "-", state, 0, generation, None, None, None, message, Timing())

    def _device(self, device: str) -> DeviceRow:
        return DeviceRow(
            device=device,
            online=bool(self.online(device)),
            last_seen=self._last_seen(device),
            presence=self.presences.get(device),
            capabilities=self.capabilities.get(device),
            allocatable=self.allocatables.get(device),
            deployments=sum(1 for _, reporter in self.statuses if reporter == device),
        )

    def _summaries(self, device: str) -> list[DeviceSummary]:
        return [item for status in self.aggregates.values() for item in status.devices if item.device == device]

    def _newest_summary(self, device: str) -> DeviceSummary | None:
        return max(self._summaries(device), key=lambda item: (item.epoch, item.last_seen or ""), default=None)

    def _last_seen(self, device: str) -> str | None:
        return max((item.last_seen for item in self._summaries(device) if item.last_seen), default=None)

    # -- the times -------------------------------------------------------------------------------

    def _status(
        self, deployment: str, device: str, status: DeploymentStatus | None, retained: bool, now: float
    ) -> None:
        _put(self.statuses, (deployment, device), status)
        if status is None:
            self._timings.pop((deployment, device), None)
        elif retained:  # it has been so for an unknown time
            known = Timing(status.journal, status.sequence, status.generation, status.state)
            self._timings.setdefault((deployment, device), known)
        else:
            self._moved(status, status.state, now)

    def _moved(self, report: DeploymentStatus | TransitionEvent, state: State, now: float) -> None:
        timing = self._timings.setdefault((report.deployment, report.device), Timing())
        if report.journal != timing.journal:  # the device was set up anew and counts from the start
            timing.journal, timing.sequence = report.journal, 0
        if report.sequence <= timing.sequence:
            return
        timing.sequence = report.sequence
        if report.generation != timing.generation or state in (State.CREATED, State.REMOVING):
            timing.generation, timing.finished, timing.reached = report.generation, None, []
            timing.started = self.begun.get(report.deployment, now)
        timing.state, timing.since = state, now
        timing.reached.append(state)
        if state in (State.DEPLOYED, State.REMOVED, State.FAILED) and timing.started is not None:
            timing.finished = now


def failure_text(failure: Failure) -> str:
    """A failure in one line, with what happens next."""
    where = f" of {failure.component}" if failure.component else ""
    then = f"; next try in {failure.next_retry_seconds:.0f} s" if failure.next_retry_seconds is not None else ""
    return f"{failure.stage}{where} failed ({failure.code}, attempt {failure.attempt}): {failure.message}{then}"


def _message(newest: DeviceSummary | DeploymentStatus | None, online: bool | None) -> str:
    parts = []
    if newest is not None and newest.failure is not None:
        parts.append(failure_text(newest.failure))
    if newest is not None and newest.held:
        parts.append(f"held: {newest.held}")
    done = newest is not None and newest.state is State.DEPLOYED and newest.generation >= newest.desired_generation
    if online is False and not done:
        parts.append("waiting: the device is offline")
    return "; ".join(parts)


def _newer(summary: DeviceSummary | None, status: DeploymentStatus | None) -> DeviceSummary | DeploymentStatus | None:
    """The device's own word, unless the orchestrator has already heard of a newer generation."""
    if summary is None or status is None:
        return status or summary
    return summary if summary.generation > status.generation else status


def _document(heard: Heard, model: type[M]) -> M | None:
    return heard.document if isinstance(heard.document, model) else None


def _put(table: dict[K, V], key: K, value: V | None) -> None:
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value
