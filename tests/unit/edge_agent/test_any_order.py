"""Whatever happens, in whatever order: the lifecycle, the numbers and the way on are kept."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.adapters.on_disk import from_text, to_text
from edge_agent.happenings import (
    CommandReceived,
    Event,
    Finding,
    HealthReported,
    HealthUnknown,
    ManifestCleared,
    ManifestReceived,
    ManifestRefused,
    Resumed,
    TimerDue,
    TimerKind,
    WorkDone,
    WorkFailed,
)
from edge_agent.model import Deployment, Plan
from tests.unit.edge_agent.story import NAME, Story, plan, tombstone
from topics.documents.command import Action, Command
from topics.lifecycle import State, is_allowed

_PLANS = st.builds(
    lambda generation, kind, digest: Plan(
        generation, f"sha256:{generation}{digest}", remove=kind == "remove",
        components=() if kind == "remove" else ("db", "web"), manual=kind == "manual",
    ),
    st.integers(1, 8), st.sampled_from(["apply", "apply", "manual", "remove"]), st.sampled_from(["", "", "", "x"]),
)  # fmt: skip
_COMMANDS = st.builds(
    lambda action, generation, handled: CommandReceived(
        Command(id="c", deployment=NAME, device="edge-01", action=action, generation=generation), handled
    ),
    st.sampled_from(list(Action)), st.integers(1, 8), st.booleans(),
)  # fmt: skip
_EVENTS = st.one_of(
    st.builds(ManifestReceived, _PLANS, st.just(b"{}")),
    st.just(ManifestCleared()),
    st.just(ManifestRefused("wrong-digest", "damaged")),
    _COMMANDS,
    st.just("done"),
    st.just("done"),
    st.just("done"),
    st.builds(lambda retryable: ("failed", retryable), st.booleans()),
    st.builds(TimerDue, st.sampled_from(list(TimerKind))),
    st.builds(
        lambda generation, ok: HealthReported(generation, (Finding("db", True), Finding("web", ok))),
        st.integers(1, 8), st.booleans(),
    ),
    st.builds(HealthUnknown, st.integers(1, 8), st.just("x"), st.just("y")),
    st.builds(WorkDone, st.integers(0, 20)),
    st.just(Resumed()),
)  # fmt: skip

_NEEDS_WORK = {State.CREATED, State.PREPARED, State.DOWNLOADING, State.CONFIGURATION, State.ROLLING_BACK}


def _event(drawn: object, record: Deployment | None) -> Event:
    number = record.work.number if record and record.work else 0
    match drawn:
        case "done":
            return WorkDone(number)
        case ("failed", bool(retryable)):
            return WorkFailed(number, "broken", "broken", retryable, "web")
    return drawn  # type: ignore[return-value]


@settings(max_examples=300)
@given(st.lists(_EVENTS, max_size=60))
def test_no_order_of_events_breaks_the_rules(drawn: list[object]) -> None:
    """Every move is in the table, numbers have no gap, generations never fall, nothing gets stuck."""
    story = Story()
    desired, last = 0, None
    for item in drawn:
        before = len(story.moves)
        story.happens(_event(item, story.known))
        for move in story.moves[before:]:
            assert move.source == last
            assert is_allowed(move.source, move.target)
            last = move.target
        assert [move.sequence for move in story.moves] == list(range(1, len(story.moves) + 1))
        if story.known is None:
            continue
        record = story.record
        assert record.state is last
        assert record.desired.generation >= desired
        desired = record.desired.generation
        assert (record.work is not None) == (record.state in _NEEDS_WORK) or record.state is State.REMOVING
        assert record.state is not State.DEPLOYED or record.deployed == record.current
        assert from_text(to_text(record)) == record


@settings(max_examples=100)
@given(st.lists(_EVENTS, max_size=40))
def test_whatever_happened_a_new_generation_is_deployed_in_the_end(drawn: list[object]) -> None:
    """And a tombstone takes it off again."""
    story = Story()
    for item in drawn:
        story.happens(_event(item, story.known))
    story.manifest(plan(100))
    if story.record.work is None and story.state is State.REMOVING:
        story.due(TimerKind.RETRY)
    assert story.until(State.DEPLOYED).record.deployed == plan(100)
    assert story.record.failure is None
    assert story.manifest(tombstone(101)).until(State.REMOVED).record.kept_generations == frozenset()
