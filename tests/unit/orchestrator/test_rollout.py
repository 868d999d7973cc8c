"""Rendering: how a generation reaches its devices, and what becomes of renders that come too late."""

from __future__ import annotations

import pytest

from orchestrator.decision import NotTakenUp, Render, RenderDue, Rendered, RetryRender
from tests.unit.orchestrator.story import NAME, Story, manifest, spec, status
from topics.documents.command import Action
from topics.lifecycle import State


def test_a_rendered_manifest_is_published_and_wanted() -> None:
    """Retained, and the record knows its generation and digest."""
    story = Story().device("a").spec(spec()).rendered()
    assert story.manifest("a").generation == 1
    record = story.deployment("a")
    assert record.desired_generation == 1
    assert record.desired_digest == story.last.publications[0].digest


def test_what_is_rendered_is_not_asked_for_again() -> None:
    """Nothing is lacking."""
    story = Story().device("a").spec(spec()).rendered().timed(RenderDue(NAME))
    assert story.renders == []


def test_a_restart_asks_for_what_is_lacking() -> None:
    """The render was under way when the program was killed."""
    story = Story().device("a").device("b").spec(spec())
    assert story.timed(RenderDue(NAME)).renders == [(1, ("a", "b"))]


def test_a_device_that_cannot_take_it_is_not_rendered_for() -> None:
    """It holds an older generation, and keeps it; with nobody else there is nothing to render at all."""
    story = Story().device("a").device("b").spec(spec()).rendered().device("a", memory=1)
    story.spec(spec(requirements={"memory": "4Gi"}))
    assert story.timed(RenderDue(NAME)).renders == [(2, ("b",))]
    story.rendered()
    assert story.timed(RenderDue(NAME)).renders == []


def test_an_overtaken_render_is_ignored() -> None:
    """A newer generation asks for its own."""
    story = Story().device("a").spec(spec()).spec(spec(rate="20"))
    story.timed(Rendered(NAME, 1, {"a": manifest(NAME, "a", 1)}))
    assert story.last.publications == []
    assert story.deployment("a").desired_generation == 0


def test_a_render_for_a_device_taken_off_meanwhile_is_left_out() -> None:
    """Its tombstone stays the newest on its topic."""
    story = Story().device("a").device("b").spec(spec()).rendered().spec(spec(devices=("b",)))
    late = {device: manifest(NAME, device, 2) for device in ("a", "b", "c")}
    story.timed(Rendered(NAME, 2, late))
    assert story.published == [f"devices/b/manifests/{NAME}"]
    assert story.manifest("a").action == "remove"


def test_a_paused_rollout_publishes_no_manifest() -> None:
    """What was being rendered waits with the rest."""
    story = Story().device("a").spec(spec()).command("pause")
    story.timed(Rendered(NAME, 1, {"a": manifest(NAME, "a", 1)}))
    assert story.last.publications == []
    assert story.aggregate().phase == "Paused"


def test_a_paused_rollout_takes_new_generations_and_devices_without_rendering() -> None:
    """They are answered, and wait."""
    story = Story().device("a").spec(spec()).rendered().command("pause").spec(spec(rate="20"))
    assert (story.result().generation, story.renders) == (2, [])
    assert story.device("b").renders == []
    assert story.timed(RenderDue(NAME)).renders == []


def test_a_resumed_rollout_renders_what_is_lacking() -> None:
    """For all that came while it was paused."""
    story = Story().device("a").spec(spec()).rendered().command("pause").spec(spec(rate="20")).device("b")
    assert story.command("resume", "c2").renders == [(2, ("a", "b"))]
    assert story.outcomes() == {"c1": "done", "c2": "done"}


def test_a_failure_that_may_pass_is_tried_again() -> None:
    """The result says why, and each attempt counts."""
    story = Story().device("a").spec(spec()).render_failed(1, retryable=True)
    assert story.effects(RetryRender) == [RetryRender(NAME, 5.0)]
    assert [reason.code for reason in story.result().reasons] == ["no-chart"]
    assert (story.result().outcome, story.aggregate().phase) == ("accepted", "Pending")
    assert "tried again" in story.aggregate().message
    story.timed(RenderDue(NAME))
    assert story.renders == [(1, ("a",))]
    assert story.render_failed(1, retryable=True).effects(RetryRender) == [RetryRender(NAME, 10.0)]
    failure = story.result().failure
    assert failure is not None
    assert failure == story.aggregate().failure
    assert (failure.stage, failure.code, failure.attempt, failure.next_retry_seconds) == (
        "Rendering", "no-chart", 2, 10.0,
    )  # fmt: skip
    for _ in range(20):
        story.render_failed(1, retryable=True)
    assert story.effects(RetryRender) == [RetryRender(NAME, 300.0)]


def test_a_failure_that_stays_is_final_until_the_spec_changes() -> None:
    """Trying again would not help. Result and aggregate say so, with what to do."""
    story = Story().device("a").spec(spec()).render_failed(1, retryable=False)
    assert story.effects(RetryRender) == []
    assert story.aggregate().phase == "Failed"
    failure = story.result().failure
    assert failure is not None
    assert failure == story.aggregate().failure
    assert (failure.stage, failure.code, failure.retryable, failure.next_retry_seconds) == (
        "Rendering", "no-chart", False, None,
    )  # fmt: skip
    assert "the chart is not there; correct the spec or its chart, then publish it again" in failure.message
    story.spec(spec(rate="20"))
    assert (story.aggregate().phase, story.result().reasons) == ("Progressing", ())


@pytest.mark.parametrize("retryable", [True, False])
def test_a_device_that_reports_is_no_reason_to_render_again(retryable: bool) -> None:
    """A registry that is down is asked in its own time, a chart that is broken not at all, for however many devices."""
    story = Story().device("a").spec(spec()).render_failed(1, retryable=retryable)
    assert story.device("a", memory=8 << 30).renders == []
    assert story.device("b").renders == []
    assert story.promises("a").renders == []
    assert story.deployment("b").assigned == 1


def test_a_final_failure_is_tried_again_when_somebody_publishes_it_once_more_or_at_a_start() -> None:
    """The chart behind the same reference may be another one by now, and the installation too."""
    story = Story().device("a").device("b").spec(spec()).render_failed(1, retryable=False)
    assert story.spec(spec()).renders == [(1, ("a", "b"))]
    assert story.timed(RenderDue(NAME)).renders == [(1, ("a", "b"))]
    failure = story.render_failed(1, retryable=False).result().failure
    assert failure is not None
    assert failure.attempt == 2


def test_a_device_that_joined_during_a_failure_is_rendered_for_when_it_is_over() -> None:
    """It was not asked for by itself."""
    story = Story().device("a").spec(spec()).render_failed(1, retryable=True).timed(RenderDue(NAME))
    asked = story.last
    assert story.device("b").renders == []
    story.last = asked
    assert story.rendered().renders == [(1, ("b",))]


def test_a_failure_is_over_when_rendering_succeeds() -> None:
    """The answer says so."""
    story = Story().device("a").spec(spec()).render_failed(1, retryable=True).timed(RenderDue(NAME)).rendered()
    assert story.result().reasons == ()
    assert story.record().problem is None
    assert story.aggregate().phase == "Progressing"


def test_a_failure_leaves_what_runs_alone() -> None:
    """The old generation goes on."""
    story = Story().device("a").spec(spec()).rendered().deployed("a", 1).spec(spec(rate="20"))
    story.render_failed(2, retryable=False)
    assert story.manifest("a").generation == 1


def test_an_overtaken_failure_is_ignored() -> None:
    """It says nothing about the generation that is wanted now."""
    story = Story().device("a").spec(spec()).spec(spec(rate="20")).render_failed(1, retryable=True)
    assert (story.last.effects, story.record().problem) == ([], None)


def test_pins_are_kept_for_devices_that_join_later() -> None:
    """Whatever a tag points to by then."""
    story = Story().device("a").spec(spec()).rendered(pins=(("db", "sha256:1"),)).device("b")
    assert story.record().pins == (("db", "sha256:1"),)
    assert story.rendered(pins=(("db", "sha256:1"),)).manifest("b").generation == 1


def test_a_render_with_other_pins_is_made_again() -> None:
    """Two renders of one generation were under way when a tag moved: all devices get the first chart."""
    story = Story().device("a").spec(spec())
    story.timed(Rendered(NAME, 1, {"a": manifest(NAME, "a", 1)}, (("db", "sha256:1"),)))
    story.device("b").timed(Rendered(NAME, 1, {"b": manifest(NAME, "b", 1)}, (("db", "sha256:2"),)))
    assert story.published == []
    assert story.effects(Render) == [Render(NAME, 1, ("b",))]
    assert story.record().pins == (("db", "sha256:1"),)


def test_a_device_that_ignores_its_manifest_is_asked_for_its_status() -> None:
    """Each time under another id, because a device answers a command once."""
    story = Story().device("a").spec(spec()).rendered()
    [first] = story.timed(NotTakenUp(NAME, "a", 1)).commands_to("a")
    [second] = story.timed(NotTakenUp(NAME, "a", 2)).commands_to("a")
    assert (first.action, first.generation) == (Action.REPLAY, 1)
    assert first.id != second.id
    story.deployed("a", 1)
    assert story.timed(NotTakenUp(NAME, "a", 3)).commands_to("a") == []


def test_a_new_generation_has_no_pins() -> None:
    """Its charts are looked up anew."""
    story = Story().device("a").spec(spec()).rendered(pins=(("db", "sha256:1"),)).spec(spec(rate="20"))
    assert story.record().pins == ()


def test_a_raised_generation_keeps_its_pins() -> None:
    """The content is the same, so the charts are."""
    story = Story().device("a").spec(spec()).rendered(pins=(("db", "sha256:1"),))
    story.report(status("a", State.DEPLOYED, 9, 40))
    assert (story.record().generation, story.record().pins) == (10, (("db", "sha256:1"),))
