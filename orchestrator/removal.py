"""Taking a deployment off its devices: tombstones first, and nothing retained left behind at the end."""

from __future__ import annotations

from orchestrator import outbound
from orchestrator.decision import Context, Decision
from orchestrator.model import DeploymentRecord, Fleet, SpecRecord
from topics import channels
from topics.codec import encode, seal
from topics.documents.manifest import Manifest
from topics.lifecycle import State


def remove_from(deployment: DeploymentRecord, generation: int, context: Context, decision: Decision) -> None:
    """Publish the tombstone for one deployment; a device that never got a manifest gets one too, because
    an earlier publication may be on its way."""
    if deployment.removing and deployment.desired_generation >= generation:
        return
    generation = max(generation, deployment.desired_generation + 1, deployment.generation + 1)
    payload = tombstone(deployment.name, deployment.device, generation)
    publication = outbound.manifest(context, deployment.name, deployment.device, payload)
    decision.records.append(
        deployment._replace(removing=True, desired_generation=generation, desired_digest=publication.digest)
    )
    decision.publications.append(publication)
    decision.touched.add(deployment.name)


def tombstone(name: str, device: str, generation: int) -> bytes:
    """The sealed payload of a tombstone manifest."""
    return seal(encode(Manifest(action="remove", deployment=name, device=device, generation=generation)))


def confirm_removed(fleet: Fleet, deployment: DeploymentRecord, context: Context, decision: Decision) -> None:
    """The device said Removed and every transition is here: clear its manifest, which tells it to clear
    its status; the last one takes the spec's own topics along."""
    decision.dropped.append(deployment.key)
    decision.publications.append(outbound.manifest(context, deployment.name, deployment.device, b""))
    decision.touched.add(deployment.name)
    decision.note("deployment removed", deployment=deployment.name, device=deployment.device)
    spec = fleet.specs.get(deployment.name)
    if spec is not None and spec.margo:
        clear_margo(deployment.name, deployment.device, context, decision)
    if spec is not None:
        finish_if_gone(fleet, spec, context, decision, without=deployment.device)


def is_gone(deployment: DeploymentRecord) -> bool:
    """Whether a removal is complete: reported for the tombstone's generation, and no transition missing."""
    return (
        deployment.removing
        and deployment.state is State.REMOVED
        and deployment.generation >= deployment.desired_generation
        and not deployment.has_gap
    )


def finish_if_gone(
    fleet: Fleet, spec: SpecRecord, context: Context, decision: Decision, *, without: str | None = None
) -> None:
    """Clear the result and aggregate of a deleted spec once no device holds it any more."""
    if spec.deleted and not any(device != without for device in fleet.of_spec(spec.name)):
        for channel in (channels.AGGREGATE, channels.RESULT):
            decision.publications.append(outbound.clear(context.topics.topic(channel, deployment=spec.name)))


def clear_margo(name: str, device: str, context: Context, decision: Decision) -> None:
    """Clear a deployment's status in Margo's form."""
    topic = context.topics.topic(channels.MARGO_STATUS, deployment=name, device=device)
    decision.publications.append(outbound.clear(topic))
