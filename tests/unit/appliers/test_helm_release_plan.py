"""What brings a release to its content, from every history that Helm or a crash can leave."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.appliers.helm_release.plan import (
    DEPLOYED,
    FAILED,
    PENDING,
    SUPERSEDED,
    Act,
    Action,
    Revision,
    next_action,
)


def history(*entries: tuple[str, str]) -> list[Revision]:
    """(status, content) of each revision, from 1."""
    return [Revision(number, status, content) for number, (status, content) in enumerate(entries, 1)]


@pytest.mark.parametrize(
    ("entries", "action"),
    [
        ([], Action(Act.INSTALL)),
        ([(DEPLOYED, "new")], Action(Act.NOTHING)),
        ([(DEPLOYED, "old")], Action(Act.UPGRADE)),
        ([("pending-install", "new")], Action(Act.MARK_FAILED, 1)),
        ([(DEPLOYED, "old"), ("pending-upgrade", "new")], Action(Act.MARK_FAILED, 2)),
        ([(SUPERSEDED, "old"), ("pending-rollback", "new")], Action(Act.MARK_FAILED, 2)),
        # A first installation that failed: the same again goes on from it, another one starts anew.
        ([(FAILED, "new")], Action(Act.UPGRADE)),
        ([(FAILED, "other")], Action(Act.UNINSTALL)),
        # An upgrade that failed: the same again goes on from it; before another one, what only it made is cleared.
        ([(DEPLOYED, "old"), (FAILED, "new")], Action(Act.UPGRADE)),
        ([(DEPLOYED, "old"), (FAILED, "other")], Action(Act.ROLLBACK, 1)),
        # What worked once is rolled back to, without its chart.
        ([(SUPERSEDED, "new"), (DEPLOYED, "old")], Action(Act.ROLLBACK, 1)),
        ([(SUPERSEDED, "new"), (SUPERSEDED, "new"), (DEPLOYED, "old")], Action(Act.ROLLBACK, 2)),
        ([(DEPLOYED, "new"), (FAILED, "other")], Action(Act.ROLLBACK, 1)),
        ([(FAILED, "new"), (DEPLOYED, "old")], Action(Act.UPGRADE)),
        # A removal that was stopped is ended, and so is one that kept its history.
        ([("uninstalling", "new")], Action(Act.UNINSTALL)),
        ([("uninstalled", "new")], Action(Act.UNINSTALL)),
        ([("unknown", "other")], Action(Act.UNINSTALL)),
    ],
)
def test_action_follows_from_the_history(entries: Sequence[tuple[str, str]], action: Action) -> None:
    """One row for each situation."""
    assert next_action(history(*entries), "new") == action


def carried_out(action: Action, entries: list[Revision], content: str) -> list[Revision]:
    """The history after an action that succeeds, as Helm writes it."""
    number = max((entry.number for entry in entries), default=0) + 1
    superseded = [
        Revision(entry.number, SUPERSEDED if entry.status == DEPLOYED else entry.status, entry.content)
        for entry in entries
    ]
    match action.act:
        case Act.INSTALL | Act.UPGRADE:
            return [*superseded, Revision(number, DEPLOYED, content)]
        case Act.ROLLBACK:
            [target] = [entry for entry in entries if entry.number == action.revision]
            return [*superseded, Revision(number, DEPLOYED, target.content)]
        case Act.MARK_FAILED:
            return [
                Revision(entry.number, FAILED, entry.content) if entry.number == action.revision else entry
                for entry in entries
            ]
        case Act.UNINSTALL:
            return []
        case Act.NOTHING:
            return entries


STATUSES = [DEPLOYED, SUPERSEDED, FAILED, "unknown", "uninstalling", "uninstalled", *sorted(PENDING)]


@given(st.lists(st.tuples(st.sampled_from(STATUSES), st.sampled_from(["old", "new", "other"])), max_size=6))
def test_any_history_leads_to_the_content_in_a_few_actions(entries: list[tuple[str, str]]) -> None:
    """Also histories that no Helm writes: at most four actions, and then nothing is left to do."""
    present = history(*entries)
    for _ in range(5):
        action = next_action(present, "new")
        if action.act is Act.NOTHING:
            break
        present = carried_out(action, present, "new")
    newest = max(present, key=lambda entry: entry.number)
    assert (newest.status, newest.content) == (DEPLOYED, "new")
