"""The result of an accepted spec: which devices take it and why those, which cannot and why not. Pure."""

from __future__ import annotations

from heapq import nsmallest

from orchestrator import outbound
from orchestrator.aggregation import render_failure
from orchestrator.decision import Context, Publication
from orchestrator.model import Fleet, SpecRecord
from orchestrator.placement import holders_of, refusals_of, told
from topics.documents.answer import Placed
from topics.errors import Reason

MOST_REASONS = 200
"""Most reasons of one answer (about 250 bytes each), and most devices that it says are chosen."""


def accepted(fleet: Fleet, record: SpecRecord, context: Context) -> Publication:
    """The result of an accepted spec as the fleet stands: also what keeps it from being rendered."""
    refused = refusals_of(fleet, record)
    reasons = record.problem.reasons if record.problem is not None else ()
    total = len(reasons) + sum(map(len, refused.values()))
    for device in sorted(refused):
        if len(reasons) > MOST_REASONS:
            break
        reasons += tuple(told(device, refused[device]))
    kept = reasons[:MOST_REASONS]
    if total > len(kept):
        more = f"{total - len(kept)} more reasons stand in the deployment's status"
        kept += (Reason(path="", code="truncated", message=more),)
    return outbound.result(
        context,
        record.name,
        outcome="accepted",
        generation=record.generation,
        spec_digest=record.payload_digest,
        reasons=kept,
        warnings=record.warnings[:MOST_REASONS],
        placed=_placed(fleet, record),
        failure=render_failure(record),
    )


def _placed(fleet: Fleet, record: SpecRecord) -> tuple[Placed, ...]:
    """The first devices that are to hold this generation, by id."""
    holding = (
        (device, item.assignment.why)
        for device, item in holders_of(fleet, record).items()
        if item.assigned == record.generation
    )
    return tuple(Placed(device=device, why=why) for device, why in nsmallest(MOST_REASONS, holding))
