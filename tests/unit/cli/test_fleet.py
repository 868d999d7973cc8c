"""The picture of the fleet from messages in any order."""

from __future__ import annotations

from cli.commands.live import Transitions, messages, stages
from cli.fleet import Fleet
from cli.messages import read_message
from cli.tables import deployment_cells, generations, spec_cells
from tests.unit.cli.messages import REFUSAL, TOPICS, aggregate, cleared, heard, presence, status, summary
from topics import channels
from topics.documents.answer import SpecResult
from topics.documents.status import TransitionEvent
from topics.errors import Reason


def event(source: str | None, target: str, sequence: int, generation: int = 1) -> TransitionEvent:
    return TransitionEvent.model_validate(
        {
            "deployment": "press", "device": "edge-01", "epoch": 1, "journal": "j", "sequence": sequence,
            "generation": generation, "source": source, "target": target, "trigger": "create",
        }
    )  # fmt: skip


def test_the_devices_own_status_is_newer_than_the_aggregate() -> None:
    """The aggregate is told of it a moment later."""
    fleet = Fleet()
    fleet.take(heard(aggregate(summary(state="Downloading"), phase="Progressing")))
    fleet.take(heard(status()))
    [row] = fleet.rows()
    assert (row.state, row.settled) == ("Deployed", True)


def test_a_device_that_has_not_reported_the_wanted_generation_is_not_settled() -> None:
    """Observed and wanted generation both show."""
    fleet = Fleet()
    fleet.take(heard(status()))
    fleet.take(heard(aggregate(summary(desired_generation=2), phase="Progressing", generation=2)))
    [row] = fleet.rows()
    assert (generations(row), row.settled) == ("1/2", False)


def test_a_selected_device_without_a_report_is_waiting() -> None:
    """No news is never shown as running."""
    fleet = Fleet()
    fleet.take(heard(aggregate(summary(state=None, generation=0, online=False), phase="Progressing")))
    [row] = fleet.rows()
    assert row.state == "Waiting"
    assert "offline" in row.message


def test_a_device_that_cannot_take_it_shows_why() -> None:
    """Its row carries every reason."""
    fleet = Fleet()
    fleet.take(heard(aggregate(phase="NotPlaceable", not_placeable=(REFUSAL,))))
    [row] = fleet.rows()
    assert (row.device, row.state, row.message) == ("edge-03", "NotPlaceable", "needs 8Gi memory, the device has 4Gi")


def test_a_deployment_without_devices_has_one_row() -> None:
    """A rejected spec, or one that waits for a device, is not invisible."""
    fleet = Fleet()
    reason = Reason(path="spec", code="x", message="is wrong")
    fleet.take(
        heard(SpecResult(deployment="bad", outcome="rejected", generation=0, spec_digest="d", reasons=(reason,)))
    )
    [row] = fleet.rows()
    assert (row.deployment, row.device, row.state, row.message) == ("bad", "-", "Rejected", "spec: is wrong")


def test_presence_and_heartbeats_must_both_say_online() -> None:
    """The will may never come (the orchestrator counts heartbeats), and the aggregate may lag behind."""
    fleet = Fleet()
    fleet.take(heard(presence(epoch=4)))
    fleet.take(heard(aggregate(summary(epoch=4, online=False))))
    assert fleet.online("edge-01") is False
    fleet.take(heard(presence(epoch=5)))  # it has come back; the aggregate still speaks of the session before
    assert fleet.online("edge-01") is True
    fleet.take(heard(presence(epoch=5, online=False)))
    assert fleet.online("edge-01") is False
    assert fleet.online("edge-99") is None


def test_cleared_topics_leave_no_row() -> None:
    """After a removal nothing is shown."""
    fleet = Fleet()
    fleet.take(heard(status()))
    fleet.take(heard(aggregate(summary())))
    fleet.take(cleared(channels.STATUS, device="edge-01", deployment="press"))
    fleet.take(cleared(channels.AGGREGATE, deployment="press"))
    assert fleet.rows() == []


def test_times_are_those_of_the_transitions() -> None:
    """In this state since the last one; in all since the first of this generation."""
    fleet = Fleet()
    for sequence, (source, target) in enumerate(
        [(None, "Created"), ("Created", "Prepared"), ("Prepared", "Downloading"), ("Downloading", "Configuration"), ("Configuration", "Deployed")],
        start=1,
    ):  # fmt: skip
        fleet.take(heard(event(source, target, sequence), at=10.0 + sequence, retained=False))
        fleet.take(heard(status(state=target, sequence=sequence), at=10.5 + sequence, retained=False))
    [row] = fleet.rows()
    assert (row.timing.started, row.timing.since, row.timing.finished) == (11.0, 15.0, 15.0)
    assert stages(row) == "●●●●●"


def test_repeated_transitions_change_no_time() -> None:
    """Devices repeat what nobody has confirmed; that is no movement."""
    fleet, transitions = Fleet(), Transitions()
    first = event(None, "Created", 1)
    assert transitions.is_new(first)
    assert not transitions.is_new(first)
    for at, item in [(1.0, first), (2.0, event("Created", "Prepared", 2)), (9.0, first)]:
        fleet.take(heard(item, at=at, retained=False))
    fleet.take(heard(status(state="Prepared", sequence=2), at=9.5, retained=False))
    [row] = fleet.rows()
    assert (row.timing.started, row.timing.since) == (1.0, 2.0)


def test_an_event_may_overtake_its_status() -> None:
    """They travel on two topics; the newer sequence is the state, whichever comes first."""
    fleet = Fleet()
    fleet.take(heard(aggregate(summary(state=None, generation=0), phase="Progressing")))
    fleet.take(heard(event(None, "Created", 1), retained=False))
    assert [(row.state, row.generation) for row in fleet.rows()] == [("Created", 1)]
    fleet.take(heard(status(sequence=5), retained=False))
    fleet.take(heard(event("Created", "Prepared", 2), retained=False))
    assert [row.state for row in fleet.rows()] == ["Deployed"]


def test_a_state_that_was_retained_has_no_known_age() -> None:
    """Nobody here saw when it began."""
    fleet = Fleet()
    fleet.take(heard(status(), retained=True))
    [row] = fleet.rows()
    assert row.timing.since is None


def test_a_failure_shows_stage_code_attempt_and_next_try() -> None:
    """The row says what failed and what happens next."""
    failure = {
        "stage": "Downloading", "code": "unreachable", "message": "no answer", "retryable": True, "generation": 1,
        "attempt": 2, "next_retry_seconds": 30.0, "component": "db",
    }  # fmt: skip
    fleet = Fleet()
    fleet.take(heard(status(state="Failed", deployed_generation=None, failure=failure)))
    [row] = fleet.rows()
    assert row.message == "Downloading of db failed (unreachable, attempt 2): no answer; next try in 30 s"
    assert stages(row).endswith("✗")


def test_equal_messages_of_several_devices_are_told_once() -> None:
    """One line names the devices it is about."""
    fleet = Fleet()
    other = REFUSAL.model_copy(update={"device": "edge-04"})
    fleet.take(heard(aggregate(phase="NotPlaceable", not_placeable=(REFUSAL, other))))
    assert messages(fleet.rows()) == ["press on edge-03, edge-04: needs 8Gi memory, the device has 4Gi"]


def test_a_message_nobody_can_read_is_shown_and_harms_nothing() -> None:
    """It is a problem of its topic until a readable one replaces it."""
    fleet = Fleet()
    broken = heard(status())
    fleet.take(read_message(TOPICS, broken.topic, b"\xff{", retained=True, at=0.0))
    assert list(fleet.problems) == [broken.topic]
    fleet.take(broken)
    assert not fleet.problems
    assert deployment_cells(fleet.rows()[0])[:4] == ("press", "edge-01", "Deployed", "1")


def test_an_unanswered_spec_is_shown_as_such() -> None:
    """A spec on the broker without an orchestrator is not lost from sight."""
    fleet = Fleet()
    topic = TOPICS.topic(channels.SPEC, deployment="press")
    fleet.take(read_message(TOPICS, topic, b"{}", retained=True, at=0.0))
    assert spec_cells(fleet, "press")[:4] == ("press", "-", "Unanswered", "-")
