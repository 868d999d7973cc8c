"""From a received message to an event for the core. The one place that judges what peers send."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import TypeAdapter

from edge_agent.happenings import CommandReceived, Event, ManifestCleared, ManifestReceived, ManifestRefused
from edge_agent.plan import plan_of
from topics import channels
from topics.channels import Topics
from topics.codec import decode, decode_sealed, parse_json
from topics.documents.command import Command, CommandId
from topics.documents.manifest import Manifest
from topics.documents.query import Query
from topics.errors import ContractError

_LARGEST_BAD_QUESTION = 4096
"""Bytes of a question that cannot be read in which its id is still looked for."""

_ids: TypeAdapter[str] = TypeAdapter(CommandId)


@dataclass(frozen=True, slots=True)
class Question:
    """Somebody asks what the device is now."""

    id: str


@dataclass(frozen=True, slots=True)
class BadQuestion:
    """A question that cannot be understood, but answered: its id can be read."""

    id: str
    problem: str


def read(topics: Topics, device: str, topic: str, payload: bytes) -> tuple[str, Event]:
    """The deployment and the event of a message.

    Raises ``ContractError`` for what nobody can be answered for: a topic that is not this device's,
    or a command that cannot be read. What is wrong with a manifest is an event, for it is answered.
    """
    address = topics.parse(topic)
    if address.device != device:
        raise ContractError.because("wrong-device", f"{topic} is not for {device}", path="device")
    if address.channel is channels.MANIFEST:
        return address.deployment, _manifest(device, address.deployment, payload)
    if address.channel is channels.COMMAND:
        command = decode(Command, payload)
        _check_ids(device, address.deployment, command.device, command.deployment)
        return address.deployment, CommandReceived(command)
    raise ContractError.because("unknown-topic", f"{topic} is nothing an agent listens to")


def read_question(payload: bytes) -> Question | BadQuestion:
    """The question of a message on the device's query topic.

    Raises ``ContractError`` for one that nobody can be answered for: no id can be read in it.
    """
    try:
        return Question(decode(Query, payload).id)
    except ContractError as error:
        found = _id_of(payload)
        if found is None:
            raise
        return BadQuestion(found, str(error))


def _id_of(payload: bytes) -> str | None:
    if len(payload) > _LARGEST_BAD_QUESTION:
        return None
    try:
        document = parse_json(payload.decode())
        return _ids.validate_python(document.get("id")) if isinstance(document, dict) else None
    except (ContractError, ValueError):  # pydantic's and Unicode's errors are ValueErrors
        return None


def _manifest(device: str, deployment: str, payload: bytes) -> Event:
    if not payload:
        return ManifestCleared()
    try:
        manifest, digest = decode_sealed(Manifest, payload)
        _check_ids(device, deployment, manifest.device, manifest.deployment)
        if manifest.generation < 1:
            raise ContractError.because("invalid", "generations count from 1", path="generation")
        if manifest.action == "apply" and not manifest.components:
            raise ContractError.because("invalid", "there is no component to apply", path="components")
        return ManifestReceived(plan_of(manifest, digest), payload)
    except ContractError as error:
        return ManifestRefused(error.reasons[0].code, str(error))


def _check_ids(device: str, deployment: str, named_device: str, named_deployment: str) -> None:
    if named_device != device:
        raise ContractError.because("wrong-device", f"it is for {named_device}, this is {device}", path="device")
    if named_deployment != deployment:
        raise ContractError.because(
            "wrong-deployment", f"it is about {named_deployment}, its topic about {deployment}", path="deployment"
        )
