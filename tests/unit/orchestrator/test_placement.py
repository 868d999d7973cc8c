"""Who takes a spec, who cannot and why, and whom it waits for."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.decision import Render
from tests.unit.orchestrator.story import NAME, Story, event, spec, status
from topics.lifecycle import State

_PRESS = {"selector": {"matchLabels": {"line": "press"}}}


def _expression(operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": "line", "operator": operator, **({"values": list(values)} if values else {})}]}


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ({}, ["bare", "oven", "press"]),
        ({"matchLabels": {"line": "press"}}, ["press"]),
        ({"matchLabels": {"line": "press", "hall": "2"}}, []),
        (_expression("In", "press", "saw"), ["press"]),
        (_expression("NotIn", "press"), ["bare", "oven"]),
        (_expression("Exists"), ["oven", "press"]),
        (_expression("DoesNotExist"), ["bare"]),
        ({"matchLabels": {"line": "press"}} | _expression("NotIn", "press"), []),
    ],
    ids=str,
)
def test_a_selector_selects_as_kubernetes_does(selector: dict[str, Any], selected: list[str]) -> None:
    """Labels and expressions are all required; a missing label is not in any list."""
    story = Story().device("press", {"line": "press"}).device("oven", {"line": "oven"}).device("bare")
    assert story.spec(spec(selector=selector)).holders() == set(selected)


def test_named_devices_hold_the_spec_and_unknown_ones_are_waited_for() -> None:
    """A device that has not said what it is may still come."""
    story = Story().device("a").presence("b").spec(spec(devices=("a", "b", "c")))
    assert story.holders() == {"a"}
    assert story.aggregate().waiting_for == ("b", "c")


def test_a_device_that_joins_is_rendered_for_alone() -> None:
    """Those that have their manifest are left in peace."""
    story = Story().device("a").spec(spec()).rendered().device("b")
    assert story.renders == [(1, ("b",))]


def test_a_named_device_that_appears_later_is_taken() -> None:
    """It was waited for."""
    story = Story().spec(spec(devices=("a",))).device("a").rendered()
    assert story.manifest("a").generation == 1
    assert story.aggregate().waiting_for == ()


def test_a_device_that_fits_nowhere_is_refused_with_every_reason() -> None:
    """In the result and in the aggregate, per device."""
    needs = {"cpu": {"cores": "16", "architectures": ["arm64"]}, "memory": "64Gi", "storage": "1Ti"}
    story = Story().device("a", appliers=()).spec(spec(requirements=needs))
    expected = {"architecture", "memory", "storage", "no-applier"}
    assert {reason.code for reason in story.result().reasons} == expected
    assert {reason.device for reason in story.result().reasons} == {"a"}
    [refused] = story.aggregate().not_placeable
    assert (refused.device, {reason.code for reason in refused.reasons}) == ("a", expected)
    assert story.aggregate().phase == "NotPlaceable"
    assert story.renders == []


def test_a_device_that_comes_to_fit_is_taken() -> None:
    """More memory was put into it."""
    story = Story().device("a", memory=2**30).spec(spec(requirements={"memory": "4Gi"}))
    assert story.holders() == set()
    story.device("a", memory=2**33)
    assert story.holders() == {"a"}
    assert story.aggregate().not_placeable == ()


def test_a_device_that_no_longer_fits_keeps_what_it_runs_and_says_why() -> None:
    """Only a change of the spec takes a deployment off."""
    story = Story().device("a").spec(spec(requirements={"memory": "4Gi"})).rendered().deployed("a", 1)
    story.aggregate()
    story.device("a", memory=2**30)
    assert story.holders() == {"a"}
    assert [item.device for item in story.aggregate().not_placeable] == ["a"]
    assert story.last.publications == []


def test_a_device_that_is_no_longer_selected_is_no_longer_refused() -> None:
    """What is said about it must be about a device that the spec means."""
    story = Story().device("a", {"line": "press"}, memory=1).spec(spec(**_PRESS, requirements={"memory": "4Gi"}))
    assert [item.device for item in story.aggregate().not_placeable] == ["a"]
    story.device("a", {"line": "oven"}, memory=1)
    assert story.aggregate().not_placeable == ()
    assert NAME in story.last.touched


def test_with_a_count_the_first_by_id_are_taken() -> None:
    """The same devices, whatever order they came in."""
    for order in (("a", "b", "c"), ("c", "b", "a")):
        story = Story()
        for device in order:
            story.device(device)
        assert story.spec(spec(count=2)).holders() == {"a", "b"}


def test_with_a_count_those_that_hold_the_spec_stay() -> None:
    """A device that joins moves nothing."""
    story = Story().device("b").device("c").spec(spec(count=2)).rendered().device("a")
    assert story.holders() == {"b", "c"}
    assert story.effects(Render) == []
    story.spec(spec(count=2, rate="20"))
    assert story.holders() == {"b", "c"}


def test_with_a_count_a_joining_device_fills_up() -> None:
    """As many as are wanted, as soon as there are so many."""
    story = Story().device("a").spec(spec(count=2)).rendered()
    assert story.device("b").holders() == {"a", "b"}
    assert story.device("c").holders() == {"a", "b"}


def test_with_a_count_another_label_takes_nothing_off() -> None:
    """As without one: only a change of the spec does, and a tombstone never outruns the generation."""
    story = Story().device("a", {"line": "press"}).spec(spec(**_PRESS, count=1)).rendered().deployed("a", 1)
    story.device("a", {"line": "oven"}).device("b", {"line": "press"})
    assert story.manifest("a").action == "apply"
    assert all(item.desired_generation <= 1 for item in story.fleet.deployments())


def test_a_device_that_saw_a_tombstone_of_this_generation_gets_a_newer_one() -> None:
    """Generation 2 took it off there; relabelled back, it would refuse another manifest with that number."""
    story = Story().device("a", {"line": "oven"}).device("b", {"line": "press"})
    story.spec(spec(selector={})).rendered().deployed("a", 1).spec(spec(**_PRESS)).rendered()
    story.report(status("a", State.REMOVED, 2, 5))
    assert story.fleet.deployment(NAME, "a") is None
    story.device("a", {"line": "press"}).rendered()
    story.report(status("a", State.REMOVED, 2, 5)).rendered()
    assert story.record().generation == 3
    assert story.manifest("a").generation == story.manifest("b").generation == 3
    assert story.result().generation == 3


def test_a_late_removed_of_an_older_tombstone_raises_nothing() -> None:
    """The manifest on its way is newer: the device will take it."""
    story = Story().device("a").device("b").spec(spec()).rendered().spec(spec(devices=("b",))).rendered()
    story.spec(spec(devices=("a", "b"))).rendered()
    story.report(event("a", 1, None, State.REMOVING, 2)).report(event("a", 2, State.REMOVING, State.REMOVED, 2))
    story.report(status("a", State.REMOVED, 2, 2, desired=3))
    assert story.record().generation == 3
    assert story.deployment("a").desired_generation == 3
