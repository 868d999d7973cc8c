"""The agent's one deciding thread: what has come in → decide → one transaction → acknowledge → act.

It can be stepped without a thread of its own (simulations, tests). No broker is needed for it to
work: everything that is to be said waits in the journal's outbox.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import TypeAlias

from edge_agent.appliers.port import Applier
from edge_agent.deliberation import Deliberation
from edge_agent.epochs import SESSIONS_PER_BOOT, Epochs
from edge_agent.happenings import (
    CancelWork,
    CheckHealth,
    Effect,
    ForgetManifest,
    Resumed,
    StartTimer,
    StartWork,
    TimerDue,
    TimerKind,
)
from edge_agent.incoming import read
from edge_agent.measuring import Measuring
from edge_agent.model import Deployment, Step
from edge_agent.outbox import OutboxPump
from edge_agent.performer import Happened, News, Noticed, NotProbed, Performer, Probed, Progressed
from edge_agent.ports import Clock, Executor, Journal, Probe
from edge_agent.reports import Reports
from edge_agent.settings import AgentSettings
from topics import __version__, channels
from topics.channels import Topics
from topics.errors import ContractError
from topics.program import failpoints
from topics.program.inbox import Inbox
from topics.program.logs import EventLog
from topics.program.timers import Timers
from topics.transport.port import Bus, BusEvent, Connected, Delivered, Disconnected, Received

BATCH = 500
CHECK_SECONDS = 1.0
COMPLAIN_SECONDS = 1.0
FLUSH_SECONDS = 0.25
"""How long a delivered message may stay in the outbox: a kill in between sends it once more."""
FLUSH_MANY = 100
STOP_SECONDS = 3.0
NOTICE_SECONDS = 0.5
"""How long after a notice of the runtime its health is asked for: one change is seldom alone."""

Item: TypeAlias = BusEvent | News


class AgentService:
    """One device's agent. ``start``, then ``step`` again and again (or ``run``), then ``close``.

    The bus puts its events into ``inbox``; the will it needs comes from ``Reports.presence``.
    """

    def __init__(
        self,
        settings: AgentSettings,
        *,
        topics: Topics,
        bus: Bus,
        inbox: Inbox[Item],
        journal: Journal,
        applier: Applier,
        probe: Probe,
        executor: Executor,
        reports: Reports,
        clock: Clock,
        jitter: Callable[[], float] = random.random,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._bus = bus
        self._inbox = inbox
        self._journal = journal
        self._reports = reports
        self._clock = clock
        self._alive = alive
        self._log = EventLog("edge_agent", device=settings.device)
        self._timers: Timers[tuple[str, TimerKind]] = Timers()
        self._pump = OutboxPump(journal, bus, self._log)
        self._performer = Performer(applier, probe, executor, report=inbox.put, clock=clock, log=self._log)
        self._minds = Deliberation(
            journal=journal, reports=reports, clock=clock, policy=settings.policy, jitter=jitter, log=self._log
        )
        self._measuring = Measuring(
            probe_seconds=settings.probe_seconds, performer=self._performer, minds=self._minds, reports=reports,
            bus=bus, clock=clock, log=self._log,
        )  # fmt: skip
        self._question_topic = topics.topic(channels.QUERY, device=settings.device)
        self._stopping = False
        self._offline_because = ""
        self._next_check = self._next_heartbeat = 0.0
        self._next_complaint, self._not_complained = 0.0, 0
        self._flush_at: float | None = None
        reports.epoch = journal.boot * SESSIONS_PER_BOOT

    @property
    def records(self) -> dict[str, Deployment]:
        """The records; not to be changed."""
        return self._minds.records

    # -- the life of a service -------------------------------------------------------------------

    def start(self) -> None:
        """Take up what was under way, and begin to look for the broker."""
        self._log.info("started", version=__version__, boot=self._journal.boot, deployments=len(self.records))
        for name in list(self.records):
            self._minds.consider(name, Resumed())
        self._measuring.tick(self._clock.monotonic())
        self._perform(self._commit([]))
        self._performer.watch()
        self._bus.start()

    def run(self) -> None:
        """Step until ``stop``, then ``close``."""
        try:
            while not self._stopping:
                self.step(CHECK_SECONDS)
        finally:
            self.close()

    def stop(self) -> None:
        """Let ``run`` end after the step it is in. Called from any thread."""
        self._stopping = True
        self._inbox.close()

    def close(self) -> None:
        """Say goodbye and let go of everything, within ``STOP_SECONDS`` even if something is stuck."""
        self._inbox.close()
        self._performer.stop()
        farewell = self._reports.presence(False, self._reports.epoch, self._clock.wall())
        # Closing waits for the network thread, which may wait for an unreachable host.
        goodbye = threading.Thread(target=self._bus.stop, args=(farewell,), name="goodbye", daemon=True)
        goodbye.start()
        goodbye.join(STOP_SECONDS)
        self._journal.close()
        self._log.info("stopped")

    def next_due(self) -> float:
        """When ``step`` has something to do even if nothing comes in (monotonic seconds)."""
        at = (self._next_check, self._timers.next(), self._flush_at, self._measuring.next_due())
        return min(time for time in at if time is not None)

    def step(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for something to happen, and deal with all of it."""
        wait = max(0.0, min(timeout, self.next_due() - self._clock.monotonic()))
        received: list[Received] = []
        for item in self._inbox.take(BATCH, wait):
            self._take(item, received)
        now = self._clock.monotonic()
        for name, kind in self._timers.due(now):
            self._minds.consider(name, TimerDue(kind))
        self._measuring.tick(now)
        effects = self._commit(received)
        self._perform(effects)
        if self._pump.pump():
            failpoints.reach("agent.after-publish")
        self._measuring.send_answers()
        self._chores(now)

    # -- what comes in ---------------------------------------------------------------------------

    def _take(self, item: Item, received: list[Received]) -> None:
        match item:
            case Received():
                received.append(item)
                self._read(item)
            case Delivered():
                self._pump.confirm(item.token)
            case Happened():
                self._minds.consider(item.deployment, item.event)
            case Noticed():
                self._notice((item.deployment, TimerKind.NOTICE))
            case Progressed():
                self._publish_progress(item)
            case Probed():
                self._measuring.probed(item)
            case NotProbed():
                self._measuring.not_probed(item)
            case Connected():
                self._greet(item)
            case Disconnected():
                if item.reason != self._offline_because:
                    self._offline_because = item.reason
                    self._log.warning("broker not connected", reason=item.reason)

    def _notice(self, timer: tuple[str, TimerKind]) -> None:
        if timer not in self._timers:  # notices that follow must not put it off for ever
            self._timers.set(timer, self._clock.monotonic() + NOTICE_SECONDS, timer)

    def _read(self, message: Received) -> None:
        try:
            if message.topic == self._question_topic:
                self._measuring.hear(message.payload, stored=message.retain)
                return
            name, event = read(self._topics, self._settings.device, message.topic, message.payload)
        except ContractError as error:
            self._complain(message.topic, str(error))
            return
        self._minds.consider(name, event)

    def _complain(self, topic: str, reason: str) -> None:
        """At most once a second: nobody who publishes rubbish may fill the device's log."""
        now = self._clock.monotonic()
        if now < self._next_complaint:
            self._not_complained += 1
            return
        self._log.warning("message dropped", topic=topic, reason=reason, more_before=self._not_complained)
        self._next_complaint, self._not_complained = now + COMPLAIN_SECONDS, 0

    def _greet(self, session: Connected) -> None:
        """A new session: the broker may have lost everything, so everything is said again."""
        self._offline_because = ""
        self._log.info("connected", epoch=session.epoch, session_present=session.session_present)
        self._journal.reach_boot(Epochs.boot_of(session.epoch))
        self._reports.epoch = session.epoch
        self._publish_presence()
        self._measuring.greet()
        self._minds.publish_every_status()

    # -- what follows ----------------------------------------------------------------------------

    def _commit(self, received: list[Received]) -> list[tuple[str, Effect]]:
        """One transaction, and only then the acknowledgements."""
        flush = self._pump.delivered and (
            self._minds.is_pending
            or self._pump.delivered >= FLUSH_MANY
            or (self._flush_at is not None and self._clock.monotonic() >= self._flush_at)
        )
        written, effects = self._minds.commit(self._pump.take_delivered() if flush else [])
        if flush:
            self._flush_at = None
        elif self._pump.delivered and self._flush_at is None:
            self._flush_at = self._clock.monotonic() + FLUSH_SECONDS
        if written:
            self._pump.wake()
        for message in received:
            self._bus.acknowledge(message)
        if received:
            failpoints.reach("agent.after-acknowledge")
        return effects

    def _perform(self, effects: list[tuple[str, Effect]]) -> None:
        now = self._clock.monotonic()
        for name, effect in effects:
            match effect:
                case StartTimer():
                    self._timers.set((name, effect.kind), now + effect.seconds, (name, effect.kind))
                case CancelWork():
                    self._performer.cancel(name)
                case ForgetManifest():
                    self._performer.discard(name, effect.generation)
                case StartWork():
                    self._start_work(name, effect)
                case CheckHealth() if effect.generation in self.records[name].kept_generations:
                    payload = self._journal.manifest(name, effect.generation)
                    self._performer.check_health(name, effect, payload)

    def _start_work(self, name: str, effect: StartWork) -> None:
        record = self.records[name]
        if record.work != effect.work:
            return  # superseded within the same batch
        payload = b"" if effect.work.step is Step.REMOVE else self._journal.manifest(name, effect.generation)
        self._performer.start(name, effect, payload, at_work=record.begun)

    def _publish_presence(self) -> None:
        """Past the outbox: an old presence is worth nothing."""
        topic, payload = self._reports.presence(True, self._reports.epoch, self._clock.wall())
        self._bus.publish(topic, payload, qos=1, retain=True, token=0)
        self._next_heartbeat = self._clock.monotonic() + self._settings.heartbeat_seconds

    def _publish_progress(self, news: Progressed) -> None:
        if self._bus.connected:
            topic, payload = self._reports.progress(
                news.deployment, news.generation, news.component, news.done, news.total
            )
            self._bus.publish(topic, payload, qos=0, retain=False, token=0)

    def _chores(self, now: float) -> None:
        if now < self._next_check:
            return
        self._next_check = now + CHECK_SECONDS
        self._bus.check()
        self._alive()
        if self._bus.connected and now >= self._next_heartbeat:
            self._publish_presence()
