"""What the health of a deployed generation brings about: Degraded, recovery by itself, or a repair."""

from __future__ import annotations

from edge_agent.decide_work import configure, fail
from edge_agent.draft import Draft
from edge_agent.happenings import Finding, HealthReported, HealthUnknown, TimerKind
from edge_agent.model import MESSAGE_LENGTH
from topics.documents.status import ComponentStatus
from topics.lifecycle import State, Trigger


def reported(draft: Draft, event: HealthReported) -> None:
    """The applier's findings. Those of another generation, or that come too late, change nothing."""
    if not _watched(draft, event.generation):
        return
    draft.change(components=_components(draft, event.findings))
    ill = [finding for finding in event.findings if not finding.healthy]
    if draft.record.state is State.DEPLOYED:
        if ill:
            draft.move(Trigger.DEGRADE, code="unhealthy", message=_text(ill))
            # One more look before the repair: it may come back by itself.
            draft.timer(TimerKind.HEALTH, draft.backoff(draft.record.heals + 1))
        else:
            draft.timer(TimerKind.HEALTH, draft.context.health_seconds)
    elif not ill:
        draft.move(Trigger.RECOVER)
        draft.timer(TimerKind.HEALTH, draft.context.health_seconds)
        draft.timer(TimerKind.STABLE, draft.context.stable_seconds)
    elif event.noticed:
        # Out of turn: the look that decides about a repair is still to come, after its pause.
        return
    elif draft.record.current.drift == "report":
        # Somebody changed it on purpose, for all we know: it is said and not touched.
        draft.timer(TimerKind.HEALTH, draft.context.health_seconds)
    elif draft.record.heals < draft.context.max_heals:
        draft.change(heals=draft.record.heals + 1)
        configure(draft, fetch=True)
    else:
        fail(draft, "does-not-stay-healthy", f"repaired {draft.record.heals} times: {_text(ill)}", retryable=True)


def unknown(draft: Draft, event: HealthUnknown) -> None:
    """The applier could not look: the state stays, and it is asked again."""
    if _watched(draft, event.generation):
        draft.note("health not known", warning=True, code=event.code, reason=event.message)
        draft.timer(TimerKind.HEALTH, draft.context.health_seconds)


def _watched(draft: Draft, generation: int) -> bool:
    record = draft.record
    return record.state in (State.DEPLOYED, State.DEGRADED) and record.current.generation == generation


def _components(draft: Draft, findings: tuple[Finding, ...]) -> tuple[ComponentStatus, ...]:
    """The plan's components as they were found, then findings outside of them while they last."""
    names = draft.record.current.components
    old = {status.name: status for status in draft.record.components}
    found = {
        finding.component: ComponentStatus(
            name=finding.component,
            state="Healthy" if finding.healthy else "Unhealthy",
            message=finding.message[:MESSAGE_LENGTH],
        )
        for finding in findings
    }
    listed = [found.pop(name, None) or old.get(name) for name in names]
    return (*(status for status in listed if status is not None), *found.values())


def _text(ill: list[Finding]) -> str:
    return "; ".join(f"{finding.component}: {finding.message or 'unhealthy'}" for finding in ill)
