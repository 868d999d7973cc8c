"""The ports of the orchestrator's shell. The bus is ``topics.transport.port.Bus``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.commands import CommandRecord
from orchestrator.decision import Decision, Publication, Render, Rendered, RenderFailed, Transition
from orchestrator.model import DeploymentRecord, DeviceRecord, Fleet, SpecRecord
from topics.documents.device import Capabilities


@dataclass(slots=True)
class Unit:
    """Everything that one transaction writes: of each record only the newest state."""

    specs: dict[str, SpecRecord] = field(default_factory=dict)
    devices: dict[str, DeviceRecord] = field(default_factory=dict)
    deployments: dict[tuple[str, str], DeploymentRecord | None] = field(default_factory=dict)
    commands: dict[tuple[str, str], CommandRecord] = field(default_factory=dict)
    transitions: list[Transition] = field(default_factory=list)
    publications: dict[str, Publication] = field(default_factory=dict)
    delivered: list[int] = field(default_factory=list)

    def add(self, decision: Decision) -> None:
        for record in decision.records:
            match record:
                case DeploymentRecord():
                    self.deployments[record.key] = record
                case DeviceRecord():
                    self.devices[record.device] = record
                case SpecRecord():
                    self.specs[record.name] = record
                case CommandRecord():
                    self.commands[record.key] = record
        for key in decision.dropped:
            self.deployments[key] = None
        self.transitions += decision.transitions
        for publication in decision.publications:
            self.publish(publication)

    def publish(self, publication: Publication) -> None:
        key = publication.key or publication.topic
        self.publications.pop(key, None)  # the newest one takes its place at the end of the order
        self.publications[key] = publication

    def __bool__(self) -> bool:
        return bool(
            self.specs or self.devices or self.deployments or self.commands
            or self.transitions or self.publications or self.delivered
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that is to be sent. ``seq`` grows with every publication and is its delivery token."""

    seq: int
    topic: str
    payload: bytes
    retain: bool


class Store(Protocol):
    """Durable records and the outbox. One writer, called from the deciding thread only."""

    def load(self) -> Fleet: ...

    def commit(self, unit: Unit) -> bool:
        """Write all of it in one transaction; true if something is new to send. Publications whose
        content is what the topic already carries are not sent again."""

    def to_send(self, after: int, most: int) -> list[Outgoing]:
        """The messages still to send whose ``seq`` is greater than ``after``, in order."""

    def newest(self) -> int:
        """The ``seq`` of the newest message ever put into the outbox; 0 if there was none."""

    def send_again(self, *, newest: int | None = None, topics: Iterable[str] = ()) -> None:
        """Mark retained messages to be sent again: all of them, the ``newest`` ones, or some topics."""

    def next_epoch(self) -> int:
        """Number this start of the orchestrator; grows with every call."""

    def transitions(self, name: str, device: str) -> Sequence[int]:
        """The sequence numbers kept of a deployment, in order."""

    def close(self) -> None: ...


class RenderPool(Protocol):
    """Rendering outside of the deciding thread."""

    def start(
        self,
        task: Render,
        spec: SpecRecord,
        devices: Mapping[str, Capabilities],
        then: Callable[[Rendered | RenderFailed], None],
    ) -> None:
        """Render and report through ``then``, from another thread. ``devices``: what those of the task say of
        themselves, as far as they have said it."""

    def stop(self) -> None: ...


class Clock(Protocol):
    """Monotonic seconds for timers, and the wall clock as RFC 3339 text for people."""

    def monotonic(self) -> float: ...

    def wall(self) -> str: ...
