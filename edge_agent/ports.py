"""What the agent needs of the world, each behind a small port; ``bootstrap`` says what stands behind.

The bus is ``topics.transport.port.Bus``, the runtime ``edge_agent.appliers.port.Applier``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from edge_agent.happenings import StoreManifest
from edge_agent.model import Deployment
from topics.allocation import Share
from topics.documents.command import CommandOutcome
from topics.documents.device import Capabilities


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message for the outbox. Of retained ones only the newest per topic is kept, and it goes to the
    end, so that a status never overtakes its events. ``sequence`` is that of an event, else 0."""

    topic: str
    payload: bytes
    retain: bool
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A message in the outbox with its number, by which it is deleted once delivered."""

    number: int
    topic: str
    payload: bytes
    retain: bool


@dataclass(slots=True)
class Batch:
    """Everything that one transaction writes. Keys of the transitions are (deployment, sequence); ``runtimes``
    are the names of those that were told of the device, ``None`` for no change."""

    records: dict[str, Deployment] = field(default_factory=dict)
    manifests: list[tuple[str, StoreManifest]] = field(default_factory=list)
    forgotten: list[tuple[str, int]] = field(default_factory=list)
    transitions: list[tuple[str, int, bytes]] = field(default_factory=list)
    outgoing: list[Outgoing] = field(default_factory=list)
    delivered: list[int] = field(default_factory=list)
    commands: list[tuple[str, CommandOutcome]] = field(default_factory=list)
    runtimes: frozenset[str] | None = None

    def __bool__(self) -> bool:
        return bool(
            self.records
            or self.manifests
            or self.forgotten
            or self.transitions
            or self.outgoing
            or self.delivered
            or self.commands
            or self.runtimes is not None
        )


class JournalError(Exception):
    """The journal cannot be used; the text says why and what to do. It never starts empty instead."""


class Journal(Protocol):
    """What survives kill -9 and power loss. Used by one thread."""

    @property
    def id(self) -> str:
        """Names this journal: a device that was set up anew has another one."""

    @property
    def boot(self) -> int:
        """How often the journal was opened; grows by one with every start."""

    def load(self) -> dict[str, Deployment]:
        """Every record by its deployment. Raises ``JournalError``."""

    def write(self, batch: Batch) -> None:
        """Write all of the batch or nothing; durable when it returns. Raises ``JournalError``."""

    def manifest(self, deployment: str, generation: int) -> bytes:
        """The exact bytes of a stored manifest. Raises ``JournalError`` if it is not there."""

    def transitions(self, deployment: str, from_sequence: int) -> list[tuple[int, bytes]]:
        """(sequence, event payload) of the kept transitions from this one on, in order."""

    def oldest_transition(self, deployment: str) -> int | None:
        """The sequence of the oldest transition kept, ``None`` without any."""

    def was_handled(self, deployment: str, command_id: str) -> bool:
        """Whether the outcome of this command is remembered."""

    def runtimes(self) -> frozenset[str]:
        """The names of the runtimes that were last told of the device; none if nothing was."""

    def outbox(self, after: int, most: int) -> list[OutboxRow]:
        """Up to ``most`` messages with numbers over ``after``, in order."""

    def reach_boot(self, boot: int) -> None:
        """Raise the boot counter to at least this."""

    def close(self) -> None: ...


class Clock(Protocol):
    """Time. Only ``monotonic`` decides anything; ``wall`` is for people and may be wrong."""

    def monotonic(self) -> float: ...

    def wall(self) -> str:
        """Now as RFC 3339 text."""


class Probe(Protocol):
    """What the device is, measured. Called from worker threads."""

    def capabilities(self) -> Capabilities: ...

    def free(self, capabilities: Capabilities) -> Share:
        """Memory, and storage of the volume that is promised from, that nobody uses now (``cpu`` is not
        measured and 0). ``capabilities`` are what was last told of the device."""


class Executor(Protocol):
    """Runs jobs: one after the other for the same key, several keys at a time."""

    def submit(self, key: str, job: Callable[[Callable[[], bool]], None]) -> None:
        """Run ``job(cancelled)`` later, on some thread, after earlier jobs of the key."""

    def cancel(self, keys: Iterable[str]) -> None:
        """From now on ``cancelled()`` is true for the jobs that these keys have."""

    def stop(self) -> None:
        """Cancel everything and start nothing more; does not wait for what is stuck."""
