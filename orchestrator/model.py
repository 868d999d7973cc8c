"""What the orchestrator knows: frozen records, and the fleet that holds the newest of each.

The store is the truth; ``Fleet`` is its copy in memory, so that decisions need no query. Records are
replaced, never changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from topics.documents.device import Capabilities
from topics.documents.spec import DeploymentSpec
from topics.documents.status import Failure
from topics.errors import Reason
from topics.lifecycle import State


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a generation could not be rendered. ``retryable``: it is tried again by itself."""

    reasons: tuple[Reason, ...]
    retryable: bool
    attempt: int


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

    @property
    def deleted(self) -> bool:
        return self.spec is None


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device, from its own messages. ``journal`` names its journal: another one means that the device
    was set up anew and counts its epochs and sequences from the start. ``last_seen`` is RFC 3339."""

    device: str
    online: bool = False
    epoch: int = 0
    journal: str = ""
    agent_version: str = ""
    heartbeat_seconds: float = 30.0
    last_seen: str | None = None
    capabilities: Capabilities | None = None
    capabilities_digest: str = ""


@dataclass(frozen=True, slots=True)
class DeploymentRecord:
    """A deployment: one spec on one device.

    ``desired_*`` is what was published for the device (generation 0: nothing yet), ``removing`` that it
    is a tombstone. The rest is what the device reported: ``sequence`` of its newest report,
    ``event_sequence`` up to which every transition is here, ``ahead`` those beyond a gap.
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

    @property
    def key(self) -> tuple[str, str]:
        return (self.name, self.device)

    @property
    def has_gap(self) -> bool:
        """Whether transitions are missing that the device has made."""
        return self.sequence > self.event_sequence


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """A command for one device; without ``outcome`` it still waits for its answer."""

    id: str
    name: str
    device: str
    action: str
    generation: int
    expiry_seconds: float
    outcome: str = ""
    message: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return (self.id, self.device)


KEPT_PER_DEPLOYMENT = 200
"""How many answered commands of one deployment are remembered: enough to know a duplicate again."""


@dataclass(slots=True)
class Fleet:
    """All records, by their keys."""

    specs: dict[str, SpecRecord] = field(default_factory=dict)
    devices: dict[str, DeviceRecord] = field(default_factory=dict)
    commands: dict[tuple[str, str], CommandRecord] = field(default_factory=dict)
    refusals: dict[str, dict[str, tuple[Reason, ...]]] = field(default_factory=dict)
    """Per spec: the selected devices that cannot take it, and why. Derived; absent until it is needed."""
    seen: dict[str, str] = field(default_factory=dict)
    """Per device: when this process last heard of it (RFC 3339). Not stored; presence stores it now and then."""
    _by_name: dict[str, dict[str, DeploymentRecord]] = field(default_factory=dict)
    _by_device: dict[str, set[str]] = field(default_factory=dict)
    _commands: dict[str, dict[tuple[str, str], CommandRecord]] = field(default_factory=dict)
    _open: dict[str, dict[tuple[str, str], CommandRecord]] = field(default_factory=dict)
    _answered: dict[str, dict[tuple[str, str], None]] = field(default_factory=dict)

    def deployment(self, name: str, device: str) -> DeploymentRecord | None:
        return self._by_name.get(name, {}).get(device)

    def of_spec(self, name: str) -> dict[str, DeploymentRecord]:
        """The deployments of a spec by device; not to be changed."""
        return self._by_name.get(name, {})

    def of_device(self, device: str) -> Iterator[DeploymentRecord]:
        for name in sorted(self._by_device.get(device, ())):
            yield self._by_name[name][device]

    def deployments(self) -> Iterator[DeploymentRecord]:
        for records in self._by_name.values():
            yield from records.values()

    def open_commands(self, device: str) -> list[CommandRecord]:
        return list(self._open.get(device, {}).values())

    def newest_commands(self, name: str, most: int) -> list[CommandRecord]:
        """The newest commands of a deployment, in the order of their arrival."""
        return list(islice(reversed(self._commands.get(name, {}).values()), most))[::-1]

    def put_command(self, record: CommandRecord) -> None:
        """Keep a command; the oldest answered ones of its deployment are forgotten."""
        self.commands[record.key] = record
        self._commands.setdefault(record.name, {})[record.key] = record
        if not record.outcome:
            self._open.setdefault(record.device, {})[record.key] = record
            return
        self._open.get(record.device, {}).pop(record.key, None)
        answered = self._answered.setdefault(record.name, {})
        answered[record.key] = None
        if len(answered) > KEPT_PER_DEPLOYMENT:
            oldest = next(iter(answered))
            del answered[oldest], self.commands[oldest], self._commands[record.name][oldest]

    def put_deployment(self, record: DeploymentRecord) -> None:
        self._by_name.setdefault(record.name, {})[record.device] = record
        self._by_device.setdefault(record.device, set()).add(record.name)

    def drop_deployment(self, name: str, device: str) -> None:
        self._by_name.get(name, {}).pop(device, None)
        self._by_device.get(device, set()).discard(name)
