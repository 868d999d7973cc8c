"""The aggregate status of a spec over its devices. Pure.

The phase is decided by all devices together, never by the one that reported last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Literal

from orchestrator.model import DeploymentRecord, Fleet, SpecRecord
from orchestrator.placement import refusals_of, told, waiting_for
from topics.documents.answer import AggregateStatus, DeviceSummary, NotPlaceable, RenderFailure
from topics.documents.command import CommandOutcome
from topics.documents.status import Failure
from topics.lifecycle import State

MOST_DEVICES = 500
"""How many devices one aggregate lists (about 150 bytes each); the counts are over all of them."""

TEXT_BUDGET = 100_000
"""Characters that all listed devices share for their texts: a broken fleet must still fit one message."""

MOST_REFUSALS = 100
MOST_COMMANDS = 8
WAITING = "Waiting"

Phase = Literal[
    "Pending", "NotPlaceable", "Progressing", "Deployed", "Degraded", "Failed", "Paused", "Removing", "Removed"
]


def aggregate(fleet: Fleet, spec: SpecRecord) -> AggregateStatus:
    """The aggregate of one spec as the fleet stands."""
    deployments = fleet.of_spec(spec.name)
    refused, awaited = refusals_of(fleet, spec), waiting_for(fleet, spec)
    standing = {record.device: _standing(record, spec) for record in deployments.values()}
    counts = Counter(standing.values())
    leaving = [] if spec.deleted else [record.device for record in deployments.values() if record.removing]
    behind = [
        record
        for record in deployments.values()
        if not record.removing
        and standing[record.device] == WAITING
        and (record.assigned < spec.generation or fleet.unrendered.of(spec.name, spec.generation, record.device))
    ]
    # A device that is being taken off may be offline for ever, and one that cannot take this generation keeps an
    # older one: both are shown, and hold nobody up.
    placed = counts - Counter(standing[device] for device in (*leaving, *(record.device for record in behind)))
    phase, message = _phase(spec, placed, len(deployments) - len(leaving) - len(behind), refused, awaited)
    older = sum(1 for record in behind if record.desired_generation)
    if older and not spec.deleted:
        message += f"; {older} keep an older generation because they cannot take this one"
    listed = sorted(deployments.values(), key=lambda record: (standing[record.device] == State.DEPLOYED, record.device))
    room = TEXT_BUDGET // max(1, min(len(listed), MOST_DEVICES))
    return AggregateStatus(
        deployment=spec.name,
        generation=spec.generation,
        phase=phase,
        message=message,
        failure=render_failure(spec) if not spec.deleted else None,
        paused=spec.paused,
        total=len(deployments),
        counts=dict(sorted(counts.items())),
        devices=tuple(_summary(fleet, record, room) for record in listed[:MOST_DEVICES]),
        not_placeable=tuple(
            NotPlaceable(device=device, reasons=tuple(told(device, refused[device])))
            for device in sorted(refused)[:MOST_REFUSALS]
        ),
        waiting_for=awaited[:MOST_REFUSALS],
        truncated=max(0, len(listed) - MOST_DEVICES),
        commands=_commands(fleet, spec.name),
    )


def _standing(record: DeploymentRecord, spec: SpecRecord) -> str:
    """A device's part in the counts: its state if it speaks of the wanted generation, else Waiting.

    Not so for failures and degradations: those count whatever generation they are of, and so does a
    roll back, whose Deployed is not the one that is wanted.
    """
    if record.state is None:
        return WAITING
    wanted = record.desired_generation if record.removing else spec.generation
    if record.failure is not None and record.failure.generation >= wanted and record.state is State.DEPLOYED:
        return State.FAILED  # the older generation was restored
    if record.generation < wanted and record.state not in (State.FAILED, State.ROLLING_BACK):
        return WAITING
    return record.state


def _phase(
    spec: SpecRecord, counts: Counter[str], total: int, refused: Mapping[str, object], awaited: tuple[str, ...]
) -> tuple[Phase, str]:
    if spec.deleted:
        return ("Removing", f"{counts[State.REMOVED]} of {total} devices are done") if total else ("Removed", "")
    if (failure := render_failure(spec)) is not None:
        return "Pending" if failure.retryable else "Failed", failure.message
    if not total:
        if refused:
            return "NotPlaceable", f"none of {len(refused)} selected devices can take it"
        return "Pending", "waits for " + (", ".join(awaited[:5]) if awaited else "a device that it selects")
    done = f"{counts[State.DEPLOYED]} of {total} devices are deployed"
    if counts[State.FAILED] or counts[State.ROLLING_BACK]:
        return "Failed", f"{counts[State.FAILED] + counts[State.ROLLING_BACK]} of {total} devices failed; {done}"
    if counts[State.DEPLOYED] == total:
        return "Deployed", done
    if spec.paused:
        return "Paused", f"paused; {done}"
    if counts[State.DEGRADED]:
        return "Degraded", f"{counts[State.DEGRADED]} of {total} devices are degraded; {done}"
    return "Progressing", done


def render_failure(spec: SpecRecord) -> RenderFailure | None:
    """What keeps the generation from being rendered for any device, and what happens next."""
    problem = spec.problem
    if problem is None:
        return None
    text = "; ".join(str(reason) for reason in problem.reasons[:3])
    then = "it is tried again" if problem.retryable else "correct the spec or its chart, then publish it again"
    return RenderFailure(
        code=problem.reasons[0].code if problem.reasons else "not-rendered",
        message=text if then in text else f"{text}; {then}",
        retryable=problem.retryable,
        attempt=problem.attempt,
        next_retry_seconds=problem.pause,
    )


def _summary(fleet: Fleet, record: DeploymentRecord, room: int) -> DeviceSummary:
    device = fleet.devices.get(record.device)
    return DeviceSummary(
        device=record.device,
        state=record.state,
        generation=record.generation,
        desired_generation=record.desired_generation,
        deployed_generation=record.deployed_generation,
        online=device.online if device else False,
        epoch=device.epoch if device else 0,
        last_seen=fleet.seen.get(record.device) or (device.last_seen if device else None),
        confirmed=fleet.ledger.is_confirmed(record.device, record.name),
        held=_clipped(record.held, room) if record.held else None,
        failure=_clipped_failure(record.failure, room) if record.failure else None,
    )


def _clipped(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"


def _clipped_failure(failure: Failure, room: int) -> Failure:
    if len(failure.message) + len(failure.code) + len(failure.component or "") <= room:
        return failure
    return failure.model_copy(
        update={
            "message": _clipped(failure.message, room),
            "code": failure.code[:room],
            "component": failure.component and failure.component[:room],
        }
    )


def _commands(fleet: Fleet, name: str) -> tuple[CommandOutcome, ...]:
    """The newest commands, open ones among them, with the device in the message."""
    records = fleet.commands.newest(name, MOST_COMMANDS)
    return tuple(
        CommandOutcome(
            id=record.id,
            action=record.action,
            outcome=record.outcome or "sent",
            message=f"{record.device}: {record.message}" if record.device else record.message,
        )
        for record in records
    )
