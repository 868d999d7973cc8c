"""Births, heartbeats and wills."""

from __future__ import annotations

from orchestrator.decision import DeviceSilent
from tests.unit.orchestrator.story import NAME, Story, event, spec, status
from topics.documents.command import Action
from topics.lifecycle import State


def _running() -> Story:
    return Story().device("a").spec(spec()).rendered().deployed("a", 1)


def test_a_birth_makes_a_device_online() -> None:
    """With its session and the time it was heard."""
    device = Story().presence("a", epoch=7).fleet.devices["a"]
    assert (device.online, device.epoch, device.last_seen) == (True, 7, "2024-05-01T10:00:00.000Z")


def test_a_will_makes_it_offline_and_its_deployments_show_it() -> None:
    """The state stays what it was, beside it stands that nobody hears of it."""
    story = _running().presence("a", online=False)
    assert story.last.touched == {NAME}
    [summary] = story.aggregate().devices
    assert (summary.state, summary.online) == (State.DEPLOYED, False)


def test_a_will_of_an_older_session_is_ignored() -> None:
    """It came late: the device has connected again since."""
    story = Story().presence("a", epoch=2).presence("a", online=False, epoch=1)
    assert story.fleet.devices["a"].online
    assert story.notes == ["older session ignored"]


def test_a_will_of_another_journal_is_ignored() -> None:
    """That device was set up anew; its former self is dead anyway."""
    story = Story().presence("a", journal="new").presence("a", online=False, epoch=99, journal="old")
    assert (story.fleet.devices["a"].online, story.fleet.devices["a"].epoch) == (True, 1)


def test_another_journal_starts_anew_and_is_asked_for_everything() -> None:
    """Reports of it may have come before its birth and were ignored."""
    story = _running().presence("a", epoch=1, journal="j2")
    record = story.deployment("a")
    assert (record.journal, record.sequence, record.event_sequence, record.state) == ("j2", 0, 0, None)
    assert record.desired_generation == 1
    [replay] = story.commands_to("a")
    assert (replay.action, replay.from_sequence) == (Action.REPLAY, 1)


def test_a_journal_that_counts_from_one_again_is_heard() -> None:
    """Its epochs are smaller than those of the old one."""
    story = Story().presence("a", epoch=9, journal="old").presence("a", epoch=1, journal="new")
    assert (story.fleet.devices["a"].epoch, story.fleet.devices["a"].online) == (1, True)


def test_a_retained_presence_is_no_proof_of_life() -> None:
    """It says how it was when it was published."""
    device = Story().presence("a", live=False).fleet.devices["a"]
    assert (device.online, device.last_seen) == (True, None)


def test_silence_makes_a_device_offline() -> None:
    """Whatever the broker says or does not say."""
    story = _running().timed(DeviceSilent("a"))
    assert not story.fleet.devices["a"].online
    assert story.last.touched == {NAME}
    assert story.timed(DeviceSilent("a")).last.records == []


def test_a_heartbeat_ends_the_silence() -> None:
    """The session never broke: the epoch is the same."""
    story = _running().timed(DeviceSilent("a")).presence("a")
    assert story.fleet.devices["a"].online


def test_a_command_is_sent_with_every_heartbeat_until_it_is_answered() -> None:
    """It waited for the device, not for a new session; and what was lost on its way is not lost for good."""
    story = _running().timed(DeviceSilent("a")).command("retry")
    assert story.commands_to("a") == []
    [sent] = story.presence("a").commands_to("a")
    assert (sent.id, sent.action) == ("c1", Action.RETRY)
    assert story.presence("a").commands_to("a") == [sent]


def test_a_heartbeat_by_itself_touches_nothing() -> None:
    """Only ``last_seen`` moves: 1,000 devices must not make 1,000 aggregates each time."""
    story = _running().presence("a")
    assert (story.last.touched, story.last.publications) == (set(), [])


def test_a_presence_for_another_device_than_its_topic_is_refused() -> None:
    """A device speaks for itself only."""
    story = Story().presence("a")
    topic = "fleetbus/v1/devices/b/presence"
    story.message(topic, b'{"device": "a", "online": false, "epoch": 9}')
    assert story.fleet.devices["a"].online
    assert story.notes == ["message refused"]


def test_a_cleared_presence_changes_nothing() -> None:
    """The store does not forget because somebody cleared a topic."""
    story = Story().presence("a").message("fleetbus/v1/devices/a/presence", b"")
    assert story.fleet.devices["a"].online


def test_reports_before_the_birth_of_a_new_journal_come_again() -> None:
    """They are ignored while the presence names the old one; the replay then brings them."""
    story = _running().report(event("a", 1, None, State.CREATED, journal="j2"))
    assert story.deployment("a").state is State.DEPLOYED
    story.presence("a", journal="j2").report(event("a", 1, None, State.CREATED, journal="j2"))
    assert (story.deployment("a").state, story.deployment("a").journal) == (State.CREATED, "j2")
    story.report(status("a", State.DEPLOYED, 1, 5, journal="j1"))
    assert story.deployment("a").state is State.CREATED
