"""What the passing of time brings about, and the start of the process after any length of it."""

from __future__ import annotations

from edge_agent.draft import Draft
from edge_agent.happenings import CheckHealth, TimerDue, TimerKind
from edge_agent.model import Step
from topics.lifecycle import State, Trigger


def due(draft: Draft, event: TimerDue) -> None:
    """A timer ran out. One whose reason is gone changes nothing."""
    match event.kind:
        case TimerKind.RETRY:
            _retry(draft)
        case TimerKind.HEALTH:
            _look(draft)
        case TimerKind.NOTICE:
            _look(draft, noticed=True)
        case TimerKind.STABLE:
            if draft.record.state is State.DEPLOYED:
                draft.change(heals=0, attempt=1)


def resumed(draft: Draft) -> None:
    """Start again what was under way, and the timers: nothing of them survived the process."""
    record = draft.record
    if record.work is not None:
        draft.note("step starts again", step=record.work.step.value, component=record.work.component)
        draft.start(record.work.step, record.work.component)
    elif record.state in (State.FAILED, State.REMOVING):
        if record.failure is not None and record.failure.next_retry_seconds is not None:
            draft.timer(TimerKind.RETRY, record.failure.next_retry_seconds)
    elif record.state in (State.DEPLOYED, State.DEGRADED):
        # The device may have been off for long: look at once.
        draft.effect(CheckHealth(record.current.generation))
        draft.timer(TimerKind.STABLE, draft.context.stable_seconds)


def _retry(draft: Draft) -> None:
    record = draft.record
    if record.failure is None or record.failure.next_retry_seconds is None or record.work is not None:
        return
    if record.state is State.REMOVING:
        draft.start(Step.REMOVE)
    elif record.state is State.FAILED and record.failure.stage is State.ROLLING_BACK:
        draft.roll_back(record.current, record.cause, attempt=record.attempt)
    elif record.state is State.FAILED:
        begin_again(draft)


def begin_again(draft: Draft) -> None:
    """Failed → Prepared: checked, fetched and applied again."""
    draft.change(failure=draft.record.cause)
    draft.move(Trigger.RETRY)
    draft.start(Step.CHECK)


def _look(draft: Draft, *, noticed: bool = False) -> None:
    if draft.record.state in (State.DEPLOYED, State.DEGRADED):
        draft.effect(CheckHealth(draft.record.current.generation, noticed))
