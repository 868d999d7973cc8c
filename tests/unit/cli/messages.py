"""Messages as the CLI would have heard them, built from the contract's own documents."""

from __future__ import annotations

from pydantic import BaseModel

from cli.messages import Heard, read_message
from topics import channels
from topics.channels import Channel, Topics
from topics.codec import encode, seal
from topics.documents.answer import AggregateStatus, DeviceSummary, NotPlaceable, SpecResult
from topics.documents.device import Allocatable, Capabilities, Cpu, OrchestratorPresence, Presence, Volume
from topics.documents.status import DeploymentStatus, TransitionEvent
from topics.errors import Reason

TOPICS = Topics()
_SEALED = (channels.CAPABILITIES, channels.MANIFEST)
_CHANNELS: dict[type[BaseModel], Channel] = {
    SpecResult: channels.RESULT,
    AggregateStatus: channels.AGGREGATE,
    OrchestratorPresence: channels.ORCHESTRATOR_PRESENCE,
    Presence: channels.PRESENCE,
    Capabilities: channels.CAPABILITIES,
    Allocatable: channels.ALLOCATABLE,
    DeploymentStatus: channels.STATUS,
    TransitionEvent: channels.EVENT,
}


def topic_of(document: BaseModel) -> str:
    """The topic that a document belongs on."""
    ids = {key: getattr(document, key, "") for key in ("device", "deployment")}
    return TOPICS.topic(_CHANNELS[type(document)], **ids)


def payload_of(document: BaseModel) -> bytes:
    """The document as it travels."""
    body = encode(document)
    return seal(body) if _CHANNELS[type(document)] in _SEALED else body


def heard(document: BaseModel, *, at: float = 0.0, retained: bool = True) -> Heard:
    """The document as it arrives."""
    return read_message(TOPICS, topic_of(document), payload_of(document), retained=retained, at=at)


def cleared(channel: Channel, *, device: str = "", deployment: str = "") -> Heard:
    """An empty payload on a channel."""
    topic = TOPICS.topic(channel, device=device, deployment=deployment)
    return read_message(TOPICS, topic, b"", retained=False, at=0.0)


def status(device: str = "edge-01", *, sequence: int = 5, **fields: object) -> DeploymentStatus:
    """A Deployed status of generation 1, but for ``fields``."""
    return DeploymentStatus.model_validate(
        {
            "deployment": "press", "device": device, "epoch": 1, "journal": "j", "sequence": sequence,
            "state": "Deployed", "generation": 1, "desired_generation": 1, "deployed_generation": 1,
        }
        | fields
    )  # fmt: skip


def summary(device: str = "edge-01", **fields: object) -> DeviceSummary:
    """The orchestrator's word on one device: Deployed and online, but for ``fields``."""
    return DeviceSummary.model_validate(
        {
            "device": device, "state": "Deployed", "generation": 1, "desired_generation": 1, "online": True,
            "epoch": 1, "last_seen": "2026-05-04T12:00:00Z",
        }
        | fields
    )  # fmt: skip


def aggregate(*devices: DeviceSummary, phase: str = "Deployed", **fields: object) -> AggregateStatus:
    """The aggregate of ``press``, generation 1, but for ``fields``."""
    return AggregateStatus.model_validate(
        {"deployment": "press", "generation": 1, "phase": phase, "total": len(devices), "devices": devices} | fields
    )


def presence(device: str = "edge-01", *, online: bool = True, epoch: int = 1) -> Presence:
    """A device's own presence."""
    return Presence(device=device, online=online, epoch=epoch, agent_version="0.1.0")


def capabilities(device: str = "edge-01", **labels: str) -> Capabilities:
    """A small device."""
    return Capabilities(
        device=device, labels=labels, cpus=(Cpu(architecture="amd64", cores=2),), memory=4 * 1024**3,
        storage=(Volume(path="/data", capacity=50 * 1024**3),), appliers=("kubernetes",),
    )  # fmt: skip


REFUSAL = NotPlaceable(
    device="edge-03",
    reasons=(
        Reason(
            path="spec.requirements.memory", code="memory", message="needs 8Gi memory, the device has 4Gi",
            required="8Gi", available="4Gi", device="edge-03",
        ),
    ),
)  # fmt: skip
