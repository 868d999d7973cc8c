"""Timers: in order, one for each key."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from topics.program.timers import Timers


def test_due_items_come_in_order_and_once() -> None:
    """Only what is due, by time, and ties in the order they were set."""
    timers: Timers[str] = Timers()
    for key, due in (("c", 3.0), ("a", 1.0), ("b", 1.0), ("d", 9.0)):
        timers.set(key, due, key.upper())
    assert timers.due(0.5) == []
    assert timers.due(3.0) == ["A", "B", "C"]
    assert timers.due(3.0) == []
    assert "d" in timers
    assert "a" not in timers


def test_a_key_has_its_newest_timer_only() -> None:
    """Setting it again replaces it, earlier or later; cancelling takes it away."""
    timers: Timers[int] = Timers()
    timers.set("a", 1.0, 1)
    timers.set("a", 5.0, 2)
    timers.set("b", 5.0, 3)
    timers.set("b", 1.0, 4)
    timers.set("c", 1.0, 5)
    timers.cancel("c")
    timers.cancel("never set")
    assert timers.due(4.0) == [4]
    assert timers.due(6.0) == [2]


def test_wait_is_until_the_next_one() -> None:
    """Never negative, never more than asked for, and what was cancelled wakes nobody."""
    timers: Timers[int] = Timers()
    assert timers.wait(0.0, 5.0) == 5.0
    timers.set("a", 2.0, 1)
    timers.set("b", 3.0, 2)
    assert timers.wait(0.5, 5.0) == 1.5
    assert timers.wait(0.5, 1.0) == 1.0
    assert timers.wait(9.0, 1.0) == 0.0
    timers.cancel("a")
    assert timers.wait(0.5, 5.0) == 2.5


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 20), st.booleans()), max_size=40), st.integers(0, 20))
def test_timers_are_a_dictionary_of_due_times(steps: list[tuple[str, int, bool]], now: int) -> None:
    """Against the obvious model: the last step for a key decides."""
    timers: Timers[str] = Timers()
    model: dict[str, tuple[int, int]] = {}
    for number, (key, due, setting) in enumerate(steps):
        if setting:
            timers.set(key, due, key)
            model[key] = (due, number)
        else:
            timers.cancel(key)
            model.pop(key, None)
    expected = sorted((key for key in model if model[key][0] <= now), key=lambda key: model[key])
    assert timers.due(now) == expected
    left = [due for due, _ in model.values() if due > now]
    assert timers.wait(now, 100.0) == (min(left) - now if left else 100.0)
