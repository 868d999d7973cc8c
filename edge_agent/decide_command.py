"""What a command brings about. Each is answered once, done or refused with the reason, in the status."""

from __future__ import annotations

from edge_agent.decide_manifest import accept
from edge_agent.decide_timer import begin_again
from edge_agent.decide_work import configure
from edge_agent.draft import Draft
from edge_agent.happenings import CommandReceived, PublishStatus, RememberCommand, ReplayEvents
from edge_agent.model import Plan, waiting
from edge_agent.plan import promised
from topics.allocation import Share, shortages
from topics.documents.command import Action, Command, CommandOutcome
from topics.documents.status import Failure
from topics.lifecycle import State, Trigger

_IN_FLIGHT = (State.CREATED, State.PREPARED, State.DOWNLOADING, State.STAGED, State.CONFIGURATION)
_NOT_HERE = (State.REMOVING, State.REMOVED)


class _RefusedError(Exception):
    """The command cannot be done now; the text says why, and what to do."""


def received(draft: Draft, event: CommandReceived) -> None:
    """A command for this deployment."""
    command = event.command
    if command.action is Action.REPLAY:
        _replay(draft, event)
        return
    if event.handled:
        draft.note("command was answered before", command=command.id)
        draft.effect(PublishStatus())
        return
    try:
        _check_generation(draft, command)
        message = _do(draft, command)
        outcome = CommandOutcome(id=command.id, action=command.action, outcome="done", message=message)
    except _RefusedError as refusal:
        outcome = CommandOutcome(id=command.id, action=command.action, outcome="refused", message=str(refusal))
    draft.outcome(outcome)
    draft.effect(RememberCommand(outcome))
    draft.note(
        "command", command=command.id, action=command.action.value, outcome=outcome.outcome, reason=outcome.message
    )


def _check_generation(draft: Draft, command: Command) -> None:
    desired = draft.record.desired.generation
    if command.generation != desired:
        raise _RefusedError(f"it is meant for generation {command.generation}, the device was given {desired}")
    if draft.record.state in _NOT_HERE:
        raise _RefusedError(f"the deployment is {draft.record.state.value}")


def _do(draft: Draft, command: Command) -> str:
    match command.action:
        case Action.ACTIVATE:
            return _activate(draft)
        case Action.RETRY:
            return _retry(draft)
        case Action.ROLLBACK:
            return _roll_back(draft, command)
        case Action.CANCEL:
            return _cancel(draft, command)
        case _:
            raise _RefusedError(f"{command.action.value} is not for devices: the orchestrator pauses and resumes")


def _activate(draft: Draft) -> str:
    if draft.record.state is not State.STAGED:
        raise _RefusedError(f"the deployment is {draft.record.state.value}, only a Staged one waits for activation")
    draft.change(activated=True, held=None)
    configure(draft)
    return ""


def _retry(draft: Draft) -> str:
    record = draft.record
    if record.state is State.FAILED and record.current.generation == record.desired.generation:
        draft.change(attempt=1, cause=None)
        begin_again(draft)
    elif record.state in (State.FAILED, State.DEPLOYED, State.DEGRADED) and (
        record.current.generation != record.desired.generation
    ):
        # The older generation that was restored stays the last good one.
        accept(draft, record.desired, Trigger.SUPERSEDE)
    else:
        raise _RefusedError(f"the deployment is {record.state.value}, there is nothing to try again")
    return f"generation {draft.record.current.generation} is tried again"


def _roll_back(draft: Draft, command: Command) -> str:
    record = draft.record
    target = _target(draft)
    more = _beyond(target.share, promised(record))
    if missing := shortages(more, draft.context.others):
        raise _RefusedError("; ".join(reason.message for reason in missing))
    cause = Failure(
        stage=record.state, code="rolled-back", retryable=False, generation=record.current.generation,
        message=f"rolled back by command {command.id}; retry it or publish a new generation",
    )  # fmt: skip
    draft.roll_back(target, cause)
    return f"generation {target.generation} is being restored"


def _beyond(wanted: Share, held: Share) -> Share:
    """Of each resource what is wanted, if that is more than is held already; else nothing."""
    return Share(
        cpu=wanted.cpu if wanted.cpu > held.cpu else 0,
        memory=wanted.memory if wanted.memory > held.memory else 0,
        storage=wanted.storage if wanted.storage > held.storage else 0,
    )


def _target(draft: Draft) -> Plan:
    """The good generation to go back to. Raises ``_RefusedError`` where there is none, or no way now."""
    record = draft.record
    if record.state in (State.FAILED, State.CONFIGURATION):
        if record.failure is not None and record.failure.stage is State.ROLLING_BACK:
            return record.current
        target = record.restorable or record.previous
    elif record.state in (State.DEPLOYED, State.DEGRADED):
        target = record.previous
    else:
        raise _RefusedError(
            f"the deployment is {record.state.value}; cancel it, or wait until it is Deployed or Failed"
        )
    if target is None:
        raise _RefusedError("there is no earlier good generation on the device")
    return target


def _cancel(draft: Draft, command: Command) -> str:
    record = draft.record
    if record.state not in _IN_FLIGHT:
        raise _RefusedError(f"the deployment is {record.state.value}, nothing is on its way that could be cancelled")
    if record.was_good:
        raise _RefusedError("a good generation is being repaired; roll back or remove the deployment instead")
    draft.stop_work()
    failure = Failure(
        stage=record.state, code="cancelled", retryable=False, generation=record.current.generation,
        attempt=record.attempt, message=f"cancelled by command {command.id}; retry it or publish a new generation",
    )  # fmt: skip
    draft.change(failure=failure, held=None, components=waiting(record.current))
    draft.move(Trigger.FAIL, code=failure.code, message=failure.message)
    if record.restorable is not None:
        draft.roll_back(record.restorable, failure)
        return f"generation {record.restorable.generation} is being restored"
    return ""


def _replay(draft: Draft, event: CommandReceived) -> None:
    """The orchestrator missed transitions. It may ask as often as it likes, under any id."""
    command = event.command
    first = max(command.from_sequence or 1, 1)
    last = draft.record.sequence
    if event.oldest is None or event.oldest > first:
        kept = f"from {event.oldest} on" if event.oldest is not None else "none"
        message = f"asked for transitions {first} to {last}, the journal has {kept}"
    else:
        message = f"transitions {first} to {last} follow"
    outcome = CommandOutcome(id=command.id, action=command.action, outcome="done", message=message)
    # One replay in the status is enough: they must not push out what people asked for.
    others = tuple(known for known in draft.record.commands if known.action != Action.REPLAY)
    draft.change(commands=others)
    draft.outcome(outcome)
    draft.effect(ReplayEvents(first))
    draft.note("transitions published again", first=first, last=last)
