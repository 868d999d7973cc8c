"""A whole system in one thread: the real orchestrator and its real store, devices that keep to the contract,
and a broker that keeps order within a topic and none between topics. Time passes only when it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from orchestrator.adapters.sql_store import SqlStore
from orchestrator.decision import Render, Rendered, RenderFailed
from orchestrator.inbound import SUBSCRIBED
from orchestrator.model import SpecRecord
from orchestrator.service import Orchestrator
from tests.unit.orchestrator.story import TOPICS, capabilities, manifest
from topics import channels
from topics.codec import decode, decode_sealed, digest_of, encode, seal
from topics.documents.answer import AggregateStatus, SpecResult
from topics.documents.command import Action, Command, CommandOutcome
from topics.documents.device import Presence
from topics.documents.manifest import Manifest
from topics.documents.status import DeploymentStatus, TransitionEvent
from topics.lifecycle import State, Trigger, is_allowed
from topics.transport.port import Connected, Delivered, Disconnected, Received

_ONE_STEP = 0.1
"""Seconds that pass with each turn of the orchestrator."""

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
        self._outbox.clear()

    def describe(self) -> None:
        document = capabilities(self.name, self.labels)
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

    def _publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        if self.online:
            self.broker.publish(topic, payload, retain=retain)
        elif not retain:
            self._outbox.append((topic, payload))  # every status is published anyway at the next birth


class _Bus:
    """The orchestrator's connection: what it publishes reaches the broker at once, if there is one."""

    def __init__(self, world: World, orchestrator: Orchestrator) -> None:
        self._world = world
        self._orchestrator = orchestrator
        self.up = False

    @property
    def connected(self) -> bool:
        return self.up

    def start(self) -> None:
        self._world.connect(self, self._orchestrator)

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, token: int) -> None:
        assert self.up, "a bus that is not connected is not published to"
        self._world.broker.publish(topic, payload, retain=retain)
        self._orchestrator.receive(Delivered(token))

    def acknowledge(self, *messages: Received) -> None:
        for message in messages:
            self._world.unacknowledged.pop(message.packet_id, None)

    def check(self) -> None:
        """Nothing is ever owed."""

    def stop(self, farewell: tuple[str, bytes] | None = None) -> None:
        self.up = False


class _Pool:
    """Renders when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Render, SpecRecord, Callable[[Rendered | RenderFailed], None]]] = []

    def start(self, task: Render, spec: SpecRecord, then: Callable[[Rendered | RenderFailed], None]) -> None:
        self.waiting.append((task, spec, then))

    def stop(self) -> None:
        self.waiting.clear()

    def finish(self, choice: int) -> None:
        if self.waiting:
            task, spec, then = self.waiting.pop(choice % len(self.waiting))
            made = {
                device: manifest(task.name, device, task.generation, content=spec.content_digest)
                for device in task.devices
            }
            then(Rendered(task.name, task.generation, made))


class _Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> str:
        return "1970-01-01T00:00:00.000Z"


class World:
    """All of it. The orchestrator is killed by forgetting it; its store stays."""

    def __init__(self, devices: tuple[str, ...]) -> None:
        self.broker = Broker()
        self.store = SqlStore("sqlite://")
        self.clock = _Clock()
        self.pool = _Pool()
        self.unacknowledged: dict[int, Message] = {}
        self.devices = {name: Device(name, self.broker) for name in devices}
        self.wanted: dict[str, bytes] = {}
        """What the publishers want: the newest spec of each name, empty once deleted."""
        self.generations: dict[str, int] = {}
        self.past: list[Message] = []
        self._packet_id = 0
        self.start()

    # -- the orchestrator ------------------------------------------------------------------------

    def start(self) -> None:
        self.pool = _Pool()
        self.orchestrator = Orchestrator(
            topics=TOPICS, store=self.store, renderers=self.pool, clock=self.clock, bus=self._make_bus,
            component_kinds=frozenset({"kubernetes"}), max_payload_bytes=1024 * 1024, version="simulated",
        )  # fmt: skip
        self.orchestrator.start()
        self.turn()

    def kill(self) -> None:
        """What was not acknowledged comes again; renders under way are lost."""
        queue = self.broker.queues.setdefault("orchestrator", [])
        queue[:0] = self.unacknowledged.values()
        self.unacknowledged.clear()
        self.start()

    def forget_store(self) -> None:
        """The orchestrator is set up anew: another store, and another session."""
        self.store.close()
        self.store = SqlStore("sqlite://")
        self.generations.clear()
        self.unacknowledged.clear()
        self.broker.queues.pop("orchestrator", None)
        self.start()

    def connect(self, bus: _Bus, orchestrator: Orchestrator) -> None:
        filters = {channel.name for channel in SUBSCRIBED}
        session = self.broker.subscribe("orchestrator", lambda topic: TOPICS.parse(topic).channel.name in filters)
        bus.up = True
        orchestrator.receive(Connected(orchestrator.epoch, session))

    def turn(self) -> None:
        """One turn of the orchestrator; no generation may ever fall."""
        self.clock.now += _ONE_STEP
        self.orchestrator.step(0.0)
        for name, record in self.orchestrator.fleet.specs.items():
            assert record.generation >= self.generations.get(name, 0), f"the generation of {name} fell"
            self.generations[name] = record.generation

    def deliver(self, choice: int, *, twice: bool = False) -> bool:
        """One message of some topic reaches the orchestrator, once or twice."""
        message = self.broker.take("orchestrator", choice)
        if message is None:
            return False
        self.past = [*self.past[-20:], message]
        for _ in range(2 if twice else 1):
            self.hand_over(message)
        self.turn()
        return True

    def hand_over(self, message: Message) -> None:
        self._packet_id += 1
        self.unacknowledged[self._packet_id] = message
        self.orchestrator.receive(Received(message.topic, message.payload, 1, message.retain, self._packet_id, 1))

    def late_duplicate(self, choice: int) -> None:
        """A device's report comes once more, long after newer ones: an acknowledgement was lost. (What has no
        number of its own, specs and capabilities, is kept in order by every broker.)"""
        numbered = ("presence", "status", "event")
        reports = [message for message in self.past if TOPICS.parse(message.topic).channel.name in numbered]
        if reports:
            self.hand_over(reports[choice % len(reports)])
            self.turn()

    def cut_off_and_killed(self) -> None:
        """Killed between commit and publish: the connection was gone for the last turn."""
        self._bus.up = False
        for _ in range(3):
            message = self.broker.take("orchestrator", 0)
            if message is not None:
                self.hand_over(message)
        self.turn()
        self.kill()

    # -- everybody else --------------------------------------------------------------------------

    def publish_spec(self, name: str, payload: bytes) -> None:
        self.wanted[name] = payload
        self.broker.publish(TOPICS.topic(channels.SPEC, deployment=name), payload, retain=True)

    def command(self, name: str, payload: bytes) -> None:
        self.broker.publish(TOPICS.topic(channels.OPERATOR_COMMAND, deployment=name), payload, retain=False)

    def device_receives(self, name: str, choice: int) -> bool:
        device = self.devices[name]
        message = self.broker.take(name, choice) if device.online else None
        if message is not None:
            device.receive(message)
        return message is not None

    def lose_broker(self) -> None:
        """The broker comes back empty; everybody connects again and says everything again. Publishers do not:
        a spec that nobody has received is lost with it."""
        lost = [message for message in self.broker.queues.get("orchestrator", [])]
        self.broker.lose_everything()
        self.orchestrator.receive(Disconnected("the broker is gone"))
        self._republish_specs(lost)
        self.connect(self._bus, self.orchestrator)
        for device in self.devices.values():
            if device.online:
                device.birth()
        self.turn()

    def settle(self) -> None:
        """Until nothing happens any more: all are online, everything is delivered, timers run."""
        for device in self.devices.values():
            if not device.online:
                device.birth()
        for _ in range(12):
            for _ in range(2000):
                if not self._anything():
                    break
            else:
                raise AssertionError("the system does not come to rest")
            self.clock.now += 31.0
            for device in self.devices.values():
                device.heartbeat()
            self.turn()

    def _anything(self) -> bool:
        done = self.deliver(0)
        while self.pool.waiting:
            self.pool.finish(0)
            self.turn()
            done = True
        for name, device in self.devices.items():
            done = self.device_receives(name, 0) or done
            done = device.work() or done
        self.turn()
        return done

    def _republish_specs(self, lost: list[Message]) -> None:
        undelivered = {message.topic for message in lost if TOPICS.parse(message.topic).channel is channels.SPEC}
        for topic in undelivered:
            # Its publisher sees no answer and publishes again.
            self.broker.publish(topic, self.wanted[TOPICS.parse(topic).deployment], retain=True)
            if not self.wanted[TOPICS.parse(topic).deployment]:
                self.broker.queues.setdefault("orchestrator", []).append(Message(topic, b""))

    def _make_bus(self, orchestrator: Orchestrator) -> _Bus:
        self._bus = _Bus(self, orchestrator)
        return self._bus

    # -- what must hold at the end ---------------------------------------------------------------

    def faults(self) -> Iterator[str]:
        """Everything that is not as it must be once the system is at rest."""
        fleet = self.orchestrator.fleet
        for name, payload in self.wanted.items():
            record = fleet.specs.get(name)
            if not payload:
                left = [topic for topic in self.broker.retained if name in topic.split("/")]
                if left:
                    yield f"{name} is deleted and {left} are still retained"
                if fleet.of_spec(name):
                    yield f"{name} is deleted and held by {sorted(fleet.of_spec(name))}"
                continue
            if record is None or record.spec is None:
                yield f"{name} is wanted and unknown"
                continue
            result = decode(SpecResult, self._retained(channels.RESULT, deployment=name))
            if (result.outcome, result.generation) != ("accepted", record.generation):
                yield f"{name} is answered with {result.outcome} {result.generation}"
            aggregate = decode(AggregateStatus, self._retained(channels.AGGREGATE, deployment=name))
            wanted_phase = "Deployed" if fleet.of_spec(name) else "Pending"
            if (aggregate.phase, aggregate.generation) != (wanted_phase, record.generation):
                yield f"{name} is shown as {aggregate.phase} {aggregate.generation}: {aggregate.message}"
        for deployment in fleet.deployments():
            where = f"{deployment.name} on {deployment.device}"
            record = fleet.specs[deployment.name]
            held = self.devices[deployment.device].held.get(deployment.name)
            if deployment.removing:
                yield f"{where} is still being removed"
            if held is None or held.state is not State.DEPLOYED:
                yield f"{where} is {held and held.state}"
                continue
            numbers = (record.generation, deployment.desired_generation, deployment.generation, held.current.generation)
            retained = self._retained(channels.MANIFEST, device=deployment.device, deployment=deployment.name)
            if digest_of(retained) != deployment.desired_digest:
                yield f"{where}: the retained manifest is another one, or there is none"
            if len(set(numbers)) != 1:
                yield f"{where}: wanted, published, reported and running generation are {numbers}"
            if not deployment.sequence == deployment.event_sequence == held.sequence:
                yield f"{where}: {deployment.sequence}, {deployment.event_sequence} of {held.sequence} transitions"
            if deployment.anomaly:
                yield f"{where}: {deployment.anomaly}"
            kept = self.store.transitions(deployment.name, deployment.device)
            if not set(range(1, held.sequence + 1)) <= set(kept):
                yield f"{where}: the store has the transitions {kept} of {held.sequence}"
        for device in self.devices.values():
            for name, item in device.held.items():
                if item.state is not State.REMOVED and fleet.deployment(name, device.name) is None:
                    yield f"{device.name} runs {name} and nobody knows"

    def _retained(self, channel: channels.Channel, **ids: str) -> bytes:
        return self.broker.retained.get(TOPICS.topic(channel, **ids), b"{}")
