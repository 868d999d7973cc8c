"""What the agent knows of a deployment: frozen records, replaced and never changed.

Desired, current and last good are three fields on purpose: a changed manifest for something that
already runs must never look like nothing to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from topics.allocation import NOTHING, Share
from topics.documents.command import CommandOutcome
from topics.documents.spec import Drift
from topics.documents.status import ComponentStatus, Failure
from topics.lifecycle import State, Trigger

COMMANDS_SHOWN = 8
"""How many command outcomes a status carries."""

MESSAGE_LENGTH = 2_000
"""Longer error texts are cut: they go into retained messages."""


class Step(StrEnum):
    """One piece of work for an applier. Each is journalled before it starts, and its result after it.

    Applying the last component includes pruning what other generations had.
    """

    CHECK = "check"
    DOWNLOAD = "download"
    INITIALIZE = "initialize"
    APPLY = "apply"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Plan:
    """What decisions need to know of a manifest; the manifest itself stays in the journal.

    ``remove`` marks a tombstone, ``initializes`` says that there are initialization objects,
    ``manual`` asks for activation by command, ``share`` is what it is promised of the device, ``drift`` says
    whether one that became unhealthy is repaired.
    """

    generation: int
    digest: str
    remove: bool = False
    components: tuple[str, ...] = ()
    initializes: bool = False
    manual: bool = False
    share: Share = NOTHING
    drift: Drift = "heal"


@dataclass(frozen=True, slots=True)
class Work:
    """The step that is under way. ``number`` grows with every start: results of older ones are stale."""

    number: int
    step: Step
    component: str | None = None


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment on this device: the row of the journal.

    - ``desired`` is the newest manifest accepted, ``current`` the one ``state`` speaks of, ``deployed``
      the last good one, ``previous`` the good one before it;
    - ``sequence`` is that of the last transition; it goes on growing over removal and re-creation;
    - ``work`` is the step under way (it starts again after a restart), ``works`` the last number given;
    - ``attempt`` counts tries of the current stage's generation, ``heals`` repairs without a calm while;
    - ``failure`` is shown; ``cause`` is why an older generation was restored, and is shown again once
      it is; ``refusal`` is why the newest message on the manifest topic was not taken;
    - ``begun``: something of it may be at work on the device, for something was applied and not removed since;
    - ``activated``: the activation of ``current`` was given or never needed;
    - ``cleared``: removed, confirmed, and kept only so that stale manifests stay ignored.
    """

    name: str
    state: State
    desired: Plan
    current: Plan
    deployed: Plan | None = None
    previous: Plan | None = None
    sequence: int = 0
    work: Work | None = None
    works: int = 0
    attempt: int = 1
    heals: int = 0
    failure: Failure | None = None
    cause: Failure | None = None
    refusal: Failure | None = None
    held: str | None = None
    components: tuple[ComponentStatus, ...] = ()
    begun: bool = False
    activated: bool = False
    cleared: bool = False
    commands: tuple[CommandOutcome, ...] = ()

    @property
    def restorable(self) -> Plan | None:
        """The last good generation, if it is another one than the current."""
        if self.deployed is None or self.deployed.generation == self.current.generation:
            return None
        return self.deployed

    @property
    def was_good(self) -> bool:
        """Whether the current generation has been Deployed: what runs now is a repair of it."""
        return self.deployed is not None and self.deployed.generation == self.current.generation

    @property
    def kept_generations(self) -> frozenset[int]:
        """The generations whose manifests are still needed."""
        if self.state is State.REMOVED:
            return frozenset()
        plans = (self.desired, self.current, self.deployed, self.previous)
        return frozenset(plan.generation for plan in plans if plan is not None and not plan.remove)


@dataclass(frozen=True, slots=True)
class Moved:
    """One transition, as it was decided; the shell adds device, epoch and time."""

    sequence: int
    generation: int
    source: State | None
    target: State
    trigger: Trigger
    code: str = ""
    message: str = ""
    attempt: int = 1


def waiting(plan: Plan) -> tuple[ComponentStatus, ...]:
    """The component states of a plan of which nothing was applied yet."""
    return tuple(ComponentStatus(name=name, state="Waiting") for name in plan.components)
