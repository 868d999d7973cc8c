"""Deadlines, in monotonic time: when something is asked for again, and when it is given up."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from orchestrator.decision import DeviceSilent, GapDue, NotTakenUp
from orchestrator.model import DeploymentRecord, DeviceRecord, Fleet
from orchestrator.watch import GAP_REQUESTS, GAP_SECONDS, MANIFEST_SECONDS, Watch
from topics.lifecycle import State

_KEY = ("press", "a")
_GAP = DeploymentRecord("press", "a", desired_generation=1, generation=1, sequence=4, event_sequence=2)
_LAGGING = DeploymentRecord("press", "a", desired_generation=2, generation=1)
_TICK = 0.5


def _fleet(record: DeploymentRecord | None = None, *, online: bool = True) -> Fleet:
    fleet = Fleet()
    fleet.devices["a"] = DeviceRecord("a", online=online, epoch=1, heartbeat_seconds=30.0)
    if record is not None:
        fleet.put_deployment(record)
    return fleet


def _ticks(watch: Watch, start: float, end: float) -> list[tuple[float, object]]:
    """Everything that became due, with its time; the device goes on giving signs of life."""
    found: list[tuple[float, object]] = []
    for number in range(1, int((end - start) / _TICK) + 1):
        now = start + number * _TICK
        watch.heard("a", now)
        events, again = watch.due(now)
        found += [(now, item) for item in (*events, *again) if not isinstance(item, NotTakenUp)]
    return found


def test_a_gap_is_given_time_to_close_by_itself() -> None:
    """Brokers do not keep order between topics."""
    watch = Watch(_fleet(_GAP), 0.0)
    assert watch.due(GAP_SECONDS) == ([], [])
    assert watch.due(GAP_SECONDS + _TICK)[0] == [GapDue(*_KEY, attempt=1)]


def test_a_gap_is_asked_for_ever_more_rarely_and_then_given_up() -> None:
    """Each request waits twice as long for its answer as the one before."""
    found = _ticks(Watch(_fleet(_GAP), 0.0), 0.0, 200.0)[: GAP_REQUESTS + 1]
    assert [item.attempt for _, item in found if isinstance(item, GapDue)] == [1, 2, 3, 4, 5, 6]
    assert [item.give_up for _, item in found if isinstance(item, GapDue)] == [False] * GAP_REQUESTS + [True]
    times = [time for time, _ in found]
    waits = [after - before for before, after in zip([0.0, *times], times, strict=False)]
    assert all(wait >= GAP_SECONDS * 2**number for number, wait in enumerate(waits))


def test_a_gap_that_closed_is_forgotten() -> None:
    """And one that opens later starts with patience again."""
    watch = Watch(_fleet(_GAP), 0.0)
    watch.look([_GAP._replace(event_sequence=4)], 1.0)
    watch.look([_GAP], 100.0)
    watch.heard("a", 100.0)
    assert watch.due(100.0 + GAP_SECONDS) == ([], [])


def test_an_offline_device_is_not_asked() -> None:
    """Nobody would answer."""
    assert Watch(_fleet(_GAP, online=False), 0.0).due(1000.0) == ([], [])


def test_a_device_that_comes_back_has_time_to_answer() -> None:
    """Its transitions are not given up within seconds because the gap is old."""
    fleet = _fleet(_GAP, online=False)
    watch = Watch(fleet, 0.0)
    for number in range(1, 2000):
        watch.due(number * _TICK)
    fleet.devices["a"] = replace(fleet.devices["a"], online=True)
    found = _ticks(watch, 1000.0, 1060.0)
    assert [item.attempt for _, item in found if isinstance(item, GapDue)] == [1, 2, 3, 4]


def test_a_manifest_that_nobody_takes_up_is_published_again() -> None:
    """The broker may have lost it, or the device its session."""
    watch = Watch(_fleet(_LAGGING), 0.0)
    assert _ticks(watch, 0.0, MANIFEST_SECONDS) == []
    assert _ticks(watch, MANIFEST_SECONDS, MANIFEST_SECONDS + 1) == [(MANIFEST_SECONDS + _TICK, _KEY)]


def test_a_device_that_takes_nothing_up_is_asked_to_speak() -> None:
    """It may ignore the manifest because it has seen a newer generation."""
    watch = Watch(_fleet(_LAGGING), 0.0)
    watch.heard("a", MANIFEST_SECONDS)
    assert watch.due(MANIFEST_SECONDS + _TICK) == ([NotTakenUp(*_KEY, attempt=1)], [_KEY])


def test_a_manifest_is_published_ever_more_rarely() -> None:
    """A device that refuses it must not be flooded: about every half hour after the first hours."""
    watch = Watch(_fleet(_LAGGING), 0.0)
    day = 86_400.0
    times = [time for time, _ in _ticks(watch, 0.0, day)]
    assert 40 < len(times) < 60
    assert all(after - before > MANIFEST_SECONDS for before, after in pairwise(times))


def test_a_manifest_that_was_taken_up_is_left_alone() -> None:
    """The device reports the wanted generation."""
    watch = Watch(_fleet(_LAGGING), 0.0)
    watch.look([_LAGGING._replace(generation=2, state=State.CREATED)], 1.0)
    assert _ticks(watch, 1.0, 100.0) == []


def test_a_deployment_that_is_gone_is_forgotten() -> None:
    """Nothing is due for it any more."""
    watch = Watch(_fleet(_GAP), 0.0)
    watch.look([_GAP._replace(desired_generation=2)], 0.0)
    watch.forget(_KEY)
    assert _ticks(watch, 0.0, 100.0) == []


def test_three_missed_heartbeats_are_silence() -> None:
    """By the device's own rhythm."""
    watch = Watch(_fleet(), 0.0)
    watch.heard("a", 10.0)
    assert watch.due(100.0) == ([], [])
    assert watch.due(100.5)[0] == [DeviceSilent("a")]


def test_an_offline_device_cannot_fall_silent() -> None:
    """It is offline already."""
    assert Watch(_fleet(online=False), 0.0).due(1000.0) == ([], [])


def test_after_a_restart_an_online_device_has_one_more_deadline() -> None:
    """Its last message was before this program was there."""
    watch = Watch(_fleet(), 5000.0)
    assert watch.due(5090.0) == ([], [])
    assert watch.due(5091.0)[0] == [DeviceSilent("a")]
