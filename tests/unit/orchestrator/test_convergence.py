"""Whatever happens, in whatever order: once everything was delivered, everybody agrees."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.orchestrator.simulation import World
from tests.unit.orchestrator.story import spec

_DEVICES = ("a", "b", "c")
_NAMES = ("press", "oven")
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
)

_name = st.sampled_from(_NAMES)
_device = st.sampled_from(_DEVICES)
_choice = st.integers(0, 5)
_STEPS = st.one_of(
    st.tuples(st.just("spec"), _name, st.sampled_from(range(len(_CONTENTS)))),
    st.tuples(st.just("delete"), _name),
    st.tuples(st.just("deliver"), _choice, st.booleans()),
    st.tuples(st.just("deliver"), _choice, st.booleans()),
    st.tuples(st.just("everything")),
    st.tuples(st.just("late"), _choice),
    st.tuples(st.just("render"), _choice),
    st.tuples(st.just("receive"), _device, _choice),
    st.tuples(st.just("work"), _device),
    st.tuples(st.just("work"), _device),
    st.tuples(st.just("falter"), _device),
    st.tuples(st.just("birth"), _device),
    st.tuples(st.just("die"), _device),
    st.tuples(st.just("replace"), _device),
    st.tuples(st.just("relabel"), _device, st.sampled_from(("press", "saw"))),
    st.tuples(st.just("pause"), _name),
    st.tuples(st.just("resume"), _name),
    st.tuples(st.just("kill")),
    st.tuples(st.just("cut")),
    st.tuples(st.just("empty")),
    st.tuples(st.just("wait"), st.sampled_from((3, 40, 100))),
)  # fmt: skip


def _play(world: World, steps: list[tuple[Any, ...]]) -> None:
    for number, step in enumerate(steps):
        match step:
            case ("spec", name, content):
                world.publish_spec(name, spec(name, **_CONTENTS[content]))
            case ("delete", name):
                world.publish_spec(name, b"")
            case ("deliver", choice, twice):
                world.deliver(choice, twice=twice)
            case ("everything",):
                while world.deliver(0):
                    pass
                world.pool.finish(0)
                world.turn()
            case ("late", choice):
                world.late_duplicate(choice)
            case ("render", choice):
                world.pool.finish(choice)
                world.turn()
            case ("receive", device, choice):
                world.device_receives(device, choice)
            case ("work", device):
                world.devices[device].work()
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


def _converge(steps: list[tuple[Any, ...]]) -> None:
    world = World(_DEVICES)
    _play(world, steps)
    for name in _NAMES:
        world.command(name, json.dumps({"id": f"end-{name}", "action": "resume"}).encode())
    world.settle()
    world.lose_broker()
    world.settle()
    assert list(world.faults()) == []
    for name, generation in world.generations.items():
        assert world.orchestrator.fleet.specs[name].generation == generation
    world.store.close()


@settings(max_examples=150, deadline=None)
@given(st.lists(_STEPS, max_size=50))
def test_everybody_agrees_in_the_end(steps: list[tuple[Any, ...]]) -> None:
    """Wanted, published, reported and running generation are one; no transition is missing; of what was deleted
    nothing is retained; and no generation ever fell."""
    _converge(steps)


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
