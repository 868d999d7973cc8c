"""What would happen if this spec were applied: the orchestrator's own placement, and what differs on each device.

Pure but for the charts that ``make`` fetches. A plan changes the fleet it is made on (in memory): of several
specs in one call each sees what the one before it reserved, as the orchestrator would.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from cli.manifest_diff import Difference, difference, images
from cli.plan_rendering import Make, Rendering
from cli.retained import State
from orchestrator.assignment import place_spec
from orchestrator.decide_spec import content_digest
from orchestrator.decision import Context, Decision, apply
from orchestrator.model import DeploymentRecord, Fleet, SpecRecord
from orchestrator.placement import Placement, holders_of, waiting_for
from orchestrator.rendering.port import RenderError
from orchestrator.rendering.registry import load_renderers
from topics.channels import Topics
from topics.codec import MAX_PAYLOAD_BYTES, digest_of
from topics.documents.spec import DeploymentSpec
from topics.errors import Reason

Change = Literal["new", "changed", "same", "unchanged", "pending", "kept", "removed"]
"""What a device gets: its first manifest, other objects, the same objects under a new generation, nothing (it
has this generation), the manifest it still lacks, nothing because it cannot take this generation, its end."""


@dataclass(frozen=True, slots=True)
class Target:
    """One device and what becomes of it. ``generation`` is the one it has now (0: none), ``why`` says why it is
    chosen, kept or taken off."""

    device: str
    change: Change
    why: str
    generation: int
    online: bool
    group: int | None = None
    """Which of the plan's ``differences`` it gets."""


@dataclass(slots=True)
class Plan:
    """A plan of one spec. ``before`` is the generation in force (0: none), ``after`` the one there would be.

    ``problems`` keep it from being rendered. The reasons of a refusal need not name their device: what is wrong
    with many devices is the same object for all of them.
    """

    name: str
    source: str
    before: int
    after: int
    identical: bool
    warnings: tuple[Reason, ...] = ()
    targets: list[Target] = field(default_factory=list)
    refused: dict[str, tuple[Reason, ...]] = field(default_factory=dict)
    not_selected: dict[str, tuple[Reason, ...]] = field(default_factory=dict)
    """Devices that were asked about by name, and why the spec passes them over."""
    waiting_for: tuple[str, ...] = ()
    differences: list[Difference] = field(default_factory=list)
    problems: tuple[Reason, ...] = ()
    rendering: Rendering | None = None
    manifest_bytes: int | None = None
    new_images: tuple[str, ...] = ()
    remarks: list[str] = field(default_factory=list)

    @property
    def taken(self) -> bool:
        """Whether any device would have this generation."""
        return not self.problems and any(item.change not in ("kept", "removed") for item in self.targets)

    @property
    def changes(self) -> bool:
        """Whether anything would be published."""
        return any(item.change not in ("kept", "unchanged") for item in self.targets)


def make_plan(
    state: State,
    spec: DeploymentSpec,
    payload: bytes,
    make: Make,
    *,
    source: str = "",
    devices: Sequence[str] = (),
    warnings: tuple[Reason, ...] = (),
) -> Plan:
    """The plan for one spec on this fleet; ``devices`` restricts what is shown and not what is placed."""
    fleet, known = state.fleet, state.in_force(spec.name)
    if not fleet.offers:
        fleet.offers = load_renderers().offers
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
        return f"{matcher.agents.count} others are enough"
    return "; ".join(reason.message for reason in matcher.not_selected(subject))


def _render(plan: Plan, state: State, record: SpecRecord, make: Make) -> None:
    """Render for who lacks it, and compare with what each device has: once for each pair of contents."""
    lacking = [item.device for item in plan.targets if item.change in ("new", "changed", "pending")]
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
        plan.remarks.append("its rollout is paused: nothing goes out until 'fleetbus resume'")
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
            heard = "it has not said what it is" if device in fleet.devices else "it was never heard of"
            reasons: tuple[Reason, ...] = (Reason(path="", code="unknown-device", message=heard, device=device),)
        elif matcher.selects(subject):
            message = f"it suits, and {matcher.agents.count} others are chosen before it"
            reasons = (Reason(path="spec.agents.count", code="surplus", message=message, device=device),)
        else:
            reasons = matcher.not_selected(subject) + matcher.reasons(fleet.ledger, subject)
        plan.not_selected[device] = reasons
    used = sorted({item.group for item in plan.targets if item.group is not None})
    plan.differences = [plan.differences[group] for group in used]
    renumbered = {group: place for place, group in enumerate(used)}
    plan.targets = [
        item if item.group is None else replace(item, group=renumbered[item.group]) for item in plan.targets
    ]
