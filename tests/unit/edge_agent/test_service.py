"""The shell around the core: order of journal, acknowledgement and messages; a bus and a clock by hand."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from edge_agent.adapters.journal import open_journal
from edge_agent.ports import JournalError
from edge_agent.work import BUG
from tests.support.agents import DEVICE, LightAgent, apply_error, manifest, states, tombstone
from topics.codec import encode, seal, sealed_digest
from topics.documents.command import Action, Command
from topics.documents.device import Allocatable, Capabilities, Peripheral, Presence
from topics.lifecycle import State
from topics.transport.port import Delivered, Received

_STAGES = [State.CREATED, State.PREPARED, State.DOWNLOADING, State.CONFIGURATION, State.DEPLOYED]


def _command(agent: LightAgent, action: Action, generation: int, *, id: str = "c1", first: int | None = None) -> None:
    command = Command(
        id=id, deployment="app", device="edge-01", action=action, generation=generation, from_sequence=first
    )
    agent.receive("commands", encode(command))


def test_a_manifest_is_deployed_and_every_transition_published() -> None:
    """Events in order, then the status."""
    agent = LightAgent().connect().receive("manifests", manifest(1))
    assert states(agent.events()) == _STAGES
    assert [event.sequence for event in agent.events()] == [1, 2, 3, 4, 5]
    status = agent.status()
    assert (status.state, status.generation, status.deployed_generation) == (State.DEPLOYED, 1, 1)
    assert status.manifest_digest == sealed_digest(manifest(1))
    assert status.journal == agent.journal.id


def test_nothing_is_acknowledged_before_it_is_durable() -> None:
    """When the acknowledgement is sent, the record and its first event stand in the journal."""
    agent = LightAgent().connect()
    seen: list[tuple[State, int]] = []
    agent.bus.on_acknowledge = lambda: seen.append(
        (agent.journal.load()["app"].state, len(agent.journal.transitions("app", 1)))
    )
    agent.receive("manifests", manifest(1))
    assert seen == [(State.CREATED, 1)]


def test_nothing_is_acknowledged_when_the_journal_cannot_be_written() -> None:
    """The error ends the agent; the broker sends the message again later."""
    agent = LightAgent().connect()
    agent.journal.close()
    with pytest.raises(JournalError):
        agent.receive("manifests", manifest(1))
    assert agent.bus.acknowledged == []


def test_a_new_session_says_everything_again() -> None:
    """Presence with a newer epoch, capabilities, allocatable, every status: the broker may be empty."""
    agent = LightAgent().connect().receive("manifests", manifest(1))
    agent.bus.retained.clear()
    agent.connect()
    presence = Presence.model_validate_json(agent.bus.retained["fleetbus/v1/devices/edge-01/presence"])
    assert presence.online
    assert presence.epoch == agent.journal.boot * 1_000_000 + 2
    capabilities = agent.bus.retained["fleetbus/v1/devices/edge-01/capabilities"]
    assert sealed_digest(capabilities)
    measured = agent.probe.found.model_copy(update={"time": agent.clock.wall()})
    assert Capabilities.model_validate_json(capabilities) == measured
    assert presence.time == agent.clock.wall()
    assert "fleetbus/v1/devices/edge-01/allocatable" in agent.bus.retained
    assert agent.status().epoch == presence.epoch


def test_heartbeats_do_not_go_through_the_journal() -> None:
    """They are published while connected, and cost no write."""
    agent = LightAgent().connect()
    for token in agent.bus.tokens:
        agent.inbox.put(Delivered(token))
    agent.settle(1.0)
    agent.bus.published.clear()
    agent.settle(30.0)
    assert [topic for topic, *_ in agent.bus.published] == ["fleetbus/v1/devices/edge-01/presence"]
    assert agent.journal.outbox(0, 10) == []


def test_without_a_broker_the_messages_wait_in_order() -> None:
    """A device resumes and heals without one; later nobody misses a transition."""
    agent = LightAgent().receive("manifests", manifest(1))
    assert agent.bus.published == []
    agent.applier.ill.add("settings")
    agent.settle(10.0).settle(1.0)
    agent.applier.ill.clear()
    agent.settle(10.0).connect()
    assert [event.sequence for event in agent.events()] == list(range(1, len(agent.events()) + 1))
    assert states(agent.events())[-3:] == [State.DEGRADED, State.CONFIGURATION, State.DEPLOYED]
    assert agent.status().state is State.DEPLOYED


def test_a_delivered_message_leaves_the_outbox() -> None:
    """And one that was replaced meanwhile stays."""
    agent = LightAgent().connect().receive("manifests", manifest(1))
    for token in agent.bus.tokens:
        agent.inbox.put(Delivered(token))
    agent.settle().settle(1.0)
    assert agent.journal.outbox(0, 100) == []


def test_messages_on_their_way_are_limited() -> None:
    """200 at a time; each delivered one makes room."""
    agent = LightAgent()
    for number in range(60):
        agent.receive("manifests", manifest(1, f"app-{number}"), f"app-{number}")
    agent.connect()
    assert len(agent.bus.tokens) == 200
    for token in agent.bus.tokens[:50]:
        agent.inbox.put(Delivered(token))
    agent.settle()
    assert len(agent.bus.tokens) == 250
    assert len(set(agent.bus.tokens)) == 250


def test_a_message_too_large_to_send_is_dropped() -> None:
    """It would never get through, and everything behind it would wait."""
    agent = LightAgent()
    agent.bus.too_large.add(agent.topic("status"))
    agent.connect().receive("manifests", manifest(1))
    assert states(agent.events()) == _STAGES
    agent.settle(1.0)
    assert all(row.topic != agent.topic("status") for row in agent.journal.outbox(0, 100))


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"{", "not-sealed"),
        (b"\xff\xfe", "not-sealed"),
        (manifest(1).replace(b'"1"', b'"2"'), "wrong-digest"),
        (manifest(1, device="edge-02"), "wrong-device"),
        (manifest(1, "other"), "wrong-deployment"),
        (manifest(0), "invalid"),
        (manifest(1, components={}), "invalid"),
        (manifest(1, schema_version=99), "unsupported-version"),
        (seal(b'{"kind":"Manifest"}'), "missing"),
    ],
)  # fmt: skip
def test_a_manifest_that_breaks_the_contract_is_answered(payload: bytes, code: str) -> None:
    """Acknowledged, answered with the code, and the agent goes on."""
    agent = LightAgent().connect().receive("manifests", payload)
    assert len(agent.bus.acknowledged) == 1
    status = agent.status()
    assert status.failure is not None
    assert (status.state, status.generation, status.failure.code) == (State.FAILED, 0, code)
    assert agent.receive("manifests", manifest(1)).status().state is State.DEPLOYED
    agent.receive("manifests", payload)
    status = agent.status()
    assert status.failure is not None
    assert (status.state, status.failure.code) == (State.DEPLOYED, code)


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'{"id":"x"}', b"\xff"])
def test_a_command_that_breaks_the_contract_is_dropped(payload: bytes) -> None:
    """Acknowledged, logged, nothing done."""
    agent = LightAgent().connect().receive("manifests", manifest(1)).receive("commands", payload)
    assert len(agent.bus.acknowledged) == 2
    assert agent.status().commands == ()


def test_a_command_is_done_once_however_often_it_comes() -> None:
    """Also over a restart, and twice in one batch."""
    agent = LightAgent().connect()
    agent.receive("manifests", manifest(1)).receive("manifests", manifest(2))
    _command(agent, Action.ROLLBACK, 2)
    assert agent.status().generation == 1
    rolled_back = len(agent.events())
    _command(agent, Action.ROLLBACK, 2)
    again = LightAgent(agent.journal, agent.applier).connect()
    _command(again, Action.ROLLBACK, 2)
    assert len(agent.events()) == rolled_back
    assert again.status().sequence == rolled_back
    assert [outcome.outcome for outcome in again.status().commands] == ["done"]


def test_replay_publishes_the_kept_transitions_again() -> None:
    """The very same payloads, from the sequence asked for."""
    agent = LightAgent().connect().receive("manifests", manifest(1))
    before = [body for topic, body, *_ in agent.bus.published if topic == agent.topic("events")]
    agent.bus.published.clear()
    _command(agent, Action.REPLAY, 0, first=3)
    after = [body for topic, body, *_ in agent.bus.published if topic == agent.topic("events")]
    assert after == before[2:]


def test_a_removal_ends_with_nothing_retained() -> None:
    """Removed is published; the cleared manifest clears the status; the promise is given back."""
    agent = LightAgent().connect().receive("manifests", manifest(1)).receive("manifests", tombstone(2))
    assert agent.status().state is State.REMOVED
    agent.receive("manifests", b"")
    assert agent.bus.retained[agent.topic("status")] == b""
    assert agent.applier.running == {}
    assert "app" not in agent.connect().bus.retained.get(agent.topic("status"), b"").decode()


def test_a_restart_goes_on_where_the_journal_ends(tmp_path: Path) -> None:
    """A step whose result was not journalled is done again; nothing else is."""
    agent = LightAgent(open_journal(tmp_path))
    agent.applier.errors["apply"] = apply_error(retryable=True)
    agent.receive("manifests", manifest(1))
    agent.journal.close()
    agent.applier.errors.clear()
    agent.applier.calls.clear()
    again = LightAgent(open_journal(tmp_path), agent.applier).settle(1.0).connect()
    assert again.status().state is State.DEPLOYED
    assert [event.sequence for event in again.events()] == list(range(1, len(again.events()) + 1))
    again.journal.close()


def test_promises_are_published_and_respected() -> None:
    """What two deployments may not have together, the second does not get while the first is there."""
    needs: dict[str, Any] = {"requirements": {"memory": "5Gi", "cpu": {"cores": "1500m"}}}
    agent = LightAgent().connect()
    agent.receive("manifests", manifest(1, "a", **needs), "a").receive("manifests", manifest(1, "b", **needs), "b")
    agent.settle(1.0)
    assert agent.status("a").state is State.DEPLOYED
    failure = agent.status("b").failure
    assert failure is not None
    assert failure.code == "insufficient"
    assert "needs 5Gi memory, 3Gi left of 8Gi: 5Gi promised to a" in failure.message
    left = Allocatable.model_validate_json(agent.bus.retained["fleetbus/v1/devices/edge-01/allocatable"])
    assert (left.cpu, left.memory) == (2500, 3 * 2**30)
    assert [promise.deployment for promise in left.promised] == ["a"]
    agent.receive("manifests", tombstone(2, "a"), "a")
    for _ in range(5):
        agent.settle(300.0)
    assert agent.status("b").state is State.DEPLOYED


def test_what_the_device_cannot_be_is_final() -> None:
    """An architecture does not change by waiting."""
    agent = LightAgent().connect()
    agent.receive("manifests", manifest(1, requirements={"cpu": {"architectures": ["arm64"]}}))
    failure = agent.status().failure
    assert failure is not None
    assert (failure.code, failure.next_retry_seconds) == ("architecture", None)
    assert "the device is amd64" in failure.message


def test_memory_that_is_in_use_now_is_waited_for() -> None:
    """What others use without a promise may become free."""
    agent = LightAgent()
    agent.probe.unused = agent.probe.unused.__class__(memory=2**20, storage=2**40)
    agent.connect().receive("manifests", manifest(1, requirements={"memory": "1Gi"}))
    failure = agent.status().failure
    assert failure is not None
    assert (failure.code, failure.next_retry_seconds) == ("insufficient", 1.0)
    assert failure.message == "needs 1Gi memory, 1Mi is unused on this device now"


def test_what_a_failed_try_uses_itself_is_not_held_against_the_next_one() -> None:
    """Its own processes take the memory: it would never be tried again."""
    agent = LightAgent().connect()
    agent.applier.errors["finish"] = apply_error("not-ready", retryable=True)
    agent.receive("manifests", manifest(1, requirements={"memory": "4Gi"}))
    agent.probe.unused = agent.probe.unused.__class__(memory=2**30, storage=2**30)
    del agent.applier.errors["finish"]
    assert agent.settle(2.0).status().state is State.DEPLOYED
    agent.receive("manifests", tombstone(2)).receive("manifests", manifest(3, requirements={"memory": "4Gi"}))
    failure = agent.status().failure
    assert failure is not None, "after its removal nothing of it is at work"
    assert failure.message == "needs 4Gi memory, 1Gi is unused on this device now"


def test_a_rollback_by_command_takes_nothing_that_others_were_promised() -> None:
    """The older generation needed more, and that was given away meanwhile."""
    agent = LightAgent().connect()
    for generation, memory in ((1, "4Gi"), (2, "1Gi")):
        agent.receive("manifests", manifest(generation, "a", requirements={"memory": memory}), "a")
    agent.receive("manifests", manifest(1, "b", requirements={"memory": "6Gi"}), "b")
    command = Command(id="c-1", device=DEVICE, deployment="a", action=Action.ROLLBACK, generation=2)
    outcome = agent.receive("commands", encode(command), "a").status("a").commands[-1]
    assert outcome.outcome == "refused"
    assert outcome.message == "needs 4Gi memory, 2Gi left of 8Gi: 6Gi promised to b"
    agent.receive("manifests", tombstone(2, "b"), "b")
    command = command.model_copy(update={"id": "c-2"})
    assert agent.receive("commands", encode(command), "a").status("a").deployed_generation == 1
    left = Allocatable.model_validate_json(agent.settle(1.0).bus.retained["fleetbus/v1/devices/edge-01/allocatable"])
    assert [(promise.deployment, promise.memory) for promise in left.promised] == [("a", 4 * 2**30)]


def test_images_are_promised_on_the_disk_beside_what_is_stored() -> None:
    """And are refused with the sentence where there is no room for both."""
    agent = LightAgent().connect()
    agent.receive("manifests", manifest(1, "a", requirements={"storage": "1Gi", "images": "40Gi"}), "a")
    assert agent.status("a").state is State.DEPLOYED, "only 32Gi are unused, but images may be there already"
    failure = agent.receive("manifests", manifest(1, "b", requirements={"images": "30Gi"}), "b").status("b").failure
    assert failure is not None
    assert failure.message == "needs 30Gi storage, 23Gi left of 64Gi: 41Gi promised to a"


def test_an_applier_with_a_bug_fails_its_deployment_only() -> None:
    """It is reported and tried again; the agent goes on."""
    agent = LightAgent().connect()
    agent.applier.errors["apply"] = RuntimeError("no idea")
    failure = agent.receive("manifests", manifest(1)).status().failure
    assert failure is not None
    assert (failure.code, failure.retryable) == (BUG, True)
    assert "RuntimeError: no idea" in failure.message


def test_progress_is_published_without_waiting_for_an_answer() -> None:
    """QoS 0, not retained."""
    agent = LightAgent().connect().receive("manifests", manifest(1))
    sent = [(body, qos, retain) for topic, body, qos, retain in agent.bus.published if "/progress/" in topic]
    assert [(json.loads(body)["percent"], qos, retain) for body, qos, retain in sent] == [(100.0, 0, False)]


def test_changed_capabilities_are_published() -> None:
    """The device is measured anew every ten minutes."""
    agent = LightAgent().connect()
    agent.bus.published.clear()
    agent.probe.found = agent.probe.found.model_copy(update={"memory": 2**30})
    agent.settle(601.0)
    sent = [body for topic, body, *_ in agent.bus.published if topic.endswith("/capabilities")]
    assert [Capabilities.model_validate_json(body).memory for body in sent] == [2**30]


def test_session_numbers_grow_beyond_a_boots_million() -> None:
    """The next boot starts above them."""
    agent = LightAgent()
    agent.epochs._last = 3_000_000
    agent.connect()
    assert agent.journal.boot == 3


def test_stopping_says_goodbye_with_the_sessions_number() -> None:
    """Offline, with the epoch of the session that ends."""
    agent = LightAgent().connect()
    began = time.monotonic()
    agent.service.close()
    assert time.monotonic() - began < 3.0
    assert agent.bus.farewell is not None
    presence = Presence.model_validate_json(agent.bus.farewell[1])
    assert (presence.online, presence.epoch) == (False, agent.journal.boot * 1_000_000 + 1)


def test_two_generations_in_one_batch_leave_only_the_newer() -> None:
    """The older is superseded before anything was done for it."""
    agent = LightAgent()
    topic = agent.topic("manifests")
    for number in (1, 2):
        agent.inbox.put(Received(topic, manifest(number), 1, False, number, 1))
    agent.settle().connect()
    assert agent.status().generation == 2
    assert ("check", "app", 1) not in agent.applier.calls
    assert [event.sequence for event in agent.events()] == list(range(1, 7))


@pytest.mark.parametrize(
    ("requirements", "part"),
    [
        ({"peripherals": [{"type": "camera"}]}, "camera"),
        ({"interfaces": [{"type": "canbus"}]}, "canbus"),
        (
            {
                "rules": [
                    {
                        "propertySelector": {
                            "matchExpressions": [{"key": "/memory", "operator": "Gt", "values": ["9Gi"]}]
                        }
                    },
                    {"labelSelector": {"matchLabels": {"line": "weld"}}},
                ]
            },
            "/memory",
        ),
    ],
)
def test_the_device_itself_checks_every_requirement(requirements: dict[str, Any], part: str) -> None:
    """Before anything is fetched or applied, with the same validator as everybody."""
    agent = LightAgent().connect().receive("manifests", manifest(1, requirements=requirements))
    failure = agent.status().failure
    assert failure is not None
    assert failure.retryable is False
    assert part in failure.message
    assert {call[0] for call in agent.applier.calls} == set()


def test_a_device_that_fulfils_the_rules_takes_the_manifest() -> None:
    """One rule of several is enough."""
    agent = LightAgent()
    agent.probe.found = agent.probe.found.model_copy(
        update={"labels": {"line": "weld"}, "peripherals": (Peripheral(type="camera", model="acA1300"),)}
    )
    needs = {
        "peripherals": [{"type": "camera", "model": "acA1300"}],
        "rules": [
            {"labelSelector": {"matchLabels": {"line": "press"}}},
            {"labelSelector": {"matchLabels": {"line": "weld"}}},
        ],
    }
    agent.connect().settle(15.0).receive("manifests", manifest(1, requirements=needs))
    assert agent.status().state is State.DEPLOYED


def test_a_notice_of_the_runtime_is_looked_into_soon_and_once() -> None:
    """Many notices of one change are one look; what it finds is in the status long before the next regular look."""
    agent = LightAgent().connect().receive("manifests", manifest(1))
    agent.applier.ill = {"settings"}
    looks = agent.applier.calls.count(("health", "app", 1))
    for _ in range(100):
        agent.applier.changed("app")
    agent.settle().settle(0.6)
    assert agent.status().state is State.DEGRADED
    assert agent.applier.calls.count(("health", "app", 1)) == looks + 1


def test_notices_that_do_not_stop_do_not_put_the_look_off() -> None:
    """A controller that writes all the time must not hide a change."""
    agent = LightAgent().connect().receive("manifests", manifest(1))
    agent.applier.ill = {"settings"}
    for _ in range(10):
        agent.applier.changed("app")
        agent.settle(0.1)
    assert agent.status().state is State.DEGRADED


def test_a_notice_of_something_unknown_changes_nothing() -> None:
    """The runtime may know deployments that the journal does not."""
    agent = LightAgent().connect()
    agent.applier.changed("nobody")
    agent.settle(1.0)
    assert agent.service.records == {}


def test_the_applier_lets_go_when_the_agent_ends() -> None:
    """Its watches must not outlive the agent."""
    agent = LightAgent().connect()
    agent.service.close()
    assert agent.applier.closed
