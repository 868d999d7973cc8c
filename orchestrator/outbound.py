"""The orchestrator's own messages, as publications. Pure."""

from __future__ import annotations

from typing import Literal

from orchestrator.decision import Context, Publication
from topics import channels
from topics.codec import digest_of, encode
from topics.documents.answer import AggregateStatus, SpecResult
from topics.documents.command import Action, Command
from topics.errors import Reason


def result(
    context: Context,
    name: str,
    outcome: Literal["accepted", "rejected", "deleted"],
    generation: int,
    spec_digest: str,
    reasons: tuple[Reason, ...] = (),
    *,
    topic: str | None = None,
) -> Publication:
    """The answer to a spec; ``topic`` only where the name itself is what is wrong."""
    document = SpecResult(
        deployment=name, outcome=outcome, generation=generation, spec_digest=spec_digest, reasons=reasons
    )
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


def command(
    context: Context, name: str, device: str, action: Action, id: str, generation: int, from_sequence: int | None = None
) -> Publication:
    """A one-shot command to a device."""
    document = Command(
        id=id, deployment=name, device=device, action=action, generation=generation, from_sequence=from_sequence
    )
    topic = context.topics.topic(channels.COMMAND, device=device, deployment=name)
    return Publication(topic, encode(document), retain=False, key=f"{topic}#{id}")


def clear(topic: str) -> Publication:
    """Removes a retained message."""
    return Publication(topic, b"", digest="")
