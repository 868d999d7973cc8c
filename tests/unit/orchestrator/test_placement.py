"""Who takes a spec, who cannot and why, and whom it waits for."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.decision import Render
from tests.unit.orchestrator.story import GIB, NAME, Story, event, spec, status
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
    assert story.published == [f"specs/{NAME}/result"]


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


def test_devices_behind_a_gateway_are_named_by_their_path() -> None:
    """One of them, or all; the gateway itself is not behind itself."""
    story = Story().device("gw").device("a", gateway="gw").device("b", gateway="gw").device("c", gateway="other")
    assert story.spec(spec(devices=("gw/*",))).holders() == {"a", "b"}
    assert story.spec(spec("one", devices=("gw/b", "c")), "one").holders("one") == {"b", "c"}


def test_a_reference_that_names_nobody_is_waited_for() -> None:
    """A gateway's devices may still come, and are taken then."""
    story = Story().device("a").spec(spec(devices=("gw/*", "gw/b", "a")))
    assert story.aggregate().waiting_for == ("gw/*", "gw/b")
    story.device("b", gateway="gw")
    assert story.holders() == {"a", "b"}
    assert story.aggregate().waiting_for == ()


def test_a_device_behind_another_gateway_is_no_longer_named() -> None:
    """It was moved; the spec says what becomes of it."""
    story = Story().device("a", gateway="gw").spec(spec(devices=("gw/*",), on_mismatch="remove"))
    assert story.holders() == {"a"}
    story.capabilities_of("a", gateway="other")
    assert story.manifest("a").action == "remove"


def test_of_all_behind_a_gateway_one_is_chosen_and_says_why() -> None:
    """Margo's ``deviceId: gateway/*``: exactly one child, the one with the most left; the gateway is none of them."""
    story = Story().device("gw", memory=64 * GIB).device("a", gateway="gw").device("b", gateway="gw", memory=16 * GIB)
    story.device("c", gateway="other", memory=32 * GIB).spec(spec(devices=("gw/*",), count=1, memory="1Gi"))
    assert story.holders() == {"b"}
    assert story.why() == {"b": "1 of 1: most left: memory 93 %"}
    assert story.aggregate().not_placeable == ()


def test_the_chosen_child_of_a_gateway_keeps_it() -> None:
    """Through larger children that join, restarts of its own and new generations."""
    story = Story().device("b", gateway="gw").spec(spec(devices=("gw/*",), count=1)).rendered().deployed("b", 1)
    story.device("a", gateway="gw", memory=64 * GIB).device("b", gateway="gw", kernel="6.9")
    assert story.spec(spec(devices=("gw/*",), count=1, rate="20")).holders() == {"b"}
    assert story.why() == {"b": "1 of 1: has it already"}


def test_the_first_child_that_joins_a_gateway_is_taken_and_no_second_one() -> None:
    """The spec was there before; a child that is too small is not the one."""
    story = Story().device("gw").spec(spec(devices=("gw/*",), count=1, memory="2Gi"))
    assert story.aggregate().waiting_for == ("gw/*",)
    for device, memory in (("a", 1), ("b", 4), ("c", 8)):
        story.device(device, gateway="gw", memory=memory * GIB)
    assert story.holders() == {"b"}
    assert story.result().placed[0].why == "1 of 1: suits, and nobody had it"


@pytest.mark.parametrize("change", [{"gateway": "other"}, {"gateway": "gw", "memory": GIB}], ids=str)
def test_the_next_child_of_a_gateway_is_taken_when_the_chosen_one_stops_matching(change: dict[str, Any]) -> None:
    """Moved to another gateway, or too small by now, where the spec says that misfits lose it."""
    story = Story().device("a", gateway="gw").device("b", gateway="gw", memory=4 * GIB)
    story.spec(spec(devices=("gw/*",), count=1, memory="2Gi", on_mismatch="remove")).rendered().deployed("a", 1)
    story.capabilities_of("a", **change)
    assert (story.holders(), story.renders) == ({"b"}, [(1, ("b",))])
    assert story.manifest("a").action == "remove"
    assert story.why() == {"b": "1 of 1: most left: memory 50 %"}


def test_a_chosen_child_that_is_kept_counts_as_the_one() -> None:
    """The default: nothing runs twice because a device was moved, and the reason is told."""
    story = Story().device("a", gateway="gw").device("b", gateway="gw").spec(spec(devices=("gw/*",), count=1))
    story.rendered().deployed("a", 1).capabilities_of("a", gateway="other")
    assert story.holders() == {"a"}
    assert [item.device for item in story.aggregate().not_placeable] == ["a"]


def test_of_a_list_as_many_are_taken_as_are_wanted() -> None:
    """The best of those that are named; who is not named is no candidate, and who is lost is replaced from the list."""
    story = Story().device("a").device("b", memory=16 * GIB).device("c", memory=4 * GIB).device("d", memory=64 * GIB)
    story.spec(spec(devices=("a", "b", "c", "e"), count=2, memory="1Gi", on_mismatch="remove")).rendered()
    assert story.holders() == {"a", "b"}
    story.deployed("a", 1).deployed("b", 1).capabilities_of("b", memory=1)
    assert story.holders() == {"a", "c"}
    assert story.why()["c"] == "2 of 2: most left: memory 75 %"


def test_a_list_shorter_than_the_count_takes_whoever_comes() -> None:
    """Those that were waited for fill it up."""
    story = Story().device("a").spec(spec(devices=("a", "b", "c"), count=2))
    assert story.device("c").device("b").holders() == {"a", "c"}


def test_properties_select_as_labels_do() -> None:
    """A key that starts with a slash points into the property document."""
    selector = {"matchExpressions": [{"key": "/memory", "operator": "Gt", "values": ["4Gi"]}]}
    story = Story().device("small", memory=2 * GIB).device("large").spec(spec(selector=selector))
    assert story.holders() == {"large"}
    assert story.capabilities_of("small", memory=16 * GIB).holders() == {"large", "small"}


def test_rules_are_requirements() -> None:
    """None holds: refused, with the expression that failed."""
    label = {"matchExpressions": [{"key": "line", "operator": "In", "values": ["press"]}]}
    story = Story().device("a", {"line": "oven"}).spec(spec(requirements={"rules": [{"labelSelector": label}]}))
    assert story.holders() == set()
    [reason] = story.result().reasons
    assert (reason.device, reason.path) == ("a", "spec.requirements.rules[0].labelSelector.matchExpressions[0]")


def test_a_device_that_is_no_longer_selected_keeps_it_and_says_so() -> None:
    """``onMismatch: keep`` is the default."""
    story = Story().device("a", {"line": "press"}).spec(spec(**_PRESS)).rendered().deployed("a", 1)
    story.capabilities_of("a", {"line": "oven"})
    assert (story.holders(), story.aggregate().phase) == ({"a"}, "Deployed")
    assert story.reasons("a") == ["label line must be press; the device has oven"]
    story.capabilities_of("a", {"line": "press"})
    assert story.aggregate().not_placeable == ()


@pytest.mark.parametrize(
    "change", [{"labels": {"line": "oven"}}, {"labels": {"line": "press"}, "memory": GIB}], ids=str
)
def test_where_misfits_are_removed_a_device_that_changed_loses_it(change: dict[str, Any]) -> None:
    """No longer selected, or too small by now: a tombstone, and no new generation for the others."""
    story = Story().device("a", {"line": "press"}).device("b", {"line": "press"})
    story.spec(spec(**_PRESS, memory="2Gi", on_mismatch="remove")).rendered().deployed("a", 1).deployed("b", 1)
    story.capabilities_of("a", **change)
    assert (story.manifest("a").action, story.manifest("b").action) == ("remove", "apply")
    assert story.record().generation == 1
    assert "deployment no longer suits" in story.notes


def test_in_place_of_a_misfit_another_device_is_chosen() -> None:
    """As many as are wanted, at once."""
    story = Story().device("a", {"line": "press"}).device("b", {"line": "press"})
    story.spec(spec(**_PRESS, count=1, on_mismatch="remove")).rendered().deployed("a", 1)
    story.capabilities_of("a", {"line": "oven"})
    assert story.holders() == {"b"}
    assert story.renders == [(1, ("b",))]
    assert story.why() == {"b": "1 of 1: most left: cpu 100 %"}


def test_a_misfit_that_is_kept_counts_as_one_of_them() -> None:
    """Nobody is moved by itself."""
    story = Story().device("a", {"line": "press"}).spec(spec(**_PRESS, count=1)).rendered().deployed("a", 1)
    story.capabilities_of("a", {"line": "oven"}).device("b", {"line": "press"})
    assert story.holders() == {"a"}


def test_a_removed_misfit_that_suits_again_is_taken_up_again() -> None:
    """With a generation above its tombstone, as soon as the device says that it has seen one."""
    story = Story().device("a", {"line": "press"}).spec(spec(**_PRESS, on_mismatch="remove")).rendered()
    story.deployed("a", 1).capabilities_of("a", {"line": "oven"}).gone("a")
    assert list(story.fleet.deployments()) == []
    story.capabilities_of("a", {"line": "press"}).rendered()
    story.report(status("a", State.REMOVED, 2, 7, desired=2)).rendered()
    assert (story.record().generation, story.manifest("a").generation) == (3, 3)


def test_a_change_that_concerns_no_spec_says_nothing() -> None:
    """Neither an aggregate nor an answer."""
    story = Story().device("a").device("b").spec(spec(devices=("a",))).capabilities_of("b", kernel="6.9")
    assert (story.last.touched, story.published) == (set(), [])


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
