"""A decision while it is being made: the record so far, its transitions, its effects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edge_agent.happenings import (
    CancelWork,
    Context,
    Decision,
    Effect,
    ForgetManifest,
    Note,
    PublishStatus,
    StartTimer,
    StartWork,
    TimerKind,
)
from edge_agent.lifecycle_run import DeploymentMachine
from edge_agent.model import COMMANDS_SHOWN, MESSAGE_LENGTH, Deployment, Moved, Plan, Step, Work, waiting
from topics.documents.command import CommandOutcome
from topics.documents.status import ComponentStatus, Failure
from topics.lifecycle import State, Trigger

LONGEST_BACKOFF_SECONDS = 300.0


class Draft:
    """Collects what one event brings about. Lives for one call of ``decide``."""

    def __init__(self, record: Deployment, context: Context, *, new: bool = False) -> None:
        self.before: Deployment | None = None if new else record
        self.record = record
        self.context = context
        self._machine = DeploymentMachine(None if new else record.state)
        self._transitions: list[Moved] = []
        self._effects: list[Effect] = []

    def change(self, **changes: Any) -> None:
        self.record = replace(self.record, **changes)

    def move(self, trigger: Trigger, *, code: str = "", message: str = "") -> None:
        """Make a transition. Raises ``NotAllowedError`` for one that the lifecycle does not have."""
        source = self._machine.state
        target = self._machine.fire(trigger)
        self.change(state=target, sequence=self.record.sequence + 1)
        self._transitions.append(
            Moved(
                self.record.sequence, self.record.current.generation, source, target, trigger,
                code, message[:MESSAGE_LENGTH], self.record.attempt,
            )
        )  # fmt: skip

    def effect(self, effect: Effect) -> None:
        self._effects.append(effect)

    def note(self, event: str, *, warning: bool = False, **fields: object) -> None:
        self._effects.append(Note(event, fields, warning))

    def start(self, step: Step, component: str | None = None) -> None:
        """Start a step of the current plan; the number it gets makes every older result stale."""
        work = Work(self.record.works + 1, step, component)
        applies = step in (Step.INITIALIZE, Step.APPLY)
        self.change(work=work, works=work.number, begun=self.record.begun or applies)
        self.effect(StartWork(work, self.record.current.generation))

    def stop_work(self) -> None:
        """Cancel the step under way, if there is one."""
        if self.record.work is not None:
            self.change(work=None)
            self.effect(CancelWork())

    def timer(self, kind: TimerKind, seconds: float) -> None:
        self.effect(StartTimer(kind, seconds))

    def backoff(self, tries: int) -> float:
        """Seconds before the next try after ``tries`` failed ones: 1, 2, 4 … 300, up to a quarter less."""
        longest = min(LONGEST_BACKOFF_SECONDS, 2.0 ** min(tries - 1, 20))
        return round(longest * (1 - self.context.jitter / 4), 3)

    def component(self, name: str, state: str, message: str = "") -> None:
        """Set the state of one component."""
        self.change(
            components=tuple(
                ComponentStatus(name=name, state=state, message=message[:MESSAGE_LENGTH]) if old.name == name else old
                for old in self.record.components
            )
        )

    def outcome(self, outcome: CommandOutcome) -> None:
        self.change(commands=(*self.record.commands, outcome)[-COMMANDS_SHOWN:])

    def roll_back(self, target: Plan, cause: Failure | None, *, attempt: int = 1) -> None:
        """Restore a good generation; ``cause`` stays visible until a newer one is good."""
        self.stop_work()
        self.change(
            current=target, attempt=attempt, cause=cause, failure=cause, held=None,
            components=waiting(target), activated=True,
        )  # fmt: skip
        self.move(Trigger.ROLL_BACK, message=f"generation {target.generation} is being restored")
        self.start(Step.DOWNLOAD)

    def decision(self) -> Decision:
        """The finished decision: manifests that nothing needs are forgotten, a changed status published."""
        kept = self.before.kept_generations if self.before else frozenset()
        removing = self.record.state in (State.REMOVING, State.REMOVED)
        for generation in sorted(kept - self.record.kept_generations):
            # The removal takes everything along by itself.
            self.effect(ForgetManifest(generation, discard=not removing))
        if self.before is None or _shown(self.before) != _shown(self.record):
            self.effect(PublishStatus())
        return Decision(self.record, tuple(self._transitions), tuple(self._effects))


def _shown(record: Deployment) -> Deployment:
    """The record without what a status does not show."""
    return replace(
        record, work=None, works=0, heals=0, cause=None, previous=None, begun=False, activated=False, cleared=False
    )
