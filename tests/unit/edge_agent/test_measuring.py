"""When the device is measured, what of it is told, and how questions are answered; a bus and a clock by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from edge_agent.measuring import MOST_WAITING
from tests.support.agents import LightAgent, manifest
from topics.codec import encode
from topics.documents.device import Allocatable, Capabilities, Runtime
from topics.documents.query import Query
from topics.lifecycle import State

_DOCKER = Runtime(name="docker", version="20.10.24")


class HeldExecutor:
    """Keeps the jobs until the test lets them run."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[Callable[[], bool]], None]] = []

    def submit(self, key: str, job: Callable[[Callable[[], bool]], None]) -> None:
        self.jobs.append(job)

    def release(self) -> None:
        jobs, self.jobs = self.jobs, []
        for job in jobs:
            job(lambda: False)

    def cancel(self, keys: Iterable[str]) -> None:
        """Nothing is cancelled here."""

    def stop(self) -> None:
        self.jobs.clear()


def ask(agent: LightAgent, *names: str) -> LightAgent:
    for name in names:
        agent.ask(encode(Query(id=name)))
    return agent.settle()


def told(agent: LightAgent) -> list[Capabilities]:
    return [
        Capabilities.model_validate_json(body)
        for topic, body, *_ in agent.bus.published
        if topic.endswith("/capabilities")
    ]


def test_a_question_is_answered_with_its_id() -> None:
    """Measured anew, with what is left, and with its age."""
    agent = LightAgent().connect()
    agent.probe.found = agent.probe.found.model_copy(update={"serial": "S-2"})
    (answer,) = ask(agent, "q-1").answers()
    assert (answer.query, answer.device, answer.problem, answer.age_seconds) == ("q-1", "edge-01", "", 0.0)
    assert answer.capabilities is not None
    assert answer.allocatable is not None
    assert (answer.capabilities.serial, answer.capabilities.time) == ("S-2", agent.clock.wall())
    assert (answer.allocatable.cpu, answer.allocatable.memory) == (4000, 8 * 2**30)


def test_what_is_retained_is_published_before_the_answer() -> None:
    """Who hears the answer finds the same on the retained topics."""
    agent = LightAgent().connect().settle(1.0)
    agent.bus.published.clear()
    agent.probe.found = agent.probe.found.model_copy(update={"memory": 2**30})
    ask(agent, "q-1")
    assert [topic.rpartition("/")[2] for topic, *_ in agent.bus.published] == [
        "capabilities",
        "allocatable",
        "answers",
    ]
    left = Allocatable.model_validate_json(agent.bus.retained["fleetbus/v1/devices/edge-01/allocatable"])
    assert left.memory == 2**30


def test_an_unchanged_device_is_not_told_again() -> None:
    """Another time of measurement is no change; the next session gets the newest time."""
    agent = LightAgent().connect()
    agent.bus.published.clear()
    agent.clock.wall = lambda: "2026-01-02T03:04:05Z"  # type: ignore[method-assign]
    ask(agent, "q-1")
    assert [topic.rpartition("/")[2] for topic, *_ in agent.bus.published] == ["answers"]
    agent.connect()
    assert told(agent)[-1].time == "2026-01-02T03:04:05Z"


def test_the_age_counts_from_the_start_of_the_measurement() -> None:
    """On the monotonic clock, whatever the device's own clock shows."""
    executor = HeldExecutor()
    agent = LightAgent(executor=executor).connect()
    ask(agent, "q-1")
    executor.release()
    agent.clock.now += 2.5
    (answer,) = agent.settle().answers()
    assert answer.age_seconds == 2.5


def test_a_flood_of_questions_causes_one_measurement_at_a_time() -> None:
    """Those that came before it started share its answer; the others wait for the next one."""
    executor = HeldExecutor()
    agent = LightAgent(executor=executor).connect()
    ask(agent, "q-1")
    for number in range(300):
        ask(agent, f"late-{number % 10}")
        agent.settle(0.1)
    assert len(executor.jobs) == 1
    executor.release()
    agent.settle()
    assert [answer.query for answer in agent.answers()] == ["q-1"]
    assert len(executor.jobs) == 1
    executor.release()
    agent.settle()
    assert sorted({answer.query for answer in agent.answers()}) == sorted(["q-1", *(f"late-{n}" for n in range(10))])
    assert len(agent.answers()) == 11


def test_measurements_for_questions_keep_a_distance() -> None:
    """Programs are started for each: who asks without end does not take the processor."""
    executor = HeldExecutor()
    agent = LightAgent(executor=executor).connect()
    ask(agent, "q-1")
    executor.release()
    ask(agent, "q-2").settle(0.5)
    assert executor.jobs == []
    assert agent.service.next_due() <= agent.clock.now + 0.5
    agent.settle(0.5)
    assert len(executor.jobs) == 1


def test_too_many_questions_are_told_to_come_again() -> None:
    """What waits is bounded; nobody is left without an answer."""
    executor = HeldExecutor()
    agent = LightAgent(executor=executor).connect()
    ask(agent, "first")
    ask(agent, *(f"q-{number}" for number in range(MOST_WAITING + 1)))
    (refused,) = agent.answers()
    assert refused.query == f"q-{MOST_WAITING}"
    assert "ask again" in refused.problem
    assert refused.capabilities is None


def test_a_question_never_waits_on_the_deciding_thread() -> None:
    """While the device is being measured, a manifest is taken up."""
    executor = HeldExecutor()
    agent = LightAgent(executor=executor).connect()
    ask(agent, "q-1")
    assert agent.receive("manifests", manifest(1)).status().state is State.CREATED


@pytest.mark.parametrize(
    ("payload", "part"),
    [
        (b'{"id":"q-1","about":"weather"}', "about"),
        (b'{"id":"q-1","abuot":"capabilities"}', "abuot"),
        (b'{"id":"q-1","x":"' + b"y" * 3000 + b'"}', "is not a field"),
    ],
)
def test_a_malformed_question_with_an_id_is_answered(payload: bytes, part: str) -> None:
    """With the problem, and the agent goes on."""
    agent = LightAgent().connect().ask(payload).settle()
    (answer,) = agent.answers()
    assert (answer.query, answer.capabilities) == ("q-1", None)
    assert part in answer.problem
    assert ask(agent, "q-2").answers()[-1].problem == ""


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"id":7}', b'{"id":""}', b'{"id":"a b"}', b"[" * 100_000,
        b'{"id":"q-1","x":"' + b"y" * 5000 + b'"}', b'{"id":"q-1"' + b"}" * 3, b'{"id":"q-1","id":"q-2","x":1}',
    ],
)  # fmt: skip
def test_a_question_without_an_id_is_dropped(payload: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody can be told; the log says why."""
    agent = LightAgent().connect().ask(payload).settle()
    assert agent.answers() == []
    assert "message dropped" in caplog.text
    assert ask(agent, "q-2").answers()[-1].problem == ""


def test_a_stored_question_is_ignored() -> None:
    """It would be asked again with every connection."""
    agent = LightAgent().connect().ask(encode(Query(id="old")), retain=True).settle()
    assert agent.answers() == []


def test_a_failed_measurement_is_answered_and_changes_nothing() -> None:
    """A bug of the probe costs neither the agent nor what was told."""
    agent = LightAgent().connect()
    before = agent.bus.retained["fleetbus/v1/devices/edge-01/capabilities"]

    def broken() -> Capabilities:
        raise RuntimeError("no idea")

    good, agent.probe.capabilities = agent.probe.capabilities, broken  # type: ignore[method-assign]
    (answer,) = ask(agent, "q-1").answers()
    assert "RuntimeError: no idea" in answer.problem
    assert agent.bus.retained["fleetbus/v1/devices/edge-01/capabilities"] == before
    agent.probe.capabilities = good  # type: ignore[method-assign]
    assert ask(agent.settle(1.0), "q-2").answers()[-1].problem == ""


def test_without_a_broker_no_answer_is_kept() -> None:
    """An answer of yesterday helps nobody."""
    agent = LightAgent().connect()
    agent.bus.connected = False
    ask(agent, "q-1")
    assert agent.connect().answers() == []


def test_a_device_that_has_just_booted_is_measured_again_soon() -> None:
    """Its runtimes may still be starting: after 15 s, 30 s, 60 s …, then every ten minutes."""
    executor = HeldExecutor()
    agent = LightAgent(executor=executor).connect()
    times = []
    for _ in range(1900):
        agent.clock.now += 1.0
        agent.service.step(0.0)
        if executor.jobs:
            times.append(agent.clock.now - 1000.0)
            executor.release()
    assert times == [15, 45, 105, 225, 465, 945, 1545]


def test_a_runtime_that_does_not_answer_once_is_asked_again_before_that_is_told() -> None:
    """It may be starting again, and nobody moves a deployment for that."""
    agent = LightAgent()
    agent.probe.found = agent.probe.found.model_copy(update={"runtimes": (_DOCKER,)})
    agent.connect().settle(15.0)
    with_docker = agent.probe.found
    agent.bus.published.clear()
    agent.probe.found = with_docker.model_copy(update={"runtimes": ()})
    agent.settle(30.0)
    assert told(agent) == []
    agent.probe.found = with_docker
    agent.settle(15.0)
    agent.probe.found = with_docker.model_copy(update={"runtimes": ()})
    agent.settle(120.0)
    assert told(agent) == []
    agent.settle(15.0)
    assert [found.runtimes for found in told(agent)] == [()]


def test_who_asks_is_told_at_once_that_a_runtime_does_not_answer() -> None:
    """The answer is the plain measurement, and what is retained follows."""
    agent = LightAgent()
    agent.probe.found = agent.probe.found.model_copy(update={"runtimes": (_DOCKER,)})
    agent.connect().settle(15.0)
    agent.probe.found = agent.probe.found.model_copy(update={"runtimes": ()})
    answer = ask(agent.settle(1.0), "q-1").answers()[-1]
    assert answer.capabilities is not None
    assert answer.capabilities.runtimes == ()
    assert told(agent)[-1].runtimes == ()
