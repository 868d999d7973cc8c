"""What a device says of itself, on a real broker: questions and answers, the operator's file, real runtimes."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import DEVICE, AgentProcess, manifest
from tests.support.brokers import Broker, MosquittoBroker
from tests.support.mqtt_client import PlainClient
from topics.codec import encode
from topics.documents.device import Capabilities
from topics.documents.query import Answer, Query

WAIT_SECONDS = 30.0
_BRANCH = f"fleetbus/v1/devices/{DEVICE}/"


class Asker:
    """Somebody who wants to know what the device is: listens first, asks then."""

    def __init__(self, url: str) -> None:
        self.client = PlainClient(url, "test-asker")

    def ask(self, name: str) -> Answer:
        """A question, and the answer that carries its id."""
        self.send(encode(Query(id=name)))
        return self.answer(name)

    def send(self, payload: bytes) -> None:
        self.client.publish(_BRANCH + "queries", payload)

    def answer(self, name: str) -> Answer:
        self.wait(f"answer to {name}", lambda: any(answer.query == name for answer in self.answers))
        return next(answer for answer in self.answers if answer.query == name)

    def wait(self, what: str, holds: Callable[[], bool]) -> None:
        self.client.wait_until(holds, what, WAIT_SECONDS)

    @property
    def answers(self) -> list[Answer]:
        return [Answer.model_validate_json(payload) for payload in self._on("answers")]

    @property
    def told(self) -> list[Capabilities]:
        """Every capabilities message so far."""
        return [Capabilities.model_validate_json(payload) for payload in self._on("capabilities")]

    def presence(self) -> dict[str, Any]:
        found = self._on("presence")
        return json.loads(found[-1]) if found else {"online": False}

    def state(self) -> str:
        found = self._on("status/app")
        return json.loads(found[-1])["state"] if found else ""

    def _on(self, branch: str) -> list[bytes]:
        return [payload for topic, payload, _ in list(self.client.messages) if topic == _BRANCH + branch and payload]


@pytest.fixture
def asker(broker: Broker) -> Iterator[Asker]:
    found = Asker(broker.url)
    with found.client:
        found.client.subscribe(_BRANCH + "#")
        yield found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The operator's file."""
    path = tmp_path / "device.json"
    path.write_text('{"override": {"serial": "SN-1"}}')
    return path


@pytest.fixture
def agent(broker: Broker, tmp_path: Path, file: Path, asker: Asker) -> Iterator[AgentProcess]:
    options = ("--capabilities", str(file), "--gateway", "gate-1", "--label", "line=press")
    with AgentProcess(broker.url, tmp_path / DEVICE, options=options) as started:
        asker.wait("the birth", lambda: bool(asker.presence()["online"] and asker.told))
        yield started


def test_a_question_is_answered(broker: Broker, asker: Asker, agent: AgentProcess) -> None:
    """By its id, with what is left and how old it is; nothing of it is stored."""
    answer = asker.ask("q-1")
    assert answer.problem == ""
    assert 0 <= answer.age_seconds < WAIT_SECONDS
    assert answer.capabilities is not None
    assert answer.allocatable is not None
    assert (answer.capabilities.serial, answer.capabilities.gateway) == ("SN-1", "gate-1")
    assert answer.capabilities.deployment_types == ("helm", "kubernetes")
    assert answer.allocatable.memory == answer.capabilities.memory
    assert answer.capabilities.time > asker.told[0].time
    assert asker.presence()["time"].endswith("Z")
    with PlainClient(broker.url, "late") as late:
        late.subscribe(_BRANCH + "+")
        late.subscribe("end")
        late.publish("end", b"end")
        late.wait_for(b"end")
        stored = {topic.removeprefix(_BRANCH) for topic, payload, _ in late.messages if payload != b"end"}
    assert stored == {"presence", "capabilities", "allocatable"}


def test_a_changed_file_is_told_with_the_next_measurement(asker: Asker, agent: AgentProcess, file: Path) -> None:
    """As capabilities and in the answer (a broker may deliver either first); what stays the same is not told again."""
    asker.ask("q-1")
    before = len(asker.told)
    file.write_text('{"override": {"serial": "SN-2"}, "add": {"peripherals": [{"type": "camera", "model": "C1"}]}}')
    answer = asker.ask("q-2")
    assert answer.capabilities is not None
    assert answer.capabilities.serial == "SN-2"
    asker.wait("the change", lambda: len(asker.told) > before)
    assert [found.serial for found in asker.told[before:]] == ["SN-2"]
    file.write_text("{")
    answer = asker.ask("q-3")
    assert answer.capabilities is not None
    assert answer.capabilities.peripherals[-1].model == "C1"
    assert len(asker.told) == before + 1
    assert "is not taken, what it said before stays" in agent.log.read_text()


def test_a_change_is_told_without_a_question(broker: Broker, asker: Asker, tmp_path: Path, file: Path) -> None:
    """At the regular measurement, whose period is an option."""
    options = ("--capabilities", str(file), "--measure-every", "1")
    with AgentProcess(broker.url, tmp_path / DEVICE, options=options):
        asker.wait("the first", lambda: any(found.serial == "SN-1" for found in asker.told))
        file.write_text('{"override": {"serial": "SN-2"}}')
        asker.wait("the change", lambda: asker.told[-1].serial == "SN-2")


def test_a_malformed_question_is_answered_or_dropped(asker: Asker, agent: AgentProcess) -> None:
    """With the problem where it has an id; the device goes on answering."""
    asker.send(b'{"id":"q-1","about":"weather"}')
    assert "about" in asker.answer("q-1").problem
    for payload in (b"", b"{", b"\xff", b"x" * 100_000, b'{"id":"a b"}'):
        asker.send(payload)
    assert asker.ask("q-2").problem == ""
    assert {answer.query for answer in asker.answers} == {"q-1", "q-2"}


def test_a_flood_of_questions_does_not_stop_the_device(asker: Asker, agent: AgentProcess) -> None:
    """Each is answered, measurements are few, and a deployment goes its way meanwhile."""
    asker.client.publish(f"{_BRANCH}manifests/app", manifest(1), retain=True)
    for number in range(300):
        asker.send(encode(Query(id=f"q-{number}")))
    asker.wait("the deployment", lambda: asker.state() == "Deployed")
    asker.wait("every answer", lambda: len({answer.query for answer in asker.answers}) == 300)
    measured = {answer.capabilities.time for answer in asker.answers if answer.capabilities is not None}
    assert 1 <= len(measured) <= 30


def test_questions_are_heard_after_the_broker_restarted(broker: Broker, asker: Asker, agent: AgentProcess) -> None:
    """The subscription is made with every connection."""
    asker.ask("q-1")
    broker.restart(empty=True)
    again = Asker(broker.url)
    with again.client:
        again.client.subscribe(_BRANCH + "#")
        again.wait("presence", lambda: bool(again.presence()["online"]))
        assert again.ask("q-2").problem == ""


def test_a_real_docker_engine_is_described(mosquitto: MosquittoBroker, tmp_path: Path) -> None:
    """With the versions that its own programs say."""
    engine = _said("docker", "version", "--format", "{{.Server.Version}}")
    if not engine:
        pytest.skip("no Docker engine answers here")
    with (
        AgentProcess(mosquitto.url, tmp_path / DEVICE),
        PlainClient(mosquitto.url, "test-docker") as client,
    ):
        client.subscribe(_BRANCH + "capabilities")
        client.wait_until(lambda: bool(client.messages), "capabilities", WAIT_SECONDS)
        found = Capabilities.model_validate_json(client.payloads[-1])
    versions = {runtime.name: runtime.version for runtime in found.runtimes}
    assert versions["docker"] == engine
    assert versions.get("compose", "") == _said("docker", "compose", "version", "--short").removeprefix("v")
    # No applier of this agent takes Compose projects, so it runs none.
    assert found.deployment_types == ("helm", "kubernetes")


def _said(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return answer.stdout.strip() if answer.returncode == 0 else ""
