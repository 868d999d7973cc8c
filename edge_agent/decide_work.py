"""What the result of a step brings about: the next step, the next state, or a failure and its way out."""

from __future__ import annotations

from edge_agent.decide_manifest import accept
from edge_agent.draft import Draft
from edge_agent.happenings import TimerKind, WorkDone, WorkFailed
from edge_agent.model import MESSAGE_LENGTH, Step, Work
from topics.allocation import shortages
from topics.documents.status import ComponentStatus, Failure
from topics.lifecycle import State, Trigger

HELD_MANUAL = "waits for the activate command"


def done(draft: Draft, event: WorkDone) -> None:
    """A step succeeded. The result of a step that is not under way any more changes nothing."""
    work = _under_way(draft, event.number)
    if work is None:
        return
    draft.change(work=None)
    match work.step:
        case Step.CHECK:
            _checked(draft)
        case Step.DOWNLOAD if draft.record.state is State.DOWNLOADING:
            _downloaded(draft)
        case Step.DOWNLOAD:  # what a repair or a restoration may have to fetch again
            _begin_applying(draft)
        case Step.INITIALIZE:
            _apply_from(draft, 0)
        case Step.APPLY:
            assert work.component is not None
            draft.component(work.component, "Healthy")
            _apply_from(draft, draft.record.current.components.index(work.component) + 1)
        case Step.REMOVE:
            _removed(draft)


def failed(draft: Draft, event: WorkFailed) -> None:
    """A step failed. A removal goes on trying until nothing is left of the deployment."""
    if _under_way(draft, event.number) is None:
        return
    draft.change(work=None)
    if draft.record.state is State.REMOVING:
        seconds = draft.backoff(draft.record.attempt)
        failure = _failure(
            draft, event.code, event.message,
            retryable=event.retryable, component=event.component, seconds=seconds,
        )  # fmt: skip
        draft.change(failure=failure, attempt=draft.record.attempt + 1)
        draft.timer(TimerKind.RETRY, seconds)
        draft.note("removal failed", warning=True, code=event.code, reason=event.message, again_in=seconds)
        return
    fail(draft, event.code, event.message, retryable=event.retryable, component=event.component)


def fail(draft: Draft, code: str, message: str, *, retryable: bool, component: str | None = None) -> None:
    """The current stage failed: try again later, restore the last good generation, or stay Failed.

    A repair and a restoration are tried for ever: nothing better is known than the generation that
    was good once. Applying a new one is given up after ``max_attempts`` where a good one can be
    restored instead.
    """
    record = draft.record
    stage = record.state
    exhausted = (
        stage is State.CONFIGURATION
        and record.restorable is not None
        and record.attempt >= draft.context.max_attempts
    )  # fmt: skip
    again = stage is State.ROLLING_BACK or record.was_good or (retryable and not exhausted)
    seconds = draft.backoff(record.attempt) if again else None
    failure = _failure(draft, code, message, retryable=retryable, component=component, seconds=seconds)
    if component is not None:
        draft.component(component, "Failed", message)
    draft.change(failure=failure, held=None)
    draft.move(Trigger.FAIL, code=code, message=message)
    if seconds is not None:
        draft.change(attempt=record.attempt + 1)
        draft.timer(TimerKind.RETRY, seconds)
    elif record.restorable is not None:
        draft.roll_back(record.restorable, failure)


def configure(draft: Draft, *, fetch: bool = False) -> None:
    """Enter Configuration. ``fetch``: bring everything onto the device again first (a repair)."""
    draft.move(Trigger.CONFIGURE)
    if fetch:
        draft.start(Step.DOWNLOAD)
    else:
        _begin_applying(draft)


def _under_way(draft: Draft, number: int) -> Work | None:
    work = draft.record.work
    if work is not None and work.number == number:
        return work
    draft.note("stale result ignored", number=number)
    return None


def _checked(draft: Draft) -> None:
    record = draft.record
    missing = shortages(record.current.share, draft.context.others)
    if missing:
        # Another deployment may go, so this is tried again by itself.
        fail(draft, "insufficient", "; ".join(reason.message for reason in missing), retryable=True)
        return
    if record.state is State.CREATED:
        draft.move(Trigger.PREPARE)
    draft.move(Trigger.DOWNLOAD)
    draft.start(Step.DOWNLOAD)


def _downloaded(draft: Draft) -> None:
    if draft.record.current.manual and not draft.record.activated:
        draft.change(held=HELD_MANUAL)
        draft.move(Trigger.STAGE)
        return
    configure(draft)


def _begin_applying(draft: Draft) -> None:
    if draft.record.current.initializes:
        draft.start(Step.INITIALIZE)
    else:
        _apply_from(draft, 0)


def _apply_from(draft: Draft, index: int) -> None:
    components = draft.record.current.components
    if index < len(components):
        draft.component(components[index], "Applying")
        draft.start(Step.APPLY, components[index])
    else:
        _deployed(draft)


def _deployed(draft: Draft) -> None:
    record = draft.record
    good = record.deployed
    if record.state is State.ROLLING_BACK:
        # A generation that was good and had to go is no place to go back to.
        previous = record.previous if record.was_good else None
        trigger = Trigger.RESTORE
    else:
        previous = good if good is not None and not record.was_good else record.previous
        trigger = Trigger.DEPLOY
    # While an older generation than the wanted one runs, everyone sees why.
    cause = record.cause if record.current.generation < record.desired.generation else None
    draft.change(
        deployed=record.current, previous=previous, failure=cause, cause=cause, held=None, activated=True,
        components=tuple(ComponentStatus(name=name, state="Healthy") for name in record.current.components),
    )  # fmt: skip
    draft.move(trigger)
    draft.timer(TimerKind.HEALTH, draft.context.health_seconds)
    draft.timer(TimerKind.STABLE, draft.context.stable_seconds)


def _removed(draft: Draft) -> None:
    desired = draft.record.desired
    draft.change(deployed=None, previous=None, failure=None, cause=None, components=(), attempt=1, begun=False)
    if desired.remove:
        draft.change(current=desired)
    draft.move(Trigger.GONE)
    if not desired.remove:
        accept(draft, desired, Trigger.CREATE)


def _failure(
    draft: Draft, code: str, message: str, *, retryable: bool, component: str | None, seconds: float | None
) -> Failure:
    record = draft.record
    return Failure(
        stage=record.state, code=code, message=message[:MESSAGE_LENGTH], retryable=retryable,
        generation=record.current.generation, attempt=record.attempt, next_retry_seconds=seconds, component=component,
    )  # fmt: skip
