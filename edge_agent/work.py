"""What a worker thread does: one step of a manifest with the applier, and the health of one.

Every way a step can end becomes an event. An exception that the applier's port does not know is a
bug of that applier: it is logged with its trace and reported as a failure of this deployment, so
that the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from edge_agent.appliers.port import Applier, ApplyError, CancelCheck, ProgressReport
from edge_agent.happenings import CheckHealth, Finding, HealthReported, HealthUnknown, WorkDone, WorkFailed
from edge_agent.model import Step, Work
from topics.allocation import Holdings, Share, images_of, share_of, shortages
from topics.codec import decode
from topics.documents.device import Capabilities
from topics.documents.manifest import Manifest
from topics.errors import Reason
from topics.policy import violations
from topics.program import failpoints
from topics.program.logs import EventLog
from topics.requirements import unmet, unsupported

BUG = "applier-bug"
_UNKNOWN = "the applier failed in an unknown way"


def perform(
    work: Work,
    name: str,
    payload: bytes,
    applier: Applier,
    *,
    progress: ProgressReport,
    cancelled: CancelCheck,
    suits: Callable[[Manifest], None],
    log: EventLog,
) -> WorkDone | WorkFailed | None:
    """Do a step; ``None`` if it was cancelled, for then nobody waits for its result.

    ``payload`` is the manifest (empty for a removal), ``suits`` raises ``ApplyError`` for a manifest
    that this device cannot take.
    """
    if cancelled():
        return None
    failpoints.reach(f"agent.before-{work.step.value}")
    try:
        _do(work, name, payload, applier, progress=progress, cancelled=cancelled, suits=suits)
    except ApplyError as error:
        if cancelled():
            return None
        return WorkFailed(work.number, error.code, error.message, error.retryable, error.component)
    except Exception as error:
        log.error(_UNKNOWN, trace=True, deployment=name, step=work.step.value)  # noqa: TRY400  # an EventLog
        return WorkFailed(work.number, BUG, f"{type(error).__name__}: {error}", True, work.component)
    failpoints.reach(f"agent.after-{work.step.value}")
    return WorkDone(work.number)


def look(asked: CheckHealth, payload: bytes, applier: Applier, log: EventLog) -> HealthReported | HealthUnknown:
    """The health of a generation."""
    try:
        findings = applier.health(decode(Manifest, payload))
    except ApplyError as error:
        return HealthUnknown(asked.generation, error.code, str(error))
    except Exception as error:
        log.error(_UNKNOWN, trace=True, step="health")  # noqa: TRY400  # an EventLog
        return HealthUnknown(asked.generation, BUG, f"{type(error).__name__}: {error}")
    return HealthReported(asked.generation, tuple(Finding(*finding) for finding in findings), asked.noticed)


def suits_device(manifest: Manifest, capabilities: Capabilities, free: Share | None) -> None:
    """Raise ``ApplyError`` if the device cannot take the manifest.

    ``free`` is what is unused now, ``None`` where something of the deployment may be at work already (an
    older generation, or an earlier try): what that uses is its own. Room for images is promised and not looked
    for here: some of them may be on the device already.
    """
    types = {component.type for component in manifest.components}
    reasons = (*unmet(manifest.requirements, capabilities), *unsupported(types, capabilities))
    if capabilities.policy is not None:
        reasons += violations(capabilities.policy, manifest)
    if reasons:
        raise ApplyError(reasons[0].code, _sentences(reasons), retryable=False)
    if free is not None:
        needed = share_of(manifest.requirements)
        unused = Share(memory=needed.memory, storage=needed.storage - images_of(manifest.requirements))
        missing = shortages(unused, Holdings(free))
        if missing:
            phrases = (f"needs {short.required} {_resource(short)}, {short.available} is unused" for short in missing)
            raise ApplyError("insufficient", f"{'; '.join(phrases)} on this device now", retryable=True)


def _do(
    work: Work,
    name: str,
    payload: bytes,
    applier: Applier,
    *,
    progress: ProgressReport,
    cancelled: CancelCheck,
    suits: Callable[[Manifest], None],
) -> None:
    if work.step is Step.REMOVE:
        applier.remove(name, cancelled)
        return
    manifest = decode(Manifest, payload)
    match work.step:
        case Step.CHECK:
            suits(manifest)
            applier.check(manifest)
        case Step.DOWNLOAD:
            applier.download(manifest, progress, cancelled)
        case Step.INITIALIZE:
            applier.initialize(manifest, cancelled)
        case Step.APPLY:
            assert work.component is not None
            applier.apply(manifest, work.component, cancelled)
            if work.component == manifest.components[-1].name:
                applier.finish(manifest)


def _resource(reason: Reason) -> str:
    return reason.path.rpartition(".")[2]


def _sentences(reasons: Iterable[Reason]) -> str:
    return "; ".join(reason.message for reason in reasons)
