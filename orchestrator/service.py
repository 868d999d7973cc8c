"""The one deciding thread: a batch in, one transaction, one round of acknowledgements.

Order of things, and it is the guarantee: receive, decide, commit, acknowledge, publish. What is killed
in between is received again (nothing was acknowledged) or published again (the outbox is durable).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable

from orchestrator.decision import (
    CommandExpired,
    Context,
    Decision,
    ExpireCommand,
    Note,
    Render,
    RenderDue,
    Rendered,
    RenderFailed,
    RetryRender,
    Timed,
)
from orchestrator.engine import conclude, replace_lost
from orchestrator.inbound import decide_message, decide_timed
from orchestrator.model import DeploymentRecord, Fleet
from orchestrator.offers import Offers
from orchestrator.ports import Clock, RenderPool, Store, Unit
from orchestrator.sender import Sender
from orchestrator.summaries import Summaries
from orchestrator.watch import Watch
from topics import channels
from topics.channels import Topics
from topics.codec import encode
from topics.documents.device import OrchestratorPresence
from topics.program.failpoints import reach
from topics.program.inbox import Inbox
from topics.program.logs import EventLog
from topics.program.timers import Timers
from topics.transport.port import Bus, BusEvent, Connected, Delivered, Disconnected, Received

BATCH = 2_000
"""Most messages of one transaction."""

TICK_SECONDS = 0.5
BUSY_MESSAGES, BUSY_SECONDS = 100.0, 0.05
"""More messages than this in this time are a flood: then a batch waits ``LINGER_SECONDS`` to fill up,
because a transaction costs the same for one message as for a hundred. NATS sends a backlog message by
message as acknowledgements come in (measured: batches of 1 to 10 without this, and a tenth of the speed)."""

LINGER_SECONDS = 0.01

_LOG = EventLog("fleetbus.orchestrator")

Incoming = BusEvent | Timed


class Orchestrator:
    """Ties the core to bus, store and render pool. ``step`` is one turn; ``run`` turns until ``stop``."""

    def __init__(
        self,
        *,
        topics: Topics,
        store: Store,
        renderers: RenderPool,
        clock: Clock,
        bus: Callable[[Orchestrator], Bus],
        offers: Offers,
        max_payload_bytes: int,
        version: str,
    ) -> None:
        """``bus`` makes the connection: it needs ``receive``, ``epoch`` and ``presence`` of this object."""
        self._topics = topics
        self._store = store
        self._renderers = renderers
        self._clock = clock
        self._max_payload_bytes = max_payload_bytes
        self._version = version
        self._device_prefix = f"{topics.root}/devices/"
        self._inbox: Inbox[Incoming] = Inbox()
        self._timers: Timers[Timed] = Timers()
        self._stopping = threading.Event()
        self._fleet: Fleet = store.load()
        self._fleet.offers = offers
        self.epoch = store.next_epoch()
        self._watch = Watch(self._fleet, clock.monotonic())
        self._summaries = Summaries(self._fleet, clock.monotonic)
        self._lost: set[str] = set()  # specs that lost one of N devices in this turn
        self._heard_live: set[str] = set()  # topics with a live message on this connection
        self._load = 0.0  # messages of the recent past, fading
        self._load_at = 0.0
        self._next_tick = 0.0
        self._now = clock.monotonic()  # of this turn: one reading for a batch of messages
        self._bus = bus(self)
        self._sender = Sender(store, self._bus)

    @property
    def fleet(self) -> Fleet:
        """The records as they stand; for reading, on the deciding thread."""
        return self._fleet

    def receive(self, event: BusEvent) -> None:
        """Where the bus reports; messages wait here while the deciding thread is behind."""
        self._inbox.put(event, bounded=isinstance(event, Received))

    def presence(self, epoch: int, *, online: bool) -> tuple[str, bytes]:
        """Topic and payload of the orchestrator's own presence."""
        document = OrchestratorPresence(online=online, epoch=epoch, version=self._version)
        return self._topics.topic(channels.ORCHESTRATOR_PRESENCE), encode(document)

    def start(self) -> None:
        """Connect, and go on with what was not finished."""
        for name in sorted(self._fleet.specs):
            self._timers.set(("render", name), self._clock.monotonic(), RenderDue(name))
        for command in self._fleet.commands.values():
            if not command.outcome:
                self._effect_expiry(ExpireCommand(command.id, command.device, command.expiry_seconds))
        self._bus.start()

    def run(self, sign_of_life: Callable[[], None]) -> None:
        """Turn until ``stop``; then say goodbye."""
        while not self._stopping.is_set():
            self.step(TICK_SECONDS)
            sign_of_life()
        self._renderers.stop()
        self._bus.stop(self.presence(self.epoch, online=False))
        self._store.close()

    def stop(self) -> None:
        """Ask ``run`` to end; from any thread."""
        self._stopping.set()
        self._inbox.close()

    def step(self, timeout: float) -> int:
        """One turn: up to ``BATCH`` events, one transaction. Returns how many messages it took."""
        now = self._clock.monotonic()
        events: list[Incoming] = [*self._timers.due(now)]
        linger = LINGER_SECONDS if self._fading_load(now) > BUSY_MESSAGES else 0.0
        events += self._inbox.take(BATCH, 0.0 if events else self._wait(now, timeout), linger)
        self._now = self._clock.monotonic()
        context = Context(self._topics, self._clock.wall(), self._max_payload_bytes)
        unit = Unit()
        effects: list[object] = []
        received = [event for event in events if isinstance(event, Received)]
        self._load += len(received)
        for event in events:
            self._decide(event, context, unit, effects)
        self._tick(context, unit, effects)
        if self._lost:
            lost, self._lost = self._lost, set()
            self._keep(replace_lost(self._fleet, lost, context), unit, effects)
        self._summaries.add_to(unit, context)
        if unit:
            reach("orchestrator.before-commit")
            if self._store.commit(unit):
                self._sender.news()
            reach("orchestrator.after-commit")
        if received:
            self._bus.acknowledge(*received)
            reach("orchestrator.after-acknowledge")
        for effect in effects:
            self._perform(effect)
        self._pump()
        self._bus.check()
        return len(received)

    # -- parts of a turn -------------------------------------------------------------------------

    def _fading_load(self, now: float) -> float:
        self._load *= math.exp((self._load_at - now) / BUSY_SECONDS)
        self._load_at = now
        return self._load

    def _wait(self, now: float, timeout: float) -> float:
        """How long to wait for something to happen: until a timer or a postponed summary is due."""
        wait, summaries = self._timers.wait(now, timeout), self._summaries.wait(now)
        return wait if summaries is None else max(0.0, min(wait, summaries))

    def _decide(self, event: Incoming, context: Context, unit: Unit, effects: list[object]) -> None:
        match event:
            case Received():
                if self._is_overtaken(event):
                    return
                self._hear(event, context)
                live = not event.retain
                self._take(
                    decide_message(self._fleet, event.topic, event.payload, live, context), context, unit, effects
                )
            case Delivered():
                self._sender.delivered(event.token)
                unit.delivered.append(event.token)
            case Connected():
                self._greet(event, unit)
            case Disconnected():
                self._heard_live.clear()
                _LOG.warning("disconnected", why=event.reason)
            case _:
                self._take(decide_timed(self._fleet, event, context), context, unit, effects)

    def _take(self, decision: Decision, context: Context, unit: Unit, effects: list[object]) -> None:
        """Apply a decision and what follows from it."""
        self._keep(conclude(self._fleet, decision, context), unit, effects)

    def _keep(self, applied: Iterable[Decision], unit: Unit, effects: list[object]) -> None:
        for part in applied:
            unit.add(part)
            if part.replaced:
                self._lost.update(part.replaced)
            effects += part.effects
            self._summaries.note(part)
            changed = [record for record in part.records if isinstance(record, DeploymentRecord)]
            if changed:
                self._watch.look(changed, self._now)
                self._summaries.look(changed)
            for key in part.dropped:
                self._watch.forget(key)

    def _is_overtaken(self, message: Received) -> bool:
        """Whether a stored message comes after a live one on its topic. NATS (2.15) may deliver the older,
        stored one last when a publication and a subscription meet; taken for news it would undo a spec."""
        if message.retain:
            return message.topic in self._heard_live
        self._heard_live.add(message.topic)
        return False

    def _hear(self, message: Received, context: Context) -> None:
        """Any live message is a sign of life; a retained one says nothing about now."""
        if not message.retain and message.topic.startswith(self._device_prefix):
            device = message.topic[len(self._device_prefix) :].partition("/")[0]
            self._watch.heard(device, self._now)
            self._fleet.seen[device] = context.wall

    def _greet(self, event: Connected, unit: Unit) -> None:
        """Everything is published again where the broker knows nothing of us: it lost what it had."""
        self._mark_delivered(unit)
        topic, payload = self.presence(event.epoch, online=True)
        self._bus.publish(topic, payload, qos=1, retain=True, token=0)
        self._sender.repeat(everything=not event.session_present)
        _LOG.info("connected", epoch=event.epoch, session_present=event.session_present)

    def _tick(self, context: Context, unit: Unit, effects: list[object]) -> None:
        now = self._clock.monotonic()
        if now < self._next_tick:
            return
        self._next_tick = now + TICK_SECONDS
        events, again = self._watch.due(now)
        for event in events:
            self._take(decide_timed(self._fleet, event, context), context, unit, effects)
        if again:
            self._mark_delivered(unit)
            topics = [self._topics.topic(channels.MANIFEST, deployment=name, device=device) for name, device in again]
            self._store.send_again(topics=topics)
            self._sender.rewind()
            _LOG.info("manifests published again", count=len(topics))

    def _mark_delivered(self, unit: Unit) -> None:
        """Before messages are marked to be sent again: a delivery that was confirmed earlier in this very batch
        must not undo that mark, or an emptied broker would never get the message."""
        if unit.delivered:
            self._store.commit(Unit(delivered=unit.delivered))
            unit.delivered = []

    def _perform(self, effect: object) -> None:
        match effect:
            case Note(event, fields, warning):
                (_LOG.warning if warning else _LOG.info)(event, **dict(fields))
            case Render():
                spec = self._fleet.specs.get(effect.name)
                if spec is not None and not spec.deleted and spec.generation == effect.generation:
                    self._renderers.start(effect, spec, self._fleet.capabilities_of(effect.devices), self._rendered)
            case RetryRender(name, seconds):
                self._timers.set(("render", name), self._clock.monotonic() + seconds, RenderDue(name))
            case ExpireCommand():
                self._effect_expiry(effect)

    def _effect_expiry(self, effect: ExpireCommand) -> None:
        due = self._clock.monotonic() + effect.seconds
        self._timers.set(("command", effect.id, effect.device), due, CommandExpired(effect.id, effect.device))

    def _rendered(self, event: Rendered | RenderFailed) -> None:
        self._inbox.put(event)

    def _pump(self) -> None:
        hopeless = self._sender.pump()
        if hopeless:
            self._store.commit(Unit(delivered=hopeless))
        reach("orchestrator.after-publish")
