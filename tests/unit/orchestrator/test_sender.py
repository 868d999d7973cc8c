"""The way out: in order, a window at a time, each message until the broker has it. A real store, a bus by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator.adapters.sql_store import SqlStore
from orchestrator.decision import Publication
from orchestrator.ports import Unit
from orchestrator.sender import REPEATED_AFTER_RECONNECT, WINDOW, Sender
from tests.unit.orchestrator.hand_bus import HandBus


@pytest.fixture
def store() -> Iterator[SqlStore]:
    opened = SqlStore("sqlite://")
    yield opened
    opened.close()


@pytest.fixture
def bus() -> HandBus:
    return HandBus()


@pytest.fixture
def sender(store: SqlStore, bus: HandBus) -> Sender:
    return Sender(store, bus)


def _put(store: SqlStore, *items: tuple[str, bytes], retain: bool = True) -> None:
    unit = Unit()
    for topic, payload in items:
        digest = f"digest of {payload.decode()}" if retain else ""
        unit.publish(Publication(topic, payload, retain, digest, "" if retain else topic))
    store.commit(unit)


def _deliver(store: SqlStore, sender: Sender, *tokens: int) -> None:
    for token in tokens:
        sender.delivered(token)
    store.commit(Unit(delivered=list(tokens)))


def test_messages_are_handed_over_in_the_order_they_were_made(store: SqlStore, bus: HandBus, sender: Sender) -> None:
    """Whatever their topics."""
    _put(store, ("b", b"1"), ("a", b"2"))
    _put(store, ("c", b"3"))
    assert sender.pump() == []
    assert bus.sent == [("b", b"1"), ("a", b"2"), ("c", b"3")]


def test_a_message_is_handed_over_once(store: SqlStore, bus: HandBus, sender: Sender) -> None:
    """It is on its way until the broker has it."""
    _put(store, ("a", b"1"))
    sender.pump()
    sender.news()
    sender.rewind()
    sender.pump()
    assert bus.sent == [("a", b"1")]


def test_no_more_than_a_window_is_under_way(store: SqlStore, bus: HandBus, sender: Sender) -> None:
    """And each that is delivered makes room for the next."""
    _put(store, *((f"t{number}", b"x") for number in range(WINDOW + 10)))
    sender.pump()
    assert len(bus.sent) == WINDOW
    _deliver(store, sender, *bus.tokens[:4])
    sender.pump()
    assert len(bus.sent) == WINDOW + 4


def test_nothing_is_handed_over_without_a_connection(store: SqlStore, bus: HandBus, sender: Sender) -> None:
    """It waits in the store."""
    bus.is_connected = False
    _put(store, ("a", b"1"))
    sender.pump()
    assert bus.sent == []
    bus.is_connected = True
    sender.pump()
    assert bus.sent == [("a", b"1")]


def test_a_replaced_message_is_sent_after_the_one_it_replaces(store: SqlStore, bus: HandBus, sender: Sender) -> None:
    """The delivery of the old one does not count for the new one."""
    _put(store, ("a", b"1"))
    sender.pump()
    _put(store, ("a", b"2"))
    _deliver(store, sender, bus.tokens[0])
    sender.news()
    sender.pump()
    assert bus.sent == [("a", b"1"), ("a", b"2")]
    assert [item.payload for item in store.to_send(0, 10)] == [b"2"]


def test_a_message_replaced_before_it_was_sent_is_never_sent(store: SqlStore, bus: HandBus, sender: Sender) -> None:
    """Only the newest on a topic counts."""
    _put(store, ("a", b"1"))
    _put(store, ("a", b"2"))
    sender.pump()
    assert bus.sent == [("a", b"2")]


def test_after_an_empty_broker_everything_retained_is_sent_again(store: SqlStore, bus: HandBus, sender: Sender) -> None:
    """One-shot messages are not."""
    _put(store, ("a", b"1"), ("b", b"2"))
    _put(store, ("command", b"x"), retain=False)
    sender.pump()
    _deliver(store, sender, *bus.tokens)
    bus.sent.clear()
    sender.repeat(everything=True)
    sender.pump()
    assert bus.sent == [("a", b"1"), ("b", b"2")]


def test_after_a_resumed_session_the_newest_are_sent_again(store: SqlStore, bus: HandBus, sender: Sender) -> None:
    """A broker that was killed may have lost what it acknowledged last."""
    count = REPEATED_AFTER_RECONNECT + 50
    _put(store, *((f"t{number}", b"x") for number in range(count)))
    while len(bus.tokens) < count:
        sender.pump()
        _deliver(store, sender, *bus.tokens)
    bus.sent.clear()
    sender.repeat(everything=False)
    sender.pump()
    assert [topic for topic, _ in bus.sent] == [f"t{number}" for number in range(50, count)]


def test_a_message_that_can_never_be_sent_does_not_stop_the_rest(store: SqlStore, bus: HandBus, sender: Sender) -> None:
    """It is reported like a delivered one, or it would be tried for ever."""
    bus.too_large = 5
    _put(store, ("a", b"1"), ("b", b"far too large"), ("c", b"3"))
    hopeless = sender.pump()
    assert len(hopeless) == 1
    assert [topic for topic, _ in bus.sent] == ["a", "c"]
    _deliver(store, sender, *hopeless, *bus.tokens)
    assert store.to_send(0, 10) == []
