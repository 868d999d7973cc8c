"""Plays the shell for the core: feeds events to ``decide`` and keeps what comes out."""

from __future__ import annotations

from typing import TypeVar

from edge_agent.engine import decide
from edge_agent.happenings import (
    CommandReceived,
    Context,
    Effect,
    Event,
    Finding,
    HealthReported,
    ManifestCleared,
    ManifestReceived,
    Note,
    Resumed,
    StartTimer,
    StartWork,
    TimerDue,
    TimerKind,
    WorkDone,
    WorkFailed,
)
from edge_agent.model import Deployment, Moved, Plan, Step
from topics.allocation import Holdings, Share
from topics.documents.command import Action, Command
from topics.lifecycle import State

NAME = "app"
ROOMY = Holdings(Share(cpu=4000, memory=2**33, storage=2**35))

E = TypeVar("E")


def plan(generation: int, *, components: tuple[str, ...] = ("web",), **fields: object) -> Plan:
    """A plan with a digest of its own."""
    return Plan(generation, f"sha256:{generation}", components=components, **fields)  # type: ignore[arg-type]


def tombstone(generation: int) -> Plan:
    return Plan(generation, f"sha256:{generation}", remove=True)


class Story:
    """One deployment; the record, every transition, and the effects of the last event."""

    def __init__(self, context: Context | None = None) -> None:
        self.context = context or Context(others=ROOMY)
        self.known: Deployment | None = None
        self.moves: list[Moved] = []
        self.effects: tuple[Effect, ...] = ()

    @property
    def record(self) -> Deployment:
        assert self.known is not None, "the deployment is unknown"
        return self.known

    @property
    def state(self) -> State:
        return self.record.state

    def happens(self, event: Event) -> Story:
        decision = decide(NAME, self.known, event, self.context)
        self.known = decision.record
        self.moves.extend(decision.transitions)
        self.effects = decision.effects
        return self

    def manifest(self, wanted: Plan) -> Story:
        return self.happens(ManifestReceived(wanted, b"{}"))

    def cleared(self) -> Story:
        return self.happens(ManifestCleared())

    def done(self) -> Story:
        """The step under way succeeds."""
        assert self.record.work is not None, f"nothing is under way in {self.state}"
        return self.happens(WorkDone(self.record.work.number))

    def failed(self, code: str = "broken", *, retryable: bool = False, component: str | None = None) -> Story:
        """The step under way fails."""
        assert self.record.work is not None, f"nothing is under way in {self.state}"
        return self.happens(WorkFailed(self.record.work.number, code, f"{code} happened", retryable, component))

    def until(self, state: State) -> Story:
        """Steps succeed until the state is reached."""
        for _ in range(20):
            if self.state is state:
                return self
            self.done()
        raise AssertionError(f"{state} was never reached, it is {self.state}")

    def during(self, step: Step) -> Story:
        """Steps succeed until this one is under way."""
        for _ in range(20):
            if self.record.work is not None and self.record.work.step is step:
                return self
            self.done()
        raise AssertionError(f"{step} never started")

    def deployed(self, generation: int, **fields: object) -> Story:
        """A generation arrives and everything succeeds."""
        return self.manifest(plan(generation, **fields)).until(State.DEPLOYED)  # type: ignore[arg-type]

    def due(self, kind: TimerKind) -> Story:
        return self.happens(TimerDue(kind))

    def ill(self, message: str = "pod is gone") -> Story:
        return self._health(healthy=False, message=message)

    def healthy(self) -> Story:
        return self._health(healthy=True, message="")

    def _health(self, *, healthy: bool, message: str) -> Story:
        current = self.record.current
        findings = tuple(Finding(name, healthy, message) for name in current.components)
        return self.happens(HealthReported(current.generation, findings))

    def restarted(self) -> Story:
        return self.happens(Resumed())

    def command(
        self, action: Action, *, id: str = "c1", generation: int | None = None, handled: bool = False,
        from_sequence: int | None = None, oldest: int | None = None,
    ) -> Story:  # fmt: skip
        wanted = generation if generation is not None else self.record.desired.generation
        command = Command(
            id=id, deployment=NAME, device="edge-01", action=action, generation=wanted, from_sequence=from_sequence
        )
        return self.happens(CommandReceived(command, handled, oldest))

    def effects_of(self, kind: type[E]) -> list[E]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def timer(self, kind: TimerKind) -> float | None:
        """The seconds of the timer of this kind that the last event started."""
        started = [effect.seconds for effect in self.effects_of(StartTimer) if effect.kind is kind]
        return started[-1] if started else None

    @property
    def started(self) -> list[Step]:
        return [effect.work.step for effect in self.effects_of(StartWork)]

    @property
    def notes(self) -> list[str]:
        return [note.event for note in self.effects_of(Note)]

    @property
    def path(self) -> list[State]:
        """The states entered, in order."""
        return [move.target for move in self.moves]

    @property
    def last_outcome(self) -> tuple[str, str]:
        outcome = self.record.commands[-1]
        return outcome.outcome, outcome.message
