"""When the device is measured, what of it is told, and how questions are answered; a bus and a clock by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from edge_agent.adapters.journal import memory_journal
from edge_agent.measuring import LONGEST_SECONDS, MOST_WAITING
from tests.support.agents import LightAgent, manifest, tombstone
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


def held_agent() -> tuple[LightAgent, HeldExecutor]:
    """A connected agent that has measured its device once; whatever it measures from now on is held."""
    executor = HeldExecutor()
    agent = LightAgent(executor=executor)
    executor.release()
    return agent.connect(), executor


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
    agent, executor = held_agent()
    ask(agent, "q-1")
    executor.release()
    agent.clock.now += 2.5
    (answer,) = agent.settle().answers()
    assert answer.age_seconds == 2.5


def test_a_flood_of_questions_causes_one_measurement_at_a_time() -> None:
    """Those that came before it started share its answer; the others wait for the next one."""
    agent, executor = held_agent()
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
    agent, executor = held_agent()
    ask(agent, "q-1")
    executor.release()
    ask(agent, "q-2").settle(0.5)
    assert executor.jobs == []
    assert agent.service.next_due() <= agent.clock.now + 0.5
    agent.settle(0.5)
    assert len(executor.jobs) == 1


def test_too_many_questions_are_told_to_come_again() -> None:
    """What waits is bounded; nobody is left without an answer."""
    agent, _ = held_agent()
    ask(agent, "first")
    ask(agent, *(f"q-{number}" for number in range(MOST_WAITING + 1)))
    (refused,) = agent.answers()
    assert refused.query == f"q-{MOST_WAITING}"
    assert "ask again" in refused.problem
    assert refused.capabilities is None


def test_a_question_never_waits_on_the_deciding_thread() -> None:
    """While the device is being measured, a manifest is taken up."""
    agent, _ = held_agent()
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
    agent, executor = held_agent()
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


def test_a_slow_first_measurement_holds_up_neither_the_start_nor_the_session() -> None:
    """Nothing is told that is not known, and a deployment is checked as soon as the device is."""
    executor = HeldExecutor()
    agent = LightAgent(executor=executor).connect().receive("manifests", manifest(1))
    assert agent.status().state is State.CREATED
    assert {topic.rpartition("/")[2] for topic in agent.bus.retained} == {"presence", "app"}
    assert ask(agent, "q-1").answers() == []
    for _ in range(20):
        executor.release()
        agent.settle()
    assert agent.status().state is State.DEPLOYED
    assert {"capabilities", "allocatable"} < {topic.rpartition("/")[2] for topic in agent.bus.retained}
    assert [answer.problem for answer in agent.answers()] == [""]


def test_what_is_removed_before_the_device_is_known_is_not_checked_any_more() -> None:
    """Removals wait for no measurement, and a check that waited for one is forgotten."""
    executor = HeldExecutor()
    agent = LightAgent(executor=executor).connect().receive("manifests", manifest(1))
    (measurement,), executor.jobs = executor.jobs, []
    agent.receive("manifests", tombstone(2))
    executor.release()
    assert agent.settle().status().state is State.REMOVED
    measurement(lambda: False)
    agent.settle()
    assert executor.jobs == []


def test_a_measurement_that_never_ends_is_told_to_who_asks() -> None:
    """A dead network disk: nobody waits for ever, nothing piles up, and there is no second one beside it."""
    agent, executor = held_agent()
    ask(agent, "q-1")
    agent.settle(LONGEST_SECONDS - 1)
    assert agent.answers() == []
    ask(agent, "q-2").settle(1.0)
    assert [(answer.query, "does not end" in answer.problem) for answer in agent.answers()] == [
        ("q-1", True),
        ("q-2", True),
    ]
    assert ask(agent, "q-3").answers()[-1].query == "q-3"
    assert agent.service.next_due() <= agent.clock.now + 1.0  # the chores
    assert len(executor.jobs) == 1
    executor.release()
    ask(agent.settle(1.0), "q-4")
    for _ in range(2):  # the regular one, which is overdue, and the one for the question
        executor.release()
        agent.settle(1.0)
    assert (agent.answers()[-1].query, agent.answers()[-1].problem) == ("q-4", "")


def test_rubbish_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """One line a second, with the number of those that had none."""
    agent = LightAgent().connect()
    for _ in range(1000):
        agent.ask(b"{")
        agent.ask(b'{"id":"q","about":"weather"}')
        agent.service.step(0.0)
    agent.ask(b"{").settle(1.0)
    lines = [record for record in caplog.records if record.levelname == "WARNING"]
    assert [record.fields["more_before"] for record in lines] == [0, 999]  # type: ignore[attr-defined]
    assert len(agent.answers()) == 1000


def test_a_runtime_that_starts_later_than_the_agent_is_waited_for() -> None:
    """After a power cut the engine is slower: what was told before stays on the broker for that while."""
    journal = memory_journal()
    before = LightAgent(journal)
    before.probe.found = before.probe.found.model_copy(update={"runtimes": (_DOCKER,)})
    before.connect().settle(15.0)
    executor = HeldExecutor()
    again = LightAgent(journal, executor=executor).connect().receive("manifests", manifest(1))
    with_docker = again.probe.found.model_copy(update={"runtimes": (_DOCKER,)})
    executor.release()
    again.settle()
    assert again.status().state is State.CREATED
    again.probe.found = with_docker
    for _ in range(20):
        again.settle(1.0)
        executor.release()
    assert {found.runtimes for found in told(again)} == {(_DOCKER,)}
    assert again.status().state is not State.CREATED


def test_a_runtime_that_does_not_come_back_after_a_start_is_told_to_be_gone() -> None:
    """It is waited for once."""
    journal = memory_journal()
    before = LightAgent(journal)
    before.probe.found = before.probe.found.model_copy(update={"runtimes": (_DOCKER,)})
    before.connect().settle(15.0)
    again = LightAgent(journal).connect()
    assert {found.runtimes for found in told(again)} == {(_DOCKER,)}, "the last one's, from the outbox"
    assert told(again.settle(15.0))[-1].runtimes == ()
