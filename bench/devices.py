"""Many simulated devices in one process, each with its own MQTT connection: ``python -m bench.devices``.

A device is the agent's real core and service with a journal in memory, work done at once, and a no-op
runtime in memory. paho's threads are too heavy for a thousand connections, so all are turned by one
selector through paho's interface for external loops. With ``--bare`` there is no agent behind the
connections: that is the baseline.

Prints ``ready`` once every device is connected, and with ``--bare`` the monotonic time at which each of
them had one message. Ends when standard input does.
"""

from __future__ import annotations

import argparse
import os
import resource
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.adapters.executors import InlineExecutor
from edge_agent.adapters.journal import memory_journal
from edge_agent.bootstrap import subscriptions
from edge_agent.reports import Reports
from edge_agent.service import AgentService, Epochs, Item
from edge_agent.settings import AgentSettings
from tests.support.agents import FakeApplier, FakeProbe
from topics import __version__
from topics.channels import Topics
from topics.identifiers import client_id
from topics.program.clock import SystemClock
from topics.program.inbox import Inbox
from topics.transport.port import BusEvent, Connected, Delivered, Disconnected, Received

TOPICS = Topics()
LOOK_SECONDS = 1.0
Handler = Callable[[BusEvent], None]


def device_name(number: int) -> str:
    return f"sim-{number:04}"


def bare_topic(number: int) -> str:
    return f"bench/bare/{device_name(number)}"


class SelectorBus:
    """``topics.transport.port.Bus`` on a paho client without threads; ``on_event`` is called from ``turn``."""

    def __init__(
        self,
        port: int,
        name: str,
        filters: list[tuple[str, int]],
        on_event: Handler,
        will: tuple[str, bytes] | None = None,
    ) -> None:
        self._on_event = on_event
        self._filters = filters
        self._tokens: dict[int, int] = {}
        self.connected = False
        self._refused = False
        self._port = port
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=name, clean_session=False, protocol=mqtt.MQTTv311,
            manual_ack=True, reconnect_on_failure=False,
        )  # fmt: skip
        if will is not None:
            self.client.will_set(*will, qos=1, retain=True)
        self.client.max_inflight_messages_set(0)
        self.client.on_socket_open = _without_delay
        self.client.on_socket_register_write = lambda *_: None  # packets wait for ``turn`` and its loop_write
        self.client.on_connect = lambda client, *_: client.subscribe(self._filters)
        self.client.on_subscribe = self._subscribed
        self.client.on_disconnect = self._gone
        self.client.on_message = self._received
        self.client.on_publish = self._published

    def start(self) -> None:
        self.client.connect("127.0.0.1", self._port, keepalive=300)

    def turn(self) -> None:
        self.client.loop_read()
        self.flush()

    def flush(self) -> None:
        if self.client.want_write():
            self.client.loop_write()

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, token: int) -> None:
        info = self.client.publish(topic, payload, qos=qos, retain=retain)
        if qos:
            self._tokens[info.mid] = token

    def acknowledge(self, *messages: Received) -> None:
        for message in messages:
            self.client.ack(message.packet_id, message.qos)

    def check(self) -> None:
        self.client.loop_misc()
        if self._refused:  # as ``topics.transport.mqtt`` does: a loaded NATS server answers 0x80 now and then
            self._refused = False
            self.client.subscribe(self._filters)

    def stop(self, farewell: tuple[str, bytes] | None = None) -> None:
        self.client.disconnect()

    def _subscribed(self, _client: Any, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._refused = True
            return
        self.connected = True
        self._on_event(Connected(1, session_present=False))

    def _gone(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.connected = False
        self._on_event(Disconnected(str(reason)))

    def _received(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._on_event(Received(message.topic, bytes(message.payload), message.qos, message.retain, message.mid, 1))

    def _published(self, _client: Any, _data: Any, packet_id: int, *_: Any) -> None:
        token = self._tokens.pop(packet_id, None)
        if token is not None:
            self._on_event(Delivered(token))


class Device:
    """One agent on one connection. ``dirty`` is told when it has something to do."""

    def __init__(self, port: int, number: int, dirty: Callable[[Device], None]) -> None:
        name = device_name(number)
        journal = memory_journal()
        reports = Reports(TOPICS, name, journal.id, __version__, AgentSettings(name).heartbeat_seconds)
        epoch = Epochs(journal.boot).next()
        self._inbox = _Inbox(lambda: dirty(self))

        def happened(event: BusEvent) -> None:
            self._inbox.put(Connected(epoch, session_present=False) if isinstance(event, Connected) else event)

        self.bus = SelectorBus(
            port, client_id("agent", name), subscriptions(TOPICS, name), happened, reports.presence(False, epoch)
        )
        self.service = AgentService(
            AgentSettings(name), topics=TOPICS, bus=self.bus, inbox=self._inbox, journal=journal,
            applier=FakeApplier(), probe=FakeProbe(name), executor=InlineExecutor(), reports=reports,
            clock=SystemClock(),
        )  # fmt: skip

    def start(self) -> None:
        self.service.start()

    def step(self) -> None:
        self.service.step(0.0)


class Bare:
    """A connection that acknowledges what it gets, and nothing behind it."""

    def __init__(self, port: int, number: int, dirty: Callable[[Any], None]) -> None:
        self.seen = 0
        self.bus = SelectorBus(port, f"bare-{device_name(number)}", [(bare_topic(number), 1)], self._happened)

    def start(self) -> None:
        self.bus.start()

    def step(self) -> None:
        self.bus.check()

    def _happened(self, event: BusEvent) -> None:
        if isinstance(event, Received):
            self.bus.acknowledge(event)
            self.seen += 1


class _Inbox(Inbox[Item]):
    def __init__(self, filled: Callable[[], None]) -> None:
        super().__init__()
        self._filled = filled

    def put(self, item: Item, *, bounded: bool = False) -> None:
        super().put(item, bounded=bounded)
        self._filled()


def run(port: int, count: int, *, bare: bool) -> None:
    """Connect all of them and turn until standard input ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else max(soft, 65_536), hard))
    selector = selectors.DefaultSelector()
    work: deque[Any] = deque()
    kind: Any = Bare if bare else Device
    fleet: list[Any] = [kind(port, number, work.append) for number in range(count)]
    for device in fleet:
        device.start()
        selector.register(device.bus.client.socket(), selectors.EVENT_READ, device)
        device.bus.flush()
    os.set_blocking(sys.stdin.fileno(), False)
    selector.register(sys.stdin, selectors.EVENT_READ)
    is_ready = is_done = False
    look_at = time.monotonic() + LOOK_SECONDS
    while True:
        for key, _ in selector.select(0.0 if work else max(0.0, look_at - time.monotonic())):
            if key.data is None:
                return
            key.data.bus.turn()
            if not is_ready or bare:
                is_ready = is_ready or _said("ready", all(device.bus.connected for device in fleet))
                is_done = is_done or (bare and _said(f"{time.monotonic()}", all(device.seen for device in fleet)))
        for _ in range(len(work)):
            device = work.popleft()
            device.step()
            device.bus.flush()
        if time.monotonic() >= look_at:
            look_at = time.monotonic() + LOOK_SECONDS
            work.extend(fleet)  # timers and heartbeats


def _said(text: str, holds: bool) -> bool:
    if holds:
        print(text, flush=True)
    return holds


def _without_delay(_client: Any, _data: Any, connection: Any) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--devices", type=int, default=1_000)
    arguments.add_argument("--bare", action="store_true")
    options = arguments.parse_args()
    run(options.port, options.devices, bare=options.bare)


if __name__ == "__main__":
    main()
