"""What a decision brings about in other specs: one by one, in the order in which they were accepted. Pure.

A device that joins, or has room again, may suit several specs and have room for one. Each of them is decided
with what the one before it took already applied: two never get the same gigabyte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from orchestrator.answers import accepted
from orchestrator.assignment import place_again, place_spec
from orchestrator.decision import Context, Decision, apply
from orchestrator.matching import is_for_room
from orchestrator.model import Fleet


def conclude(fleet: Fleet, decision: Decision, context: Context) -> list[Decision]:
    """Apply a decision and all that follows from it at once. Returns what was applied, in order, for one transaction,
    which is to end with ``replace_lost`` for the specs that are named there as ``replaced``."""
    freed = apply(fleet, decision)
    done = [decision]
    if freed or decision.described:
        done += _follow(fleet, decision, freed, context)
    for part in done:
        for name in sorted(part.answered):
            spec = fleet.specs.get(name)
            if spec is not None and not spec.deleted and not spec.rejected:
                part.publications.append(accepted(fleet, spec, context))
    return done


def replace_lost(fleet: Fleet, names: Iterable[str], context: Context) -> Iterator[Decision]:
    """Devices were taken off these specs, which want a number of them: others are chosen in their place.

    The choice looks at all devices, so it is made once for all that happened together, and not for each that was lost.
    """
    for name in _in_line(fleet, set(names)):
        spec = fleet.specs[name]
        if not spec.deleted:
            decision = Decision(restated={name})
            place_spec(fleet, spec, context, decision, changed=False)
            apply(fleet, decision)
            yield decision


def _follow(fleet: Fleet, decision: Decision, freed: list[str], context: Context) -> Iterator[Decision]:
    for device in decision.described:
        subject = fleet.subject(device)
        if subject is not None:
            yield from _place_again(fleet, fleet.concerned_by(subject), device, context)
    for device in freed:
        if device not in decision.described:
            yield from _place_again(fleet, _waiting_for_room(fleet, device), device, context)


def _place_again(fleet: Fleet, names: Iterable[str], device: str, context: Context) -> Iterator[Decision]:
    for name in _in_line(fleet, names):
        again = place_again(fleet, name, device, context)
        apply(fleet, again)
        yield again


def _in_line(fleet: Fleet, names: Iterable[str]) -> list[str]:
    """The specs in the order in which they were accepted."""
    return sorted((name for name in names if name in fleet.specs), key=lambda name: (fleet.specs[name].accepted, name))


def _waiting_for_room(fleet: Fleet, device: str) -> list[str]:
    """The specs that the device refused for want of room; after a start also those whose refusals nobody has
    asked for yet."""
    refusals, subject = fleet.refusals, fleet.subject(device)
    if subject is None:
        return []
    waiting = [name for name in refusals.of_device(device) if is_for_room(refusals.of_spec(name)[device])]
    return waiting + [name for name in fleet.concerned_by(subject) if name not in refusals]
