"""A broker that keeps order within a topic and none between topics, and devices that keep to the contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.unit.orchestrator.story import GIB, TOPICS, capabilities
from topics import channels
from topics.allocation import NOTHING, Share, larger_of, share_of
from topics.codec import decode, decode_sealed, encode, seal
from topics.documents.command import Action, Command, CommandOutcome
from topics.documents.device import Allocatable, Presence, Promise
from topics.documents.manifest import Manifest
from topics.documents.status import DeploymentStatus, TransitionEvent
from topics.lifecycle import State, Trigger, is_allowed

_NEXT = {
    State.CREATED: State.PREPARED,
    State.PREPARED: State.DOWNLOADING,
    State.DOWNLOADING: State.CONFIGURATION,
    State.CONFIGURATION: State.DEPLOYED,
    State.DEGRADED: State.DEPLOYED,
    State.REMOVING: State.REMOVED,
}


@dataclass
class Message:
    topic: str
    payload: bytes
    retain: bool = False
    """Whether it was stored before the subscription."""


class Broker:
    """Retained messages, and one queue per subscriber that outlives its connection."""

    def __init__(self) -> None:
        self.retained: dict[str, bytes] = {}
        self.queues: dict[str, list[Message]] = {}
        self._wants: dict[str, Callable[[str], bool]] = {}

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        if retain and payload:
            self.retained[topic] = payload
        elif retain:
            self.retained.pop(topic, None)
        for client, wants in self._wants.items():
            if wants(topic):
                self.queues[client].append(Message(topic, payload))

    def subscribe(self, client: str, wants: Callable[[str], bool]) -> bool:
        """Whether there was a session. The retained messages come again in any case."""
        known = client in self.queues
        queue = self.queues.setdefault(client, [])
        self._wants[client] = wants
        queue += [Message(topic, payload, True) for topic, payload in self.retained.items() if wants(topic)]
        return known

    def take(self, client: str, choice: int) -> Message | None:
        """The next message of one of the topics: order holds within a topic only."""
        queue = self.queues.get(client, [])
        heads: dict[str, Message] = {}
        for message in queue:
            heads.setdefault(message.topic, message)
        if not heads:
            return None
        chosen = list(heads.values())[choice % len(heads)]
        queue.remove(chosen)
        return chosen

    def lose_everything(self) -> None:
        self.retained.clear()
        self.queues.clear()
        self._wants.clear()


@dataclass
class Held:
    """One deployment on a simulated device, with its journal of transitions."""

    desired: Manifest
    desired_digest: str
    current: Manifest
    state: State | None = None
    sequence: int = 0
    deployed: int | None = None
    deployed_share: Share = NOTHING
    cleared: bool = False
    refusal: str = ""
    answers: list[CommandOutcome] = field(default_factory=list)
    events: list[tuple[int, bytes]] = field(default_factory=list)


class Device:
    """Follows the lifecycle and its manifests, as the contract demands of an agent."""

    def __init__(self, name: str, broker: Broker) -> None:
        self.name = name
        self.broker = broker
        self.online = False
        self.epoch = 0
        self.journal = f"{name}-1"
        self.labels = {"line": "press"}
        self.memory = 8 * GIB
        self.promised: dict[str, Share] = {}
        self.held: dict[str, Held] = {}
        self._journals = 1
        self._outbox: list[tuple[str, bytes]] = []

    def birth(self) -> None:
        self.epoch += 1
        self.online = True
        prefixes = tuple(f"{TOPICS.root}/devices/{self.name}/{branch}/" for branch in ("manifests", "commands"))
        self.broker.subscribe(self.name, lambda topic: topic.startswith(prefixes))
        self.heartbeat()
        self.describe()
        self._promises(always=True)
        for topic, payload in self._outbox:
            self.broker.publish(topic, payload, retain=False)
        self._outbox.clear()
        for name in self.held:
            if not self.held[name].cleared:
                self._status(name)

    def heartbeat(self) -> None:
        if self.online:
            self._presence(online=True)

    def die(self) -> None:
        """The connection breaks: the broker publishes the will."""
        if self.online:
            self.online = False
            self._presence(online=False)

    def replace(self) -> None:
        """Another machine under the same id: it knows nothing and counts from the start."""
        self.die()
        self._journals += 1
        self.journal, self.epoch = f"{self.name}-{self._journals}", 0
        self.held.clear()
        self.promised = {}
        self._outbox.clear()

    def describe(self) -> None:
        document = capabilities(self.name, self.labels, memory=self.memory)
        if self.online:
            topic = TOPICS.topic(channels.CAPABILITIES, device=self.name)
            self.broker.publish(topic, seal(encode(document)), retain=True)

    def receive(self, message: Message) -> None:
        address = TOPICS.parse(message.topic)
        if address.channel is channels.COMMAND:
            self._command(address.deployment, decode(Command, message.payload))
        elif message.payload:
            document, digest = decode_sealed(Manifest, message.payload)
            self._manifest(address.deployment, document, digest)
        else:
            self._manifest_cleared(address.deployment)

    def work(self) -> bool:
        """Each deployment makes one step; whether any did."""
        busy = False
        for name, held in self.held.items():
            assert held.state is not None
            if held.state in (State.REMOVED, State.DEPLOYED):
                continue
            busy = True
            self._move(name, _NEXT[held.state])
            if held.state is State.DEPLOYED:
                held.deployed = held.current.generation
                held.deployed_share = share_of(held.current.requirements)
            if held.state is State.REMOVED and held.desired.generation > held.current.generation:
                self._begin(name, held)
            self._status(name)
        return busy

    def falter(self) -> None:
        """What is deployed is not healthy for a while."""
        for name, held in self.held.items():
            if held.state is State.DEPLOYED:
                self._move(name, State.DEGRADED)
                self._status(name)

    # -- as edge_agent.decide_manifest decides ---------------------------------------------------

    def _manifest(self, name: str, document: Manifest, digest: str) -> None:
        held = self.held.get(name)
        if held is None:
            held = self.held[name] = Held(document, digest, document)
            self._begin(name, held)
        elif document.generation < held.desired.generation:
            return  # without a word
        elif document.generation > held.desired.generation:
            held.desired, held.desired_digest, held.refusal = document, digest, ""
            if held.state is not State.REMOVING:
                self._begin(name, held)
        elif digest != held.desired_digest:
            held.refusal = "generation-reused"
        elif held.state is State.REMOVED:
            held.cleared = False
        else:
            return
        self._status(name)

    def _manifest_cleared(self, name: str) -> None:
        held = self.held.get(name)
        if held is None or held.cleared or held.state is State.REMOVED:
            if held is not None:
                held.cleared = True
            self._publish(TOPICS.topic(channels.STATUS, device=self.name, deployment=name), b"", retain=True)

    def _command(self, name: str, command: Command) -> None:
        held = self.held.get(name)
        if held is None:
            return
        assert command.action is Action.REPLAY, "nobody sends anything else here"
        for sequence, payload in held.events:
            if sequence >= (command.from_sequence or 1):
                self._publish(TOPICS.topic(channels.EVENT, device=self.name, deployment=name), payload, retain=False)
        held.answers = [CommandOutcome(id=command.id, action=command.action, outcome="done")]
        self._status(name)

    def _begin(self, name: str, held: Held) -> None:
        held.current, held.cleared = held.desired, False
        self._move(name, State.REMOVING if held.current.action == "remove" else State.CREATED)

    def _move(self, name: str, target: State) -> None:
        held = self.held[name]
        assert is_allowed(held.state, target), f"{held.state} to {target}: the simulation is wrong"
        held.sequence += 1
        payload = encode(
            TransitionEvent(
                deployment=name, device=self.name, epoch=self.epoch, journal=self.journal, sequence=held.sequence,
                generation=held.current.generation, source=held.state, target=target, trigger=Trigger.CREATE,
            )
        )  # fmt: skip
        held.state = target
        if target is State.REMOVED:
            held.deployed_share = NOTHING
        held.events.append((held.sequence, payload))
        self._publish(TOPICS.topic(channels.EVENT, device=self.name, deployment=name), payload, retain=False)

    # -- what it says ----------------------------------------------------------------------------

    def _presence(self, *, online: bool) -> None:
        document = Presence(device=self.name, online=online, epoch=self.epoch, journal=self.journal)
        self.broker.publish(TOPICS.topic(channels.PRESENCE, device=self.name), encode(document), retain=True)

    def _status(self, name: str) -> None:
        held = self.held[name]
        assert held.state is not None
        document = DeploymentStatus(
            deployment=name, device=self.name, epoch=self.epoch, journal=self.journal, sequence=held.sequence,
            state=held.state, generation=held.current.generation, desired_generation=held.desired.generation,
            deployed_generation=held.deployed, commands=tuple(held.answers), held=held.refusal or None,
        )  # fmt: skip
        self._publish(TOPICS.topic(channels.STATUS, device=self.name, deployment=name), encode(document), retain=True)
        self._promises()

    def _promises(self, *, always: bool = False) -> None:
        """What is promised to each deployment, published where it changed."""
        promised = {
            name: larger_of((held.deployed_share, share_of(held.current.requirements)))
            for name, held in self.held.items()
            if held.state is not State.REMOVED
        }
        promised = {name: share for name, share in promised.items() if share}
        if not self.online or (promised == self.promised and not always):
            return
        self.promised = promised
        document = Allocatable(
            device=self.name, epoch=self.epoch, cpu=0, memory=0, storage=0,
            promised=tuple(
                Promise(deployment=name, cpu=share.cpu, memory=share.memory, storage=share.storage)
                for name, share in promised.items()
            ),
        )  # fmt: skip
        self.broker.publish(TOPICS.topic(channels.ALLOCATABLE, device=self.name), encode(document), retain=True)

    def _publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        if self.online:
            self.broker.publish(topic, payload, retain=retain)
        elif not retain:
            self._outbox.append((topic, payload))  # every status is published anyway at the next birth
