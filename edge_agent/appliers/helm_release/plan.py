"""What brings a release to the wanted content, from its history. Pure: one action at a time, until there is none.

Helm's own rules (Helm 3 and 4, ``pkg/action``): a release whose newest revision is *pending* refuses every upgrade;
an upgrade compares with the newest *deployed* revision, so that objects which only a failed one made stay behind; a
rollback compares with the newest revision, whatever its status, and clears those away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

DEPLOYED = "deployed"
SUPERSEDED = "superseded"
FAILED = "failed"
PENDING = frozenset({"pending-install", "pending-upgrade", "pending-rollback"})
_ENDING = frozenset({"uninstalling", "uninstalled"})


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision of a release, from the labels of its record; ``content`` is what ``content_of`` gave for it."""

    number: int
    status: str
    content: str = ""
    deployment: str = ""
    component: str = ""


class Act(Enum):
    """What to do next with a release."""

    NOTHING = "nothing"
    INSTALL = "install"
    UPGRADE = "upgrade"
    ROLLBACK = "rollback"
    MARK_FAILED = "mark failed"
    UNINSTALL = "uninstall"


@dataclass(frozen=True, slots=True)
class Action:
    """``revision`` is the one to roll back to, or the one to mark."""

    act: Act
    revision: int = 0


def next_action(history: Sequence[Revision], content: str) -> Action:
    """The next action towards ``content``.

    A revision that was *pending* when the agent was killed is marked failed first, and is then like one that
    failed. A revision that had the wanted content and worked is rolled back to: that needs no chart.
    """
    if not history:
        return Action(Act.INSTALL)
    newest = max(history, key=lambda revision: revision.number)
    if newest.status in PENDING:
        return Action(Act.MARK_FAILED, newest.number)
    if newest.status in _ENDING:
        return Action(Act.UNINSTALL)
    good = [revision for revision in history if revision.status in (DEPLOYED, SUPERSEDED)]
    same = [revision.number for revision in good if revision.content == content]
    if newest.status == DEPLOYED:
        if newest.content == content:
            return Action(Act.NOTHING)
        return Action(Act.ROLLBACK, max(same)) if same else Action(Act.UPGRADE)
    if same:
        return Action(Act.ROLLBACK, max(same))
    if newest.content == content:
        return Action(Act.UPGRADE)
    if good:  # clears away what only the failed revision made; the upgrade comes next
        return Action(Act.ROLLBACK, max(revision.number for revision in good))
    return Action(Act.UNINSTALL)
