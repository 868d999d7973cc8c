"""What the orchestrator answers: the result of a spec, and the aggregate over its devices."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from topics.documents.base import Int64, Message
from topics.documents.command import CommandOutcome
from topics.documents.status import Failure
from topics.errors import Reason
from topics.lifecycle import State


class Placed(Message):
    """A device that takes a spec, and why it was chosen."""

    device: str
    why: str


class RenderFailure(Message):
    """Why no device gets the wanted generation: its manifests cannot be made. What runs keeps running.

    ``next_retry_seconds`` counts from this message. ``None`` (not ``retryable``): it is not tried again before the
    spec is changed or published once more, or the orchestrator is started anew.
    """

    stage: str = "Rendering"
    code: str
    message: str
    retryable: bool
    attempt: Int64
    next_retry_seconds: float | None = None


class SpecResult(Message):
    """The answer to one spec message.

    ``spec_digest`` is the digest over the exact bytes that were received, so a publisher knows that
    this answers its message. ``generation`` is the one in force: a rejected spec leaves it as it was
    (0 if there is none). ``reasons`` of an accepted spec say which devices cannot take it, and why;
    ``placed`` says which take it and why those. ``failure`` is there while it cannot be rendered for any device; its
    reasons are then the first of ``reasons``. ``warnings`` name each tolerance that was used to read it.
    """

    deployment: str
    outcome: Literal["accepted", "rejected", "deleted"]
    generation: Int64
    spec_digest: str
    reasons: tuple[Reason, ...] = ()
    warnings: tuple[Reason, ...] = ()
    placed: tuple[Placed, ...] = ()
    failure: RenderFailure | None = None
    time: str = ""


class DeviceSummary(Message):
    """One device's part of a deployment.

    ``last_seen`` is the orchestrator's clock when it last heard of the device (RFC 3339), and stands
    beside the state so that no news never reads as running. ``confirmed``: the device itself lists what it
    promised to the deployment.
    """

    device: str
    state: State | None = None
    generation: Int64
    desired_generation: Int64
    deployed_generation: Int64 | None = None
    online: bool
    epoch: Int64
    last_seen: str | None = None
    confirmed: bool = False
    held: str | None = None
    failure: Failure | None = None


class NotPlaceable(Message):
    """A device that the spec selects and that cannot take it, with every reason."""

    device: str
    reasons: tuple[Reason, ...]


class AggregateStatus(Message):
    """The state of a deployment over all its devices.

    ``phase`` is ``Deployed`` only when every placed device runs the wanted generation;
    ``NotPlaceable`` when no device can take it; ``counts`` maps each state to its number of devices
    (``Waiting``: no report for the wanted generation yet). ``devices`` is bounded: with more devices
    than that, those not yet Deployed come first and ``truncated`` says how many are left out. ``paused``: no new
    manifest goes out, whatever the phase. ``failure`` is there while the generation cannot be rendered for any device.
    """

    deployment: str
    generation: Int64
    phase: Literal[
        "Pending", "NotPlaceable", "Progressing", "Deployed", "Degraded", "Failed", "Paused", "Removing", "Removed"
    ]
    message: str = ""
    failure: RenderFailure | None = None
    paused: bool = False
    total: Int64 = 0
    counts: dict[str, Int64] = Field(default_factory=dict)
    devices: tuple[DeviceSummary, ...] = ()
    not_placeable: tuple[NotPlaceable, ...] = ()
    waiting_for: tuple[str, ...] = ()
    truncated: Int64 = 0
    commands: tuple[CommandOutcome, ...] = ()
    time: str = ""
