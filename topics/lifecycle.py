"""The lifecycle of a deployment: one table, used by both sides.

The agent runs it (``edge_agent.lifecycle_run`` builds its state machine from these rows); the
orchestrator only checks reported transitions against it (``is_allowed``). Names on the wire are the
values of ``State``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """Where a deployment is. Created to Deployed are the five stages; Staged waits for activation."""

    CREATED = "Created"
    PREPARED = "Prepared"
    DOWNLOADING = "Downloading"
    STAGED = "Staged"
    CONFIGURATION = "Configuration"
    DEPLOYED = "Deployed"
    DEGRADED = "Degraded"
    FAILED = "Failed"
    ROLLING_BACK = "RollingBack"
    REMOVING = "Removing"
    REMOVED = "Removed"


class Trigger(StrEnum):
    """What moves a deployment on."""

    CREATE = "create"
    PREPARE = "prepare"
    DOWNLOAD = "download"
    STAGE = "stage"
    CONFIGURE = "configure"
    DEPLOY = "deploy"
    DEGRADE = "degrade"
    RECOVER = "recover"
    FAIL = "fail"
    RETRY = "retry"
    ROLL_BACK = "roll_back"
    RESTORE = "restore"
    SUPERSEDE = "supersede"
    REMOVE = "remove"
    GONE = "gone"


class Transition(NamedTuple):
    """One allowed move."""

    trigger: Trigger
    source: State
    target: State


MEANING: dict[State, str] = {
    State.CREATED: "the manifest is in the device's journal",
    State.PREPARED: "it is authentic, fits what is left on the device, and the runtime answers",
    State.DOWNLOADING: "charts, images and artifacts are being fetched; the old generation keeps running",
    State.STAGED: "all of it is on the device, and activation is held by policy",
    State.CONFIGURATION: "initialization, then the components in order, applied and waited for",
    State.DEPLOYED: "every component is healthy; drift is watched",
    State.DEGRADED: "it was Deployed and is not healthy now",
    State.FAILED: "a stage failed: stage, code, message, retryable, attempt, next retry",
    State.ROLLING_BACK: "the last good generation is being restored",
    State.REMOVING: "it is being taken off the device",
    State.REMOVED: "it is gone; its retained topics are cleared once that is acknowledged",
}

_S, _T = State, Trigger
_IN_FLIGHT = (_S.CREATED, _S.PREPARED, _S.DOWNLOADING, _S.STAGED, _S.CONFIGURATION)
_LIVE = (*_IN_FLIGHT, _S.DEPLOYED, _S.DEGRADED, _S.FAILED, _S.ROLLING_BACK)

TRANSITIONS: tuple[Transition, ...] = (
    Transition(_T.PREPARE, _S.CREATED, _S.PREPARED),
    Transition(_T.DOWNLOAD, _S.PREPARED, _S.DOWNLOADING),
    Transition(_T.STAGE, _S.DOWNLOADING, _S.STAGED),
    Transition(_T.CONFIGURE, _S.DOWNLOADING, _S.CONFIGURATION),
    Transition(_T.CONFIGURE, _S.STAGED, _S.CONFIGURATION),
    Transition(_T.CONFIGURE, _S.DEGRADED, _S.CONFIGURATION),
    Transition(_T.DEPLOY, _S.CONFIGURATION, _S.DEPLOYED),
    Transition(_T.DEGRADE, _S.DEPLOYED, _S.DEGRADED),
    Transition(_T.RECOVER, _S.DEGRADED, _S.DEPLOYED),
    *(Transition(_T.FAIL, state, _S.FAILED) for state in (*_IN_FLIGHT, _S.DEGRADED, _S.ROLLING_BACK)),
    Transition(_T.RETRY, _S.FAILED, _S.PREPARED),
    *(
        Transition(_T.ROLL_BACK, state, _S.ROLLING_BACK)
        for state in (_S.CONFIGURATION, _S.FAILED, _S.DEPLOYED, _S.DEGRADED)
    ),
    Transition(_T.RESTORE, _S.ROLLING_BACK, _S.DEPLOYED),
    *(Transition(_T.SUPERSEDE, state, _S.CREATED) for state in _LIVE),
    *(Transition(_T.REMOVE, state, _S.REMOVING) for state in _LIVE),
    Transition(_T.GONE, _S.REMOVING, _S.REMOVED),
)

_PAIRS: frozenset[tuple[State | None, State]] = frozenset(
    {(None, _S.CREATED), (None, _S.REMOVING), (_S.REMOVED, _S.CREATED), (_S.REMOVED, _S.REMOVING)}
    | {(source, target) for _, source, target in TRANSITIONS}
)
"""A deployment enters at Created, or at Removing when the first thing a device hears is a tombstone;
a removed one may come back the same way."""

STAGES: tuple[State, ...] = (_S.CREATED, _S.PREPARED, _S.DOWNLOADING, _S.CONFIGURATION, _S.DEPLOYED)


def is_allowed(source: State | None, target: State) -> bool:
    """Whether a device may report this transition; ``source`` is ``None`` for its first one."""
    return (source, target) in _PAIRS


def targets(source: State) -> tuple[State, ...]:
    """The states a deployment may enter from ``source``, in the order of ``State``."""
    return tuple(state for state in State if (source, state) in _PAIRS)
