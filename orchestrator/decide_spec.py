"""What a spec message brings about: a result, a new generation, placements, tombstones."""

from __future__ import annotations

from dataclasses import replace

from orchestrator import margo_status, outbound
from orchestrator.answers import MOST_REASONS
from orchestrator.assignment import place_spec, request_lacking
from orchestrator.decision import Context, Decision
from orchestrator.model import Fleet, SpecRecord
from orchestrator.offers import Offers, unrenderable
from orchestrator.placement import refusals_of
from orchestrator.removal import clear_margo, finish_if_gone, remove_from
from topics import channels
from topics.codec import canonical_json, digest_of
from topics.documents.spec import DeploymentSpec
from topics.errors import ContractError, Reason
from topics.margo import is_margo
from topics.spec_reader import SpecDocument, read_document

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
        again = Decision(answered={name})
        _try_again(fleet, known, again)
        if known.rejected:
            again.records.append(replace(known, rejected=False))
        return again
    try:
        document = read_document(payload, name=name, limit=context.max_payload_bytes)
        check_renderers(document.spec, fleet.offers)
    except ContractError as error:
        return _reject(known, name, digest, error.reasons, context)
    return _accept(fleet, known, document, digest, context)


def content_digest(spec: DeploymentSpec) -> str:
    """The digest of what makes a generation. Without what is left at its default: a field that a newer program
    knows, and a default that somebody writes down, make no generation."""
    content = spec.spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    return digest_of(canonical_json(content))


def _accept(fleet: Fleet, known: SpecRecord | None, document: SpecDocument, digest: str, context: Context) -> Decision:
    spec, decision = document.spec, Decision()
    content = content_digest(spec)
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
            accepted=fleet.accepted + 1,
        )
    record = replace(record, warnings=document.warnings, margo=is_margo(spec.metadata.annotations), rejected=False)
    decision.records.append(record)
    if known is not None and known.margo:
        _clear_margo(fleet, known, context, decision, holders=not record.margo)
    placement = place_spec(fleet, record, context, decision, changed=changed)
    _try_again(fleet, record, decision)
    decision.answered.add(record.name)
    decision.note(
        "spec accepted", deployment=record.name, generation=record.generation,
        devices=len(placement.chosen), refused=len(placement.refused),
    )  # fmt: skip
    return decision


def _try_again(fleet: Fleet, record: SpecRecord, decision: Decision) -> None:
    """Who publishes once more what could not be rendered has perhaps mended the chart."""
    if record.problem is not None and not record.problem.retryable:
        request_lacking(fleet, record, decision)


def _reject(
    known: SpecRecord | None, name: str, digest: str, reasons: tuple[Reason, ...], context: Context
) -> Decision:
    """What is in force stays in force; the answer carries every reason."""
    decision = Decision()
    generation = 0
    if known is not None and not known.deleted:
        generation = known.generation
        if not known.rejected:
            decision.records.append(replace(known, rejected=True))
    decision.publications.append(
        outbound.result(
            context,
            name,
            outcome="rejected",
            generation=generation,
            spec_digest=digest,
            reasons=reasons[:MOST_REASONS],
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
    record = SpecRecord(name, max(known.generation, *seen, 0) + 1, "", "", spec=None, margo=known.margo)
    decision.records.append(record)
    decision.publications.append(
        outbound.result(context, name, outcome="deleted", generation=record.generation, spec_digest="")
    )
    if known.margo:
        _clear_margo(fleet, known, context, decision, holders=False)
    for deployment in list(fleet.of_spec(name).values()):
        last = margo_status.removing(context, fleet, known, deployment)
        if last is not None:
            decision.publications.append(last)
        remove_from(deployment, record.generation, context, decision)
    finish_if_gone(fleet, record, context, decision)
    decision.touched.add(name)
    decision.note("spec deleted", deployment=name, generation=record.generation, devices=len(fleet.of_spec(name)))
    return decision


def _clear_margo(fleet: Fleet, known: SpecRecord, context: Context, decision: Decision, *, holders: bool) -> None:
    """Clear what was said in Margo's form of devices that refused the spec, and of those that hold it."""
    held = fleet.of_spec(known.name)
    for device in {*refusals_of(fleet, known), *held}:
        if holders or device not in held:
            clear_margo(known.name, device, context, decision)


def check_renderers(spec: DeploymentSpec, offers: Offers) -> None:
    """Raise ``ContractError`` for components that no installed renderer takes."""
    reasons = []
    for index, component in enumerate(spec.spec.components):
        reason = unrenderable(component, offers)
        if reason is not None:
            reasons.append(reason.model_copy(update={"path": f"spec.components[{index}].{reason.path}"}))
    if reasons:
        raise ContractError(reasons)
