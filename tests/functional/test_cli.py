"""The CLI on a real broker without an orchestrator: what it says of what is, and of what is missing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

from cli.context import Given
from cli.embedded_broker import ending_with_parent
from cli.exits import Exit
from cli.session import Session
from tests.functional.cli_support import Background, manifest, run
from tests.support.brokers import Broker
from tests.support.mqtt_client import PlainClient
from tests.unit.cli.messages import aggregate, capabilities, payload_of, presence, status, summary, topic_of
from topics import channels
from topics.channels import Topics
from topics.codec import digest_of, encode
from topics.documents.answer import SpecResult
from topics.documents.command import OperatorCommand
from topics.documents.device import OrchestratorPresence
from topics.documents.status import TransitionEvent

TOPICS = Topics()
SPEC_TOPIC = TOPICS.topic(channels.SPEC, deployment="press")


def transition(sequence: int, source: str | None, target: str, deployment: str = "press") -> TransitionEvent:
    return TransitionEvent.model_validate(
        {
            "deployment": deployment, "device": "edge-01", "epoch": 1, "journal": "j", "sequence": sequence,
            "generation": 1, "source": source, "target": target, "trigger": "create",
        }
    )  # fmt: skip


def test_an_empty_broker_has_nothing(broker: Broker) -> None:
    """A list may be empty; a name that is not there is not found."""
    assert run(broker.url, "get", "specs").exit_code == Exit.OK
    assert run(broker.url, "get", "devices", "-o", "json").stdout == "[]\n"
    for arguments in (
        ("get", "spec", "x"),
        ("describe", "deployment", "x"),
        ("describe", "device", "x"),
        ("delete", "x"),
    ):
        result = run(broker.url, *arguments)
        assert result.exit_code == Exit.NOT_FOUND, arguments
    assert run(broker.url, "rollback", "x").exit_code == Exit.NOT_FOUND


def test_apply_says_that_no_orchestrator_ever_came_and_leaves_the_spec(broker: Broker) -> None:
    """Exactly the bytes of the file stay on the broker for the orchestrator that comes."""
    payload = manifest("press")
    result = run(broker.url, "apply", "-f", "-", "--timeout", "0.5s", stdin=payload)
    assert result.exit_code == Exit.TIMED_OUT
    assert "no orchestrator has ever announced itself" in result.output
    assert "the spec stays on the broker" in result.output
    with PlainClient(broker.url) as client:
        client.subscribe(SPEC_TOPIC)
        client.wait_until(lambda: (SPEC_TOPIC, payload, True) in client.messages, "the retained spec")
    assert "Unanswered" in run(broker.url, "get", "specs").stdout


def test_apply_says_that_the_orchestrator_is_offline(broker: Broker) -> None:
    """Its presence is retained."""
    with PlainClient(broker.url) as client:
        away = OrchestratorPresence(online=False, epoch=3)
        client.publish(topic_of(away), payload_of(away), retain=True)
    result = run(broker.url, "apply", "-f", "-", "-t", "0.5s", stdin=manifest("press"))
    assert result.exit_code == Exit.TIMED_OUT
    assert "the orchestrator is offline" in result.output


def test_an_old_answer_to_other_bytes_is_no_answer(broker: Broker) -> None:
    """The result names the digest of what it answers."""
    old = SpecResult(deployment="press", outcome="accepted", generation=1, spec_digest=digest_of(b"other"))
    with PlainClient(broker.url) as client:
        client.publish(topic_of(old), payload_of(old), retain=True)
    assert run(broker.url, "apply", "-f", "-", "-t", "0.5s", stdin=manifest("press")).exit_code == Exit.TIMED_OUT


def test_a_spec_that_was_answered_already_is_unchanged(broker: Broker) -> None:
    """The orchestrator does not answer the same bytes twice; its earlier answer counts."""
    payload = manifest("press")
    old = SpecResult(deployment="press", outcome="accepted", generation=4, spec_digest=digest_of(payload))
    with PlainClient(broker.url) as client:
        client.publish(SPEC_TOPIC, payload, retain=True)
        client.publish(topic_of(old), payload_of(old), retain=True)
    result = run(broker.url, "apply", "-f", "-", stdin=payload)
    assert (result.exit_code, result.stdout) == (Exit.OK, "press: unchanged (generation 4)\n")


def test_everything_retained_is_read_before_the_answer(broker: Broker) -> None:
    """There is no end mark in MQTT; silence is the end, not the first pause between packets."""
    devices = [f"edge-{number:03}" for number in range(300)]
    with PlainClient(broker.url) as client:
        for device in devices:
            client.publish(topic_of(presence(device)), payload_of(presence(device)), retain=True)
    listed = json.loads(run(broker.url, "get", "devices", "-o", "json").stdout)
    assert [row["device"] for row in listed] == devices


def test_what_is_retained_is_asked_for_once_more(broker: Broker) -> None:
    """NATS may lose what is published in the instant of a subscription; and what it sends late is no news."""
    first, second = presence("edge-01"), presence("edge-02")
    with PlainClient(broker.url) as client:
        client.publish(topic_of(first), payload_of(first), retain=True)
        settings = Given({"broker": broker.url}, {"XDG_CONFIG_HOME": "/nonexistent"}).settings()
        with Session(settings, [settings.topics.filter(channels.PRESENCE)]) as session:
            assert [heard.document for heard in session.collect()] == [first]
            client.publish(topic_of(second), payload_of(second), retain=True)
            live = session.next(5.0)
            assert live is not None
            assert (live.document, live.retained) == (second, False)
            again = session.next(5.0)
            assert again is not None
            assert (again.document, again.retained) == (first, True)
            assert session.next(0.5) is None  # the second one's retained copy is older than the live message


def test_messages_nobody_can_read_are_named_and_the_rest_is_shown(broker: Broker) -> None:
    """One broken device does not hide the others, and nothing crashes."""
    with PlainClient(broker.url) as client:
        for document in (presence(), capabilities(line="press"), aggregate(summary()), status()):
            client.publish(topic_of(document), payload_of(document), retain=True)
        client.publish(topic_of(presence("edge-02")), b"\xff\xfe{", retain=True)
        client.publish(topic_of(capabilities("edge-03")), encode(capabilities("edge-03")), retain=True)  # not sealed
        client.publish(TOPICS.topic(channels.STATUS, device="edge-02", deployment="press"), b"{}", retain=True)
    result = run(broker.url, "get", "devices")
    assert result.exit_code == Exit.OK
    assert "edge-01" in result.stdout
    assert "undecodable message on fleetbus/v1/devices/edge-02/presence" in result.stderr
    assert "undecodable message on fleetbus/v1/devices/edge-03/capabilities" in result.stderr
    deployments = run(broker.url, "get", "deployments", "press", "-o", "json")
    assert [row["state"] for row in json.loads(deployments.stdout)] == ["Deployed"]


def test_events_are_one_json_line_each_and_repeats_are_left_out(broker: Broker) -> None:
    """Devices repeat transitions that nobody confirmed; a script sees each once."""
    with (
        Background(broker.url, "events", "press", "-o", "json", "--count", "2") as events,
        PlainClient(broker.url) as client,
    ):
        events.wait_for("listening")
        for event in (
            transition(1, None, "Created"), transition(1, None, "Created"), transition(9, None, "Created", "other"),
            transition(2, "Created", "Prepared"),
        ):  # fmt: skip
            client.publish(topic_of(event), payload_of(event))
        events.wait_for("Prepared")
        assert events.process.wait(10) == Exit.OK
    shown = [json.loads(line) for line in events.lines if line.startswith("{")]
    assert [(event["sequence"], event["target"]) for event in shown] == [(1, "Created"), (2, "Prepared")]


def test_events_outlive_the_broker(broker: Broker) -> None:
    """The connection comes back by itself, and so do the events."""
    with Background(broker.url, "events") as events:
        events.wait_for("listening")
        broker.restart()
        events.wait_for("connected again")
        with PlainClient(broker.url) as client:
            event = transition(1, None, "Created")
            client.publish(topic_of(event), payload_of(event))
        events.wait_for("edge-01  press  gen 1  (new) → Created")


def test_an_event_nobody_can_read_is_shown(broker: Broker) -> None:
    """Also what is wrong on the bus happens on the bus."""
    with Background(broker.url, "events") as events, PlainClient(broker.url) as client:
        events.wait_for("listening")
        client.publish(topic_of(transition(1, None, "Created")), b"nonsense")
        events.wait_for("undecodable message on fleetbus/v1/devices/edge-01/events/press")


def test_waiting_for_events_that_do_not_come_ends_with_4(broker: Broker) -> None:
    """A script can tell that it did not get what it asked for."""
    assert run(broker.url, "events", "--count", "1", "--timeout", "0.5s").exit_code == Exit.TIMED_OUT


def test_watch_tells_each_change_in_a_line_without_a_terminal(broker: Broker) -> None:
    """And ends with 0 on Ctrl-C."""
    with PlainClient(broker.url) as client, Background(broker.url, "watch", "press") as watching:
        client.publish(topic_of(presence()), payload_of(presence()), retain=True)
        client.publish(topic_of(status()), payload_of(status(state="Downloading", sequence=3)), retain=True)
        watching.wait_for("press  edge-01  Downloading  generation 1  online")
        client.publish(topic_of(status()), payload_of(status()), retain=True)
        watching.wait_for("press  edge-01  Deployed")
        client.publish(topic_of(presence()), payload_of(presence(online=False)), retain=True)
        watching.wait_for("press  edge-01  Deployed  generation 1  offline")
        watching.process.send_signal(signal.SIGINT)
        assert watching.process.wait(10) == Exit.OK


def test_a_closed_pipe_is_no_error(broker: Broker) -> None:
    """``fleetbus events | head -1`` ends quietly once there is nobody to read."""
    command = [sys.executable, "-m", "cli", "--broker", broker.url, "events"]
    with (
        PlainClient(broker.url) as client,
        subprocess.Popen(ending_with_parent(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as events,
    ):
        assert events.stdout is not None
        assert events.stderr is not None
        assert b"listening" in events.stderr.readline()
        events.stdout.close()
        event = transition(1, None, "Created")
        client.publish(topic_of(event), payload_of(event))
        assert events.wait(10) == Exit.OK
        assert events.stderr.read() == b""


def test_a_command_is_the_document_of_the_contract(broker: Broker) -> None:
    """Without an orchestrator it ends with 4; what was published is a valid operator command."""
    with PlainClient(broker.url) as client:
        client.publish(topic_of(aggregate()), payload_of(aggregate(summary())), retain=True)
        client.subscribe(TOPICS.topic(channels.OPERATOR_COMMAND, deployment="press"))
        result = run(broker.url, "retry", "press", "-d", "edge-01", "-g", "1", "--timeout", "0.5s")
        assert result.exit_code == Exit.TIMED_OUT
        client.wait_until(lambda: bool(client.messages), "the command")
    command = OperatorCommand.model_validate_json(client.messages[0][1])
    assert (command.action, command.devices, command.generation) == ("retry", ("edge-01",), 1)
