"""From a received message to a decision: parse the topic, decode the document, decide. Pure.

A message that breaks the contract is answered where there is a place to answer, noted, and never
stops anything.
"""

from __future__ import annotations

from functools import lru_cache

from pydantic import ValidationError

from orchestrator import decide_device, decide_report, decide_rollout, decide_spec
from orchestrator.decision import (
    CommandExpired,
    Context,
    Decision,
    DeviceSilent,
    GapDue,
    NotTakenUp,
    RenderDue,
    Rendered,
    RenderFailed,
)
from orchestrator.model import Fleet
from topics import channels
from topics.channels import Address, Channel, Topics
from topics.codec import decode, decode_sealed, parse_json
from topics.documents.base import as_contract_error
from topics.documents.command import OperatorCommand
from topics.documents.device import Allocatable, Capabilities, Presence
from topics.documents.status import DeploymentStatus, TransitionEvent
from topics.errors import ContractError

SUBSCRIBED: tuple[Channel, ...] = (
    channels.SPEC,
    channels.OPERATOR_COMMAND,
    channels.PRESENCE,
    channels.CAPABILITIES,
    channels.ALLOCATABLE,
    channels.STATUS,
    channels.EVENT,
)
"""What the orchestrator reads, each with one QoS 1 subscription."""


def decide_message(fleet: Fleet, topic: str, payload: bytes, live: bool, context: Context) -> Decision:
    """The decision about one message; ``live`` is false for one that was retained before."""
    try:
        address = _parse(context.topics, topic)
    except ContractError as error:
        if topic.startswith(f"{context.topics.root}/specs/"):
            return decide_spec.reject_topic(topic, payload, error, context)
        return _noted(topic, error)
    if address.channel is channels.SPEC:
        return decide_spec.decide_spec(fleet, address.deployment, payload, context)
    if not payload:
        return Decision()  # somebody cleared a retained topic; the journals do not forget for that
    try:
        return _decide(fleet, address, payload, live, context)
    except ContractError as error:
        return _noted(topic, error)


def decide_timed(fleet: Fleet, event: object, context: Context) -> Decision:
    """The decision about something that is not a message."""
    match event:
        case Rendered():
            return decide_rollout.decide_rendered(fleet, event, context)
        case RenderFailed():
            return decide_rollout.decide_render_failed(fleet, event, context)
        case RenderDue():
            return decide_rollout.decide_render_due(fleet, event, context)
        case DeviceSilent():
            return decide_device.decide_silence(fleet, event, context)
        case GapDue():
            return decide_report.decide_gap(fleet, event, context)
        case NotTakenUp():
            return decide_report.decide_not_taken_up(fleet, event, context)
        case CommandExpired():
            return decide_rollout.decide_command_expired(fleet, event, context)
    raise TypeError(f"nothing decides about {event!r}")


def _decide(fleet: Fleet, address: Address, payload: bytes, live: bool, context: Context) -> Decision:
    match address.channel:
        case channels.STATUS:
            status = decode(DeploymentStatus, payload)
            _same(address, status.device, status.deployment)
            return decide_report.decide_status(fleet, status, context)
        case channels.EVENT:
            event = decode(TransitionEvent, payload)
            _same(address, event.device, event.deployment)
            return decide_report.decide_event(fleet, event, context)
        case channels.PRESENCE:
            presence = decode(Presence, payload)
            _same(address, presence.device)
            return decide_device.decide_presence(fleet, presence, live, context)
        case channels.CAPABILITIES:
            capabilities, digest = decode_sealed(Capabilities, payload)
            _same(address, capabilities.device)
            return decide_device.decide_capabilities(fleet, capabilities, digest, context)
        case channels.ALLOCATABLE:
            allocatable = decode(Allocatable, payload)
            _same(address, allocatable.device)
            return decide_device.decide_allocatable(fleet, allocatable, context)
        case channels.OPERATOR_COMMAND:
            try:
                command = _command(payload)
            except ContractError as error:
                return decide_rollout.refuse_malformed(fleet, address.deployment, payload, error)
            return decide_rollout.decide_command(fleet, address.deployment, command, context)
    return Decision()


def _command(payload: bytes) -> OperatorCommand:
    """A command, written by people: unknown fields are refused. Raises ``ContractError``."""
    try:
        value = parse_json(payload.decode("utf-8"))
        return OperatorCommand.model_validate(value)
    except UnicodeDecodeError as error:
        raise ContractError.because("not-utf8", f"not valid UTF-8 at byte {error.start}") from error
    except ValidationError as error:
        raise as_contract_error(error) from error


def _same(address: Address, device: str, deployment: str = "") -> None:
    """A message speaks of the device and deployment of its topic: a device cannot speak for another."""
    if device != address.device or deployment != address.deployment:
        raise ContractError.because(
            "wrong-topic", f"the message speaks of {device}/{deployment}, its topic of {address.device}"
        )


def _noted(topic: str, error: ContractError) -> Decision:
    decision = Decision()
    reasons = [str(reason) for reason in error.reasons[:5]]
    decision.note("message refused", warning=True, topic=topic[:200], reasons=reasons)
    return decision


@lru_cache(maxsize=20_000)
def _parse(topics: Topics, topic: str) -> Address:
    return topics.parse(topic)
