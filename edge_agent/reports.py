"""The messages of an agent, built from its records: topics, payloads, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from edge_agent.model import COMMANDS_SHOWN, MESSAGE_LENGTH, Deployment, Moved
from edge_agent.ports import Outgoing
from topics import channels
from topics.allocation import Share
from topics.channels import Topics
from topics.codec import encode, seal
from topics.documents.device import Allocatable, Capabilities, Presence, Promise
from topics.documents.query import Answer
from topics.documents.status import DeploymentStatus, Failure, Progress, TransitionEvent
from topics.lifecycle import State


class Reports:
    """Builds the messages of one device.

    ``epoch`` is that of the newest session; messages made while there is none carry the last one's.
    """

    def __init__(self, topics: Topics, device: str, journal: str, version: str, heartbeat_seconds: float) -> None:
        self._topics = topics
        self._device = device
        self._journal = journal
        self._version = version
        self._heartbeat_seconds = heartbeat_seconds
        self.epoch = 0

    def presence(self, online: bool, epoch: int, wall: str = "") -> tuple[str, bytes]:
        """Topic and payload of the presence; offline it is a will or a farewell.

        ``wall`` is the device's clock; a will has none, for nobody knows when it will be published.
        """
        document = Presence(
            device=self._device, online=online, epoch=epoch, journal=self._journal, agent_version=self._version,
            heartbeat_seconds=self._heartbeat_seconds, time=wall,
        )  # fmt: skip
        return self._topics.topic(channels.PRESENCE, device=self._device), encode(document)

    def capabilities(self, capabilities: Capabilities) -> Outgoing:
        topic = self._topics.topic(channels.CAPABILITIES, device=self._device)
        return Outgoing(topic, seal(encode(capabilities)), retain=True)

    def allocatable(self, left: Share, promised: Iterable[tuple[str, Share]]) -> Outgoing:
        topic = self._topics.topic(channels.ALLOCATABLE, device=self._device)
        return Outgoing(topic, encode(self._allocatable(left, promised)), retain=True)

    def answer(
        self, query: str, capabilities: Capabilities, left: Share, promised: Iterable[tuple[str, Share]], age: float
    ) -> tuple[str, bytes]:
        """Topic and payload of an answer; ``age`` is that of the capabilities, in seconds."""
        return self._answer(
            Answer(
                query=query, device=self._device, capabilities=capabilities,
                allocatable=self._allocatable(left, promised), age_seconds=round(age, 3),
            )
        )  # fmt: skip

    def answer_problem(self, query: str, problem: str) -> tuple[str, bytes]:
        """Topic and payload of an answer that says why there is none."""
        return self._answer(Answer(query=query, device=self._device, problem=problem[:MESSAGE_LENGTH]))

    def event(self, deployment: str, moved: Moved, wall: str) -> Outgoing:
        document = TransitionEvent(
            deployment=deployment, device=self._device, epoch=self.epoch, journal=self._journal,
            sequence=moved.sequence, generation=moved.generation, source=moved.source, target=moved.target,
            trigger=moved.trigger, code=moved.code, message=moved.message, attempt=moved.attempt, time=wall,
        )  # fmt: skip
        return self.event_again(deployment, moved.sequence, encode(document))

    def event_again(self, deployment: str, sequence: int, payload: bytes) -> Outgoing:
        """An event from its journalled payload."""
        topic = self._topics.topic(channels.EVENT, device=self._device, deployment=deployment)
        return Outgoing(topic, payload, retain=False, sequence=sequence)

    def status(self, record: Deployment, wall: str) -> Outgoing:
        document = DeploymentStatus(
            deployment=record.name, device=self._device, epoch=self.epoch, journal=self._journal,
            sequence=record.sequence, state=record.state, generation=record.current.generation,
            desired_generation=record.desired.generation, manifest_digest=record.current.digest,
            deployed_generation=record.deployed.generation if record.deployed else None, held=record.held,
            failure=record.failure or record.refusal, components=record.components,
            commands=record.commands[-COMMANDS_SHOWN:], time=wall,
        )  # fmt: skip
        return Outgoing(self._status_topic(record.name), encode(document), retain=True)

    def refusal(self, deployment: str, record: Deployment | None, code: str, message: str, wall: str) -> Outgoing:
        """The answer to a message for a deployment that this device does not have."""
        generation = record.desired.generation if record else 0
        document = DeploymentStatus(
            deployment=deployment, device=self._device, epoch=self.epoch, journal=self._journal,
            sequence=record.sequence if record else 0, state=State.FAILED, generation=generation,
            desired_generation=generation, time=wall,
            failure=Failure(stage=State.CREATED, code=code, message=message, retryable=False, generation=generation),
        )  # fmt: skip
        return Outgoing(self._status_topic(deployment), encode(document), retain=True)

    def no_status(self, deployment: str) -> Outgoing:
        """Clears the retained status."""
        return Outgoing(self._status_topic(deployment), b"", retain=True)

    def progress(
        self, deployment: str, generation: int, component: str, done: int, total: int | None
    ) -> tuple[str, bytes]:
        document = Progress(
            deployment=deployment, device=self._device, generation=generation, component=component, bytes=done,
            total=total, percent=round(100 * done / total, 1) if total else None,
        )  # fmt: skip
        return self._topics.topic(channels.PROGRESS, device=self._device, deployment=deployment), encode(document)

    def _allocatable(self, left: Share, promised: Iterable[tuple[str, Share]]) -> Allocatable:
        return Allocatable(
            device=self._device, epoch=self.epoch, cpu=left.cpu, memory=left.memory, storage=left.storage,
            promised=tuple(
                Promise(deployment=name, cpu=share.cpu, memory=share.memory, storage=share.storage)
                for name, share in promised
            ),
        )  # fmt: skip

    def _answer(self, answer: Answer) -> tuple[str, bytes]:
        return self._topics.topic(channels.ANSWER, device=self._device), encode(answer)

    def _status_topic(self, deployment: str) -> str:
        return self._topics.topic(channels.STATUS, device=self._device, deployment=deployment)
