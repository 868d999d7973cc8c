"""Failures, retries, restoration and repair."""

from __future__ import annotations

import pytest

from edge_agent.happenings import CheckHealth, Context, Finding, HealthReported, HealthUnknown, TimerKind
from edge_agent.model import Step
from tests.unit.edge_agent.story import ROOMY, Story, plan
from topics.documents.command import Action
from topics.lifecycle import State, Trigger


def test_a_retryable_failure_backs_off_and_comes_back() -> None:
    """1, 2, 4 … 300 seconds, and Prepared again."""
    story = Story().manifest(plan(1))
    waits = []
    for _ in range(11):
        story.during(Step.DOWNLOAD).failed("no-route", retryable=True)
        waits.append(story.timer(TimerKind.RETRY))
        assert story.record.failure is not None
        assert story.record.failure.next_retry_seconds == waits[-1]
        story.due(TimerKind.RETRY)
        assert (story.state, story.started) == (State.PREPARED, [Step.CHECK])
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_jitter_only_shortens_the_wait() -> None:
    """By up to a quarter, so the cap stays the cap."""
    story = Story(Context(others=ROOMY, jitter=0.999)).manifest(plan(1)).failed(retryable=True)
    assert story.timer(TimerKind.RETRY) == pytest.approx(0.75, abs=0.001)


def test_the_failure_says_what_where_and_when_again() -> None:
    """Stage, code, message, component, attempt."""
    story = Story().manifest(plan(1)).during(Step.APPLY).failed("timeout", retryable=True, component="web")
    failure = story.record.failure
    assert failure is not None
    assert (failure.stage, failure.code, failure.component) == (State.CONFIGURATION, "timeout", "web")
    assert (failure.attempt, failure.generation, failure.retryable) == (1, 1, True)
    assert story.record.components[0].state == "Failed"
    assert story.moves[-1].code == "timeout"


def test_a_final_failure_without_a_good_generation_stays_failed() -> None:
    """No timer; the next step is a command or a new generation."""
    story = Story().manifest(plan(1)).during(Step.APPLY).failed()
    assert story.state is State.FAILED
    assert story.record.failure is not None
    assert story.record.failure.next_retry_seconds is None
    assert story.timer(TimerKind.RETRY) is None
    assert story.deployed(2).state is State.DEPLOYED


def test_a_final_failure_restores_the_last_good_generation() -> None:
    """RollingBack, Deployed of the old one, and the failure stays for everyone to see."""
    story = Story().deployed(1).manifest(plan(2)).during(Step.APPLY).failed("bad-image")
    assert story.path[-2:] == [State.FAILED, State.ROLLING_BACK]
    assert story.record.current == plan(1)
    story.until(State.DEPLOYED)
    assert story.moves[-1].trigger is Trigger.RESTORE
    assert story.record.deployed == plan(1)
    assert story.record.desired == plan(2)
    assert story.record.failure is not None
    assert (story.record.failure.code, story.record.failure.generation) == ("bad-image", 2)


def test_the_failure_stays_visible_over_a_repair_of_the_restored_generation() -> None:
    """As long as an older generation than the wanted one runs."""
    story = Story().deployed(1).manifest(plan(2)).during(Step.APPLY).failed("bad-image").until(State.DEPLOYED)
    story.ill().ill().until(State.DEPLOYED)
    assert story.record.failure is not None
    assert story.record.failure.code == "bad-image"
    assert story.deployed(3).record.failure is None


def test_attempts_of_an_update_are_limited() -> None:
    """After max_attempts in Configuration the good generation is restored."""
    story = Story(Context(others=ROOMY, max_attempts=3)).deployed(1).manifest(plan(2))
    for _ in range(2):
        story.during(Step.APPLY).failed("timeout", retryable=True)
        assert story.state is State.FAILED
        story.due(TimerKind.RETRY)
    story.during(Step.APPLY).failed("timeout", retryable=True)
    assert story.state is State.ROLLING_BACK


def test_downloads_are_tried_for_ever() -> None:
    """The old generation keeps running, and networks come back."""
    story = Story(Context(others=ROOMY, max_attempts=2)).deployed(1).manifest(plan(2))
    for _ in range(10):
        story.during(Step.DOWNLOAD).failed("no-route", retryable=True).due(TimerKind.RETRY)
    assert story.until(State.DEPLOYED).record.deployed == plan(2)


def test_a_failed_restoration_is_tried_again() -> None:
    """Nothing better is known; the first cause comes back into view at its end."""
    story = Story().deployed(1).manifest(plan(2)).during(Step.APPLY).failed("bad-image").failed("disk-full")
    assert story.state is State.FAILED
    assert story.record.failure is not None
    assert (story.record.failure.stage, story.record.failure.code) == (State.ROLLING_BACK, "disk-full")
    assert story.timer(TimerKind.RETRY) == 1.0
    assert story.due(TimerKind.RETRY).state is State.ROLLING_BACK
    assert story.failed("disk-full").timer(TimerKind.RETRY) == 2.0
    story.due(TimerKind.RETRY).until(State.DEPLOYED)
    assert story.record.failure is not None
    assert story.record.failure.code == "bad-image"


def test_an_unhealthy_deployment_is_degraded_and_repaired() -> None:
    """The components say which; one more look, then everything is applied again."""
    story = Story().deployed(1, components=("db", "web"))
    story.happens(HealthReported(1, (Finding("db", True), Finding("web", False, "file is gone"))))
    assert story.state is State.DEGRADED
    assert [(status.state, status.message) for status in story.record.components] == [
        ("Healthy", ""),
        ("Unhealthy", "file is gone"),
    ]
    assert story.timer(TimerKind.HEALTH) == 1.0
    assert story.due(TimerKind.HEALTH).effects_of(CheckHealth) == [CheckHealth(1)]
    story.ill()
    assert (story.state, story.started) == (State.CONFIGURATION, [Step.DOWNLOAD])
    assert story.until(State.DEPLOYED).record.deployed == plan(1, components=("db", "web"))


def test_health_that_comes_back_by_itself_needs_no_repair() -> None:
    """Degraded → Deployed."""
    story = Story().deployed(1).ill().healthy()
    assert story.state is State.DEPLOYED
    assert story.moves[-1].trigger is Trigger.RECOVER
    assert story.record.components[0].state == "Healthy"


def test_unchanged_health_changes_nothing_but_the_timer() -> None:
    """An agent at rest writes nothing."""
    story = Story().deployed(1)
    before = story.record
    assert story.healthy().record == before
    assert story.timer(TimerKind.HEALTH) == 10.0
    assert len(story.effects) == 1


def test_health_that_is_not_known_is_not_illness() -> None:
    """The applier could not look; it is asked again."""
    story = Story().deployed(1).happens(HealthUnknown(1, "unreachable", "no answer"))
    assert story.state is State.DEPLOYED
    assert story.timer(TimerKind.HEALTH) == 10.0


def test_findings_of_another_generation_are_ignored() -> None:
    """They come from before the update."""
    story = Story().deployed(1).deployed(2).happens(HealthReported(1, (Finding("web", False),)))
    assert story.state is State.DEPLOYED


def test_something_that_should_be_gone_is_shown_while_it_lasts() -> None:
    """A finding outside of the components has its own line."""
    story = Story().deployed(1)
    story.happens(HealthReported(1, (Finding("web", True), Finding("old", False, "should be gone"))))
    assert [status.name for status in story.record.components] == ["web", "old"]
    assert [status.name for status in story.ill().until(State.DEPLOYED).record.components] == ["web"]


def test_repairs_in_a_row_are_limited() -> None:
    """Then it is Failed, with a back-off, and comes back."""
    story = Story().deployed(1)
    for _ in range(5):
        story.ill().ill()
        assert story.state is State.CONFIGURATION
        story.until(State.DEPLOYED)
    story.ill().ill()
    assert story.record.failure is not None
    assert story.record.failure.code == "does-not-stay-healthy"
    assert story.timer(TimerKind.RETRY) == 1.0
    story.due(TimerKind.RETRY).until(State.DEPLOYED).ill().ill()
    assert story.timer(TimerKind.RETRY) == 2.0


def test_drift_that_is_only_reported_is_not_repaired() -> None:
    """Degraded, looked at in its period, and Deployed again when somebody puts it right."""
    story = Story().deployed(1, drift="report").ill("was changed").ill("was changed")
    assert story.state is State.DEGRADED
    assert story.started == []
    assert story.timer(TimerKind.HEALTH) == 10.0
    assert story.healthy().state is State.DEPLOYED


def test_a_notice_of_the_runtime_is_a_look_out_of_turn() -> None:
    """It degrades a deployment at once, and changes nothing in when the repair follows."""
    story = Story().deployed(1).due(TimerKind.NOTICE)
    assert story.effects_of(CheckHealth) == [CheckHealth(1, noticed=True)]
    ill = HealthReported(1, (Finding("web", False, "is missing"),), noticed=True)
    assert story.happens(ill).state is State.DEGRADED
    assert story.timer(TimerKind.HEALTH) == 1.0
    story.happens(ill)
    assert (story.state, story.started, story.timer(TimerKind.HEALTH)) == (State.DEGRADED, [], None)
    assert story.happens(HealthReported(1, (Finding("web", True),), noticed=True)).state is State.DEPLOYED
    assert story.ill().ill().state is State.CONFIGURATION
    assert story.due(TimerKind.NOTICE).effects_of(CheckHealth) == []


def test_a_calm_while_gives_the_repairs_back() -> None:
    """The counts start again."""
    story = Story().deployed(1).ill().ill().until(State.DEPLOYED)
    assert story.record.heals == 1
    assert story.due(TimerKind.STABLE).record.heals == 0


def test_a_failing_repair_is_tried_again_whatever_the_applier_says() -> None:
    """The generation was good once, and there is no better one to go to by itself."""
    story = Story().deployed(1).deployed(2).ill().ill().failed(retryable=False)
    assert (story.state, story.timer(TimerKind.RETRY)) == (State.FAILED, 1.0)


@pytest.mark.parametrize(
    "step", [Step.CHECK, Step.DOWNLOAD, Step.INITIALIZE, Step.APPLY], ids=lambda step: str(step.value)
)
def test_a_restart_does_the_step_under_way_again(step: Step) -> None:
    """The same step of the same generation, under a new number."""
    story = Story().manifest(plan(1, initializes=True)).during(step)
    number, path = story.record.works, list(story.path)
    story.restarted()
    assert story.started == [step]
    assert story.record.works == number + 1
    assert story.path == path
    assert story.until(State.DEPLOYED).state is State.DEPLOYED


def test_a_restart_keeps_the_retry_and_the_watch() -> None:
    """Failed waits again, Deployed is looked at once, Staged waits for its command."""
    failing = Story().manifest(plan(1)).failed(retryable=True).restarted()
    assert failing.timer(TimerKind.RETRY) == 1.0
    assert Story().deployed(1).restarted().effects_of(CheckHealth) == [CheckHealth(1)]
    staged = Story().manifest(plan(1, manual=True)).until(State.STAGED).restarted()
    assert staged.started == []
    assert staged.command(Action.ACTIVATE).state is State.CONFIGURATION


def test_a_restart_goes_on_rolling_back() -> None:
    """The restoration is a step like any other."""
    story = Story().deployed(1).manifest(plan(2)).during(Step.APPLY).failed().restarted()
    assert story.started == [Step.DOWNLOAD]
    assert story.until(State.DEPLOYED).record.deployed == plan(1)
