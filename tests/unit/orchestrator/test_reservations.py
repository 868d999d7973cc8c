"""What is promised on a device: who gets the last gigabyte, who waits for it, and when it is free again."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.decision import Render
from orchestrator.model import Fleet
from tests.unit.orchestrator.story import GIB, NAME, TOPICS, Story, event, spec, status
from topics import channels
from topics.allocation import Share
from topics.codec import encode
from topics.documents.device import Allocatable, Promise
from topics.lifecycle import State


def _wants(name: str, memory: str, **fields: object) -> bytes:
    return spec(name, devices=("a",), memory=memory, **fields)  # type: ignore[arg-type]


def _rivals() -> Story:
    """A device of 8Gi: ``first`` has 5Gi of it, ``second`` wants as much."""
    return Story().device("a").spec(_wants("first", "5Gi"), "first").spec(_wants("second", "5Gi"), "second")


def _reserved(story: Story, name: str, device: str = "a") -> int:
    return story.deployment(device, name).reserved.memory // GIB


def _rendered(story: Story, name: str) -> Story:
    """The newest generation of the spec is published for its devices."""
    lacking = [device for device, item in story.fleet.of_spec(name).items() if not item.removing]
    story.last.effects = [Render(name, story.record(name).generation, tuple(lacking))]
    return story.rendered()


def test_what_a_deployment_needs_is_reserved_with_its_assignment() -> None:
    """In the same decision, before any manifest is rendered."""
    story = Story().device("a").spec(_wants(NAME, "1.5Gi"))
    [record] = [item for item in story.last.records if item == story.deployment("a")]
    assert record == story.deployment("a")
    assert story.deployment("a").reserved == Share(memory=3 * GIB // 2)
    assert story.fleet.ledger.left("a").memory == 13 * GIB // 2


def test_of_two_specs_for_the_last_gigabytes_exactly_one_gets_them() -> None:
    """The other one is refused, and told who holds the rest."""
    story = _rivals()
    assert story.holders("first") == {"a"}
    assert story.holders("second") == set()
    assert story.reasons("a", "second") == ["needs 5Gi memory, 3Gi left of 8Gi: 5Gi promised to first"]
    assert [(reason.code, reason.device) for reason in story.result("second").reasons] == [("memory-left", "a")]
    assert story.aggregate("second").phase == "NotPlaceable"


def test_a_tombstone_frees_nothing_yet() -> None:
    """The device still runs it, perhaps for long."""
    story = _rendered(_rivals(), "first").delete("first")
    assert story.holders("second") == set()
    assert story.spec(_wants("third", "5Gi"), "third").holders("third") == set()


def test_once_a_deployment_is_gone_who_waited_for_its_room_is_placed() -> None:
    """Rendered, answered anew, and no longer refused."""
    story = _rendered(_rivals(), "first").delete("first").gone("a", "first")
    assert story.holders("second") == {"a"}
    assert story.renders == [(1, ("a",))]
    assert story.result("second").reasons == ()
    assert [item.device for item in story.result("second").placed] == ["a"]
    assert story.aggregate("second").not_placeable == ()


def test_who_waited_is_served_in_the_order_of_acceptance() -> None:
    """Not by name, and a new generation goes to the end of the line."""
    story = Story().device("a").spec(_wants("zero", "8Gi"), "zero")
    for name in ("c", "b", "d"):
        story.spec(_wants(name, "4Gi"), name)
    story.spec(_wants("c", "4Gi", rate="20"), "c")
    _rendered(story, "zero").delete("zero").gone("a", "zero")
    assert {name for name in ("b", "c", "d") if story.holders(name)} == {"b", "d"}
    assert story.reasons("a", "c") == ["needs 4Gi memory, 0 left of 8Gi: 8Gi promised to b, d"]


def test_a_small_one_that_fits_beside_goes_past_a_large_one_that_does_not() -> None:
    """Room that the first in line cannot use is not kept idle."""
    story = Story().device("a").spec(_wants("zero", "8Gi"), "zero")
    story.spec(_wants("large", "8Gi"), "large").spec(_wants("small", "1Gi"), "small")
    story.spec(_wants("zero", "2Gi"), "zero")
    _rendered(story, "zero").deployed("a", 2, name="zero")
    assert (story.holders("large"), story.holders("small")) == (set(), {"a"})


def test_a_device_that_reports_more_capacity_takes_who_waited() -> None:
    """More memory was put into it."""
    story = _rivals().device("a", memory=16 * GIB)
    assert story.holders("second") == {"a"}


def test_a_device_that_joins_is_shared_out_one_after_the_other() -> None:
    """Both specs select it, and there is room for one: the one that was accepted first."""
    story = Story().spec(spec("second", memory="5Gi"), "second").spec(spec("first", memory="5Gi"), "first").device("a")
    assert (story.holders("second"), story.holders("first")) == ({"a"}, set())
    assert story.reasons("a", "first") == ["needs 5Gi memory, 3Gi left of 8Gi: 5Gi promised to second"]


def test_the_same_decisions_come_of_the_same_messages() -> None:
    """Whoever is told first gets it, each time."""
    assert _rivals().fleet.of_spec("first") == _rivals().fleet.of_spec("first")


# -- what the device itself says ------------------------------------------------------------------


def test_promises_of_deployments_that_nobody_here_knows_count() -> None:
    """Another orchestrator's, or those of a store that was lost."""
    story = Story().device("a").promises("a", other=6 * GIB).spec(_wants(NAME, "3Gi"))
    assert story.holders() == set()
    assert story.reasons("a") == ["needs 3Gi memory, 2Gi left of 8Gi: 6Gi promised to other"]
    story.promises("a")
    assert story.holders() == {"a"}


def test_of_a_deployment_the_larger_of_both_counts() -> None:
    """Never the sum: it is the same deployment."""
    story = Story().device("a").spec(_wants("one", "2Gi"), "one").promises("a", one=3 * GIB)
    assert story.fleet.ledger.left("a").memory == 5 * GIB
    story.promises("a", one=1 * GIB)
    assert story.fleet.ledger.left("a").memory == 6 * GIB


def test_a_promise_that_the_device_lists_is_confirmed() -> None:
    """The aggregate says so."""
    story = Story().device("a").spec(_wants(NAME, "2Gi"))
    assert not story.aggregate().devices[0].confirmed
    story.promises("a", **{NAME: 2 * GIB})
    assert story.aggregate().devices[0].confirmed
    assert story.last.touched == {NAME}


def test_what_an_older_session_promised_is_ignored() -> None:
    """It was sent before the device's last birth."""
    story = Story().presence("a", epoch=7).promises("a", epoch=6, other=GIB)
    assert story.fleet.ledger.left("a") == Share()
    assert (story.last.records, story.fleet.devices["a"].promised) == ([], ())


def test_promises_that_say_nothing_new_are_no_decision() -> None:
    """A thousand devices repeat them after every transition."""
    story = _rivals().promises("a", first=5 * GIB).promises("a", epoch=2, first=5 * GIB)
    assert (story.last.records, story.last.publications, story.last.touched) == ([], [], set())


def test_a_device_that_was_set_up_anew_has_promised_nothing() -> None:
    """What its former journal held is gone with it."""
    story = Story().device("a").promises("a", other=6 * GIB).spec(_wants(NAME, "3Gi")).presence("a", journal="j2")
    assert story.holders() == {"a"}


def test_promises_that_come_before_the_first_presence_count() -> None:
    """Brokers do not keep order between topics."""
    story = Story().promises("a", other=6 * GIB).device("a").spec(_wants(NAME, "3Gi"))
    assert story.holders() == set()


def test_promises_that_make_no_sense_do_no_harm() -> None:
    """Below zero, or twice for one deployment: a device cannot make itself larger than it is."""
    story = Story().device("a")
    for promised in (
        (Promise(deployment="x", memory=-64 * GIB),),
        (Promise(deployment="x", memory=1), Promise(deployment="x", memory=GIB), Promise(deployment="x", cpu=1)),
    ):
        document = Allocatable(device="a", epoch=1, cpu=0, memory=0, storage=0, promised=promised)
        story.message(TOPICS.topic(channels.ALLOCATABLE, device="a"), encode(document))
        assert story.fleet.ledger.left("a").memory <= 8 * GIB
    assert story.fleet.ledger.held("a", "x") == Share(cpu=1, memory=GIB)


def test_room_that_is_gone_evicts_nobody() -> None:
    """What runs keeps running, whatever the device promised to others, and even where misfits are removed."""
    story = Story().device("a").spec(_wants(NAME, "5Gi", on_mismatch="remove")).rendered().deployed("a", 1)
    story.promises("a", other=8 * GIB).capabilities_of("a", memory=8 * GIB, kernel="6.9")
    assert story.holders() == {"a"}
    assert story.aggregate().not_placeable == ()


# -- updates --------------------------------------------------------------------------------------


def test_while_a_generation_replaces_another_the_larger_of_both_counts() -> None:
    """Nobody may take the difference in between; it is free once the new one is Deployed."""
    story = Story().device("a").spec(_wants("first", "5Gi"), "first").rendered().deployed("a", 1, name="first")
    story.spec(_wants("second", "4Gi"), "second").spec(_wants("first", "1Gi"), "first")
    assert _reserved(story, "first") == 5
    _rendered(story, "first")
    assert (_reserved(story, "first"), story.holders("second")) == (5, set())
    story.deployed("a", 2, 6, name="first")
    assert (_reserved(story, "first"), story.holders("second")) == (1, {"a"})


def test_an_event_alone_makes_the_reservation_exact() -> None:
    """The status may come later."""
    story = Story().device("a").spec(_wants(NAME, "5Gi")).rendered().deployed("a", 1).spec(_wants(NAME, "1Gi"))
    _rendered(story, NAME).report(event("a", 6, State.CONFIGURATION, State.DEPLOYED, 2))
    assert _reserved(story, NAME) == 1


def test_deployed_of_the_older_generation_frees_nothing() -> None:
    """The newer one is still to come."""
    story = Story().device("a").spec(_wants(NAME, "5Gi")).rendered().deployed("a", 1).spec(_wants(NAME, "1Gi"))
    story.report(status("a", State.DEPLOYED, 1, 9, deployed=1))
    assert _reserved(story, NAME) == 5


def test_an_update_for_which_there_is_no_room_leaves_the_old_generation_running() -> None:
    """Refused for that device with the reason; neither a manifest nor a tombstone is sent."""
    story = _rendered(_rivals(), "first").deployed("a", 1, name="first").spec(_wants("third", "1Gi"), "third")
    story.spec(_wants("first", "8Gi"), "first")
    assert story.renders == []
    assert (story.manifest("a", "first").generation, story.manifest("a", "first").action) == (1, "apply")
    assert story.reasons("a", "first") == ["needs 8Gi memory, 7Gi left of 8Gi: 1Gi promised to third"]
    aggregate = story.aggregate("first")
    assert (aggregate.phase, aggregate.devices[0].state, aggregate.devices[0].generation) == (
        "NotPlaceable", State.DEPLOYED, 1,
    )  # fmt: skip
    assert "1 keep an older generation" in aggregate.message
    assert _reserved(story, "first") == 5
    assert story.result("first").placed == ()


def test_an_update_that_waited_for_room_is_taken_up_when_there_is_some() -> None:
    """As any other spec."""
    story = _rendered(_rivals(), "first").deployed("a", 1, name="first").spec(_wants("third", "1Gi"), "third")
    _rendered(story, "third").spec(_wants("first", "8Gi"), "first").delete("third").gone("a", "third")
    assert story.renders == [(2, ("a",))]
    assert _reserved(story, "first") == 8


def test_others_are_not_held_up_by_a_device_that_keeps_an_older_generation() -> None:
    """Deployed says how many do."""
    story = Story().device("a").device("b").spec(spec("other", devices=("a",), memory="4Gi"), "other")
    story.spec(spec(memory="2Gi")).rendered().deployed("a", 1).deployed("b", 1)
    story.spec(spec(memory="6Gi")).rendered().deployed("b", 2, 6)
    aggregate = story.aggregate()
    assert aggregate.phase == "Deployed"
    assert aggregate.message == (
        "1 of 1 devices are deployed; 1 keep an older generation because they cannot take this one"
    )


def test_a_generation_that_was_never_rendered_gives_its_reservation_back() -> None:
    """It was assigned, and then a third one came that does not fit."""
    story = Story().device("a").spec(_wants(NAME, "1Gi")).rendered().deployed("a", 1).spec(_wants(NAME, "6Gi"))
    assert _reserved(story, NAME) == 6
    story.spec(_wants(NAME, "64Gi"))
    assert (_reserved(story, NAME), story.deployment("a").assigned) == (1, 1)


def test_who_was_assigned_and_never_given_anything_is_taken_off() -> None:
    """By a tombstone, because an earlier publication may be on its way."""
    story = Story().device("a").spec(_wants(NAME, "6Gi")).spec(_wants(NAME, "64Gi"))
    assert story.manifest("a").action == "remove"
    assert _reserved(story, NAME) == 6
    assert list(story.gone("a").fleet.deployments()) == []
    assert story.fleet.ledger.left("a").memory == 8 * GIB


def test_a_render_of_a_withdrawn_generation_is_not_published() -> None:
    """Nothing is reserved for it any more."""
    story = Story().device("a").spec(_wants(NAME, "6Gi"))
    asked = story.last
    story.spec(_wants(NAME, "64Gi")).last = asked
    assert story.rendered().manifest("a").action == "remove"


def test_a_deployment_created_again_before_it_was_gone_reserves_once() -> None:
    """The larger of what it had and what it needs now."""
    story = _rendered(Story().device("a").spec(_wants(NAME, "5Gi")), NAME).delete().spec(_wants(NAME, "6Gi"))
    assert story.holders() == {"a"}
    assert _reserved(story, NAME) == 6


# -- after a restart ------------------------------------------------------------------------------


def _restarted(story: Story) -> Story:
    """The records, as a store gives them back; nothing that is derived from them."""
    fleet = Fleet()
    for spec_record in story.fleet.specs.values():
        fleet.put_spec(replace(spec_record))
    for device in story.fleet.devices.values():
        fleet.put_device(replace(device))
    for deployment in story.fleet.deployments():
        fleet.put_deployment(deployment._replace())
    return Story(fleet)


def test_after_a_restart_who_waits_for_room_is_known() -> None:
    """It is derived from the records, in the stored order."""
    story = Story().device("a").spec(_wants("zero", "8Gi"), "zero")
    story.spec(_wants("b", "8Gi"), "b").spec(_wants("a", "8Gi"), "a")
    story = _restarted(_rendered(story, "zero").delete("zero"))
    story.gone("a", "zero")
    assert (story.holders("a"), story.holders("b")) == (set(), {"a"})


def test_after_a_restart_the_next_spec_goes_to_the_end_of_the_line() -> None:
    """Places are never given twice."""
    story = _restarted(_rivals()).spec(_wants("third", "1Gi"), "third")
    assert [story.record(name).accepted for name in ("first", "second", "third")] == [1, 2, 3]
