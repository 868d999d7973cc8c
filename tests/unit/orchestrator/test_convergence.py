"""Whatever happens, in whatever order: once everything was delivered, everybody agrees."""

from __future__ import annotations

import json
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.orchestrator.simulation import World
from tests.unit.orchestrator.story import spec

_DEVICES = ("a", "b", "c")
_LINE = {"selector": {"matchLabels": {"line": "press"}}}
_CONTENTS: tuple[dict[str, Any], ...] = (
    {"devices": ("a",)},
    {"devices": ("a", "b")},
    {"devices": ("b",), "rate": "20"},
    {},
    {"rate": "20"},
    _LINE,
    {**_LINE, "count": 1},
    {"count": 2},
    {"memory": "5Gi"},
    {"devices": ("a", "b"), "memory": "3Gi", "rate": "20"},
    {**_LINE, "count": 2, "memory": "6Gi", "on_mismatch": "remove"},
    {**_LINE, "on_mismatch": "remove"},
)
_PLAIN = {"press": _CONTENTS, "oven": _CONTENTS}
_HUNGRY_CONTENTS: tuple[dict[str, Any], ...] = (
    {"memory": "5Gi"},
    {"memory": "3Gi"},
    {"devices": ("a",), "memory": "5Gi"},
    {"devices": ("a", "b"), "memory": "4Gi"},
    {**_LINE, "count": 1, "memory": "5Gi", "on_mismatch": "remove"},
    {**_LINE, "memory": "5Gi", "on_mismatch": "remove"},
    {"count": 2, "memory": "4Gi", "spread_by": "line"},
    {"count": 1, "memory": "8Gi", "rate": "20"},
    {"memory": "1Gi"},
)
"""A device has 8Gi: these contents are rivals."""

_HUNGRY = dict.fromkeys(("press", "oven", "saw"), _HUNGRY_CONTENTS)

Contents = Mapping[str, tuple[dict[str, Any], ...]]
"""The specs, and what each may be."""

_name = st.sampled_from(("press", "press", "press", "oven"))
_device = st.sampled_from(_DEVICES)
_choice = st.integers(0, 5)
_EVENTS = st.one_of(
    st.tuples(st.just("spec"), _name, st.sampled_from(range(len(_CONTENTS)))),
    st.tuples(st.just("delete"), _name),
    st.tuples(st.just("deliver"), _choice, st.booleans()),
    st.tuples(st.just("late"), _choice),
    st.tuples(st.just("render"), _choice),
    st.tuples(st.just("falter"), _device),
    st.tuples(st.just("birth"), _device),
    st.tuples(st.just("die"), _device),
    st.tuples(st.just("replace"), _device),
    st.tuples(st.just("relabel"), _device, st.sampled_from(("press", "saw"))),
    st.tuples(st.just("relabel"), _device, st.sampled_from(("press", "saw"))),
    st.tuples(st.just("pause"), _name),
    st.tuples(st.just("resume"), _name),
    st.tuples(st.just("kill")),
    st.tuples(st.just("cut")),
    st.tuples(st.just("empty")),
    st.tuples(st.just("wait"), st.sampled_from((3, 40, 100))),
)  # fmt: skip
_STEPS = st.lists(st.tuples(_EVENTS, st.sampled_from((0, 2, 5, 10, 40, 100))), min_size=5, max_size=30)
"""What happens, and how many small steps the system makes by itself after each."""


def _go_on(world: World, moves: int, chance: Random) -> None:
    """Messages arrive, renders end and devices work, in a random order; some messages arrive twice."""
    for _ in range(moves):
        device = chance.choice(_DEVICES)
        match chance.randrange(16):
            case 0:
                world.pool.finish(chance.randrange(3))
                world.turn()
            case 1 | 2 | 3 | 4 | 5 | 6:
                world.deliver(chance.randrange(6), twice=chance.random() < 0.2)
            case 7 | 8 | 9 | 10:
                world.device_receives(device, chance.randrange(3))
            case _:
                world.devices[device].work()


def _play(world: World, steps: list[tuple[tuple[Any, ...], int]], chance: Random, contents: Contents) -> None:
    for device in world.devices.values():
        device.birth()
    for name in contents:
        world.publish_spec(name, spec(name))
    for number, (step, moves) in enumerate(steps):
        _go_on(world, moves, chance)
        match step:
            case ("spec", name, content):
                world.publish_spec(name, spec(name, **contents[name][content]))
            case ("delete", name):
                world.publish_spec(name, b"")
            case ("deliver", choice, twice):
                world.deliver(choice, twice=twice)
            case ("late", choice):
                world.late_duplicate(choice)
            case ("render", choice):
                world.pool.finish(choice)
                world.turn()
            case ("falter", device):
                world.devices[device].falter()
            case ("birth", device):
                world.devices[device].birth()
            case ("die", device):
                world.devices[device].die()
            case ("replace", device):
                world.devices[device].replace()
            case ("relabel", device, line):
                world.devices[device].labels = {"line": line}
                world.devices[device].describe()
            case ("pause" | "resume" as action, name):
                world.command(name, json.dumps({"id": f"{action}-{number}", "action": action}).encode())
            case ("kill",):
                world.kill()
            case ("cut",):
                world.cut_off_and_killed()
            case ("empty",):
                world.lose_broker()
            case ("wait", seconds):
                world.clock.now += seconds
                world.turn()


def _converge(
    steps: list[tuple[tuple[Any, ...], int]],
    chance: Random,
    *,
    lost_at_the_end: bool,
    contents: Contents = _PLAIN,
) -> None:
    world = World(_DEVICES)
    _play(world, steps, chance, contents)
    for name in contents:
        world.command(name, json.dumps({"id": f"end-{name}", "action": "resume"}).encode())
    world.settle()
    if lost_at_the_end:
        world.lose_broker()
        world.settle()
    assert list(world.faults()) == []
    for name, generation in world.generations.items():
        assert world.orchestrator.fleet.specs[name].generation == generation
    world.store.close()


def _random_steps(chance: Random, contents: Contents = _PLAIN) -> list[tuple[tuple[Any, ...], int]]:
    """Longer lives than hypothesis likes to make up, with the events that matter together."""
    steps: list[tuple[tuple[Any, ...], int]] = []
    for _ in range(chance.randrange(10, 40)):
        if contents is _PLAIN:
            name = chance.choice(("press", "press", "press", "oven"))
        else:
            name = chance.choice(list(contents))
        device = chance.choice(_DEVICES)
        content = chance.choice((chance.randrange(len(contents[name])), 5, 6))
        rare: tuple[Any, ...] = chance.choice(
            [("pause", name), ("resume", name), ("kill",), ("cut",), ("empty",), ("replace", device)]
        )
        step: tuple[Any, ...] = chance.choice(
            [
                ("spec", name, content), ("spec", name, content), ("spec", name, content), ("delete", name),
                ("late", chance.randrange(20)), ("late", chance.randrange(6)), ("falter", device), ("birth", device),
                ("die", device), ("relabel", device, "press"), ("relabel", device, "saw"), rare, rare,
                ("wait", chance.choice((3, 40, 100))),
            ]
        )  # fmt: skip
        steps.append((step, chance.choice((0, 2, 5, 10, 40, 100))))
    return steps


@pytest.mark.parametrize("seed", range(60))
def test_long_lives_end_in_agreement(seed: int) -> None:
    """The same lives in every run, so that a failure names its seed."""
    chance = Random(seed)
    _converge(_random_steps(chance), chance, lost_at_the_end=seed % 3 == 0)


@pytest.mark.parametrize("seed", range(60))
def test_rivals_for_memory_end_in_agreement(seed: int) -> None:
    """Never is more reserved than a device has; at the end as much as runs there, nobody waits for room that is
    free, and of what is gone nothing is reserved."""
    chance = Random(seed)
    _converge(_random_steps(chance, _HUNGRY), chance, lost_at_the_end=seed % 3 == 0, contents=_HUNGRY)


@settings(max_examples=60)
@given(_STEPS, st.randoms(use_true_random=False), st.booleans())
def test_everybody_agrees_in_the_end(
    steps: list[tuple[tuple[Any, ...], int]], chance: Random, lost_at_the_end: bool
) -> None:
    """Wanted, published, reported and running generation are one; no transition is missing; of what was deleted
    nothing is retained; and no generation ever fell."""
    _converge(steps, chance, lost_at_the_end=lost_at_the_end)


def test_a_quiet_system_is_quiet() -> None:
    """Every device deployed, then nothing more is published for a day."""
    world = World(_DEVICES)
    world.publish_spec("press", spec("press"))
    world.settle()
    assert list(world.faults()) == []
    before = dict(world.broker.retained)
    world.settle()
    assert world.broker.retained == before
    world.store.close()
