"""The lifecycle table, written down a second time: the design's rows, and each addition with its reason."""

from __future__ import annotations

import itertools

from topics.lifecycle import MEANING, STAGES, TRANSITIONS, State, Trigger, is_allowed, targets

DESIGN: dict[str, set[str]] = {
    "Created": {"Prepared", "Failed", "Removing"},
    "Prepared": {"Downloading", "Failed", "Removing"},
    "Downloading": {"Staged", "Configuration", "Failed", "Removing"},
    "Staged": {"Configuration", "Failed", "Removing"},
    "Configuration": {"Deployed", "Failed", "RollingBack", "Removing"},
    "Deployed": {"Degraded", "Created", "Removing"},
    "Degraded": {"Deployed", "Configuration", "Failed", "Removing"},
    "Failed": {"Prepared", "RollingBack", "Created", "Removing"},
    "RollingBack": {"Deployed", "Failed"},
    "Removing": {"Removed"},
    "Removed": set(),
}

ADDITIONS: dict[tuple[str, str], str] = {
    ("Created", "Created"): "a newer generation arrives before the older one was prepared",
    ("Prepared", "Created"): "a newer generation need not wait for the older one to finish",
    ("Downloading", "Created"): "the download of an outdated generation is not worth finishing",
    ("Staged", "Created"): "a staged generation may be outdated before its activation",
    ("Configuration", "Created"): "a correction replaces a generation that hangs while it is applied",
    ("Degraded", "Created"): "a new generation is the usual repair",
    ("RollingBack", "Created"): "a correction arrives while the last good generation is being restored",
    ("RollingBack", "Removing"): "removal is always possible",
    ("Deployed", "RollingBack"): "an operator's rollback of a generation that is healthy and still wrong",
    ("Degraded", "RollingBack"): "an operator's rollback of a generation that fell ill",
    ("Removed", "Created"): "the same deployment is published again after its removal",
    ("Removed", "Removing"): "the tombstone comes again after everything was forgotten",
}


def test_the_table_is_the_design_and_the_documented_additions() -> None:
    """Every pair of states is allowed if and only if it stands in one of the two tables above."""
    expected = {(source, target) for source, row in DESIGN.items() for target in row} | set(ADDITIONS)
    assert {(a.value, b.value) for a in State for b in State if is_allowed(a, b)} == expected


def test_no_addition_is_in_the_design_already() -> None:
    """The two tables do not overlap."""
    assert not [pair for pair in ADDITIONS if pair[1] in DESIGN[pair[0]]]


def test_a_deployment_enters_at_created_or_removing() -> None:
    """Removing is first where the first thing a device hears of a deployment is a tombstone."""
    assert [state for state in State if is_allowed(None, state)] == [State.CREATED, State.REMOVING]


def test_every_state_but_removed_can_be_left() -> None:
    """No state is a trap: the machine has a move out of each, and out of Removed only a new beginning leads."""
    sources = {row.source for row in TRANSITIONS}
    assert set(State) - sources == {State.REMOVED}


def test_every_state_is_reachable_from_created() -> None:
    """No state is dead."""
    reached = {State.CREATED}
    while more := {row.target for row in TRANSITIONS if row.source in reached} - reached:
        reached |= more
    assert reached == set(State)


def test_removal_is_possible_from_every_state() -> None:
    """Whatever happens, a deployment can be taken off."""
    for start in set(State) - {State.REMOVED}:
        reached = {start}
        while more := {row.target for row in TRANSITIONS if row.source in reached} - reached:
            reached |= more
        assert State.REMOVED in reached, start


def test_a_trigger_leads_to_one_state() -> None:
    """A state and a trigger name one target, and a trigger always means the same target."""
    assert len({(row.source, row.trigger) for row in TRANSITIONS}) == len(TRANSITIONS)
    moving = set(Trigger) - {Trigger.CREATE}  # that one is the entrance, from no state at all
    assert {row.trigger for row in TRANSITIONS} == moving
    for trigger in moving:
        assert len({row.target for row in TRANSITIONS if row.trigger is trigger}) == 1, trigger


def test_targets_lists_what_is_allowed() -> None:
    """``targets`` is ``is_allowed`` read by rows."""
    assert all(targets(state) == tuple(to for to in State if is_allowed(state, to)) for state in State)


def test_every_state_has_a_meaning_and_the_stages_are_in_order() -> None:
    """The documentation of states is complete, and one stage leads to the next."""
    assert set(MEANING) == set(State)
    assert all(is_allowed(before, after) for before, after in itertools.pairwise(STAGES))
