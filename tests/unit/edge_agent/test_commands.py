"""Commands: done once, or refused with the reason."""

from __future__ import annotations

import pytest

from edge_agent.happenings import CancelWork, PublishStatus, RememberCommand, ReplayEvents, TimerKind
from edge_agent.model import Step
from tests.unit.edge_agent.story import Story, plan, tombstone
from topics.documents.command import Action
from topics.lifecycle import State


def test_a_command_is_answered_once() -> None:
    """A second delivery only publishes the answer again."""
    story = Story().manifest(plan(1, manual=True)).until(State.STAGED).command(Action.ACTIVATE)
    assert [effect.outcome.id for effect in story.effects_of(RememberCommand)] == ["c1"]
    before = story.record
    story.command(Action.ACTIVATE, handled=True)
    assert story.record == before
    assert story.effects_of(PublishStatus)


def test_a_command_for_another_generation_is_refused() -> None:
    """It was meant for something that is no more, or not yet, here."""
    story = Story().manifest(plan(2, manual=True)).until(State.STAGED).command(Action.ACTIVATE, generation=1)
    assert story.state is State.STAGED
    assert story.last_outcome == ("refused", "it is meant for generation 1, the device was given 2")


def test_a_command_for_something_unknown_is_dropped() -> None:
    """There is no status that could answer it."""
    story = Story().command(Action.RETRY, generation=1)
    assert story.known is None
    assert story.notes == ["dropped, the deployment is not known here"]


@pytest.mark.parametrize("action", [Action.ACTIVATE, Action.RETRY, Action.ROLLBACK, Action.CANCEL, Action.PAUSE])
def test_what_cannot_be_done_is_refused_with_the_reason(action: Action) -> None:
    """A first generation that is Deployed: nothing waits, failed, is older, or is on its way."""
    story = Story().deployed(1).command(action)
    outcome, reason = story.last_outcome
    assert outcome == "refused"
    assert reason
    assert story.state is State.DEPLOYED


def test_nothing_is_done_to_what_is_being_removed() -> None:
    """A removal has no way back."""
    story = Story().deployed(1).manifest(tombstone(2)).command(Action.ROLLBACK)
    assert story.last_outcome == ("refused", "the deployment is Removing")


def test_retry_does_not_wait_and_counts_from_one() -> None:
    """Failed → Prepared at once."""
    story = Story().manifest(plan(1)).failed(retryable=True).due(TimerKind.RETRY).failed(retryable=True)
    assert story.record.attempt == 3
    story.command(Action.RETRY)
    assert (story.state, story.record.attempt) == (State.PREPARED, 1)


def test_retry_tries_a_generation_again_that_was_rolled_back() -> None:
    """The older one that runs meanwhile stays the good one."""
    story = Story().deployed(1).manifest(plan(2)).during(Step.APPLY).failed().until(State.DEPLOYED)
    story.command(Action.RETRY)
    assert (story.state, story.record.current) == (State.CREATED, plan(2))
    assert story.record.deployed == plan(1)
    assert story.until(State.DEPLOYED).record.failure is None


def test_rollback_restores_the_generation_before() -> None:
    """The wanted one stays known, and the status says why it does not run."""
    story = Story().deployed(1).deployed(2).command(Action.ROLLBACK)
    assert (story.state, story.record.current) == (State.ROLLING_BACK, plan(1))
    story.until(State.DEPLOYED)
    assert (story.record.deployed, story.record.previous, story.record.desired) == (plan(1), None, plan(2))
    assert story.record.failure is not None
    assert story.record.failure.code == "rolled-back"
    assert story.command(Action.ROLLBACK, id="c2").last_outcome[0] == "refused"


def test_rollback_stops_a_configuration() -> None:
    """The work under way is cancelled and the last good generation restored."""
    story = Story().deployed(1).manifest(plan(2)).during(Step.APPLY).command(Action.ROLLBACK)
    assert story.effects_of(CancelWork)
    assert story.until(State.DEPLOYED).record.deployed == plan(1)


@pytest.mark.parametrize("step", [Step.CHECK, Step.DOWNLOAD, Step.APPLY], ids=lambda step: str(step.value))
def test_cancel_stops_a_first_generation_for_good(step: Step) -> None:
    """Failed with the code cancelled, and no retry."""
    story = Story().manifest(plan(1)).during(step).command(Action.CANCEL)
    assert story.state is State.FAILED
    assert story.record.failure is not None
    assert (story.record.failure.code, story.record.failure.next_retry_seconds) == ("cancelled", None)
    assert story.record.work is None


def test_cancel_restores_the_good_generation() -> None:
    """Also out of Staged."""
    story = Story().deployed(1).manifest(plan(2, manual=True)).until(State.STAGED).command(Action.CANCEL)
    assert story.until(State.DEPLOYED).record.deployed == plan(1)
    assert story.record.failure is not None
    assert story.record.failure.code == "cancelled"


def test_a_repair_cannot_be_cancelled() -> None:
    """It would leave the device with a broken good generation."""
    story = Story().deployed(1).ill().ill().command(Action.CANCEL)
    assert story.state is State.CONFIGURATION
    assert story.last_outcome[0] == "refused"


def test_replay_may_be_asked_for_again_and_again() -> None:
    """Whatever its id and generation; only its last answer stays in the status."""
    story = Story().deployed(1)
    for _ in range(3):
        story.command(Action.REPLAY, id="replay-2-1", generation=0, from_sequence=2, oldest=1)
        assert story.effects_of(ReplayEvents) == [ReplayEvents(2)]
    assert story.last_outcome == ("done", "transitions 2 to 5 follow")
    assert len(story.record.commands) == 1


def test_replay_says_what_the_journal_no_longer_has() -> None:
    """The hole stays, and the orchestrator knows it."""
    story = Story().deployed(1).command(Action.REPLAY, from_sequence=1, oldest=4)
    assert story.last_outcome == ("done", "asked for transitions 1 to 5, the journal has from 4 on")


def test_the_status_carries_the_last_eight_outcomes() -> None:
    """Bounded, newest last."""
    story = Story().deployed(1)
    for number in range(12):
        story.command(Action.CANCEL, id=f"c{number}")
    assert [outcome.id for outcome in story.record.commands] == [f"c{number}" for number in range(4, 12)]
