"""What happened: the status of a deployment on a device, its transitions, and the progress of a download."""

from __future__ import annotations

from topics.documents.base import Int64, Message
from topics.documents.command import CommandOutcome
from topics.identifiers import DeploymentName, DeviceId
from topics.lifecycle import State, Trigger

GENERATION_REUSED = "generation-reused"
"""The code of a refusal: the device has another manifest under this very generation. Whoever numbers the
generations must go on above it."""


class Failure(Message):
    """Why a stage failed, and what happens next.

    ``next_retry_seconds`` counts from this message; ``None`` means that only a command or a new
    generation moves the deployment on.
    """

    stage: State
    code: str
    message: str
    retryable: bool
    generation: Int64
    attempt: Int64 = 1
    next_retry_seconds: float | None = None
    component: str | None = None


class ComponentStatus(Message):
    """The state of one component: ``Waiting``, ``Applying``, ``Healthy``, ``Unhealthy``, ``Failed``."""

    name: str
    state: str
    message: str = ""


class DeploymentStatus(Message):
    """The latest state of one deployment on one device (retained).

    ``generation`` is the observed generation: the one the state speaks of. ``deployed_generation``
    is the last good one, which runs until a newer is Deployed. ``sequence`` is that of the last
    transition, so a reader knows whether it has seen all events. ``time`` is the device's own
    clock, for people; it may be wrong and decides nothing.
    """

    deployment: DeploymentName
    device: DeviceId
    epoch: Int64
    journal: str = ""
    sequence: Int64
    state: State
    generation: Int64
    desired_generation: Int64
    manifest_digest: str = ""
    deployed_generation: Int64 | None = None
    held: str | None = None
    failure: Failure | None = None
    components: tuple[ComponentStatus, ...] = ()
    commands: tuple[CommandOutcome, ...] = ()
    time: str = ""


class TransitionEvent(Message):
    """One state transition; ``sequence`` has no gaps within a deployment on a device."""

    deployment: DeploymentName
    device: DeviceId
    epoch: Int64
    journal: str = ""
    sequence: Int64
    generation: Int64
    source: State | None = None
    target: State
    trigger: Trigger
    code: str = ""
    message: str = ""
    attempt: Int64 = 1
    time: str = ""


class Progress(Message):
    """How far a download is: bytes so far, bytes in all where known, percent."""

    deployment: DeploymentName
    device: DeviceId
    generation: Int64
    component: str
    bytes: Int64
    total: Int64 | None = None
    percent: float | None = None
