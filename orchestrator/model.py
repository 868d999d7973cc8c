"""What the orchestrator knows: frozen records, and the fleet that holds the newest of each.

The store is the truth; ``Fleet`` is its copy in memory, so that decisions need no query. Records are
replaced, never changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.commands import Commands
from orchestrator.interests import Interests
from orchestrator.ledger import Ledger
from orchestrator.matching import Matcher
from orchestrator.offers import Offers, manifest_types
from orchestrator.refusals import Refusals
from orchestrator.unrendered import Unrendered
from topics.allocation import NOTHING, Share, capacity_of
from topics.documents.device import Capabilities
from topics.documents.spec import DeploymentSpec
from topics.documents.status import ComponentStatus, Failure
from topics.eligibility import Subject
from topics.errors import Reason
from topics.lifecycle import State


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a generation could not be rendered for any device. ``retryable``: it is tried again by itself."""

    reasons: tuple[Reason, ...]
    retryable: bool
    attempt: int

    @property
    def pause(self) -> float | None:
        """Seconds until it is tried again: 5 s doubling to 5 min; ``None`` if it is not."""
        return min(300.0, 5.0 * 2 ** min(self.attempt - 1, 10)) if self.retryable else None


@dataclass(frozen=True, slots=True)
class SpecRecord:
    """A spec under its name. It stays as ``deleted`` after its removal, so that generations go on growing.

    ``payload_digest`` is that of the accepted bytes; ``content_digest`` that of the part whose change
    makes a new generation; ``spec`` is ``None`` once deleted.
    """

    name: str
    generation: int
    payload_digest: str
    content_digest: str
    spec: DeploymentSpec | None
    paused: bool = False
    problem: Problem | None = None
    pins: tuple[tuple[str, str], ...] = ()
    """Component and chart digest, as first fetched for this generation: a device that joins later gets
    the same chart, whatever a tag points to by then."""
    accepted: int = 0
    """Place in the order in which generations were accepted: who waits for room is served in it."""
    warnings: tuple[Reason, ...] = ()
    """The tolerances that were used to read it."""
    margo: bool = False
    """Whether it was a Margo document or package: then its state is published as one, too."""
    rejected: bool = False
    """Whether a later message was rejected: then that answer stands until the next message."""

    @property
    def deleted(self) -> bool:
        return self.spec is None


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device, from its own messages. ``journal`` names its journal: another one means that the device
    was set up anew and counts its epochs and sequences from the start. ``last_seen`` is RFC 3339.
    ``promised`` is what the device itself says it promised, by deployment."""

    device: str
    online: bool = False
    epoch: int = 0
    journal: str = ""
    agent_version: str = ""
    heartbeat_seconds: float = 30.0
    last_seen: str | None = None
    capabilities: Capabilities | None = None
    capabilities_digest: str = ""
    promised: tuple[tuple[str, Share], ...] = ()


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a device was given of a spec: ``generation`` is the newest that it is to hold, ``why`` says why it was
    chosen, ``share`` what the published generation needs, ``reserved`` what counts as promised: enough for both
    while one generation replaces another, and until the deployment is gone from the device."""

    generation: int = 0
    why: str = ""
    share: Share = NOTHING
    reserved: Share = NOTHING

    def __hash__(self) -> int:
        # Each row that is stored looks its text up; the shares follow from the rest but for a few.
        return hash((self.generation, self.why))


UNASSIGNED = Assignment()


class DeploymentRecord(NamedTuple):
    """A deployment: one spec on one device. A tuple, because each report makes a new one: a dataclass takes four
    times as long to copy with a change, and to compare.

    ``desired_*`` is what was published for the device (generation 0: nothing yet), ``removing`` that it
    is a tombstone. The rest but for ``assignment`` is what the device reported: ``sequence`` of its newest report, ``event_sequence`` up to which every
    transition is here, ``ahead`` those beyond a gap.
    """

    name: str
    device: str
    desired_generation: int = 0
    desired_digest: str = ""
    removing: bool = False
    state: State | None = None
    generation: int = 0
    deployed_generation: int | None = None
    epoch: int = 0
    journal: str = ""
    sequence: int = 0
    event_sequence: int = 0
    ahead: tuple[int, ...] = ()
    last_target: State | None = None
    held: str | None = None
    failure: Failure | None = None
    anomaly: str = ""
    components: tuple[ComponentStatus, ...] = ()
    """Kept of Margo specs only, whose statuses tell them."""
    assignment: Assignment = UNASSIGNED

    @property
    def assigned(self) -> int:
        """The newest generation that the device is to hold."""
        return self.assignment.generation

    @property
    def reserved(self) -> Share:
        """What counts as promised to the deployment."""
        return self.assignment.reserved

    @property
    def key(self) -> tuple[str, str]:
        return (self.name, self.device)

    @property
    def has_gap(self) -> bool:
        """Whether transitions are missing that the device has made."""
        return self.sequence > self.event_sequence


@dataclass(slots=True)
class Fleet:
    """All records, by their keys, and what is derived from them."""

    specs: dict[str, SpecRecord] = field(default_factory=dict)
    devices: dict[str, DeviceRecord] = field(default_factory=dict)
    commands: Commands = field(default_factory=Commands)
    ledger: Ledger = field(default_factory=Ledger)
    refusals: Refusals = field(default_factory=Refusals)
    unrendered: Unrendered = field(default_factory=Unrendered)
    seen: dict[str, str] = field(default_factory=dict)
    """Per device: when this process last heard of it (RFC 3339). Not stored; presence stores it now and then."""
    accepted: int = 0
    """The highest place in the order of acceptance."""
    offers: Offers = field(default_factory=dict)
    """The installed renderers; set once, before the first spec is matched."""
    _subjects: dict[str, Subject] = field(default_factory=dict)
    _matchers: dict[str, Matcher] = field(default_factory=dict)
    _interests: Interests = field(default_factory=Interests)
    _by_name: dict[str, dict[str, DeploymentRecord]] = field(default_factory=dict)
    _by_device: dict[str, set[str]] = field(default_factory=dict)
    _holders: Counter[str] = field(default_factory=Counter)

    # -- specs and devices -----------------------------------------------------------------------

    def put_spec(self, record: SpecRecord) -> None:
        """Keep a spec, and know whom it may concern."""
        known = self.specs.get(record.name)
        self.specs[record.name] = record
        self.accepted = max(self.accepted, record.accepted)
        if known is None or known.spec is not record.spec:
            self._interests.put(record.name, record.spec, known.spec if known else None)
            if record.spec is None:
                self._matchers.pop(record.name, None)
                self.refusals.drop_spec(record.name)
                self.unrendered.drop_spec(record.name)

    def put_device(self, record: DeviceRecord) -> None:
        """Keep a device, and know what can be promised on it."""
        known = self.devices.get(record.device)
        self.devices[record.device] = record
        if known is None or known.capabilities is not record.capabilities or known.promised is not record.promised:
            if known is None or known.capabilities is not record.capabilities:
                self.unrendered.drop_device(record.device)
            capacity = capacity_of(record.capabilities) if record.capabilities else NOTHING
            self.ledger.describe(record.device, capacity, dict(record.promised))

    def matcher(self, spec: SpecRecord) -> Matcher:
        """The spec prepared for matching, made once for its content."""
        assert spec.spec is not None, "a deleted spec is not matched"
        known = self._matchers.get(spec.name)
        if known is None or known.spec is not spec.spec:
            known = self._matchers[spec.name] = Matcher(spec.spec, manifest_types(spec.spec, self.offers))
        return known

    def subject(self, device: str) -> Subject | None:
        """The device prepared for matching, made once for its capabilities; ``None`` while they are unknown."""
        record = self.devices.get(device)
        if record is None or record.capabilities is None:
            return None
        known = self._subjects.get(device)
        if known is None or known.capabilities is not record.capabilities:
            known = self._subjects[device] = Subject(record.capabilities)
        return known

    def capabilities_of(self, devices: Iterable[str]) -> dict[str, Capabilities]:
        """What these devices say of themselves; without those that have not said it yet."""
        records = (self.devices.get(device) for device in devices)
        return {item.device: item.capabilities for item in records if item is not None and item.capabilities}

    def concerned_by(self, subject: Subject) -> set[str]:
        """The specs that a change of the device may concern: those that hold it, refuse it, name it, or select
        by labels and properties."""
        device = subject.device
        return {
            *self._by_device.get(device, ()),
            *self.refusals.of_device(device),
            *self._interests.of(subject),
        }

    # -- deployments -----------------------------------------------------------------------------

    def deployment(self, name: str, device: str) -> DeploymentRecord | None:
        return self._by_name.get(name, {}).get(device)

    def of_spec(self, name: str) -> dict[str, DeploymentRecord]:
        """The deployments of a spec by device; not to be changed."""
        return self._by_name.get(name, {})

    def holders(self, name: str) -> int:
        """How many devices hold a spec and are not being taken off."""
        return self._holders[name]

    def of_device(self, device: str) -> Iterator[DeploymentRecord]:
        for name in sorted(self._by_device.get(device, ())):
            yield self._by_name[name][device]

    def deployments(self) -> Iterator[DeploymentRecord]:
        for records in self._by_name.values():
            yield from records.values()

    def put_deployment(self, record: DeploymentRecord) -> None:
        records = self._by_name.setdefault(record.name, {})
        known = records.get(record.device)
        records[record.device] = record
        if known is None:
            self._by_device.setdefault(record.device, set()).add(record.name)
        self._holders[record.name] += (not record.removing) - (known is not None and not known.removing)
        if known is None or known.assignment is not record.assignment:
            self.ledger.reserve(record.device, record.name, record.reserved)

    def drop_deployment(self, name: str, device: str) -> None:
        known = self._by_name.get(name, {}).pop(device, None)
        self._holders[name] -= known is not None and not known.removing
        self._by_device.get(device, set()).discard(name)
        self.ledger.reserve(device, name, NOTHING)
