"""Who takes a spec, who cannot and why, and whom it still waits for. Pure.

The policy stands in ``docs/decisions/2026-11-23-placement.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from orchestrator.choice import Candidate, candidate, choose
from orchestrator.matching import Matcher, is_misfit
from orchestrator.model import DeploymentRecord, Fleet, SpecRecord
from topics.eligibility import Subject
from topics.errors import Reason

Reasons = tuple[Reason, ...]


@dataclass(slots=True)
class Placement:
    """``chosen`` are to hold the spec, each with why; ``refused`` cannot take it (or no longer suit), and some
    of them keep what they have; ``leaving`` hold it and are to be taken off."""

    chosen: dict[str, str] = field(default_factory=dict)
    refused: dict[str, Reasons] = field(default_factory=dict)
    leaving: set[str] = field(default_factory=set)


def place(fleet: Fleet, spec: SpecRecord, *, changed: bool) -> Placement:
    """The placement of a spec over all known devices.

    ``changed``: a new generation. Then devices that it does not select, those beyond its ``count``, and those that
    cannot take it and were never given an older one, are taken off; otherwise nothing moves but for what
    ``onMismatch`` says.
    """
    matcher, placement = fleet.matcher(spec), Placement()
    holders = holders_of(fleet, spec)
    removes = matcher.agents.on_mismatch == "remove"
    fitting: list[Subject] = []
    staying: list[str] = []
    for subject in _selected(fleet, matcher):
        device = subject.device
        reasons = matcher.reasons(fleet.ledger, subject)
        unrendered = fleet.unrendered.of(spec.name, spec.generation, device)
        if not reasons and not unrendered:
            fitting.append(subject)
        else:
            placement.refused[device] = reasons + unrendered
            if device in holders:
                # One of N that can have no manifest makes room for another; of all, it waits until it changes.
                displaced = changed or (unrendered and matcher.agents.count != "all")
                if (removes and is_misfit(reasons)) or (displaced and not holders[device].desired_generation):
                    placement.leaving.add(device)
                else:
                    staying.append(device)
    known = {subject.device for subject in fitting} | placement.refused.keys()
    for device in sorted(holders.keys() - known):
        holder = fleet.subject(device)
        if holder is None and device in matcher.agents.devices:
            staying.append(device)  # it holds the spec and has never said what it is: it is waited for
        elif changed or removes:
            placement.leaving.add(device)
        else:
            staying.append(device)
            if holder is not None:
                placement.refused[device] = matcher.not_selected(holder)
    _choose(fleet, matcher, _Found(fitting, staying, holders), placement, changed=changed)
    return placement


def holders_of(fleet: Fleet, spec: SpecRecord) -> dict[str, DeploymentRecord]:
    """The devices that hold the spec and are not being taken off."""
    return {device: item for device, item in fleet.of_spec(spec.name).items() if not item.removing}


def is_wanted(fleet: Fleet, spec: SpecRecord) -> bool:
    """Whether one more device is to hold the spec."""
    count = fleet.matcher(spec).agents.count
    return count == "all" or fleet.holders(spec.name) < count


def why_joined(fleet: Fleet, spec: SpecRecord) -> str:
    """Why a device takes the spec that came, or came to suit, after it was placed."""
    agents = fleet.matcher(spec).agents
    if agents.count == "all":
        return _why_all(fleet.matcher(spec))
    held = fleet.holders(spec.name)
    return f"{held + 1} of {agents.count}: suits, and {f'only {held}' if held else 'nobody'} had it"


def refusals_of(fleet: Fleet, spec: SpecRecord) -> Mapping[str, Reasons]:
    """The devices that cannot take a spec, and why; remembered in the fleet until something it was derived
    from changes."""
    if spec.spec is None:
        return {}
    if spec.name not in fleet.refusals:
        fleet.refusals.put_spec(spec.name, place(fleet, spec, changed=False).refused)
    return fleet.refusals.of_spec(spec.name)


def told(device: str, reasons: Reasons) -> Iterator[Reason]:
    """The reasons with the device that they are of: those of many devices are shared."""
    for reason in reasons:
        yield reason if reason.device else reason.model_copy(update={"device": device})


def waiting_for(fleet: Fleet, spec: SpecRecord) -> tuple[str, ...]:
    """References of the spec that name no device that has said what it is."""
    if spec.spec is None:
        return ()
    references = spec.spec.spec.agents.devices
    if not any("/" in reference for reference in references):
        return tuple(device for device in references if fleet.subject(device) is None)
    met: set[str] = set()
    for subject in _subjects(fleet):
        met.add(subject.device)
        if subject.gateway:
            met |= {f"{subject.gateway}/{subject.device}", f"{subject.gateway}/*"}
    return tuple(reference for reference in references if reference not in met)


def _selected(fleet: Fleet, matcher: Matcher) -> Iterator[Subject]:
    references = matcher.agents.devices
    if references and not any("/" in reference for reference in references):
        for device in references:
            subject = fleet.subject(device)
            if subject is not None:
                yield subject
        return
    selects = matcher.selects
    for subject in _subjects(fleet):
        if selects(subject):
            yield subject


def _subjects(fleet: Fleet) -> Iterator[Subject]:
    for device in fleet.devices:
        subject = fleet.subject(device)
        if subject is not None:
            yield subject


@dataclass(slots=True)
class _Found:
    """Whom a choice is made among: those that suit, and those that stay though they cannot take this generation."""

    fitting: list[Subject]
    staying: list[str]
    holders: Mapping[str, DeploymentRecord]


def _choose(fleet: Fleet, matcher: Matcher, found: _Found, placement: Placement, *, changed: bool) -> None:
    """All that suit, or N of them: those that have it first, then those that stay, then the best of the others."""
    agents, staying = matcher.agents, sorted(found.staying)
    if agents.count == "all":
        why = _why_all(matcher)
        placement.chosen = {subject.device: why for subject in found.fitting}
        return
    wanted = agents.count
    keep = [subject for subject in found.fitting if subject.device in found.holders]
    if changed:  # a smaller number takes devices off: who stays is chosen by the same rule
        if len(keep) > wanted:
            best = choose((_candidate(fleet, matcher, item) for item in keep), wanted, (), agents.spread_by)
            kept = {item.device for item, _ in best}
            placement.leaving |= {subject.device for subject in keep} - kept
            keep = [subject for subject in keep if subject.device in kept]
        room = max(0, wanted - len(keep))
        placement.leaving |= set(staying[room:])
        staying = staying[:room]
    held = [*sorted(subject.device for subject in keep), *staying]
    reasons = [(device, "has it already") for device in held[: len(keep)]]
    free = wanted - len(held)
    if free > 0:
        others = (_candidate(fleet, matcher, item) for item in found.fitting if item.device not in found.holders)
        values = [_value(fleet, matcher, device) for device in held]
        reasons += [(item.device, why) for item, why in choose(others, free, values, agents.spread_by)]
    for number, (device, why) in enumerate(reasons, start=len(staying) + 1):
        placement.chosen[device] = f"{number} of {wanted}: {why}"


def _candidate(fleet: Fleet, matcher: Matcher, subject: Subject) -> Candidate:
    device, ledger = subject.device, fleet.ledger
    left = ledger.left(device, matcher.spec.name)
    return candidate(device, _value(fleet, matcher, device), ledger.capacity(device), left, matcher.needed)


def _value(fleet: Fleet, matcher: Matcher, device: str) -> str:
    key, subject = matcher.agents.spread_by, fleet.subject(device)
    return subject.labels.get(key, "") if key and subject is not None else ""


def _why_all(matcher: Matcher) -> str:
    return "is named" if matcher.agents.selector is None else "is selected, and all that suit take it"
