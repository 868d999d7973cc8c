"""Whatever happens in whatever order: nobody gets what another has, and nobody waits for what is free."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.decision import Render
from orchestrator.placement import holders_of, is_wanted, place, refusals_of
from tests.unit.orchestrator.story import GIB, Story, spec, status
from topics.lifecycle import State

DEVICES = ("a", "b", "c", "d")
SPECS = ("one", "two", "three")
LINES = ("press", "oven")

_devices = st.sampled_from(DEVICES)
_names = st.sampled_from(SPECS)
_agents = st.one_of(
    st.fixed_dictionaries({"devices": st.sampled_from([("a",), ("b", "c"), ("gw/*",), ("gw/*", "a")])}),
    st.fixed_dictionaries({"selector": st.sampled_from([{}, *({"matchLabels": {"line": line}} for line in LINES)])}),
)
_steps = st.one_of(
    st.tuples(st.just("device"), _devices, st.sampled_from(LINES), st.sampled_from(("gw", "other", None))),
    st.tuples(
        st.just("spec"), _names, _agents, st.integers(1, 8), st.sampled_from(("all", 1, 2)),
        st.sampled_from(("keep", "remove")),
    ),
    st.tuples(st.just("delete"), _names),
    st.tuples(st.just("gone")),
    st.tuples(st.just("rendered"), _names),
    st.tuples(st.just("deployed"), _names, _devices),
)  # fmt: skip


def _take(story: Story, step: tuple[Any, ...]) -> None:
    match step:
        case ("device", device, line, gateway):
            story.device(device, {"line": line}, gateway=gateway)
        case ("spec", name, agents, memory, count, policy):
            story.spec(spec(name, **agents, memory=f"{memory}Gi", count=count, on_mismatch=policy), name)
        case ("delete", name):
            story.delete(name)
        case ("gone",):
            for known in list(story.fleet.deployments()):
                if known.removing:
                    story.gone(known.device, known.name)
        case ("rendered", name):
            record = story.fleet.specs.get(name)
            if record is not None and not record.deleted:
                lacking = [
                    device for device, item in story.fleet.of_spec(name).items()
                    if not item.removing and item.assigned == record.generation > item.desired_generation
                ]  # fmt: skip
                story.last.effects = [Render(name, record.generation, tuple(lacking))]
                story.rendered()
        case ("deployed", name, device):
            known = story.fleet.deployment(name, device)
            if known is not None and not known.removing and known.desired_generation > known.generation:
                number = known.sequence
                story.report(status(device, State.DEPLOYED, known.desired_generation, number, name=name))


@settings(max_examples=100)
@given(st.lists(_steps, min_size=8, max_size=20))
def test_nobody_gets_what_another_has_and_nobody_waits_for_what_is_free(steps: list[tuple[Any, ...]]) -> None:
    """After each step: no device is promised beyond what it has, no spec holds more than it wants, no device that
    suits is left out while one is wanted, and what is remembered is what a look at everything finds."""
    story = Story().device("a", {"line": "press"}, gateway="gw").device("b", {"line": "press"}, gateway="gw")
    story.device("c", {"line": "oven"})
    for step in steps:
        _take(story, step)
        fleet = story.fleet
        for device in fleet.devices:
            reserved = sum(fleet.ledger.held(device, name).memory for name in SPECS)
            assert reserved <= 8 * GIB, f"{device} is promised {reserved / GIB} of 8Gi after {step}"
        for record in fleet.specs.values():
            held = holders_of(fleet, record)
            assert fleet.holders(record.name) == len(held)
            if record.spec is None:
                assert not held
                continue
            wanted = record.spec.spec.agents.count
            assert wanted == "all" or len(held) <= wanted
            found = place(fleet, record, changed=False)
            assert not found.leaving, f"{found.leaving} should have lost {record.name} at {step}"
            if is_wanted(fleet, record):
                assert found.chosen.keys() <= held.keys(), f"{record.name} waits for {found.chosen} after {step}"
            if is_wanted(fleet, record):
                assert refusals_of(fleet, record).keys() == found.refused.keys()
