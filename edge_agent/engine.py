"""The one place where it is decided what happens to a deployment.

``decide`` is a function of its arguments: it does no I/O, reads no clock and rolls no dice. The shell
journals what it returns and performs the effects afterwards.
"""

from __future__ import annotations

from edge_agent import decide_command, decide_health, decide_manifest, decide_timer, decide_work
from edge_agent.draft import Draft
from edge_agent.happenings import (
    CommandReceived,
    Context,
    Decision,
    Event,
    HealthReported,
    HealthUnknown,
    ManifestCleared,
    ManifestReceived,
    ManifestRefused,
    Note,
    Resumed,
    TimerDue,
    WorkDone,
    WorkFailed,
)
from edge_agent.model import Deployment


def decide(name: str, record: Deployment | None, event: Event, context: Context) -> Decision:
    """What ``event`` brings about for the deployment ``name``, whose row is ``record`` (``None``: unknown)."""
    match event:
        case ManifestReceived():
            return decide_manifest.received(name, record, event, context)
        case ManifestRefused():
            return decide_manifest.refused(record, event, context)
        case ManifestCleared():
            return decide_manifest.cleared(record, context)
    if record is None:
        # Commands come by themselves and may arrive first; results and timers of something unknown cannot.
        return Decision(None, effects=(_unknown(event),))
    draft = Draft(record, context)
    match event:
        case CommandReceived():
            decide_command.received(draft, event)
        case WorkDone():
            decide_work.done(draft, event)
        case WorkFailed():
            decide_work.failed(draft, event)
        case TimerDue():
            decide_timer.due(draft, event)
        case HealthReported():
            decide_health.reported(draft, event)
        case HealthUnknown():
            decide_health.unknown(draft, event)
        case Resumed():
            decide_timer.resumed(draft)
    return draft.decision()


def _unknown(event: Event) -> Note:
    fields: dict[str, object] = {"about": type(event).__name__}
    if isinstance(event, CommandReceived):
        fields.update(command=event.command.id, action=event.command.action.value)
    return Note("dropped, the deployment is not known here", fields, warning=True)
