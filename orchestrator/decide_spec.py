"""What a spec message brings about: a result, a new generation, placements, tombstones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from orchestrator import outbound
from orchestrator.decision import Context, Decision, Publication, Render
from orchestrator.model import DeploymentRecord, DeviceRecord, Fleet, SpecRecord
from orchestrator.placement import Placement, place, refusals_of
from orchestrator.removal import finish_if_gone, remove_from
from topics import channels
from topics.codec import canonical_json, digest_of
from topics.documents.spec import DeploymentSpec
from topics.errors import ContractError, Reason
from topics.spec_reader import read_spec

_MOST_REASONS = 200
_MOST_TOPIC = 300
"""Longest topic (characters) that an answer is published beside: the answer's own must be one that can be sent."""


def decide_spec(fleet: Fleet, name: str, payload: bytes, context: Context) -> Decision:
    """A message on ``specs/<name>``: an empty one deletes, anything else is read and checked."""
    if not payload:
        return _delete(fleet, name, context)
    known = fleet.specs.get(name)
    digest = digest_of(payload)
    if known is not None and known.payload_digest == digest and not known.deleted:
        # The retained message after a reconnect, or the same once more. Another one may have been rejected in
        # between, so it is answered again; an answer that stands already is not sent twice.
        return Decision(publications=[accepted(known, refusals_of(fleet, known), context)])
    try:
        spec = read_spec(payload, name=name, limit=context.max_payload_bytes)
        _check_renderers(spec, context)
    except ContractError as error:
        return _reject(known, name, digest, error.reasons, context)
    return _accept(fleet, known, spec, digest, context)


def _accept(fleet: Fleet, known: SpecRecord | None, spec: DeploymentSpec, digest: str, context: Context) -> Decision:
    content = digest_of(canonical_json(spec.spec.model_dump(mode="json", by_alias=True, exclude_none=True)))
    decision = Decision()
    changed = known is None or known.deleted or known.content_digest != content
    if known is not None and not changed:
        # Another spelling of the same content: answered, but no new generation.
        record = replace(known, payload_digest=digest, spec=spec)
    else:
        record = SpecRecord(
            name=spec.name,
            generation=known.generation + 1 if known else 1,
            payload_digest=digest,
            content_digest=content,
            spec=spec,
            paused=known.paused if known and not known.deleted else False,
        )
    decision.records.append(record)
    placement = place_spec(fleet, record, context, decision, changed=changed)
    decision.publications.append(accepted(record, placement.refused, context))
    decision.note(
        "spec accepted", deployment=record.name, generation=record.generation,
        devices=len(placement.placed), refused=len(placement.refused),
    )  # fmt: skip
    return decision


def accepted(record: SpecRecord, refused: Mapping[str, tuple[Reason, ...]], context: Context) -> Publication:
    """The result of an accepted spec: with what keeps devices from taking it, and from rendering it."""
    reasons = tuple(reason for device in sorted(refused) for reason in refused[device])
    if record.problem is not None:
        reasons = record.problem.reasons + reasons
    kept = reasons[:_MOST_REASONS]
    if len(reasons) > len(kept):
        more = f"{len(reasons) - len(kept)} more reasons stand in the deployment's status"
        kept += (Reason(path="", code="truncated", message=more),)
    return outbound.result(
        context,
        record.name,
        outcome="accepted",
        generation=record.generation,
        spec_digest=record.payload_digest,
        reasons=kept,
    )


def _reject(
    known: SpecRecord | None, name: str, digest: str, reasons: tuple[Reason, ...], context: Context
) -> Decision:
    """What is in force stays in force; the answer carries every reason."""
    decision = Decision()
    generation = known.generation if known is not None and not known.deleted else 0
    decision.publications.append(
        outbound.result(
            context,
            name,
            outcome="rejected",
            generation=generation,
            spec_digest=digest,
            reasons=reasons[:_MOST_REASONS],
        )
    )
    decision.note("spec rejected", warning=True, deployment=name, reasons=[str(reason) for reason in reasons[:5]])
    return decision


def reject_topic(topic: str, payload: bytes, error: ContractError, context: Context) -> Decision:
    """The answer to a spec whose topic itself is no valid name, beside that topic."""
    decision = Decision()
    if len(topic) > _MOST_TOPIC:
        pass  # only noted
    elif payload:
        decision.publications.append(
            outbound.result(
                context,
                topic.rpartition("/")[2],
                outcome="rejected",
                generation=0,
                spec_digest=digest_of(payload),
                reasons=error.reasons,
                topic=f"{topic}/result",
            )
        )
    else:
        decision.publications.append(outbound.clear(f"{topic}/result"))
    decision.note(
        "spec rejected", warning=True, topic=topic[:_MOST_TOPIC], reasons=[str(reason) for reason in error.reasons]
    )
    return decision


def _delete(fleet: Fleet, name: str, context: Context) -> Decision:
    decision = Decision()
    known = fleet.specs.get(name)
    if known is None or known.deleted:
        if not fleet.of_spec(name):
            # Never accepted: all there can be is the answer to a rejected spec.
            decision.publications.append(outbound.clear(context.topics.topic(channels.RESULT, deployment=name)))
        return decision
    # Above everything that a device may have seen: a spec created again goes on above every tombstone.
    seen = [max(item.desired_generation, item.generation) for item in fleet.of_spec(name).values()]
    record = SpecRecord(name, max(known.generation, *seen, 0) + 1, "", "", spec=None)
    decision.records.append(record)
    decision.publications.append(
        outbound.result(context, name, outcome="deleted", generation=record.generation, spec_digest="")
    )
    for deployment in list(fleet.of_spec(name).values()):
        remove_from(deployment, record.generation, context, decision)
    finish_if_gone(fleet, record, context, decision)
    decision.touched.add(name)
    decision.note("spec deleted", deployment=name, generation=record.generation, devices=len(fleet.of_spec(name)))
    return decision


def place_spec(
    fleet: Fleet,
    record: SpecRecord,
    context: Context,
    decision: Decision,
    *,
    changed: bool,
    devices: Mapping[str, DeviceRecord] | None = None,
    current: Mapping[str, DeploymentRecord] | None = None,
) -> Placement:
    """Assign the spec's devices: new deployments, and the request to render what is missing.

    Devices that it no longer selects get tombstones where its content has ``changed``; otherwise they
    keep it. ``devices`` and ``current`` (its deployments) are given where they differ from the fleet's.
    """
    assert record.spec is not None, "a deleted spec is not placed"
    current = fleet.of_spec(record.name) if current is None else current
    placement = place(
        record.spec,
        fleet.devices if devices is None else devices,
        {device for device, item in current.items() if not item.removing},
    )
    kept = placement.placed | placement.refused.keys() | set(placement.waiting_for)
    holding = set(placement.placed)
    for device, deployment in current.items():
        if device in kept:
            continue
        if changed:
            remove_from(deployment, record.generation, context, decision)
        elif not deployment.removing:
            holding.add(device)
    decision.placements[record.name] = placement.refused
    decision.touched.add(record.name)
    adopt(record, sorted(holding), current, decision)
    return placement


def adopt(
    record: SpecRecord, devices: Iterable[str], current: Mapping[str, DeploymentRecord], decision: Decision
) -> None:
    """Make these devices hold the spec, and ask for the manifests that they lack for its generation."""
    lacking = []
    for device in devices:
        existing = current.get(device)
        if existing is None:
            decision.records.append(DeploymentRecord(record.name, device))
        elif existing.removing:
            decision.records.append(replace(existing, removing=False, desired_generation=0, desired_digest=""))
        if existing is None or existing.removing or existing.desired_generation < record.generation:
            lacking.append(device)
    if lacking and not record.paused:
        decision.effects.append(Render(record.name, record.generation, tuple(lacking)))


def _check_renderers(spec: DeploymentSpec, context: Context) -> None:
    reasons = [
        Reason(
            path=f"spec.components[{index}].{component.kind}", code="no-renderer",
            message=f"no renderer is installed for {component.kind!r} components",
            required=component.kind, available=",".join(sorted(context.component_kinds)),
            hint=f"use one of: {', '.join(sorted(context.component_kinds))}",
        )
        for index, component in enumerate(spec.spec.components)
        if component.kind not in context.component_kinds
    ]  # fmt: skip
    if reasons:
        raise ContractError(reasons)
