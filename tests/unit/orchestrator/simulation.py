"""A whole system in one thread: the real orchestrator and its real store, devices that keep to the contract,
and a broker that keeps order within a topic and none between topics. Time passes only when it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from orchestrator.adapters.sql_store import SqlStore
from orchestrator.decision import Render, Rendered, RenderFailed
from orchestrator.inbound import SUBSCRIBED
from orchestrator.model import SpecRecord
from orchestrator.offers import Offers
from orchestrator.placement import is_wanted, place
from orchestrator.service import Orchestrator
from tests.unit.orchestrator.simulated_devices import Broker, Device, Message
from tests.unit.orchestrator.story import OFFERS, TOPICS, manifest
from topics import channels
from topics.allocation import share_of
from topics.codec import decode, digest_of
from topics.documents.answer import AggregateStatus, SpecResult
from topics.documents.device import Capabilities
from topics.lifecycle import State
from topics.transport.port import Connected, Delivered, Disconnected, Received

_ONE_STEP = 0.1
"""Seconds that pass with each turn of the orchestrator."""


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

    def start(
        self, task: Render, spec: SpecRecord, devices: Mapping[str, Capabilities],
        then: Callable[[Rendered | RenderFailed], None],
    ) -> None:  # fmt: skip
        self.waiting.append((task, spec, then))

    def stop(self) -> None:
        self.waiting.clear()

    def finish(self, choice: int) -> None:
        if self.waiting:
            task, spec, then = self.waiting.pop(choice % len(self.waiting))
            assert spec.spec is not None, "a deleted spec is not rendered"
            needs = spec.spec.spec.requirements
            made = {
                device: manifest(
                    task.name, device, task.generation, content=spec.content_digest, requirements=needs
                )
                for device in task.devices
            }  # fmt: skip
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

    def __init__(self, devices: tuple[str, ...], *, offers: Offers = OFFERS) -> None:
        self.broker = Broker()
        self._offers = offers
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
            offers=self._offers, max_payload_bytes=1024 * 1024, version="simulated",
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
        self._check_reservations()

    def _check_reservations(self) -> None:
        """Never is more reserved on a device than it has."""
        fleet = self.orchestrator.fleet
        for device in fleet.devices:
            reserved = [item.reserved.memory for item in fleet.of_device(device)]
            capacity = fleet.ledger.capacity(device).memory
            assert sum(reserved) <= capacity, f"{device} has {capacity} and {reserved} are reserved"

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
        for _ in range(4):
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
        lost = list(self.broker.queues.get("orchestrator", []))
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
            if (aggregate.phase, aggregate.generation) != (self._wanted_phase(record), record.generation):
                yield f"{name} is shown as {aggregate.phase} {aggregate.generation}: {aggregate.message}"
            yield from self._misplaced(record)
        for deployment in fleet.deployments():
            where = f"{deployment.name} on {deployment.device}"
            record = fleet.specs[deployment.name]
            held = self.devices[deployment.device].held.get(deployment.name)
            if deployment.removing:
                yield f"{where} is still being removed"
            if held is None or held.state is not State.DEPLOYED:
                yield f"{where} is {held and held.state}"
                continue
            wanted = deployment.assigned
            if wanted < record.generation and deployment.device not in fleet.refusals.of_spec(deployment.name):
                yield f"{where} was not given generation {record.generation} and could take it"
            numbers = (wanted, deployment.desired_generation, deployment.generation, held.current.generation)
            retained = self._retained(channels.MANIFEST, device=deployment.device, deployment=deployment.name)
            if digest_of(retained) != deployment.desired_digest:
                yield f"{where}: the retained manifest is another one, or there is none"
            if len(set(numbers)) != 1:
                yield f"{where}: wanted, published, reported and running generation are {numbers}"
            if deployment.reserved != share_of(held.current.requirements):
                yield f"{where}: {deployment.reserved} is reserved for {held.current.requirements.memory}"
            if not deployment.sequence == deployment.event_sequence == held.sequence:
                yield f"{where}: {deployment.sequence}, {deployment.event_sequence} of {held.sequence} transitions"
            if deployment.anomaly:
                yield f"{where}: {deployment.anomaly}"
            kept = self.store.transitions(deployment.name, deployment.device)
            if not set(range(1, held.sequence + 1)) <= set(kept):
                yield f"{where}: the store has the transitions {kept} of {held.sequence}"
        for device in self.devices.values():
            reserved = {item.name: item.reserved for item in fleet.of_device(device.name) if item.reserved}
            if reserved != device.promised:
                yield f"{device.name}: {reserved} is reserved, {device.promised} promised"
        for device in self.devices.values():
            for name, item in device.held.items():
                if item.state is not State.REMOVED and fleet.deployment(name, device.name) is None:
                    yield f"{device.name} runs {name} and nobody knows"

    def _wanted_phase(self, record: SpecRecord) -> str:
        fleet = self.orchestrator.fleet
        holders = fleet.of_spec(record.name).values()
        if any(item.assigned == record.generation for item in holders):
            return "Deployed"
        return "NotPlaceable" if holders or fleet.refusals.of_spec(record.name) else "Pending"

    def _misplaced(self, record: SpecRecord) -> Iterator[str]:
        """Placed again as a whole, nothing may move: whoever waits for room has none, and nobody is missing."""
        fleet = self.orchestrator.fleet
        again = place(fleet, record, changed=False)
        holding = {device for device, item in fleet.of_spec(record.name).items() if item.assigned == record.generation}
        result = decode(SpecResult, self._retained(channels.RESULT, deployment=record.name))
        if {item.device for item in result.placed} != holding:
            yield f"{record.name} is on {sorted(holding)}, its answer says {result.placed}"
        if not again.chosen.keys() <= holding:
            yield f"{record.name} is on {sorted(holding)} and could be on {sorted(again.chosen)}"
        if is_wanted(fleet, record) and again.refused.keys() != fleet.refusals.of_spec(record.name).keys():
            yield f"{record.name} is refused by {sorted(again.refused)}"

    def _retained(self, channel: channels.Channel, **ids: str) -> bytes:
        return self.broker.retained.get(TOPICS.topic(channel, **ids), b"{}")
