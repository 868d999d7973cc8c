"""A generation on its way to Deployed."""

from __future__ import annotations

from edge_agent.happenings import (
    CancelWork,
    ClearStatus,
    Context,
    ForgetManifest,
    ManifestRefused,
    PublishRefusal,
    PublishStatus,
    StoreManifest,
    TimerKind,
    WorkDone,
)
from edge_agent.model import Step
from tests.unit.edge_agent.story import Story, plan, tombstone
from topics.allocation import Holdings, Share
from topics.documents.command import Action
from topics.lifecycle import State, Trigger

STAGES = [State.CREATED, State.PREPARED, State.DOWNLOADING, State.CONFIGURATION, State.DEPLOYED]


def test_a_manifest_goes_through_the_five_stages() -> None:
    """Created, Prepared, Downloading, Configuration, Deployed, numbered from 1."""
    story = Story().deployed(1)
    assert story.path == STAGES
    assert [move.sequence for move in story.moves] == [1, 2, 3, 4, 5]
    assert story.record.deployed == plan(1)
    assert [status.state for status in story.record.components] == ["Healthy"]


def test_the_manifest_is_stored_before_the_first_step_starts() -> None:
    """The bytes and the start of the check belong to one decision."""
    story = Story().manifest(plan(1))
    assert [effect.generation for effect in story.effects_of(StoreManifest)] == [1]
    assert story.started == [Step.CHECK]


def test_components_are_applied_in_order_and_shown_as_they_are() -> None:
    """One at a time; the status says which waits, which is applied, which is healthy."""
    story = Story().manifest(plan(1, components=("db", "web"), initializes=True)).during(Step.INITIALIZE)
    assert [status.state for status in story.record.components] == ["Waiting", "Waiting"]
    story.done()
    assert [status.state for status in story.record.components] == ["Applying", "Waiting"]
    story.done()
    assert [status.state for status in story.record.components] == ["Healthy", "Applying"]
    assert story.done().state is State.DEPLOYED


def test_the_same_manifest_again_changes_nothing() -> None:
    """A reconnect brings every retained manifest again."""
    story = Story().deployed(1)
    before = story.record
    story.manifest(plan(1))
    assert story.record == before
    assert story.effects == ()


def test_an_older_generation_is_ignored() -> None:
    """Generations only grow; the status tells a writer that was set up anew where to go on."""
    story = Story().deployed(5)
    before = story.record
    story.manifest(plan(4))
    assert story.record == before
    assert story.notes == ["older generation ignored"]
    assert story.effects_of(PublishStatus)


def test_another_manifest_with_a_known_generation_is_refused() -> None:
    """The first is kept, and the status says why until the right one comes again."""
    story = Story().deployed(1)
    other = plan(1).__class__(1, "sha256:other", components=("web",))
    story.manifest(other)
    assert story.record.desired == plan(1)
    assert story.record.refusal is not None
    assert story.record.refusal.code == "generation-reused"
    assert story.effects_of(PublishStatus)
    assert story.manifest(plan(1)).record.refusal is None


def test_an_unreadable_manifest_is_answered_and_changes_nothing_else() -> None:
    """The deployment goes on; its status carries the code."""
    story = Story().deployed(1).happens(ManifestRefused("wrong-digest", "damaged"))
    assert story.state is State.DEPLOYED
    assert story.record.refusal is not None
    assert story.record.refusal.code == "wrong-digest"


def test_an_unreadable_manifest_for_something_unknown_is_answered() -> None:
    """There is no record of it, but its writer hears why; clearing the topic clears the answer."""
    story = Story().happens(ManifestRefused("wrong-digest", "damaged"))
    assert story.known is None
    assert story.effects_of(PublishRefusal) == [PublishRefusal("wrong-digest", "damaged")]
    assert story.cleared().effects_of(ClearStatus)


def test_a_newer_generation_supersedes_one_on_its_way() -> None:
    """The work under way is cancelled, its result is stale, and what it staged is discarded."""
    story = Story().manifest(plan(1)).during(Step.DOWNLOAD)
    stale = story.record.works
    story.manifest(plan(2))
    assert story.effects_of(CancelWork)
    assert story.effects_of(ForgetManifest) == [ForgetManifest(1, discard=True)]
    assert story.moves[-1].trigger is Trigger.SUPERSEDE
    before = story.record
    assert story.happens(WorkDone(stale)).record == before
    assert story.notes == ["stale result ignored"]


def test_the_last_two_good_generations_are_kept() -> None:
    """The one that runs and the one before it; older ones are forgotten."""
    story = Story().deployed(1).deployed(2)
    assert story.record.kept_generations == {1, 2}
    story.manifest(plan(3))
    assert story.record.kept_generations == {1, 2, 3}
    story.until(State.DEPLOYED)
    assert story.record.kept_generations == {2, 3}
    assert story.effects_of(ForgetManifest) == [ForgetManifest(1, discard=True)]


def test_manual_activation_waits_in_staged() -> None:
    """Everything is on the device, and nothing is applied before the command."""
    story = Story().manifest(plan(1, manual=True)).until(State.STAGED)
    assert story.record.held == "waits for the activate command"
    assert story.record.work is None
    story.command(Action.ACTIVATE)
    assert story.state is State.CONFIGURATION
    assert story.record.held is None
    assert story.until(State.DEPLOYED).last_outcome[0] == "done"


def test_an_activated_generation_is_not_held_again_when_it_is_tried_again() -> None:
    """One activation is enough for a generation."""
    story = Story().manifest(plan(1, manual=True)).until(State.STAGED).command(Action.ACTIVATE)
    story.failed(retryable=True).due(TimerKind.RETRY).until(State.DEPLOYED)
    assert story.path.count(State.STAGED) == 1


def test_what_other_deployments_were_promised_is_not_there() -> None:
    """Too little left is a failure that is tried again, with everything that is missing and who holds it."""
    taken = {"vision": Share(cpu=1900, memory=3 * 2**30), "bridge": Share(memory=2**30 - 2**20)}
    story = Story(Context(others=Holdings(Share(cpu=2000, memory=2**32, storage=0), taken)))
    story.manifest(plan(1, share=Share(cpu=500, memory=2**30, storage=1))).done()
    failure = story.record.failure
    assert story.state is State.FAILED
    assert failure is not None
    assert (failure.code, failure.stage, failure.next_retry_seconds) == ("insufficient", State.CREATED, 1.0)
    assert "needs 500m cores, 100m left of 2: 1900m promised to vision" in failure.message
    assert "needs 1Gi memory, 1Mi left of 4Gi: 4Gi promised to vision, bridge" in failure.message
    assert "needs 1 storage, 0 left of 0" in failure.message


def test_a_tombstone_removes_and_the_cleared_topic_ends_it() -> None:
    """Removing, Removed, then the status is cleared and only the number stays."""
    story = Story().deployed(1).manifest(tombstone(2))
    assert (story.state, story.started) == (State.REMOVING, [Step.REMOVE])
    story.done()
    assert (story.state, story.record.current.generation) == (State.REMOVED, 2)
    assert story.record.kept_generations == frozenset()
    story.cleared()
    assert story.effects == (ClearStatus(),)
    assert story.record.cleared
    assert story.manifest(plan(1)).notes == ["older generation ignored"]


def test_a_tombstone_for_something_unknown_is_answered_with_removed() -> None:
    """The orchestrator waits for the answer, and another agent's journal may have been lost."""
    story = Story().manifest(tombstone(7)).done()
    assert story.path == [State.REMOVING, State.REMOVED]


def test_a_tombstone_that_is_still_there_is_answered_again() -> None:
    """Its writer has not heard the answer, or has forgotten it."""
    story = Story().deployed(1).manifest(tombstone(2)).done().cleared().manifest(tombstone(2))
    assert story.effects == (PublishStatus(),)
    assert story.cleared().effects_of(ClearStatus)


def test_a_cleared_topic_alone_removes_nothing() -> None:
    """A broker that lost its data must not take workloads down."""
    story = Story().deployed(1)
    before = story.record
    assert story.cleared().record == before
    assert story.started == []


def test_a_re_creation_goes_on_counting() -> None:
    """Sequences have no gaps over the lives of a deployment."""
    story = Story().deployed(1).manifest(tombstone(2)).done().cleared().deployed(3)
    assert [move.sequence for move in story.moves] == list(range(1, len(story.moves) + 1))
    assert story.moves[7].source is State.REMOVED


def test_a_new_generation_during_a_removal_waits_for_its_end() -> None:
    """It is stored at once and begins when nothing is left of the old one."""
    story = Story().deployed(1).manifest(tombstone(2)).manifest(plan(3))
    assert story.state is State.REMOVING
    assert [effect.generation for effect in story.effects_of(StoreManifest)] == [3]
    story.done()
    assert story.path[-2:] == [State.REMOVED, State.CREATED]
    assert story.until(State.DEPLOYED).record.deployed == plan(3)


def test_a_removal_is_tried_until_it_succeeds() -> None:
    """It has no way back, so no failure is final."""
    story = Story().deployed(1).manifest(tombstone(2)).failed(retryable=False)
    assert (story.state, story.timer(TimerKind.RETRY)) == (State.REMOVING, 1.0)
    assert story.due(TimerKind.RETRY).started == [Step.REMOVE]
    assert story.failed().timer(TimerKind.RETRY) == 2.0
    assert story.due(TimerKind.RETRY).done().state is State.REMOVED
