"""The orchestrator's own messages, as publications. Pure."""

from __future__ import annotations

from typing import Literal

from orchestrator.commands import CommandRecord
from orchestrator.decision import Context, Publication
from orchestrator.model import DeploymentRecord
from topics import channels
from topics.codec import digest_of, encode
from topics.documents.answer import AggregateStatus, Placed, RenderFailure, SpecResult
from topics.documents.command import Action, Command
from topics.errors import Reason


def result(
    context: Context,
    name: str,
    *,
    outcome: Literal["accepted", "rejected", "deleted"],
    generation: int,
    spec_digest: str,
    reasons: tuple[Reason, ...] = (),
    warnings: tuple[Reason, ...] = (),
    placed: tuple[Placed, ...] = (),
    failure: RenderFailure | None = None,
    topic: str | None = None,
) -> Publication:
    """The answer to a spec; ``topic`` only where the name itself is what is wrong."""
    document = SpecResult(
        deployment=name, outcome=outcome, generation=generation, spec_digest=spec_digest, reasons=reasons,
        warnings=warnings, placed=placed, failure=failure,
    )  # fmt: skip
    digest = digest_of(encode(document))
    payload = encode(document.model_copy(update={"time": context.wall}))
    return Publication(topic or context.topics.topic(channels.RESULT, deployment=name), payload, digest=digest)


def aggregate(context: Context, status: AggregateStatus) -> Publication:
    """The aggregate of a spec. ``last_seen`` moves with every heartbeat and is no change by itself."""
    quiet = status.model_copy(
        update={"devices": tuple(item.model_copy(update={"last_seen": None}) for item in status.devices)}
    )
    payload = encode(status.model_copy(update={"time": context.wall}))
    topic = context.topics.topic(channels.AGGREGATE, deployment=status.deployment)
    return Publication(topic, payload, digest=digest_of(encode(quiet)))


def manifest(context: Context, name: str, device: str, payload: bytes) -> Publication:
    """The manifest of a deployment; an empty payload clears the topic."""
    topic = context.topics.topic(channels.MANIFEST, device=device, deployment=name)
    return Publication(topic, payload, digest=digest_of(payload))


def command(context: Context, record: CommandRecord) -> Publication:
    """A command on its way to its device."""
    return _command(
        context,
        Command(
            id=record.id,
            deployment=record.name,
            device=record.device,
            action=Action(record.action),
            generation=record.generation,
        ),
    )


def replay(context: Context, deployment: DeploymentRecord, id: str) -> Publication:
    """Asks a device to repeat its transitions after the last unbroken one."""
    return _command(
        context,
        Command(
            id=id,
            deployment=deployment.name,
            device=deployment.device,
            action=Action.REPLAY,
            generation=deployment.desired_generation,
            from_sequence=deployment.event_sequence + 1,
        ),
    )


def _command(context: Context, document: Command) -> Publication:
    topic = context.topics.topic(channels.COMMAND, device=document.device, deployment=document.deployment)
    return Publication(topic, encode(document), retain=False, key=f"{topic}#{document.id}")


def clear(topic: str) -> Publication:
    """Removes a retained message."""
    return Publication(topic, b"", digest="")
