"""What a device's status and transition events bring about. The hot path: one call per message."""

from __future__ import annotations

from dataclasses import replace

from orchestrator import outbound
from orchestrator.assignment import raise_generation, settled
from orchestrator.decide_device import forget_reports
from orchestrator.decision import Context, Decision, GapDue, NotTakenUp, Transition
from orchestrator.model import DeploymentRecord, Fleet
from orchestrator.removal import confirm_removed, is_gone, remove_from
from topics.documents.status import GENERATION_REUSED, DeploymentStatus, Failure, TransitionEvent
from topics.errors import ContractError
from topics.lifecycle import State, is_allowed


def decide_event(fleet: Fleet, event: TransitionEvent, context: Context) -> Decision:
    """One transition: checked against the lifecycle, kept once, in sequence."""
    _check(event.sequence, event.generation)
    decision = Decision()
    known = _known(fleet, event, decision)
    if known is None or event.sequence <= known.event_sequence or event.sequence in known.ahead:
        return decision
    legal = is_allowed(event.source, event.target)
    anomaly = known.anomaly
    if not legal:
        anomaly = f"transition {event.sequence}: {event.source} to {event.target} is not in the lifecycle"
    elif event.sequence == known.event_sequence + 1 and known.last_target not in (None, event.source):
        anomaly = f"transition {event.sequence} leaves {event.source}, the one before it ended in {known.last_target}"
    if anomaly != known.anomaly:
        decision.note("anomaly", warning=True, deployment=known.name, device=known.device, what=anomaly)
    decision.transitions.append(Transition(event, event.journal, context.wall, legal))
    sequence, ahead = _advance(known.event_sequence, (*known.ahead, event.sequence))
    record = known._replace(event_sequence=sequence, ahead=ahead, anomaly=anomaly, journal=event.journal)
    if sequence == event.sequence:
        record = record._replace(last_target=event.target)
    elif sequence > event.sequence:
        record = record._replace(last_target=None)  # a gap was closed; the newest target is not in this event
    if event.sequence > known.sequence:
        record = record._replace(
            sequence=event.sequence,
            state=event.target,
            generation=event.generation,
            epoch=max(known.epoch, event.epoch),
            failure=_failure_after(known.failure, event),
        )
        record = settled(record, deployed=event.target is State.DEPLOYED)
        decision.touched.add(known.name)
    _keep(fleet, record, context, decision)
    return decision


def _failure_after(failure: Failure | None, event: TransitionEvent) -> Failure | None:
    """What is known of the failure from the transition alone: the status, which knows all of it, may come later."""
    if event.target is State.FAILED:
        return Failure(
            stage=event.source or State.FAILED,
            code=event.code,
            message=event.message,
            retryable=False,
            generation=event.generation,
            attempt=event.attempt,
        )
    is_over = event.target is State.DEPLOYED and failure is not None and failure.generation <= event.generation
    return None if is_over else failure


def decide_status(fleet: Fleet, status: DeploymentStatus, context: Context) -> Decision:
    """The latest state of a deployment; an older one than already known changes nothing."""
    _check(status.sequence, status.generation, status.desired_generation)
    decision = Decision()
    known = _known(fleet, status, decision)
    if known is None:
        if fleet.deployment(status.deployment, status.device) is not None:
            return decision  # of a former journal: it says nothing about what there is now
        if status.state is State.REMOVED:
            # It was confirmed before, and the device has not heard it: say it again.
            decision.publications.append(outbound.manifest(context, status.deployment, status.device, b""))
        else:
            decision.note(
                "report of an unknown deployment", warning=True, deployment=status.deployment, device=status.device
            )
        return decision
    if status.sequence < known.sequence:
        return decision
    spec = fleet.specs.get(status.deployment)
    record = known._replace(
        state=status.state,
        generation=status.generation,
        deployed_generation=status.deployed_generation,
        epoch=status.epoch,
        journal=status.journal,
        sequence=status.sequence,
        held=status.held,
        failure=status.failure,
        components=status.components if spec is not None and spec.margo else (),
    )
    record = settled(record, deployed=status.state is State.DEPLOYED)
    _note_outcomes(fleet, status, decision)
    if record != known:
        decision.touched.add(known.name)
        _keep(fleet, record, context, decision)
    if not decision.dropped:
        _outgrow(fleet, record, status, context, decision)
    return decision


def decide_gap(fleet: Fleet, due: GapDue, context: Context) -> Decision:
    """Ask the device to repeat what is missing; after several requests accept the hole, visibly."""
    decision = Decision()
    known = fleet.deployment(due.name, due.device)
    if known is None or not known.has_gap:
        return decision
    if not due.give_up:
        first = known.event_sequence + 1
        decision.publications.append(outbound.replay(context, known, f"replay-{first}-{due.attempt}"))
        decision.note("transitions missing", deployment=due.name, device=due.device, first=first)
        return decision
    first, last = known.event_sequence + 1, known.sequence
    while last in known.ahead:  # those behind the last hole are here
        last -= 1
    lost = known.sequence - known.event_sequence - len(known.ahead)
    missing = f"{lost} transitions from {first} to {last} are lost: the device no longer has them"
    decision.note("transitions lost", warning=True, deployment=due.name, device=due.device, what=missing)
    record = known._replace(event_sequence=known.sequence, ahead=(), last_target=None, anomaly=missing)
    _keep(fleet, record, context, decision)
    return decision


def decide_not_taken_up(fleet: Fleet, due: NotTakenUp, context: Context) -> Decision:
    """Ask the device to speak: if it ignores the manifest because it has seen a newer generation, its status
    says so. (The manifest itself is published again by the shell.)"""
    decision = Decision()
    known = fleet.deployment(due.name, due.device)
    if known is not None and known.desired_generation > known.generation:
        decision.publications.append(outbound.replay(context, known, f"status-{due.attempt}"))
        decision.note(
            "manifest not taken up", deployment=due.name, device=due.device, generation=known.desired_generation
        )
    return decision


_MOST = 2**53 - 1
"""Largest generation or sequence taken from a device. What follows it must still be a number that every
JSON reader and the store can hold, and generations are raised above those of the devices."""


def _check(*numbers: int) -> None:
    if max(numbers) > _MOST:
        raise ContractError.because(
            "bad-number", f"{max(numbers)} is no generation or sequence that could be counted on from",
            hint="set the device up anew: its journal is broken",
        )  # fmt: skip


def _known(fleet: Fleet, report: TransitionEvent | DeploymentStatus, decision: Decision) -> DeploymentRecord | None:
    """The record a report is about, ready for the report's journal; ``None`` if it concerns nobody."""
    known = fleet.deployment(report.deployment, report.device)
    if known is None or known.journal == report.journal:
        return known
    device = fleet.devices.get(report.device)
    if known.journal and device is not None and device.journal == known.journal:
        # Not the device's journal as its presence tells it: late from before, or early. Early ones come
        # again, because the presence of a new journal starts with a replay.
        decision.note("report of another journal ignored", deployment=known.name, device=known.device)
        return None
    return forget_reports(known, report.journal) if known.journal else known


def _keep(fleet: Fleet, record: DeploymentRecord, context: Context, decision: Decision) -> None:
    if is_gone(record):
        confirm_removed(fleet, record, context, decision)
    else:
        decision.records.append(record)


def _advance(sequence: int, seen: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """The end of the unbroken run after ``sequence``, and what lies beyond the next gap."""
    beyond = sorted(seen)
    while beyond and beyond[0] == sequence + 1:
        sequence = beyond.pop(0)
    return sequence, tuple(beyond)


def _note_outcomes(fleet: Fleet, status: DeploymentStatus, decision: Decision) -> None:
    for answer in status.commands:
        command = fleet.commands.get((answer.id, status.device))
        if command is not None and not command.outcome:
            decision.records.append(replace(command, outcome=answer.outcome, message=answer.message))
            decision.touched.add(command.name)


def _outgrow(
    fleet: Fleet, record: DeploymentRecord, status: DeploymentStatus, context: Context, decision: Decision
) -> None:
    """A device takes only what is newer than all it has seen. It has seen more than this store knows (which was
    set up anew), or a tombstone or another manifest of the very generation that it is to take now: go on above."""
    spec = fleet.specs.get(record.name)
    seen = max(status.desired_generation, status.generation)
    if spec is None:
        return
    if record.removing:
        if seen > record.desired_generation:
            remove_from(record, seen + 1, context, decision)
            if spec.deleted:
                decision.records.append(replace(spec, generation=max(spec.generation, seen + 1)))
        return
    was_taken_off = status.state in (State.REMOVING, State.REMOVED) and status.generation == seen
    failure = status.failure
    is_another = failure is not None and failure.code == GENERATION_REUSED and failure.generation == seen
    if spec.spec is None or seen < spec.generation or (seen == spec.generation and not (was_taken_off or is_another)):
        return
    raised = raise_generation(fleet, spec, seen + 1, record, decision)
    decision.note(
        "generation raised", warning=True, deployment=raised.name, generation=raised.generation,
        because=f"{status.device} already had {seen}",
    )  # fmt: skip
