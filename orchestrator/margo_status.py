"""The state of a deployment as Margo's own document, for specs that were Margo documents or packages. Pure."""

from __future__ import annotations

from orchestrator.decision import Context, Publication
from orchestrator.model import DeploymentRecord, Fleet, SpecRecord
from orchestrator.outbound import clear
from orchestrator.placement import Reasons, is_wanted, refusals_of, told
from topics import channels
from topics.codec import canonical_json, digest_of
from topics.documents.status import DeploymentStatus
from topics.lifecycle import State
from topics.margo import status_manifest


def publication(context: Context, fleet: Fleet, spec: SpecRecord, device: str) -> Publication | None:
    """What a Margo spec has to say of one device: its state there, why it cannot be there, or nothing any more.

    ``None`` for a native spec, and for a deleted one, whose topics are cleared as each device is done.
    """
    record = fleet.deployment(spec.name, device)
    reasons = refusals_of(fleet, spec).get(device, ())
    if record is not None and record.assigned >= spec.generation:
        reasons = ()  # it holds what is wanted; that it no longer suits is for the aggregate to say
    if record is None and spec.margo and not (reasons and is_wanted(fleet, spec)):
        return clear(context.topics.topic(channels.MARGO_STATUS, deployment=spec.name, device=device))
    return _manifest(context, fleet, spec, device, _status(record, spec) if record else None, reasons=reasons)


def removing(context: Context, fleet: Fleet, spec: SpecRecord, record: DeploymentRecord) -> Publication | None:
    """The last one of a spec that is being deleted: afterwards nobody knows the ids that it carries."""
    status = _status(record._replace(removing=True), spec)
    return _manifest(context, fleet, spec, record.device, status)


def _manifest(
    context: Context,
    fleet: Fleet,
    spec: SpecRecord,
    device: str,
    status: DeploymentStatus | None,
    *,
    reasons: Reasons = (),
) -> Publication | None:
    if spec.spec is None or not spec.margo:
        return None
    subject = fleet.subject(device)
    document = status_manifest(
        spec.spec.metadata.annotations,
        status,
        device=f"{subject.gateway}/{device}" if subject is not None and subject.gateway else device,
        components=[component.name for component in spec.spec.spec.components],
        name=spec.name,
        reasons=tuple(told(device, reasons)),
    )
    payload = canonical_json(document)
    topic = context.topics.topic(channels.MARGO_STATUS, deployment=spec.name, device=device)
    return Publication(topic, payload, digest=digest_of(payload))


def _status(record: DeploymentRecord, spec: SpecRecord) -> DeploymentStatus | None:
    """The device's report, put together from what is kept of it; ``None`` before it speaks of what is wanted."""
    state, generation = record.state, record.generation
    if record.removing:
        gone = state is State.REMOVED and generation >= record.desired_generation
        state, generation = State.REMOVED if gone else State.REMOVING, record.desired_generation
    failed = state is State.FAILED or (record.failure is not None and record.failure.generation >= spec.generation)
    if state is None or (generation < spec.generation and not failed):
        return None
    return DeploymentStatus(
        deployment=record.name, device=record.device, epoch=record.epoch, journal=record.journal,
        sequence=record.sequence, state=state, generation=generation,
        desired_generation=record.desired_generation, deployed_generation=record.deployed_generation,
        failure=record.failure, components=record.components,
    )  # fmt: skip
