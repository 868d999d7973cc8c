"""What goes into the core and what comes out: events, decisions, effects. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from orchestrator.commands import CommandRecord
from orchestrator.ledger import has_more
from orchestrator.model import DeploymentRecord, DeviceRecord, Fleet, SpecRecord
from topics.allocation import Share
from topics.channels import Topics
from topics.documents.status import TransitionEvent
from topics.errors import Reason


@dataclass(frozen=True, slots=True)
class Context:
    """What a decision may know besides records and event. ``wall`` is RFC 3339, for people only."""

    topics: Topics
    wall: str
    max_payload_bytes: int


# -- events that are not messages ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rendered:
    """Manifests of one generation, as payload per device; ``refused`` are the devices that can have none, and why."""

    name: str
    generation: int
    manifests: Mapping[str, bytes]
    pins: tuple[tuple[str, str], ...] = ()
    refused: Mapping[str, tuple[Reason, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RenderFailed:
    """A generation could not be rendered."""

    name: str
    generation: int
    reasons: tuple[Reason, ...]
    retryable: bool


@dataclass(frozen=True, slots=True)
class RenderDue:
    """A generation is to be rendered (again) for the devices that still lack it."""

    name: str


@dataclass(frozen=True, slots=True)
class DeviceSilent:
    """Nothing was heard of an online device for longer than its heartbeats allow."""

    device: str


@dataclass(frozen=True, slots=True)
class GapDue:
    """A gap in a deployment's transitions has stayed open; ``give_up`` after several requests."""

    name: str
    device: str
    attempt: int
    give_up: bool = False


@dataclass(frozen=True, slots=True)
class NotTakenUp:
    """An online device has not reported the wanted generation for long."""

    name: str
    device: str
    attempt: int


@dataclass(frozen=True, slots=True)
class CommandExpired:
    """A command was not answered in time."""

    id: str
    device: str


Timed: TypeAlias = Rendered | RenderFailed | RenderDue | DeviceSilent | GapDue | NotTakenUp | CommandExpired


# -- what a decision brings about ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Publication:
    """A message to send. Retained ones replace each other per topic; an empty payload clears.

    ``digest`` is that of the content without its time: the same content is not published again.
    ``key`` tells messages apart that are not retained.
    """

    topic: str
    payload: bytes
    retain: bool = True
    digest: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Transition:
    """One reported transition for the history. ``legal`` is false for one that the table forbids."""

    event: TransitionEvent
    journal: str
    received: str
    legal: bool


@dataclass(frozen=True, slots=True)
class Render:
    """Effect: render this generation for these devices, outside of the deciding thread."""

    name: str
    generation: int
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RetryRender:
    """Effect: decide ``RenderDue`` again after a back-off."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ExpireCommand:
    """Effect: decide ``CommandExpired`` after so many seconds."""

    id: str
    device: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Note:
    """Effect: one log line."""

    event: str
    fields: Mapping[str, object]
    warning: bool = False


Effect: TypeAlias = Render | RetryRender | ExpireCommand | Note
Record: TypeAlias = SpecRecord | DeviceRecord | DeploymentRecord | CommandRecord


@dataclass(slots=True)
class Decision:
    """New records, messages to send, effects; ``touched`` names the specs whose aggregate changed.

    What concerns several specs is not decided here but named, and follows one by one (``orchestrator.engine``):
    each sees what the one before it took.
    """

    records: list[Record] = field(default_factory=list)
    dropped: list[tuple[str, str]] = field(default_factory=list)
    transitions: list[Transition] = field(default_factory=list)
    publications: list[Publication] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    placements: dict[str, Mapping[str, tuple[Reason, ...]]] = field(default_factory=dict)
    """Per spec that was placed anew: the devices that cannot take it."""
    refusals: list[tuple[str, str, tuple[Reason, ...]]] = field(default_factory=list)
    """Spec, device, reasons (none: it can take it), where a single device was looked at."""
    rendered: list[tuple[str, int, str, tuple[Reason, ...]]] = field(default_factory=list)
    """Spec, generation, device, why it can have no manifest of it (nothing: it has one)."""
    described: list[str] = field(default_factory=list)
    """Devices that say what they are for the first time, or are something else now."""
    replaced: list[str] = field(default_factory=list)
    """Specs that lost one of N devices: others are to be chosen before the transaction ends."""
    answered: set[str] = field(default_factory=set)
    """Specs whose result is to be published at once."""
    restated: set[str] = field(default_factory=set)
    """Specs whose result may say something else now; it is published together with their aggregates."""

    def note(self, event: str, *, warning: bool = False, **fields: object) -> None:
        self.effects.append(Note(event, fields, warning))


def apply(fleet: Fleet, decision: Decision) -> list[str]:
    """Make a decision's records the newest ones. Returns the devices on which more is left than before."""
    before: dict[str, Share] = {}  # of the devices whose promises or capacity change
    for record in decision.records:
        match record:
            case DeploymentRecord():
                known = fleet.deployment(record.name, record.device)
                if known is None or known.assignment is not record.assignment:
                    _note_left(fleet, record.device, before)
                fleet.put_deployment(record)
            case DeviceRecord():
                device = fleet.devices.get(record.device)
                if (
                    device is None
                    or device.promised is not record.promised
                    or device.capabilities is not record.capabilities
                ):
                    _note_left(fleet, record.device, before)
                fleet.put_device(record)
            case SpecRecord():
                fleet.put_spec(record)
            case CommandRecord():
                fleet.commands.put(record)
    for name, device_id in decision.dropped:
        _note_left(fleet, device_id, before)
        fleet.drop_deployment(name, device_id)
    for outcome in decision.rendered:
        fleet.unrendered.put(*outcome)
    for name, refused in decision.placements.items():
        fleet.refusals.put_spec(name, refused)
    for name, device_id, reasons in decision.refusals:
        fleet.refusals.put(name, device_id, reasons)
    return [device_id for device_id, left in before.items() if has_more(left, fleet.ledger.left(device_id))]


def _note_left(fleet: Fleet, device: str, before: dict[str, Share]) -> None:
    if device not in before:
        before[device] = fleet.ledger.left(device)
