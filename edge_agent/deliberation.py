"""Runs the core over a batch of events and gathers everything that one transaction must hold.

Between ``consider`` and ``commit`` nothing has happened yet: neither on the disk nor in the world.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from edge_agent.engine import decide
from edge_agent.happenings import (
    ClearStatus,
    CommandReceived,
    Context,
    Decision,
    Effect,
    Event,
    ForgetManifest,
    Note,
    PublishRefusal,
    PublishStatus,
    RememberCommand,
    ReplayEvents,
    StoreManifest,
    WorkDone,
)
from edge_agent.model import Deployment, Step
from edge_agent.plan import promised
from edge_agent.ports import Batch, Clock, Journal, Outgoing
from edge_agent.reports import Reports
from topics.allocation import NOTHING, Holdings, Share, capacity_of
from topics.documents.command import Action
from topics.documents.device import Capabilities
from topics.lifecycle import State
from topics.program import failpoints
from topics.program.logs import EventLog


@dataclass(frozen=True, slots=True)
class Policy:
    """The numbers that decisions follow; see ``Context``."""

    max_attempts: int = 5
    max_heals: int = 5
    health_seconds: float = 10.0
    stable_seconds: float = 60.0


class Deliberation:
    """The records in memory, equal to the journal's after every ``commit``."""

    def __init__(
        self,
        *,
        journal: Journal,
        reports: Reports,
        clock: Clock,
        policy: Policy,
        jitter: Callable[[], float],
        log: EventLog,
    ) -> None:
        self._journal = journal
        self._reports = reports
        self._clock = clock
        self._jitter = jitter
        self._log = log
        self._context = Context(
            others=Holdings(NOTHING), max_attempts=policy.max_attempts, max_heals=policy.max_heals,
            health_seconds=policy.health_seconds, stable_seconds=policy.stable_seconds,
        )  # fmt: skip
        self.capacity = NOTHING
        self.runtimes = journal.runtimes()
        self.records: dict[str, Deployment] = journal.load()
        self._batch = Batch()
        self._effects: list[tuple[str, Effect]] = []
        self._answers: dict[str, Outgoing] = {}
        self._stale_status: set[str] = set()
        self._entered: list[State] = []

    def consider(self, name: str, event: Event) -> None:
        """Decide one event, on top of what was decided since the last commit."""
        record = self.records.get(name)
        if isinstance(event, CommandReceived):
            event = self._with_memory(name, event)
        decision = decide(name, record, event, self._context_for(name, record, event))
        self._keep(name, record, decision)
        for effect in decision.effects:
            self._gather(name, effect)

    def describe(self, capabilities: Capabilities) -> None:
        """What the device is from now on; its runtimes are remembered beyond the process."""
        self.capacity = capacity_of(capabilities)
        self.runtimes = frozenset(runtime.name for runtime in capabilities.runtimes)
        self._batch.runtimes = self.runtimes

    def publish(self, message: Outgoing) -> None:
        """Put a message into the outbox with this transaction."""
        self._batch.outgoing.append(message)

    def publish_every_status(self) -> None:
        """Put the status of every deployment into the outbox: the broker may have lost them all."""
        self._stale_status.update(name for name, record in self.records.items() if not record.cleared)

    def promises(self) -> tuple[tuple[str, Share], ...]:
        """What each deployment holds of the device, without those that hold nothing."""
        shares = ((name, promised(record)) for name, record in sorted(self.records.items()))
        return tuple((name, share) for name, share in shares if share)

    @property
    def is_pending(self) -> bool:
        """Whether ``commit`` has anything to write."""
        return bool(self._batch or self._answers or self._stale_status)

    @property
    def changed_records(self) -> bool:
        return bool(self._batch.records)

    def commit(self, delivered: list[int]) -> tuple[bool, list[tuple[str, Effect]]]:
        """Write everything in one transaction; whether there was anything, and what is to be done now."""
        for name in self._stale_status - self._answers.keys():
            self._answers[name] = self._reports.status(self.records[name], self._clock.wall())
        batch, effects, entered = self._batch, self._effects, self._entered
        batch.outgoing.extend(self._answers.values())
        batch.delivered = delivered
        self._batch, self._effects, self._entered = Batch(), [], []
        self._answers, self._stale_status = {}, set()
        if batch:
            failpoints.reach("agent.before-commit")
            self._journal.write(batch)
            failpoints.reach("agent.after-commit")
            for state in entered:
                failpoints.reach(f"agent.state.{state.value}")
        return bool(batch), effects

    def _keep(self, name: str, before: Deployment | None, decision: Decision) -> None:
        if decision.record is not None and decision.record != before:
            self.records[name] = decision.record
            self._batch.records[name] = decision.record
        for moved in decision.transitions:
            event = self._reports.event(name, moved, self._clock.wall())
            self._batch.transitions.append((name, moved.sequence, event.payload))
            self._batch.outgoing.append(event)
            self._entered.append(moved.target)
            self._log.info(
                "transition", deployment=name, generation=moved.generation, sequence=moved.sequence,
                source=moved.source.value if moved.source else "-", target=moved.target.value,
                trigger=moved.trigger.value, attempt=moved.attempt,
                **({"code": moved.code, "reason": moved.message} if moved.code else {}),
            )  # fmt: skip

    def _gather(self, name: str, effect: Effect) -> None:
        match effect:
            case StoreManifest():
                self._batch.manifests.append((name, effect))
            case RememberCommand():
                self._batch.commands.append((name, effect.outcome))
            case PublishStatus():
                self._answers.pop(name, None)
                self._stale_status.add(name)
            case ClearStatus():
                self._stale_status.discard(name)
                self._answers[name] = self._reports.no_status(name)
            case PublishRefusal():
                self._stale_status.discard(name)
                self._answers[name] = self._reports.refusal(
                    name, self.records.get(name), effect.code, effect.message, self._clock.wall()
                )
            case ReplayEvents():
                self._batch.outgoing.extend(
                    self._reports.event_again(name, sequence, payload)
                    for sequence, payload in self._journal.transitions(name, effect.from_sequence)
                )
            case Note():
                (self._log.warning if effect.warning else self._log.info)(
                    effect.event, deployment=name, **effect.fields
                )
            case ForgetManifest():
                self._forget(name, effect)
            case _:
                self._effects.append((name, effect))

    def _forget(self, name: str, effect: ForgetManifest) -> None:
        # Two manifests in one batch: the first is superseded before it was ever written.
        batch = self._batch
        batch.manifests = [
            (deployment, stored)
            for deployment, stored in batch.manifests
            if (deployment, stored.generation) != (name, effect.generation)
        ]
        batch.forgotten.append((name, effect.generation))
        if effect.discard:
            self._effects.append((name, effect))

    def _context_for(self, name: str, record: Deployment | None, event: Event) -> Context:
        context = replace(self._context, jitter=self._jitter())
        if record is not None and _asks_for_room(record, event):
            others = {other: share for other, share in self.promises() if other != name}
            return replace(context, others=Holdings(self.capacity, others))
        return context

    def _with_memory(self, name: str, event: CommandReceived) -> CommandReceived:
        command = event.command
        if command.action is Action.REPLAY:
            return replace(event, oldest=self._journal.oldest_transition(name))
        just_now = any(known == name and outcome.id == command.id for known, outcome in self._batch.commands)
        return replace(event, handled=just_now or self._journal.was_handled(name, command.id))


def _asks_for_room(record: Deployment, event: Event) -> bool:
    """Whether the event may make the deployment hold more of the device."""
    if isinstance(event, CommandReceived):
        return event.command.action is Action.ROLLBACK
    return isinstance(event, WorkDone) and record.work is not None and record.work.step is Step.CHECK
