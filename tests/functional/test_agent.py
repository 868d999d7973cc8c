"""The agent as a process, on a real broker; the test plays the orchestrator with a plain MQTT client."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from tests.support.agents import DEVICE, ROOT, AgentProcess, manifest, tombstone
from tests.support.brokers import Broker, MosquittoBroker
from tests.support.mqtt_client import PlainClient
from topics.codec import canonical_json, encode, seal, sealed_digest
from topics.documents.command import Action, Command
from topics.lifecycle import State, is_allowed

WAIT_SECONDS = 20.0
_BRANCH = f"fleetbus/v1/devices/{DEVICE}/"


class Orchestrator:
    """Publishes manifests and commands, and keeps everything that it hears."""

    def __init__(self, url: str) -> None:
        self.client = PlainClient(url, "test-orchestrator", clean_session=True)

    def __enter__(self) -> Self:
        self.client.connect()
        self.client.subscribe(_BRANCH + "#")
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def send(self, payload: bytes, deployment: str = "app") -> None:
        self.client.publish(f"{_BRANCH}manifests/{deployment}", payload, retain=True)

    def command(self, action: Action, generation: int, *, id: str, first: int | None = None) -> None:
        command = Command(
            id=id, deployment="app", device=DEVICE, action=action, generation=generation, from_sequence=first
        )
        self.client.publish(f"{_BRANCH}commands/app", encode(command))

    def last(self, branch: str) -> dict[str, Any] | None:
        """The newest message of a branch; ``None`` if there is none or it was cleared."""
        found = [payload for topic, payload, _ in list(self.client.messages) if topic == _BRANCH + branch]
        return json.loads(found[-1]) if found and found[-1] else None

    def wait_status(
        self, what: str, holds: Callable[[dict[str, Any]], bool], deployment: str = "app"
    ) -> dict[str, Any]:
        status: dict[str, Any] = {}

        def reached() -> bool:
            status.clear()
            status.update(self.last(f"status/{deployment}") or {})
            return bool(status) and holds(status)

        wait(f"{what} of {deployment}", reached, lambda: str(status))
        return status

    def wait_state(self, state: State, generation: int, deployment: str = "app") -> dict[str, Any]:
        return self.wait_status(
            f"{state.value} of generation {generation}",
            lambda status: status["state"] == state.value and status["generation"] == generation,
            deployment,
        )

    def events(self, deployment: str = "app") -> list[dict[str, Any]]:
        """The transitions by sequence; a second delivery must be the same."""
        by_sequence: dict[int, dict[str, Any]] = {}
        for topic, payload, _ in list(self.client.messages):
            if topic == f"{_BRANCH}events/{deployment}":
                event = json.loads(payload)
                assert by_sequence.setdefault(event["sequence"], event) == event
        return [by_sequence[number] for number in sorted(by_sequence)]

    def check_history(self, deployment: str = "app") -> list[dict[str, Any]]:
        """No transition is missing, and each one is in the lifecycle."""
        status = self.last(f"status/{deployment}") or {}
        wait("every transition", lambda: len(self.events(deployment)) >= status.get("sequence", 0))
        events = self.events(deployment)
        assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
        before = None
        for event in events:
            assert event.get("source") == before
            assert is_allowed(State(before) if before else None, State(event["target"]))
            before = event["target"]
        return events


def wait(what: str, holds: Callable[[], bool], shown: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"waited for {what}; last: {shown()}"
        time.sleep(0.01)  # between two looks at a condition


@pytest.fixture
def orchestrator(broker: Broker) -> Iterator[Orchestrator]:
    with Orchestrator(broker.url) as started:
        yield started


@pytest.fixture
def agent(broker: Broker, tmp_path: Path) -> Iterator[AgentProcess]:
    with AgentProcess(broker.url, tmp_path / DEVICE, options=("--label", "line=press")) as started:
        yield started


def _files(agent: AgentProcess) -> str:
    return "\n".join(path.read_text() for path in sorted(agent.manifests.rglob("*")) if path.is_file())


def _broken(generation: int) -> bytes:
    """A manifest that can never be applied here: no applier takes its component's type."""
    body = json.loads(manifest(generation))
    body.pop("digest")
    body["components"][0]["type"] = "compose"
    return seal(canonical_json(body))


def test_deploy_update_and_remove_until_nothing_is_retained(
    broker: Broker, orchestrator: Orchestrator, agent: AgentProcess
) -> None:
    """The whole life of a deployment, as a dashboard sees it."""
    orchestrator.send(manifest(1))
    status = orchestrator.wait_state(State.DEPLOYED, 1)
    assert status["manifestDigest"] == sealed_digest(manifest(1))
    assert '"1"' in _files(agent) or "'1'" in _files(agent)
    orchestrator.send(manifest(2))
    orchestrator.wait_state(State.DEPLOYED, 2)
    orchestrator.send(tombstone(3))
    orchestrator.wait_state(State.REMOVED, 3)
    assert "ConfigMap" not in _files(agent)
    assert orchestrator.check_history()[-1]["target"] == "Removed"
    orchestrator.send(b"")
    wait("the cleared status", lambda: _cleared(orchestrator))
    with PlainClient(broker.url, "late") as late:
        late.subscribe(_BRANCH + "#")
        late.subscribe("end")
        late.publish("end", b"end")
        late.wait_for(b"end")
        left = {topic.removeprefix(_BRANCH) for topic, payload, retained in late.messages if retained and payload}
    assert left == {"presence", "capabilities", "allocatable"}


def _cleared(orchestrator: Orchestrator) -> bool:
    statuses = [payload for topic, payload, _ in orchestrator.client.messages if topic == f"{_BRANCH}status/app"]
    return statuses[-1] == b""


def test_presence_and_capabilities_are_there_from_the_start(orchestrator: Orchestrator, agent: AgentProcess) -> None:
    """Online with an epoch, labels from the options, the rest from the machine."""
    wait("allocatable", lambda: orchestrator.last("allocatable") is not None)
    presence, capabilities = orchestrator.last("presence"), orchestrator.last("capabilities")
    assert presence is not None
    assert capabilities is not None
    assert presence["online"]
    assert presence["epoch"] == 1_000_001
    assert capabilities["labels"] == {"line": "press"}
    assert capabilities["appliers"] == ["kubernetes"]
    assert capabilities["cpus"][0]["cores"] >= 1


def test_a_failing_update_is_rolled_back(orchestrator: Orchestrator, agent: AgentProcess) -> None:
    """The good generation runs again, and the status says what was wrong with the new one."""
    orchestrator.send(manifest(1))
    orchestrator.wait_state(State.DEPLOYED, 1)
    orchestrator.send(_broken(2))
    status = orchestrator.wait_status(
        "the restored generation",
        lambda status: status["state"] == "Deployed" and status["desiredGeneration"] == 2,
    )
    assert (status["generation"], status["deployedGeneration"]) == (1, 1)
    assert (status["failure"]["code"], status["failure"]["generation"]) == ("no-applier", 2)
    targets = [event["target"] for event in orchestrator.check_history()]
    assert targets[-3:] == ["Failed", "RollingBack", "Deployed"]


def test_commands_activate_and_roll_back(orchestrator: Orchestrator, agent: AgentProcess) -> None:
    """Manual activation waits; a rollback restores; a refusal says why."""
    orchestrator.send(manifest(1))
    orchestrator.wait_state(State.DEPLOYED, 1)
    orchestrator.send(manifest(2, activation="manual"))
    orchestrator.wait_state(State.STAGED, 2)
    orchestrator.command(Action.ACTIVATE, 2, id="go")
    orchestrator.wait_state(State.DEPLOYED, 2)
    orchestrator.command(Action.ROLLBACK, 2, id="back")
    orchestrator.wait_state(State.DEPLOYED, 1)
    orchestrator.command(Action.CANCEL, 2, id="late")
    status = orchestrator.wait_status("the answer", lambda status: status["commands"][-1]["id"] == "late")
    assert [(item["id"], item["outcome"]) for item in status["commands"]] == [
        ("go", "done"),
        ("back", "done"),
        ("late", "refused"),
    ]
    orchestrator.check_history()


def test_what_is_changed_on_the_device_is_repaired(orchestrator: Orchestrator, agent: AgentProcess) -> None:
    """Deployed → Degraded → Configuration → Deployed."""
    orchestrator.send(manifest(1))
    orchestrator.wait_state(State.DEPLOYED, 1)
    for path in agent.manifests.rglob("*"):
        if path.is_file():
            path.unlink()
    orchestrator.wait_status("the repair", lambda status: status["sequence"] >= 8 and status["state"] == "Deployed")
    assert [event["target"] for event in orchestrator.check_history()][-3:] == ["Degraded", "Configuration", "Deployed"]
    assert "ConfigMap" in _files(agent)


def test_a_restart_keeps_everything_and_stops_in_time(orchestrator: Orchestrator, agent: AgentProcess) -> None:
    """SIGTERM: offline with status 0 within 5 s. Then: a newer epoch, the same history, nothing twice."""
    orchestrator.send(manifest(1))
    before = orchestrator.wait_state(State.DEPLOYED, 1)
    code, seconds = agent.stop()
    assert code == 0, agent.log.read_text()
    assert seconds < 5
    wait("the farewell", lambda: not (orchestrator.last("presence") or {"online": True})["online"])
    orchestrator.send(manifest(2))
    agent.start()
    after = orchestrator.wait_state(State.DEPLOYED, 2)
    assert after["epoch"] > before["epoch"]
    assert len(orchestrator.check_history()) == 10


@pytest.mark.parametrize(
    "place",
    [
        "agent.before-commit", "agent.after-commit", "agent.after-acknowledge", "agent.after-publish",
        "agent.before-check", "agent.after-download", "agent.before-apply", "agent.after-apply",
        *(f"agent.state.{state}" for state in ("Created", "Prepared", "Downloading", "Configuration", "Deployed")),
    ],
)  # fmt: skip
def test_kill_9_anywhere_loses_nothing(mosquitto: MosquittoBroker, tmp_path: Path, place: str) -> None:
    """The process dies at the place, is started again, and the generation is deployed without a gap."""
    agent = AgentProcess(mosquitto.url, tmp_path / DEVICE)
    agent.start(failpoints=f"{place}=kill:{2 if 'commit' in place or 'publish' in place else 1}")
    with Orchestrator(mosquitto.url) as orchestrator:
        orchestrator.send(manifest(1))
        assert agent.process is not None
        assert agent.process.wait(WAIT_SECONDS) == -9, agent.log.read_text()
        agent.start()
        try:
            orchestrator.wait_state(State.DEPLOYED, 1)
            assert len(orchestrator.check_history()) == 5
        finally:
            agent.kill()


def test_a_restarted_broker_changes_nothing(broker: Broker, orchestrator: Orchestrator, agent: AgentProcess) -> None:
    """What happened meanwhile is published afterwards, without a gap."""
    orchestrator.send(manifest(1))
    orchestrator.wait_state(State.DEPLOYED, 1)
    broker.stop()
    for path in agent.manifests.rglob("*"):
        if path.is_file():
            path.unlink()
    wait("the repair without a broker", lambda: "ConfigMap" in _files(agent))
    broker.start()
    with Orchestrator(broker.url) as again:
        status = again.wait_status("the repair", lambda status: status["sequence"] >= 8)
        wait("the missed transitions", lambda: [event["sequence"] for event in again.events()][-1:] == [8])
        assert status["state"] == "Deployed"
        again.command(Action.REPLAY, 1, id="replay-1", first=1)
        wait("the replay", lambda: len(again.events()) == 8)
        again.check_history()


def test_a_broker_that_lost_everything_is_told_everything(
    broker: Broker, orchestrator: Orchestrator, agent: AgentProcess
) -> None:
    """The journal is the truth: the workload stays, and the retained topics come back."""
    orchestrator.send(manifest(1))
    orchestrator.wait_state(State.DEPLOYED, 1)
    broker.restart(empty=True)
    with Orchestrator(broker.url) as again:
        again.wait_state(State.DEPLOYED, 1)
        wait("the rest", lambda: all(again.last(name) for name in ("presence", "capabilities", "allocatable")))
        assert "ConfigMap" in _files(agent)


def test_it_waits_for_a_broker_that_is_not_there_yet(mosquitto: MosquittoBroker, tmp_path: Path) -> None:
    """Started first, connected later."""
    mosquitto.stop()
    with AgentProcess(mosquitto.url, tmp_path / DEVICE) as agent:
        wait("the first attempt", lambda: "broker not connected" in agent.log.read_text())
        mosquitto.start()
        with Orchestrator(mosquitto.url) as orchestrator:
            wait("presence", lambda: orchestrator.last("presence") is not None)
        assert agent.stop()[0] == 0


def test_a_killed_agent_is_offline_by_its_will(mosquitto: MosquittoBroker, tmp_path: Path) -> None:
    """With the epoch of the session that died."""
    with AgentProcess(mosquitto.url, tmp_path / DEVICE) as agent, Orchestrator(mosquitto.url) as orchestrator:
        wait("presence", lambda: orchestrator.last("presence") is not None)
        agent.kill()
        wait("the will", lambda: not (orchestrator.last("presence") or {"online": True})["online"])
        assert (orchestrator.last("presence") or {})["epoch"] == 1_000_001


def test_two_agents_never_share_a_journal(mosquitto: MosquittoBroker, tmp_path: Path) -> None:
    """The second one says so and ends."""
    with AgentProcess(mosquitto.url, tmp_path / DEVICE) as agent:
        wait("the first", lambda: "started" in agent.log.read_text())
        second = AgentProcess(mosquitto.url, tmp_path / DEVICE)
        second.start()
        assert second.process is not None
        assert second.process.wait(WAIT_SECONDS) == 1
        assert "another process works on" in agent.log.read_text()


def test_options_are_explained() -> None:
    """--version and --help end at once; a wrong option is one line and status 2."""

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "edge_agent", *options], cwd=ROOT, capture_output=True, text=True, check=False
        )

    assert run("--version").stdout.startswith("fleetbus-agent ")
    assert "--prune-grace" in run("--help").stdout
    wrong = run("--broker", "mqtt://localhost", "--device", "a/b", "--data", "/nonexistent")
    assert wrong.returncode == 2
    assert "'a/b' is not a device id" in wrong.stderr
