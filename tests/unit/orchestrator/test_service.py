"""The shell around the core: the order of store, acknowledgement and messages, turn by turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.orchestrator.simulated_devices import Message
from tests.unit.orchestrator.simulation import World
from tests.unit.orchestrator.story import NAME, TOPICS, spec
from topics import channels
from topics.transport.port import Received

_MANIFEST = TOPICS.topic(channels.MANIFEST, device="a", deployment=NAME)
_RESULT = TOPICS.topic(channels.RESULT, deployment=NAME)
_AGGREGATE = TOPICS.topic(channels.AGGREGATE, deployment=NAME)


@pytest.fixture
def world() -> Iterator[World]:
    made = World(("a",))
    made.devices["a"].birth()
    made.publish_spec(NAME, spec())
    yield made
    made.store.close()


def _taken(world: World) -> None:
    while world.deliver(0):
        pass


def test_a_manifest_acknowledged_by_a_broker_that_then_lost_everything_is_sent_again(world: World) -> None:
    """The acknowledgement of the old broker and the news of the empty one come in one batch."""
    _taken(world)
    world.pool.finish(0)
    world.turn()
    assert _MANIFEST in world.broker.retained
    world.lose_broker()
    world.turn()
    assert {_MANIFEST, _RESULT, _AGGREGATE} <= world.broker.retained.keys()


def test_what_was_committed_and_not_published_is_published_after_a_restart(world: World) -> None:
    """Killed between commit and publish."""
    world.cut_off_and_killed()
    world.turn()
    assert _RESULT in world.broker.retained


def test_a_render_lost_with_the_process_is_made_again(world: World) -> None:
    """The store knows what each device lacks."""
    _taken(world)
    world.kill()
    assert [task.devices for task, _, _ in world.pool.waiting] == [("a",)]


def test_the_aggregate_of_a_removed_deployment_does_not_come_back(world: World) -> None:
    """However late something about it is heard."""
    world.settle()
    world.publish_spec(NAME, b"")
    world.settle()
    assert not [topic for topic in world.broker.retained if NAME in topic]
    reports = [message for message in world.past if "/status/" in message.topic or "/events/" in message.topic]
    for message in (*reports, Message(f"{TOPICS.root}/deployments/{NAME}/commands", b"{")):
        world.hand_over(message)
    world.turn()
    world.kill()
    world.turn()
    assert not [topic for topic in world.broker.retained if NAME in topic]


def test_a_stored_message_after_a_live_one_of_its_topic_is_not_news(world: World) -> None:
    """A broker may deliver the retained message last that the live one has replaced."""
    _taken(world)
    topic = TOPICS.topic(channels.SPEC, deployment=NAME)
    world.orchestrator.receive(Received(topic, spec(rate="99"), 1, True, 77, 1))
    world.turn()
    assert world.orchestrator.fleet.specs[NAME].generation == 1


def test_a_device_that_was_set_up_anew_and_is_younger_than_the_store_converges(world: World) -> None:
    """It has no journal, the retained manifest brings it back."""
    world.settle()
    world.devices["a"].replace()
    world.settle()
    assert list(world.faults()) == []


def test_a_store_that_was_set_up_anew_converges_with_older_devices(world: World) -> None:
    """Its first generations are below those of the devices, which ignore them without a word."""
    for rate in ("1", "2", "3"):
        world.publish_spec(NAME, spec(rate=rate))
        world.settle()
    world.forget_store()
    world.settle()
    assert list(world.faults()) == []
    assert world.orchestrator.fleet.specs[NAME].generation > 4


def test_orders_of_retained_messages_that_hide_the_devices_generation_heal_in_time(world: World) -> None:
    """The status comes first, when nothing is known that it could be about."""
    for rate in ("1", "2", "3"):
        world.publish_spec(NAME, spec(rate=rate))
        world.settle()
    world.forget_store()
    queue = world.broker.queues["orchestrator"]
    queue.sort(key=lambda message: "/status/" not in message.topic)
    _taken(world)
    world.settle()
    assert list(world.faults()) == []
