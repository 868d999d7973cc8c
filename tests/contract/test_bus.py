"""The port ``Bus``, as the MQTT adapter keeps it against both real brokers, and against broken ones."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.contract import fake_broker
from tests.contract.fake_broker import CONNACK, CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, FakeBroker, granted
from tests.support.brokers import KINDS, Broker, NatsBroker
from tests.support.mqtt_client import PlainClient
from topics.errors import ContractError
from topics.program.inbox import Inbox
from topics.transport.mqtt import MqttBus
from topics.transport.port import BusEvent, Connected, Delivered, Disconnected, Received
from topics.transport.settings import broker_settings

WAIT_SECONDS = 20.0
QUICK = (0.02, 0.1)
ROOT = Path(__file__).parents[2]

E = TypeVar("E", Connected, Disconnected, Received, Delivered)


class Program:
    """A bus with its events kept in order, and a thread that calls ``check`` as programs do."""

    def __init__(self, url: str, name: str = "program", **options: Any) -> None:
        self._changed = threading.Condition()
        self.events: list[BusEvent] = []
        self._counts: Counter[type[BusEvent]] = Counter()
        self.checks = 0
        self._hear = options.pop("on_event", None)
        options.setdefault("reconnect_seconds", QUICK)
        self.bus = MqttBus(broker_settings(url), name, on_event=self._on_event, **options)
        self._ended = threading.Event()
        self._checking = threading.Thread(target=self._check)

    def _on_event(self, event: BusEvent) -> None:
        with self._changed:
            self.events.append(event)
            self._counts[type(event)] += 1
            self._changed.notify_all()
        if self._hear is not None:
            self._hear(event)

    def _check(self) -> None:
        while not self._ended.wait(0.05):
            self.bus.check()
            with self._changed:
                self.checks += 1
                self._changed.notify_all()

    def start(self) -> None:
        self.bus.start()
        self._checking.start()

    def stop(self, farewell: tuple[str, bytes] | None = None) -> None:
        self._ended.set()
        self._checking.join()
        self.bus.stop(farewell)

    def all(self, kind: type[E]) -> list[E]:
        with self._changed:
            return [event for event in self.events if isinstance(event, kind)]

    def wait_for(self, kind: type[E], count: int = 1, seconds: float = WAIT_SECONDS) -> E:
        """The ``count``-th event of a kind."""
        self.wait_until(lambda: self._counts[kind] >= count, f"{count} x {kind.__name__}", seconds)
        return self.all(kind)[count - 1]

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, seconds):
                pytest.fail(f"no {what} within {seconds:g} s; the last events: {self.events[-10:]}")

    def publish(self, topic: str, payload: bytes, token: int = 1, *, qos: int = 1, retain: bool = False) -> None:
        self.bus.publish(topic, payload, qos=qos, retain=retain, token=token)

    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.all(Received)]


@contextlib.contextmanager
def running(url: str, name: str = "program", *, connected: bool = True, **options: Any) -> Iterator[Program]:
    """A started program, connected unless that is not wanted; stopped at the end, without a farewell."""
    program = Program(url, name, **options)
    program.start()
    try:
        if connected:
            program.wait_for(Connected)
        yield program
    finally:
        program.stop()


def retained(url: str, topic: str) -> bytes | None:
    """What the broker keeps on a topic, or None: a marker published afterwards shows that all has arrived."""
    with PlainClient(url, "reader") as reader:
        reader.subscribe(topic)
        reader.subscribe("end/of/reading")
        reader.publish("end/of/reading", b"end")
        reader.wait_for(b"end")
        return next((payload for name, payload, kept in reader.messages if name == topic and kept), None)


# -- connections -------------------------------------------------------------------------------


def test_it_connects_when_the_broker_starts_later(broker_kind: str, tmp_path: Path) -> None:
    """A program may be there before its broker: it says so, and connects as soon as it can."""
    broker = KINDS[broker_kind](tmp_path / "later")
    try:
        with running(broker.url, connected=False) as program:
            program.wait_for(Disconnected)
            assert not program.bus.connected
            broker.start()
            assert program.wait_for(Connected).session_present is False
            assert program.bus.connected
    finally:
        broker.close()


def test_each_connection_has_its_epoch(broker: Broker) -> None:
    """The epoch is asked for once per attempt, and the session tells the one it was connected with."""
    asked = itertools.count(7)
    with running(broker.url, epoch=lambda: next(asked)) as program:
        assert program.all(Connected)[0].epoch == 7
        broker.restart()
        second = program.wait_for(Connected, 2)
        assert second.epoch > 7
        assert second.epoch == next(asked) - 1


def test_a_resumed_session_is_told_from_a_new_one(broker: Broker) -> None:
    """``session_present`` is false at first contact, true afterwards, and false after the broker lost everything."""
    with running(broker.url, subscriptions=[("t/+", 1)]):
        pass
    with running(broker.url, subscriptions=[("t/+", 1)]) as program:
        assert program.all(Connected)[0].session_present is True
        broker.restart(empty=True)
        assert program.wait_for(Connected, 2).session_present is False


@pytest.mark.parametrize("subscriptions", [[], [("t", 1)]], ids=["publisher", "subscriber"])
def test_stopping_ends_all_threads_at_once(broker: Broker, subscriptions: list[tuple[str, int]]) -> None:
    """Connected, or waiting for a broker that is gone: stop returns promptly."""
    for gone in (False, True):
        program = Program(broker.url, subscriptions=subscriptions)
        program.start()
        program.wait_for(Connected)
        if gone:
            broker.kill()
            program.wait_for(Disconnected)
        started = time.monotonic()
        program.stop(("t", b"bye"))
        assert time.monotonic() - started < 5
    broker.start()


# -- receiving ---------------------------------------------------------------------------------


@pytest.fixture
def forgetful(broker_kind: str, tmp_path: Path) -> Iterator[Broker]:
    """A broker that waits 3 s, not 10, before it sends an unacknowledged message again (NATS; Mosquitto
    does it on reconnect)."""
    options: dict[str, Any] = {"ack_wait_seconds": 3.0} if broker_kind == "nats" else {}
    with KINDS[broker_kind](tmp_path / "forgetful", **options) as started:
        yield started


def test_what_was_not_acknowledged_comes_again(forgetful: Broker) -> None:
    """After a reconnect the unacknowledged message is there again, and the acknowledged one is not."""
    with running(forgetful.url, subscriptions=[("t/+", 1)]) as program, PlainClient(forgetful.url, "sender") as sender:
        sender.publish("t/a", b"durable")
        sender.publish("t/a", b"not durable")
        program.wait_for(Received, 2)
        program.bus.acknowledge(program.all(Received)[0])
        # The acknowledgement is on its way before this message is: the broker has it when it sends this one.
        program.publish("t/b", b"marker")
        program.wait_until(lambda: b"marker" in program.payloads(), "marker")
    with running(forgetful.url, subscriptions=[("t/+", 1)]) as program:
        program.wait_until(lambda: {b"not durable", b"marker"} <= set(program.payloads()), "what was left")
        assert b"durable" not in program.payloads()
        for message in program.all(Received):
            program.bus.acknowledge(message)


def test_an_acknowledgement_of_an_older_connection_is_not_sent(forgetful: Broker) -> None:
    """Its packet id may belong to another message by now: the message stays, and comes again."""
    with running(forgetful.url, subscriptions=[("t/+", 1)]) as program, PlainClient(forgetful.url, "sender") as sender:
        sender.publish("t/a", b"x")
        old = program.wait_for(Received)
        program.bus._give_up()
        again = program.wait_for(Received, 2)
        assert (again.payload, again.connection != old.connection) == (b"x", True)
        program.bus.acknowledge(old)
    with running(forgetful.url, subscriptions=[("t/+", 1)]) as program:
        assert program.wait_for(Received).payload == b"x"


def test_retained_messages_arrive_on_every_connect(broker: Broker) -> None:
    """Each connect subscribes again, also where the session is resumed."""
    with PlainClient(broker.url, "sender") as sender:
        sender.publish("t/a", b"kept", retain=True)
    with running(broker.url, subscriptions=[("t/+", 1)]) as program:
        first = program.wait_for(Received)
        assert first.retain
        program.bus.acknowledge(first)
        program.publish("t/b", b"flush")
        program.wait_until(lambda: b"flush" in program.payloads(), "flush")
        program.bus._give_up()
        program.wait_until(lambda: program.payloads().count(b"kept") == 2, "the retained message again")
        assert len(program.all(Connected)) == 2


def test_a_slow_consumer_loses_nothing_and_nothing_piles_up(broker: Broker) -> None:
    """Of 20,000 messages each arrives, and never more than the inbox's limit wait."""
    limit, total = 200, 20_000
    inbox: Inbox[BusEvent] = Inbox(limit)
    options: dict[str, Any] = {"subscriptions": [("t/+", 1)]}
    with running(
        broker.url, on_event=lambda event: inbox.put(event, bounded=isinstance(event, Received)), **options
    ) as (program):
        sending = threading.Thread(target=_send, args=(broker.url, total))
        sending.start()
        heard: set[bytes] = set()
        most = 0
        deadline = time.monotonic() + 120
        try:
            while len(heard) < total:
                assert time.monotonic() < deadline, f"{len(heard)} of {total} after 120 s"
                most = max(most, len(inbox._items))
                batch = [event for event in inbox.take(100, 1.0) if isinstance(event, Received)]
                for message in batch:
                    heard.add(message.payload)
                    program.bus.acknowledge(message)
                if len(heard) % 1000 < 50:
                    program.publish("elsewhere", b"x")
        finally:
            inbox.close()
            sending.join()
        assert heard == {b"%d" % number for number in range(total)}
        assert most <= limit + 5  # and a few events that are not messages


def _send(url: str, total: int) -> None:
    with running(url, "many") as sender:
        for number in range(total):
            sender.publish("t/a", b"%d" % number, number)
            if number % 1000 == 999:
                sender.wait_for(Delivered, number - 500, 100)
        sender.wait_for(Delivered, total, 100)


# -- publishing --------------------------------------------------------------------------------


def test_each_message_is_reported_delivered_once_over_a_restart(broker: Broker) -> None:
    """500 messages with a restart of the broker among them: every token once, and every message there."""
    total = 500
    with (
        running(broker.url, "reader", subscriptions=[("t/+", 1)], on_event=None) as reader,
        running(broker.url, "writer") as writer,
    ):
        for number in range(total):
            if number == total // 2:
                broker.restart()
                writer.wait_for(Connected, 2)
                reader.wait_for(Connected, 2)
            writer.publish("t/a", b"%d" % number, number + 1)
        writer.wait_for(Delivered, total)
        wanted = {b"%d" % number for number in range(total)}

        def complete() -> bool:
            return wanted <= set(reader.payloads())

        reader.wait_until(complete, "all messages")
        for message in reader.all(Received):
            reader.bus.acknowledge(message)
        assert sorted(event.token for event in writer.all(Delivered)) == list(range(1, total + 1))


def test_what_was_published_while_the_broker_died_is_delivered_later(broker: Broker) -> None:
    """A message handed over to a dying connection is sent again on the next, and reported once."""
    with running(broker.url) as program:
        os.kill(broker.pid, signal.SIGSTOP)
        program.publish("t", b"x", 42, retain=True)
        broker.kill()
        program.wait_for(Disconnected)
        broker.start()
        assert program.wait_for(Delivered).token == 42
        program.publish("t/2", b"y", 43)
        program.wait_for(Delivered, 2)
        assert [event.token for event in program.all(Delivered)] == [42, 43]
    assert retained(broker.url, "t") == b"x"


@pytest.mark.parametrize("subscriptions", [[], [("t", 1)]], ids=["publisher", "subscriber"])
def test_an_older_message_never_overwrites_a_newer_one(broker: Broker, subscriptions: list[tuple[str, int]]) -> None:
    """What was in flight when the connection broke is sent again before anything that follows ``Connected``."""
    newer = threading.Event()

    def hear(event: BusEvent) -> None:
        if isinstance(event, Connected) and newer.is_set():
            program.publish("t", b"newer", 2, retain=True)

    with running(broker.url, subscriptions=subscriptions, on_event=hear) as program:
        newer.set()
        os.kill(broker.pid, signal.SIGSTOP)
        for _ in range(50):
            program.publish("t", b"older", 1, retain=True)
        broker.kill()
        broker.start()
        program.wait_until(lambda: any(event.token == 2 for event in program.all(Delivered)), "the newer one's PUBACK")
        program.wait_for(Delivered, 51)
    assert retained(broker.url, "t") == b"newer"


def _publish_many(program: Program, start: int) -> None:
    for number in range(2000):
        program.publish("t", b"x", start + number)


def test_two_threads_may_publish(broker: Broker) -> None:
    """Tokens of both are reported once each."""
    with running(broker.url) as program:
        threads = [threading.Thread(target=_publish_many, args=(program, at)) for at in (0, 10_000)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        program.wait_for(Delivered, 4000)
        tokens = [event.token for event in program.all(Delivered)]
        assert sorted(tokens) == [*range(2000), *range(10_000, 12_000)]


def test_messages_without_acknowledgement_are_forgotten(broker: Broker) -> None:
    """QoS 0 is reported to nobody and not remembered: neither connected nor without a connection."""
    with running(broker.url) as program:
        for _ in range(2000):
            program.publish("t", b"x", qos=0)
        program.publish("t", b"x", 5)
        program.wait_for(Delivered)
        assert not program.bus._unacknowledged
        broker.kill()
        program.wait_for(Disconnected)
        for _ in range(100):
            program.publish("t", b"x", qos=0)
        assert not program.bus._unacknowledged
        assert not program.bus._early
        broker.start()
        program.wait_for(Connected, 2)
        assert [event.token for event in program.all(Delivered)] == [5]


def test_an_oversize_packet_is_refused(broker: Broker) -> None:
    """Over the limit it is a contract error and never sent; at the limit it is delivered."""
    with running(broker.url, max_packet_bytes=2000) as program:
        with pytest.raises(ContractError, match="the packet for t has 2017 bytes, the limit is 2000"):
            program.publish("t", b"x" * 2000)
        program.publish("t", b"x" * 1983, 9)
        assert program.wait_for(Delivered).token == 9
        assert not program.all(Disconnected)


# -- wills -------------------------------------------------------------------------------------


@contextlib.contextmanager
def bus_program(url: str, topic: str, first_epoch: int) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.contract.bus_program", url, topic, str(first_epoch)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_the_will_of_the_session_speaks_for_a_dead_process(broker: Broker) -> None:
    """After SIGKILL the retained will has the epoch of the session that died; an orderly stop leaves the farewell."""
    with PlainClient(broker.url, "watcher") as watcher:
        watcher.subscribe("p")
        with bus_program(broker.url, "p", 5) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "connected 5\n"
            process.kill()
            watcher.wait_for(b"will 5")
        assert retained(broker.url, "p") == b"will 5"
        with bus_program(broker.url, "p", 9) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "connected 9\n"
            process.communicate("\n", timeout=WAIT_SECONDS)
            watcher.wait_for(b"farewell")
            assert process.returncode == 0
        assert retained(broker.url, "p") == b"farewell"
        assert b"will 9" not in watcher.payloads


# -- brokers that do not answer ----------------------------------------------------------------


@pytest.mark.parametrize("websocket", [False, True], ids=["tcp", "websocket"])
def test_a_frozen_broker_is_given_up_and_found_again(broker_kind: str, tmp_path: Path, websocket: bool) -> None:
    """No PUBACK within the time: the connection is given up, and the message delivered on a later one."""
    with KINDS[broker_kind](tmp_path / "frozen", websocket=websocket) as broker:
        url = broker.ws_url if websocket else broker.url
        assert url is not None
        with running(url, answer_seconds=2.0) as program:
            os.kill(broker.pid, signal.SIGSTOP)
            try:
                wait_until_stopped(broker.pid)
                program.publish("t", b"x", 3)
                program.wait_for(Disconnected)
            finally:
                os.kill(broker.pid, signal.SIGCONT)
            assert program.wait_for(Delivered).token == 3
            assert len(program.all(Delivered)) == 1


def wait_until_stopped(pid: int) -> None:
    """Until every thread of the process has stopped: on a busy machine one may go on for a moment."""
    deadline = time.monotonic() + WAIT_SECONDS
    while any("\nState:\tT" not in (task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()):
        assert time.monotonic() < deadline, "the broker does not stop"


@pytest.mark.parametrize("silent_about", [CONNECT, SUBSCRIBE, UNSUBSCRIBE, PUBLISH])
def test_an_answer_that_never_comes_ends_the_connection(silent_about: int) -> None:
    """CONNACK, SUBACK, UNSUBACK or PUBACK missing on the first connection: the second one is made and used."""

    def answer(connection: int, kind: int, packet_id: int) -> bytes:
        if connection == 1 and kind == silent_about:
            return b""
        packet = packet_id.to_bytes(2, "big")
        replies = {CONNECT: CONNACK, SUBSCRIBE: granted(packet_id), UNSUBSCRIBE: b"\xb0\x02" + packet}
        return replies.get(kind, b"\x40\x02" + packet if kind == PUBLISH else b"")

    subscriptions = [] if silent_about == UNSUBSCRIBE else [("t", 1)]
    with (
        FakeBroker(answer) as broker,
        running(
            f"mqtt://127.0.0.1:{broker.port}", connected=False, subscriptions=subscriptions, answer_seconds=0.3
        ) as program,
    ):
        program.wait_for(Connected)
        program.publish("t", b"x", 8)
        assert program.wait_for(Delivered).token == 8
        assert {number for number, _ in broker.seen} == {1, 2}


def test_the_program_own_slowness_is_not_the_broker_silence() -> None:
    """A PUBACK that is here already, behind a message for a program that takes its time, is not overdue."""
    let_go = threading.Event()

    def answer(connection: int, kind: int, packet_id: int) -> bytes:
        packet = packet_id.to_bytes(2, "big")
        replies = {CONNECT: CONNACK, UNSUBSCRIBE: b"\xb0\x02" + packet, PUBLISH: b"\x30\x04\x00\x01tx\x40\x02" + packet}
        return replies.get(kind, b"")

    def hear(event: BusEvent) -> None:
        if isinstance(event, Received):
            assert let_go.wait(WAIT_SECONDS)

    with (
        FakeBroker(answer) as broker,
        running(f"mqtt://127.0.0.1:{broker.port}", on_event=hear, answer_seconds=0.2) as program,
    ):
        program.publish("t", b"x", 4)
        program.wait_for(Received)
        seen = program.checks
        program.wait_until(lambda: program.checks >= seen + 15, "15 checks, which take three times as long as allowed")
        let_go.set()
        assert program.wait_for(Delivered).token == 4
        assert not program.all(Disconnected)


def test_a_refused_subscription_is_asked_for_again() -> None:
    """A SUBACK with a failure is no session: it is repeated on the same connection until it is granted."""
    refusals = itertools.count()

    def answer(connection: int, kind: int, packet_id: int) -> bytes:
        if kind == SUBSCRIBE:
            return granted(packet_id, 0x80 if next(refusals) < 2 else 1)
        return CONNACK if kind == CONNECT else b""

    with (
        FakeBroker(answer) as broker,
        running(f"mqtt://127.0.0.1:{broker.port}", connected=False, subscriptions=[("t", 1)]) as program,
    ):
        program.wait_for(Connected)
        assert len(program.all(Connected)) == 1
        assert broker.seen == [(1, CONNECT), (1, SUBSCRIBE), (1, SUBSCRIBE), (1, SUBSCRIBE)]


def test_a_refused_connection_is_told_with_its_reason() -> None:
    """CONNACK 5: the event says that the broker refuses, and why; the next attempt may succeed."""
    refused = fake_broker.CONNACK[:3] + b"\x05"

    def answer(connection: int, kind: int, packet_id: int) -> bytes:
        if kind == CONNECT:
            return refused if connection == 1 else CONNACK
        return b"\xb0\x02" + packet_id.to_bytes(2, "big") if kind == UNSUBSCRIBE else b""

    with FakeBroker(answer) as broker, running(f"mqtt://127.0.0.1:{broker.port}", connected=False) as program:
        program.wait_for(Connected)
        assert "refuses the connection: Not authorized" in program.all(Disconnected)[0].reason


def test_a_packet_id_in_use_is_never_taken_for_another_message() -> None:
    """One message is never acknowledged while 65,600 others are: it is not reported, and they are, once each."""
    total = 65_600

    def answer(connection: int, kind: int, packet_id: int) -> bytes:
        packet = packet_id.to_bytes(2, "big")
        if kind == PUBLISH:
            return b"" if packet_id == 2 else b"\x40\x02" + packet  # 1 was the UNSUBSCRIBE
        return CONNACK if kind == CONNECT else b"\xb0\x02" + packet

    with (
        FakeBroker(answer) as broker,
        running(f"mqtt://127.0.0.1:{broker.port}", answer_seconds=120.0) as program,
    ):
        for token in range(total):
            program.publish("t", b"", token)
            if token == 65_200:
                program.publish("t", b"", qos=0)
            if token % 4000 == 3999:
                program.wait_for(Delivered, token - 100)
        program.wait_for(Delivered, total - 1, 60)
        assert sorted(event.token for event in program.all(Delivered)) == list(range(1, total))
        # Where the ids come near the one in use, what nobody waits for is left out: its id would mean the other.
        assert sum(kind == PUBLISH for _, kind in broker.seen) == total
        assert list(program.bus._unacknowledged) == [2]


def test_reconnect_delays_differ_between_clients(nats: NatsBroker) -> None:
    """Each client draws its own first and longest delay: a fleet does not come back in step."""
    clients = [MqttBus(broker_settings(nats.url), f"c{n}", on_event=lambda event: None)._client for n in range(20)]
    shortest = {client._reconnect_min_delay for client in clients}
    assert len(shortest) == 20
    assert all(1 <= delay <= 3 for delay in shortest)
