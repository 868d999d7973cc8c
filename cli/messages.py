"""One message from the bus as the CLI knows it: where it came from, and the document, or why there is none.

An operator's tool must show what is wrong on the bus, so nothing here raises for a bad payload.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from topics import channels
from topics.channels import Address, Topics
from topics.codec import decode, decode_sealed
from topics.documents.answer import AggregateStatus, SpecResult
from topics.documents.device import Allocatable, Capabilities, OrchestratorPresence, Presence
from topics.documents.manifest import Manifest
from topics.documents.query import Answer
from topics.documents.status import DeploymentStatus, Progress, TransitionEvent
from topics.errors import ContractError
from topics.spec_reader import read_spec

_PLAIN: dict[str, type[BaseModel]] = {
    channels.RESULT.name: SpecResult,
    channels.AGGREGATE.name: AggregateStatus,
    channels.ORCHESTRATOR_PRESENCE.name: OrchestratorPresence,
    channels.PRESENCE.name: Presence,
    channels.ALLOCATABLE.name: Allocatable,
    channels.STATUS.name: DeploymentStatus,
    channels.EVENT.name: TransitionEvent,
    channels.PROGRESS.name: Progress,
    channels.ANSWER.name: Answer,
}
_SEALED: dict[str, type[BaseModel]] = {channels.CAPABILITIES.name: Capabilities, channels.MANIFEST.name: Manifest}


@dataclass(frozen=True, slots=True)
class Heard:
    """A message: ``document`` if it could be read, otherwise ``problem``.

    Neither is set for an empty payload, which clears the topic. ``retained`` says that the broker had
    stored it before the subscription, ``at`` when it came in, in monotonic seconds.
    """

    topic: str
    address: Address | None
    payload: bytes
    retained: bool
    at: float
    document: BaseModel | None = None
    problem: str | None = None

    @property
    def cleared(self) -> bool:
        return not self.payload

    def shown(self) -> Any:
        """The document as plain data for JSON and YAML, or its problem."""
        if self.document is not None:
            return self.document.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {"topic": self.topic, "problem": self.problem} if self.problem else None


def read_message(topics: Topics, topic: str, payload: bytes, *, retained: bool, at: float) -> Heard:
    """The message in a payload; never raises for what somebody else published."""
    try:
        address = topics.parse(topic)
    except ContractError as error:
        return Heard(topic, None, payload, retained, at, problem=str(error))
    if not payload:
        return Heard(topic, address, payload, retained, at)
    try:
        return Heard(topic, address, payload, retained, at, document=_document(address, payload))
    except ContractError as error:
        return Heard(topic, address, payload, retained, at, problem=str(error))


def _document(address: Address, payload: bytes) -> BaseModel | None:
    name = address.channel.name
    if name == channels.SPEC.name:
        return read_spec(payload, name=address.deployment)
    if name in _SEALED:
        return decode_sealed(_SEALED[name], payload)[0]
    return decode(_PLAIN[name], payload) if name in _PLAIN else None
