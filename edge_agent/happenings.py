"""What happens to a deployment (events into the core) and what follows from it (effects out of it)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from edge_agent.model import Deployment, Moved, Plan, Work
from topics.allocation import Holdings
from topics.documents.command import Command, CommandOutcome


class TimerKind(StrEnum):
    """What a timer is for; a deployment has at most one of each kind."""

    RETRY = "retry"
    HEALTH = "health"
    STABLE = "stable"
    NOTICE = "notice"


# -- events --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ManifestReceived:
    """An authentic manifest for this device and deployment; ``payload`` is its exact bytes."""

    plan: Plan
    payload: bytes


@dataclass(frozen=True, slots=True)
class ManifestRefused:
    """Something on the manifest topic that is no manifest for this device and deployment."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ManifestCleared:
    """The manifest topic was cleared (empty payload)."""


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """A command. ``handled``: its id was answered before. ``oldest`` is the first transition that the
    journal still has, ``None`` if it has none (used by a replay)."""

    command: Command
    handled: bool = False
    oldest: int | None = None


@dataclass(frozen=True, slots=True)
class WorkDone:
    """The work with this number succeeded."""

    number: int


@dataclass(frozen=True, slots=True)
class WorkFailed:
    """The work with this number failed, with the fields of its ``ApplyError``."""

    number: int
    code: str
    message: str
    retryable: bool
    component: str | None = None


@dataclass(frozen=True, slots=True)
class TimerDue:
    """A timer that was asked for has run out."""

    kind: TimerKind


@dataclass(frozen=True, slots=True)
class Finding:
    """The health of one component, or of something outside of the components (always unhealthy)."""

    component: str
    healthy: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class HealthReported:
    """What the applier found of a generation. ``noticed``: it was asked because the runtime had changed, out of turn."""

    generation: int
    findings: tuple[Finding, ...]
    noticed: bool = False


@dataclass(frozen=True, slots=True)
class HealthUnknown:
    """The applier could not find out; that is not the same as unhealthy."""

    generation: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """The process has just started and found this deployment in its journal."""


Event: TypeAlias = (
    ManifestReceived
    | ManifestRefused
    | ManifestCleared
    | CommandReceived
    | WorkDone
    | WorkFailed
    | TimerDue
    | HealthReported
    | HealthUnknown
    | Resumed
)


# -- effects -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoreManifest:
    """Keep the exact bytes of a manifest, in the transaction of this decision."""

    generation: int
    digest: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class ForgetManifest:
    """Drop a manifest that nothing needs any more, and what the applier staged for it."""

    generation: int
    discard: bool


@dataclass(frozen=True, slots=True)
class StartWork:
    """Give a step to the applier, for the manifest of ``generation``."""

    work: Work
    generation: int


@dataclass(frozen=True, slots=True)
class CancelWork:
    """Tell the step under way to stop; its result is stale already."""


@dataclass(frozen=True, slots=True)
class CheckHealth:
    """Ask the applier for the health of a generation; ``noticed`` goes into the answer."""

    generation: int
    noticed: bool = False


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Start, or start anew, the timer of this kind."""

    kind: TimerKind
    seconds: float


@dataclass(frozen=True, slots=True)
class PublishStatus:
    """Publish the status of the decided record."""


@dataclass(frozen=True, slots=True)
class ClearStatus:
    """Clear the retained status."""


@dataclass(frozen=True, slots=True)
class PublishRefusal:
    """Answer for a deployment that is not known here: a status that says why its message was not taken."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ReplayEvents:
    """Publish the transitions from this sequence on again."""

    from_sequence: int


@dataclass(frozen=True, slots=True)
class RememberCommand:
    """Keep the outcome under the command's id, in the transaction of this decision."""

    outcome: CommandOutcome


@dataclass(frozen=True, slots=True)
class Note:
    """A log line: what was decided where the record does not show it."""

    event: str
    fields: dict[str, object] = field(default_factory=dict)
    warning: bool = False


Effect: TypeAlias = (
    StoreManifest
    | ForgetManifest
    | StartWork
    | CancelWork
    | CheckHealth
    | StartTimer
    | PublishStatus
    | ClearStatus
    | PublishRefusal
    | ReplayEvents
    | RememberCommand
    | Note
)


@dataclass(frozen=True, slots=True)
class Context:
    """What a decision may know of the world around.

    ``others`` is the device's capacity, and what deployments beside this one are promised of it; ``jitter`` is in [0, 1)
    and spreads retries; ``health_seconds`` is the period of health checks; after ``stable_seconds``
    without trouble the counts of attempts and repairs start again.
    """

    others: Holdings
    jitter: float = 0.0
    max_attempts: int = 5
    max_heals: int = 5
    health_seconds: float = 10.0
    stable_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Decision:
    """What an event brings about. ``record`` is ``None`` only for a deployment that stays unknown."""

    record: Deployment | None
    transitions: tuple[Moved, ...] = ()
    effects: tuple[Effect, ...] = ()
