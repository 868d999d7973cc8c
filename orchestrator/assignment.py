"""Giving a spec to devices and taking it off them: records with their reservations, renders, tombstones. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from orchestrator.decision import Context, Decision, Render
from orchestrator.matching import is_misfit
from orchestrator.model import Assignment, DeploymentRecord, Fleet, SpecRecord
from orchestrator.placement import Placement, is_wanted, place, why_joined
from orchestrator.removal import remove_from
from topics.allocation import larger_of
from topics.errors import Reason
from topics.lifecycle import State


def place_spec(fleet: Fleet, record: SpecRecord, context: Context, decision: Decision, *, changed: bool) -> Placement:
    """Assign the spec's devices over the whole fleet: new deployments, tombstones for those that leave, and
    the request to render what is missing. Devices that keep what they have stay as they are."""
    placement = place(fleet, record, changed=changed)
    current = fleet.of_spec(record.name)
    for device in sorted(placement.leaving):
        remove_from(current[device], record.generation, context, decision)
    if changed:
        _withdraw(current, placement, decision)
    decision.placements[record.name] = placement.refused
    decision.touched.add(record.name)
    adopt(fleet, record, placement.chosen, current, decision)
    return placement


def place_again(fleet: Fleet, name: str, device: str, context: Context) -> Decision:
    """One device changed, or has more room: what that means for one spec. No other device is looked at, because
    none of them changed; only where one of N is taken off the spec is placed again as a whole."""
    decision = Decision()
    spec, subject = fleet.specs.get(name), fleet.subject(device)
    if spec is None or spec.deleted or subject is None:
        return decision
    matcher, record = fleet.matcher(spec), fleet.deployment(name, device)
    holds = record is not None and not record.removing
    selected = matcher.selects(subject)
    reasons: tuple[Reason, ...] = ()
    unrendered: tuple[Reason, ...] = ()
    if selected:
        reasons = matcher.reasons(fleet.ledger, subject)
        unrendered = fleet.unrendered.of(name, spec.generation, device)
    elif holds:
        reasons = matcher.not_selected(subject)
    if holds and is_misfit(reasons) and matcher.agents.on_mismatch == "remove":
        assert record is not None, "who holds it has a record"
        remove_from(record, spec.generation, context, decision)
        why = "; ".join(str(reason) for reason in reasons[:3])
        decision.note("deployment no longer suits", deployment=name, device=device, why=why)
        if matcher.agents.count != "all":
            decision.replaced.append(name)
        reasons = reasons if selected else ()
    elif selected and not reasons and not unrendered and (holds or is_wanted(fleet, spec)):
        why = record.assignment.why if holds and record is not None else why_joined(fleet, spec)
        adopt(fleet, spec, {device: why}, fleet.of_spec(name), decision)
    refused = reasons + unrendered
    if refused != fleet.refusals.of_spec(name).get(device, ()):
        decision.refusals.append((name, device, refused))
    if decision.records or decision.refusals or ((selected or holds) and name not in fleet.refusals):
        decision.touched.add(name)
        decision.restated.add(name)
    return decision


def adopt(
    fleet: Fleet,
    spec: SpecRecord,
    chosen: Mapping[str, str],
    current: Mapping[str, DeploymentRecord],
    decision: Decision,
) -> None:
    """Make these devices (with why) hold the spec's generation: what it needs is reserved there, and the
    manifests that they lack are asked for."""
    needed = fleet.matcher(spec).needed
    lacking = []
    for device in sorted(chosen):
        known = current.get(device)
        if known is not None and not known.removing and known.assigned >= spec.generation:
            if known.desired_generation < spec.generation:
                lacking.append(device)
            continue
        if known is None:
            known = DeploymentRecord(spec.name, device)
        elif known.removing:
            known = known._replace(removing=False, desired_generation=0, desired_digest="")
        reserved = larger_of((known.reserved, needed)) if known.reserved else needed
        decision.records.append(
            known._replace(assignment=Assignment(spec.generation, chosen[device], known.assignment.share, reserved))
        )
        lacking.append(device)
    ask_for(spec, lacking, decision)


def raise_generation(
    fleet: Fleet, spec: SpecRecord, generation: int, reported: DeploymentRecord, decision: Decision
) -> SpecRecord:
    """The same content under a higher number, for every device that holds it; ``reported`` is the newest record
    of one of them. Whoever could not take it before is not asked again: nothing has changed for it."""
    raised = replace(spec, generation=generation, problem=None)
    decision.records.append(raised)
    current = {**fleet.of_spec(spec.name), reported.device: reported}
    holding = {
        device: item.assignment.why
        for device, item in current.items()
        if not item.removing and item.assigned == spec.generation
    }
    adopt(fleet, raised, holding, current, decision)
    decision.touched.add(spec.name)
    decision.answered.add(spec.name)
    return raised


def ask_for(spec: SpecRecord, devices: Iterable[str], decision: Decision) -> None:
    """Ask for the manifests of these devices, unless the rollout is paused. While the spec cannot be rendered for any
    device, one that reports is no reason to try: that has its own time (``request_lacking``)."""
    wanted = tuple(devices)
    if wanted and not spec.paused and spec.problem is None:
        decision.effects.append(Render(spec.name, spec.generation, wanted))


def request_lacking(fleet: Fleet, spec: SpecRecord, decision: Decision, but: Collection[str] = ()) -> None:
    """Ask for what is missing where the generation was assigned: who cannot take it keeps an older one."""
    lacking = sorted(
        deployment.device
        for deployment in fleet.of_spec(spec.name).values()
        if not deployment.removing and deployment.desired_generation < spec.generation == deployment.assigned
    )
    ask_for(replace(spec, problem=None), (device for device in lacking if device not in but), decision)


def settled(record: DeploymentRecord, *, deployed: bool) -> DeploymentRecord:
    """The record with an exact reservation, once the newest generation for the device is Deployed there: the one
    before it is gone."""
    given = record.assignment
    if not deployed or record.removing or given.reserved == given.share:
        return record
    if not record.generation == record.desired_generation == given.generation:
        return record
    return record._replace(assignment=replace(given, reserved=given.share))


def _withdraw(current: Mapping[str, DeploymentRecord], placement: Placement, decision: Decision) -> None:
    """Who cannot take this generation keeps what was published for it. What was assigned in between and not
    rendered yet will never be: its reservation ends."""
    for device in placement.refused.keys() - placement.leaving:
        known = current.get(device)
        if known is not None and not known.removing and known.assigned > known.desired_generation:
            record = known._replace(assignment=replace(known.assignment, generation=known.desired_generation))
            decision.records.append(settled(record, deployed=record.state is State.DEPLOYED))
