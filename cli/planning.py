"""What would happen if this spec were applied: the orchestrator's own placement, and what differs on each device.

Pure but for the charts that ``make`` fetches. A plan changes the fleet it is made on (in memory): of several
specs in one call each sees what the one before it reserved, as the orchestrator would.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from cli.manifest_diff import difference, images
from cli.plan_model import SERVED, Change, Make, Plan, Rendering, Target
from cli.printing import enough
from cli.retained import State
from orchestrator.assignment import place_spec
from orchestrator.decide_spec import check_renderers, content_digest
from orchestrator.decision import Context, Decision, apply
from orchestrator.model import DeploymentRecord, Fleet, SpecRecord
from orchestrator.offers import Offers
from orchestrator.placement import Placement, holders_of, waiting_for
from orchestrator.rendering.port import RenderError
from orchestrator.rendering.registry import load_renderers
from topics.channels import Topics
from topics.codec import MAX_PAYLOAD_BYTES, digest_of
from topics.documents.spec import DeploymentSpec
from topics.errors import ContractError, Reason


def make_plan(
    state: State,
    spec: DeploymentSpec,
    payload: bytes,
    make: Make,
    *,
    source: str = "",
    devices: Sequence[str] = (),
    warnings: tuple[Reason, ...] = (),
    offers: Offers | None = None,
) -> Plan:
    """The plan for one spec on this fleet; ``devices`` restricts what is shown and not what is placed.

    ``offers`` are the renderers that there are (default: the installed ones); a spec that needs another one is
    rejected.
    """
    fleet, known = state.fleet, state.in_force(spec.name)
    if offers is not None:
        fleet.offers = offers
    elif not fleet.offers:
        fleet.offers = installed_offers()
    try:
        check_renderers(spec, fleet.offers)
    except ContractError as error:
        before = known.generation if known is not None and not known.deleted else 0
        plan = Plan(spec.name, source, before, before, identical=False, warnings=warnings)
        plan.problems, plan.rejected = error.reasons, True
        return plan
    content, digest = content_digest(spec), digest_of(payload)
    changed = known is None or known.deleted or known.content != content
    before = known.generation if known is not None and not known.deleted else 0
    record = SpecRecord(
        spec.name, known.generation + 1 if known and changed else known.generation if known else 1, digest, content,
        spec, paused=known.paused if known else False, accepted=fleet.accepted + 1,
    )  # fmt: skip
    plan = Plan(spec.name, source, before, record.generation, identical=not changed, warnings=warnings)
    fleet.put_spec(record)
    holders = dict(holders_of(fleet, record))
    decision = Decision()
    placement = place_spec(fleet, record, _CONTEXT, decision, changed=changed)
    apply(fleet, decision)
    _fill(plan, fleet, record, holders, placement)
    _render(plan, state, record, make)
    _remark(plan, state, record, payload)
    if devices:
        _restrict(plan, fleet, record, devices)
    return plan


@functools.cache
def installed_offers() -> Offers:
    """What can be rendered here."""
    return load_renderers().offers


_CONTEXT = Context(Topics(), "", MAX_PAYLOAD_BYTES)
"""Topics and time play no part: what would be published is not looked at."""


def _fill(
    plan: Plan, fleet: Fleet, record: SpecRecord, holders: Mapping[str, DeploymentRecord], placement: Placement
) -> None:
    plan.waiting_for = waiting_for(fleet, record)
    plan.refused = {device: placement.refused[device] for device in sorted(placement.refused)}
    for device in sorted(placement.chosen.keys() | holders.keys()):
        holder = holders.get(device)
        generation = holder.desired_generation if holder is not None else 0
        change: Change
        if device in placement.leaving:
            change, why = "removed", _why_leaving(fleet, record, device, placement)
        elif device not in placement.chosen:
            change, why = "kept", "keeps what it has"
        else:
            change = "new" if generation == 0 else "unchanged" if generation >= record.generation else "changed"
            if change == "new" and holder is not None and plan.identical:
                change = "pending"
            why = placement.chosen[device]
        online = fleet.devices[device].online if device in fleet.devices else False
        plan.targets.append(Target(device, change, why, generation, online))


def _why_leaving(fleet: Fleet, record: SpecRecord, device: str, placement: Placement) -> str:
    if device in placement.refused:
        return "it cannot take it, and nothing of it runs there"
    subject, matcher = fleet.subject(device), fleet.matcher(record)
    if subject is None:
        return "the spec does not name it any more"
    if matcher.selects(subject):
        return enough(matcher.agents.count)
    return "; ".join(reason.message for reason in matcher.not_selected(subject))


def _render(plan: Plan, state: State, record: SpecRecord, make: Make) -> None:
    """Render for who lacks it, and compare with what each device has: once for each pair of contents."""
    lacking = [item.device for item in plan.targets if item.change in SERVED]
    if not lacking:
        return
    assert record.spec is not None, "a plan is made for a spec"
    known = state.fleet.capabilities_of(lacking)
    try:
        rendering = make(record.spec, record.generation, record.content_digest, lacking, known)
    except RenderError as error:
        plan.problems = error.reasons
        return
    plan.rendering = rendering
    plan.manifest_bytes = rendering.size or None
    _refuse(plan, rendering)
    groups: dict[tuple[int, ...], tuple[Change, int | None]] = {}
    had: set[str] = set()
    for place, item in enumerate(plan.targets):
        if item.change != "changed":
            continue
        content, manifest = state.manifests[plan.name, item.device], rendering.manifests[item.device]
        # Devices that agree share what they are given.
        parts = (id(content), *map(id, manifest.initialization), *map(id, manifest.components))
        group = groups.get(parts)
        if group is None:
            found = difference(content.manifest, manifest)
            had |= images(content.manifest)
            group = groups[parts] = ("changed", len(plan.differences)) if found else ("same", None)
            if found:
                plan.differences.append(found)
        plan.targets[place] = replace(item, change=group[0], group=group[1])
    distinct = {id(manifest): manifest for manifest in rendering.manifests.values()}
    plan.new_images = tuple(sorted(set().union(*(images(manifest) for manifest in distinct.values())) - had))


def _refuse(plan: Plan, rendering: Rendering) -> None:
    """Devices that can have no manifest: they keep what they have, and those that have nothing get nothing."""
    plan.refused = dict(sorted({**plan.refused, **rendering.refused}.items()))
    targets = []
    for item in plan.targets:
        if item.device not in rendering.refused:
            targets.append(item)
        elif item.generation:
            targets.append(replace(item, change="kept", why="keeps what it has"))
    plan.targets = targets


def _remark(plan: Plan, state: State, record: SpecRecord, payload: bytes) -> None:
    stored, result = state.payload(plan.name), state.results.get(plan.name)
    if plan.identical and stored == payload:
        plan.remarks.append("it is the spec that is in force, byte for byte")
    elif plan.identical:
        plan.remarks.append("it is another spelling of the spec that is in force")
    if stored and stored != payload and (result is None or result.spec_digest != digest_of(stored)):
        plan.remarks.append("the spec that stands on the broker now has not been answered yet")
    elif stored and result is not None and result.outcome == "rejected":
        plan.remarks.append("the spec that stands on the broker now was rejected; what runs is an older one")
    if record.paused:
        plan.remarks.append(f"its rollout is paused: nothing goes out until 'fleetbus resume {plan.name}'")
    if state.orchestrator is None:
        plan.remarks.append("no orchestrator has been on this broker yet")
    elif not state.orchestrator.online:
        plan.remarks.append("the orchestrator is offline: it would happen when it comes back")


def _restrict(plan: Plan, fleet: Fleet, record: SpecRecord, devices: Iterable[str]) -> None:
    wanted = dict.fromkeys(devices)
    plan.targets = [item for item in plan.targets if item.device in wanted]
    plan.refused = {device: reasons for device, reasons in plan.refused.items() if device in wanted}
    plan.waiting_for = tuple(device for device in plan.waiting_for if device in wanted)
    shown = {item.device for item in plan.targets} | plan.refused.keys() | set(plan.waiting_for)
    matcher = fleet.matcher(record)
    for device in wanted:
        if device in shown:
            continue
        subject = fleet.subject(device)
        if subject is None:
            reasons: tuple[Reason, ...] = (_unknown(device, heard=device in fleet.devices),)
        elif matcher.selects(subject):
            message = f"it suits, and {enough(matcher.agents.count)}"
            reasons = (Reason(path="spec.agents.count", code="surplus", message=message, device=device),)
        else:
            passed_over = (item.model_copy(update={"hint": None}) for item in matcher.not_selected(subject))
            reasons = (*passed_over, *matcher.reasons(fleet.ledger, subject))  # the hint is for who holds it
        plan.not_selected[device] = reasons
    if not plan.served:
        plan.new_images, plan.rendering, plan.manifest_bytes = (), None, None
    used = sorted({item.group for item in plan.targets if item.group is not None})
    plan.differences = [plan.differences[group] for group in used]
    renumbered = {group: place for place, group in enumerate(used)}
    plan.targets = [
        item if item.group is None else replace(item, group=renumbered[item.group]) for item in plan.targets
    ]


def _unknown(device: str, *, heard: bool) -> Reason:
    return Reason(
        path="", code="unknown-device", device=device,
        message="it has not said what it is" if heard else "it was never heard of",
        hint="its agent says it when it connects" if heard else "see which there are: fleetbus get devices",
    )  # fmt: skip
