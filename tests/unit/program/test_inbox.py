"""The inbox between the network thread and the deciding thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from topics.program.inbox import Inbox

WAIT_SECONDS = 20.0


def started(target: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=target)
    thread.start()
    return thread


def ended(thread: threading.Thread) -> bool:
    thread.join(WAIT_SECONDS)
    return not thread.is_alive()


def test_batches_keep_the_order_and_the_size() -> None:
    """What went in first comes out first, never more than asked for."""
    inbox: Inbox[int] = Inbox()
    for number in range(10):
        inbox.put(number)
    assert inbox.take(4, 0) == [0, 1, 2, 3]
    assert inbox.take(4, 0) == [4, 5, 6, 7]
    assert inbox.take(4, 0) == [8, 9]
    assert inbox.take(4, 0) == []


def test_a_bounded_put_blocks_until_there_is_room() -> None:
    """The third of two stays outside until one is taken; unbounded ones never wait."""
    inbox: Inbox[int] = Inbox(2)
    inbox.put(1)
    inbox.put(2)
    thread = started(lambda: inbox.put(3, bounded=True))
    thread.join(0.2)
    assert thread.is_alive()
    inbox.put(4)
    assert inbox.take(2, 0) == [1, 2]
    assert ended(thread)
    assert inbox.take(9, 0) == [4, 3]


def test_a_small_batch_also_releases_who_waits() -> None:
    """Also when more than the limit had been put unbounded, everybody gets in at last."""
    inbox: Inbox[int] = Inbox(2)
    for number in range(5):
        inbox.put(number)
    threads = [started(lambda: inbox.put(9, bounded=True)) for _ in range(3)]
    taken: list[int] = []
    deadline = time.monotonic() + WAIT_SECONDS
    while len(taken) < 8:
        assert time.monotonic() < deadline
        taken += inbox.take(1, 1.0)
    assert taken == [0, 1, 2, 3, 4, 9, 9, 9]
    assert all(ended(thread) for thread in threads)


def test_take_wakes_for_the_first_item() -> None:
    """It does not wait its time out."""
    inbox: Inbox[int] = Inbox()
    taken: list[int] = []
    thread = started(lambda: taken.extend(inbox.take(5, WAIT_SECONDS * 3)))
    inbox.put(1)
    assert ended(thread)
    assert taken == [1]


def test_take_gives_up_after_its_time() -> None:
    """An empty batch is how a deciding thread gets to its timers."""
    started_at = time.monotonic()
    assert Inbox[int]().take(5, 0.05) == []
    assert 0.04 < time.monotonic() - started_at < WAIT_SECONDS


def test_closing_wakes_everybody() -> None:
    """Blocked producers get in, a waiting consumer gets its empty batch, and nothing blocks any more."""
    full: Inbox[int] = Inbox(1)
    full.put(1)
    empty: Inbox[int] = Inbox(1)
    threads = [started(lambda: full.put(2, bounded=True)), started(lambda: empty.take(1, WAIT_SECONDS * 3))]
    full.close()
    empty.close()
    assert all(ended(thread) for thread in threads)
    full.put(3, bounded=True)
    assert full.take(9, 0) == [1, 2, 3]
    assert empty.take(1, WAIT_SECONDS * 3) == []


def test_many_producers_and_a_small_limit() -> None:
    """Of 8 threads' items none is lost, none is doubled, and each thread's own order is kept."""
    inbox: Inbox[tuple[int, int]] = Inbox(5)
    threads = [
        started(lambda source=source: [inbox.put((source, number), bounded=True) for number in range(500)])  # type: ignore[misc]
        for source in range(8)
    ]
    taken: list[tuple[int, int]] = []
    deadline = time.monotonic() + WAIT_SECONDS
    while len(taken) < 4000:
        assert time.monotonic() < deadline, len(taken)
        batch = inbox.take(3, 1.0)
        assert len(batch) <= 3
        taken += batch
    assert all(ended(thread) for thread in threads)
    for source in range(8):
        assert [number for owner, number in taken if owner == source] == list(range(500))
