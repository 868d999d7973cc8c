"""Status messages and transition events: in any order, more than once, of devices that lie."""

from __future__ import annotations

import pytest

from orchestrator.decision import GapDue
from tests.unit.orchestrator.story import NAME, Story, event, failure, spec, status
from topics.documents.command import Action
from topics.lifecycle import State

C, P, D, F = State.CREATED, State.PREPARED, State.DOWNLOADING, State.CONFIGURATION


def _given() -> Story:
    return Story().device("a").spec(spec()).rendered()


def _numbers(story: Story) -> list[int]:
    return [item.event.sequence for item in story.transitions]


def test_transitions_in_sequence_move_the_state() -> None:
    """Each is kept, and the newest is the state."""
    story = _given().report(event("a", 1, None, C)).report(event("a", 2, C, P))
    record = story.deployment("a")
    assert (record.state, record.sequence, record.event_sequence) == (P, 2, 2)
    assert _numbers(story) == [1, 2]


def test_a_duplicate_changes_nothing() -> None:
    """At least once means now and then twice."""
    story = _given().report(event("a", 1, None, C)).report(event("a", 1, None, C))
    assert (story.last.records, story.last.transitions) == ([], [])


def test_a_duplicate_beyond_a_gap_changes_nothing() -> None:
    """It is known already, although its predecessor is not."""
    story = _given().report(event("a", 3, P, D)).report(event("a", 3, P, D))
    assert story.last.records == []


def test_transitions_out_of_order_end_in_the_same_record() -> None:
    """The newest one decides the state, not the last one to arrive."""
    story = _given()
    for number, source, target in ((2, C, P), (3, P, D), (1, None, C)):
        story.report(event("a", number, source, target))
    record = story.deployment("a")
    assert (record.state, record.sequence, record.event_sequence, record.ahead) == (D, 3, 3, ())
    assert sorted(_numbers(story)) == [1, 2, 3]
    assert record.anomaly == ""


def test_a_gap_is_asked_for_from_its_beginning() -> None:
    """The device repeats what its journal has."""
    story = _given().report(event("a", 1, None, C)).report(event("a", 4, D, F))
    assert story.deployment("a").has_gap
    [replay] = story.timed(GapDue(NAME, "a", attempt=1)).commands_to("a")
    assert (replay.action, replay.from_sequence, replay.generation) == (Action.REPLAY, 2, 1)


def test_a_replay_closes_the_gap() -> None:
    """And then nothing is asked for any more."""
    story = _given().report(event("a", 1, None, C)).report(event("a", 4, D, F))
    story.report(event("a", 2, C, P)).report(event("a", 3, P, D))
    assert not story.deployment("a").has_gap
    assert story.timed(GapDue(NAME, "a", attempt=1)).last.publications == []


def test_each_request_for_a_gap_has_an_id_of_its_own() -> None:
    """A device answers a command once."""
    story = _given().report(event("a", 2, C, P))
    ids = {story.timed(GapDue(NAME, "a", attempt=number)).commands_to("a")[0].id for number in (1, 2, 3)}
    assert len(ids) == 3


def test_a_gap_that_never_closes_is_accepted_visibly() -> None:
    """What is lost is counted, without those beyond the gap, which are here."""
    story = _given().report(event("a", 1, None, C)).report(event("a", 4, D, F))
    story.timed(GapDue(NAME, "a", attempt=6, give_up=True))
    record = story.deployment("a")
    assert (record.event_sequence, record.ahead, record.has_gap) == (4, (), False)
    assert record.anomaly == "2 transitions from 2 to 3 are lost: the device no longer has them"
    assert story.notes == ["transitions lost"]


def test_after_an_accepted_hole_the_sequence_goes_on() -> None:
    """Late ones from the hole are ignored, the next one is kept."""
    story = _given().report(event("a", 4, D, F)).timed(GapDue(NAME, "a", attempt=6, give_up=True))
    story.report(event("a", 2, C, P)).report(event("a", 5, F, State.DEPLOYED))
    assert (story.deployment("a").event_sequence, story.deployment("a").state) == (5, State.DEPLOYED)


def test_a_removal_waits_for_missing_transitions_until_they_are_given_up() -> None:
    """Nothing is confirmed while a transition is missing that may still come."""
    story = _given().delete().report(status("a", State.REMOVED, 2, 2))
    assert story.manifest("a").action == "remove"
    story.timed(GapDue(NAME, "a", attempt=6, give_up=True))
    assert story.retained == {}


def test_an_illegal_transition_is_an_anomaly_and_is_kept() -> None:
    """The history shows what the device said, and that it must not."""
    story = _given().report(event("a", 1, None, State.DEPLOYED))
    assert story.notes == ["anomaly"]
    assert "is not in the lifecycle" in story.deployment("a").anomaly
    assert [item.legal for item in story.transitions] == [False]


def test_a_transition_that_leaves_another_state_than_the_last_is_an_anomaly() -> None:
    """Each legal, but the chain is broken."""
    story = _given().report(event("a", 1, None, C)).report(event("a", 2, P, D))
    assert story.deployment("a").anomaly == "transition 2 leaves Prepared, the one before it ended in Created"


def test_a_status_older_than_what_is_known_is_ignored() -> None:
    """By its sequence, not by any clock."""
    story = _given().report(event("a", 1, None, C)).report(event("a", 2, C, P)).report(status("a", C, 1, 1))
    assert (story.deployment("a").state, story.last.records) == (P, [])


def test_an_event_newer_than_the_status_moves_the_state() -> None:
    """Events and statuses come on different topics, in no order between them."""
    story = _given().report(event("a", 1, None, C)).report(status("a", C, 1, 1)).report(event("a", 2, C, P))
    assert (story.deployment("a").state, story.deployment("a").sequence) == (P, 2)


def test_a_status_ahead_of_its_events_opens_a_gap_that_they_close() -> None:
    """The retained status may arrive first."""
    story = _given().report(status("a", P, 1, 2))
    assert (story.deployment("a").state, story.deployment("a").has_gap) == (P, True)
    story.report(event("a", 1, None, C)).report(event("a", 2, C, P))
    assert not story.deployment("a").has_gap


def test_the_same_status_again_changes_nothing() -> None:
    """A device publishes every status again after a reconnect."""
    story = _given().report(status("a", P, 1, 2)).report(status("a", P, 1, 2))
    assert (story.last.records, story.last.touched) == ([], set())


def test_a_status_brings_failure_hold_and_the_last_good_generation() -> None:
    """What the aggregate shows of the device."""
    story = _given().report(status("a", State.FAILED, 1, 3, failure=failure(1), deployed=None, held="why"))
    [summary] = story.aggregate().devices
    assert summary.failure is not None
    assert (summary.failure.message, summary.held, summary.deployed_generation) == ("it broke", "why", None)


def test_a_failure_explains_itself_before_its_status_is_here() -> None:
    """The transition is the first to arrive; a rollback keeps the reason, the next success ends it."""
    story = _given().report(event("a", 1, None, F)).report(event("a", 2, F, State.FAILED))
    [summary] = story.aggregate().devices
    assert summary.failure is not None
    assert (summary.state, summary.failure.stage, summary.failure.message) == (State.FAILED, F, "it broke")
    story.report(event("a", 3, State.FAILED, State.ROLLING_BACK))
    assert story.aggregate().devices[0].failure == summary.failure
    story.report(event("a", 4, State.ROLLING_BACK, State.DEPLOYED, 0))
    assert (story.aggregate().phase, story.aggregate().devices[0].failure) == ("Failed", summary.failure)
    story.report(event("a", 5, State.DEPLOYED, F)).report(event("a", 6, F, State.DEPLOYED))
    assert (story.aggregate().phase, story.aggregate().devices[0].failure) == ("Deployed", None)


def test_removed_is_confirmed_when_the_last_transition_arrives() -> None:
    """Status first, its events after it."""
    story = _given().report(event("a", 1, None, C)).delete().report(status("a", State.REMOVED, 2, 3))
    story.report(event("a", 3, State.REMOVING, State.REMOVED, 2))
    assert story.manifest("a").action == "remove"
    story.report(event("a", 2, C, State.REMOVING, 2))
    assert story.retained == {}


def test_removed_of_an_older_tombstone_does_not_confirm_a_newer_one() -> None:
    """The device must have seen the newest."""
    story = _given().device("b").rendered().spec(spec(devices=("b",))).delete()
    assert story.manifest("a").generation == 3
    story.report(status("a", State.REMOVED, 2, 0))
    assert story.manifest("a").action == "remove"
    story.report(status("a", State.REMOVED, 3, 0))
    assert story.fleet.deployment(NAME, "a") is None


def test_removed_of_an_unknown_deployment_is_confirmed_again() -> None:
    """The device has not heard the confirmation, and keeps its status until it does."""
    story = Story().device("a").report(status("a", State.REMOVED, 2, 5))
    assert story.published == [f"devices/a/manifests/{NAME}"]
    assert story.last.publications[0].payload == b""


def test_another_report_of_an_unknown_deployment_is_noted() -> None:
    """Nothing is removed for that; somebody can see it."""
    story = Story().device("a").report(status("a", State.DEPLOYED, 2, 5))
    assert (story.notes, story.last.publications) == (["report of an unknown deployment"], [])
    assert story.report(event("a", 6, State.DEPLOYED, State.DEGRADED)).last.records == []


def test_removed_of_a_former_journal_does_not_clear_a_live_manifest() -> None:
    """A device that was set up anew left a retained status behind."""
    story = _given().deployed("a", 1).presence("a", journal="j2").report(status("a", C, 1, 0, journal="j2"))
    story.report(status("a", State.REMOVED, 9, 9, journal="j1"))
    assert story.last.publications == []
    assert story.manifest("a").action == "apply"


def test_a_device_ahead_of_the_store_raises_the_generation_above_it() -> None:
    """The store was set up anew; the device only takes what is newer."""
    story = _given().report(status("a", State.DEPLOYED, 9, 40, journal="j1", deployed=9))
    assert (story.record().generation, story.result().generation) == (10, 10)
    assert story.renders == [(10, ("a",))]
    assert (story.deployment("a").state, story.deployment("a").sequence) == (State.DEPLOYED, 40)
    assert story.rendered().manifest("a").generation == 10


def test_the_generation_is_raised_once_for_many_devices() -> None:
    """The others are below the new one by then."""
    story = Story().device("a").device("b").spec(spec()).rendered()
    story.report(status("a", State.DEPLOYED, 9, 40)).report(status("b", State.DEPLOYED, 9, 41))
    assert (story.record().generation, story.renders) == (10, [])


def test_a_raised_generation_is_also_for_a_device_that_is_no_longer_selected() -> None:
    """It is no change of the spec, so nothing is taken off; and nobody stays behind."""
    story = Story().device("a", {"line": "press"}).spec(spec(selector={"matchLabels": {"line": "press"}})).rendered()
    story.device("a", {"line": "oven"}).report(status("a", State.DEPLOYED, 9, 40))
    assert story.renders == [(10, ("a",))]
    assert not story.deployment("a").removing
    assert (story.deployment("a").state, story.deployment("a").generation) == (State.DEPLOYED, 9)


def test_a_tombstone_below_what_the_device_has_is_published_again_above_it() -> None:
    """The store is younger than the device, and the spec was deleted before the device was heard."""
    story = _given().delete().report(status("a", State.DEPLOYED, 9, 0))
    assert (story.manifest("a").action, story.manifest("a").generation) == ("remove", 10)
    story.report(status("a", State.REMOVED, 10, 0))
    assert story.retained == {}


def test_after_such_a_removal_the_name_goes_on_above_it() -> None:
    """A spec created again is newer than every tombstone."""
    story = _given().delete().report(status("a", State.DEPLOYED, 9, 0))
    story.report(status("a", State.REMOVED, 10, 0)).spec(spec())
    assert story.record().generation == 11


@pytest.mark.parametrize("number", [2**63 - 1, 2**53])
def test_a_number_that_cannot_be_counted_on_from_is_refused(number: int) -> None:
    """A device with a broken journal must not bring the generations to the end of 64 bits."""
    story = _given().report(status("a", State.DEPLOYED, number, 1))
    assert (story.notes, story.record().generation) == (["message refused"], 1)
    story.report(status("a", State.DEPLOYED, 1, number))
    assert story.notes == ["message refused"]
    story.report(event("a", 1, None, C, number)).report(event("a", number, None, C))
    assert story.notes == ["message refused"]
    assert story.delete().manifest("a").generation == 2


def test_a_report_about_another_device_than_its_topic_is_refused() -> None:
    """A device cannot speak for another, nor for another deployment."""
    story = _given().device("b")
    payload = status("a", State.DEPLOYED, 1, 5).model_dump_json(by_alias=True).encode()
    for topic in (f"fleetbus/v1/devices/b/status/{NAME}", "fleetbus/v1/devices/a/status/other"):
        assert story.message(topic, payload).notes == ["message refused"]
    payload = event("a", 1, None, C).model_dump_json(by_alias=True).encode()
    assert story.message(f"fleetbus/v1/devices/b/events/{NAME}", payload).notes == ["message refused"]
    assert story.deployment("a").state is None


@pytest.mark.parametrize("payload", [b"\xff", b"{", b"[]", b"{}", b'{"schemaVersion": 2}', b"[" * 100_000])
def test_a_report_that_cannot_be_read_is_noted(payload: bytes) -> None:
    """And stops nothing."""
    story = _given()
    for topic in (f"a/status/{NAME}", f"a/events/{NAME}", "a/presence", "a/capabilities"):
        assert story.message(f"fleetbus/v1/devices/{topic}", payload).notes == ["message refused"]


@pytest.mark.parametrize("topic", ["x", "fleetbus/v1/devices/a b/presence", "fleetbus/v1/devices//status/x", "$SYS/x"])
def test_a_topic_of_no_channel_is_noted(topic: str) -> None:
    """A wildcard may bring anything."""
    assert Story().message(topic, b"{}").notes == ["message refused"]
