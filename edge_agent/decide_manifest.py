"""What a message on the manifest topic brings about: a new generation, a removal, or nothing.

Generations only grow. An absent or unreadable manifest removes nothing: only a tombstone does.
"""

from __future__ import annotations

from edge_agent.draft import Draft
from edge_agent.happenings import (
    ClearStatus,
    Context,
    Decision,
    ManifestReceived,
    ManifestRefused,
    Note,
    PublishRefusal,
    PublishStatus,
    StoreManifest,
)
from edge_agent.model import MESSAGE_LENGTH, Deployment, Plan, Step, waiting
from topics.documents.status import GENERATION_REUSED, Failure
from topics.lifecycle import State, Trigger


def received(name: str, record: Deployment | None, event: ManifestReceived, context: Context) -> Decision:
    """An authentic manifest: newer, known, stale, or another one under a generation already taken."""
    plan = event.plan
    if record is None:
        # The state here is the one about to be entered; the draft knows that it was in none before.
        draft = Draft(Deployment(name, State.CREATED, plan, plan), context, new=True)
        _enter(draft, event)
    else:
        draft = Draft(record, context)
        _compare(draft, event)
    return draft.decision()


def refused(record: Deployment | None, event: ManifestRefused, context: Context) -> Decision:
    """No manifest: the deployment goes on as it was, and its status says why the message was not taken."""
    note = Note("manifest refused", {"code": event.code, "reason": event.message}, warning=True)
    if record is None or record.cleared:
        return Decision(record, effects=(note, PublishRefusal(event.code, event.message[:MESSAGE_LENGTH])))
    draft = Draft(record, context)
    draft.effect(note)
    _refuse(draft, event.code, event.message, record.desired.generation)
    return draft.decision()


def cleared(record: Deployment | None, context: Context) -> Decision:
    """The orchestrator has seen Removed and takes its manifest back: nothing retained stays behind."""
    if record is None or record.cleared:
        # A refusal may have been answered for it; clearing what is not there does no harm.
        return Decision(record, effects=(ClearStatus(),))
    draft = Draft(record, context)
    if record.state is not State.REMOVED:
        draft.note("manifest topic cleared, nothing is removed without a tombstone", warning=True)
        return draft.decision()
    draft.change(cleared=True)
    draft.effect(ClearStatus())
    return draft.decision()


def accept(draft: Draft, plan: Plan, trigger: Trigger) -> None:
    """Begin with a generation: everything known of an earlier try is over."""
    draft.stop_work()
    draft.change(
        current=plan, attempt=1, heals=0, failure=None, cause=None, held=None,
        components=waiting(plan), activated=False, cleared=False,
    )  # fmt: skip
    draft.move(trigger)
    draft.start(Step.CHECK)


def begin_removal(draft: Draft, tombstone: Plan) -> None:
    """Take the deployment off, whatever it was doing."""
    draft.stop_work()
    draft.change(
        current=tombstone, attempt=1, heals=0, failure=None, cause=None, held=None,
        components=(), activated=False, cleared=False,
    )  # fmt: skip
    draft.move(Trigger.REMOVE)
    draft.start(Step.REMOVE)


def _compare(draft: Draft, event: ManifestReceived) -> None:
    plan, record = event.plan, draft.record
    if plan.generation < record.desired.generation:
        # Its writer may have been set up anew: the status tells it which generation to go on from.
        draft.note("older generation ignored", generation=plan.generation, known=record.desired.generation)
        draft.change(cleared=False)
        draft.effect(PublishStatus())
    elif plan.generation > record.desired.generation:
        _enter(draft, event)
    elif plan.digest != record.desired.digest:
        message = (
            f"generation {plan.generation} is {record.desired.digest} here, another manifest with the same "
            "number is not taken: publish it as a new generation"
        )
        draft.note("manifest refused", warning=True, code=GENERATION_REUSED, reason=message)
        _refuse(draft, GENERATION_REUSED, message, plan.generation)
    elif record.state is State.REMOVED:
        # The tombstone is still there, so its writer has not heard the answer, or has forgotten it.
        draft.change(cleared=False, refusal=None)
        draft.effect(PublishStatus())
    else:
        draft.change(refusal=None)


def _enter(draft: Draft, event: ManifestReceived) -> None:
    plan, record = event.plan, draft.record
    draft.change(desired=plan, refusal=None)
    if not plan.remove:
        draft.effect(StoreManifest(plan.generation, plan.digest, event.payload))
    if draft.before is not None and record.state is State.REMOVING:
        draft.note("taken up when the removal is complete", generation=plan.generation)
    elif plan.remove:
        begin_removal(draft, plan)
    elif draft.before is None or record.state is State.REMOVED:
        accept(draft, plan, Trigger.CREATE)
    else:
        accept(draft, plan, Trigger.SUPERSEDE)


def _refuse(draft: Draft, code: str, message: str, generation: int) -> None:
    draft.change(
        refusal=Failure(
            stage=State.CREATED, code=code, message=message[:MESSAGE_LENGTH], retryable=False, generation=generation
        )
    )
