"""Work runs one after the other for a deployment, several deployments at a time, and never holds up the end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from edge_agent.adapters.executors import ThreadExecutor

WAIT = 10.0


@pytest.fixture
def executor() -> Iterator[ThreadExecutor]:
    running = ThreadExecutor(threads=2)
    yield running
    running.stop()


def test_jobs_of_a_key_run_in_order_and_one_at_a_time(executor: ThreadExecutor) -> None:
    """The next begins when the one before has ended."""
    seen: list[int] = []
    inside = threading.Semaphore(1)
    done = threading.Event()

    def job(number: int) -> Callable[[Callable[[], bool]], None]:
        def run(cancelled: Callable[[], bool]) -> None:
            assert inside.acquire(blocking=False)
            seen.append(number)
            inside.release()
            if number == 49:
                done.set()

        return run

    for number in range(50):
        executor.submit("app", job(number))
    assert done.wait(WAIT)
    assert seen == list(range(50))


def test_a_stuck_deployment_does_not_hold_up_another(executor: ThreadExecutor) -> None:
    """There is a second thread."""
    stuck, done = threading.Event(), threading.Event()
    executor.submit("stuck", lambda cancelled: _wait(stuck))
    executor.submit("app", lambda cancelled: done.set())
    assert done.wait(WAIT)
    stuck.set()


def test_cancelling_reaches_running_and_waiting_jobs_but_not_later_ones(executor: ThreadExecutor) -> None:
    """Each job has its own answer."""
    began, go, done = threading.Event(), threading.Event(), threading.Event()
    answers: list[bool] = []

    def first(cancelled: Callable[[], bool]) -> None:
        began.set()
        _wait(go)
        answers.append(cancelled())

    def last(cancelled: Callable[[], bool]) -> None:
        answers.append(cancelled())
        done.set()

    executor.submit("app", first)
    executor.submit("app", lambda cancelled: answers.append(cancelled()))
    assert began.wait(WAIT)
    executor.cancel(("app", "unknown"))
    executor.submit("app", last)
    go.set()
    assert done.wait(WAIT)
    assert answers == [True, True, False]


def test_stopping_does_not_wait_for_what_is_stuck() -> None:
    """Jobs are told, nothing new starts, and the process may end: the threads are daemons."""
    executor = ThreadExecutor(threads=1)
    began, stuck, ended = threading.Event(), threading.Event(), threading.Event()
    answers: list[bool] = []

    def job(cancelled: Callable[[], bool]) -> None:
        began.set()
        _wait(stuck)
        answers.append(cancelled())
        ended.set()

    executor.submit("app", job)
    executor.submit("app", lambda cancelled: answers.append(False))
    assert began.wait(WAIT)
    executor.stop()
    executor.submit("app", lambda cancelled: answers.append(False))
    assert all(thread.daemon for thread in threading.enumerate() if thread.name.startswith("worker-"))
    stuck.set()
    assert ended.wait(WAIT)
    assert answers == [True]


def _wait(event: threading.Event) -> None:
    assert event.wait(WAIT)
