"""What runs: Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs and Pods."""

from __future__ import annotations

from edge_agent.appliers.readiness.answer import READY, Readiness, failed, waiting
from edge_agent.appliers.readiness.conditions import unobserved
from edge_agent.appliers.readiness.fields import conditions, count, number, objects, text, value
from topics.documents.base import JsonObject


def deployment(obj: JsonObject) -> Readiness:
    """All replicas updated and available, none of an older revision left; failed after its progress deadline.

    A rollout that exceeded its deadline is failed only while it is short of replicas: the condition stays until
    the controller looks again.
    """
    behind = unobserved(obj, required=True)
    if behind is not None:
        return behind
    wanted = _wanted(obj)
    updated = count(obj, "status", "updatedReplicas")
    missing = (
        _short_of(updated, wanted, "updated")
        or _left_over(count(obj, "status", "replicas") - updated)
        or _short_of(count(obj, "status", "availableReplicas"), wanted, "available")
    )
    if not missing:
        return READY
    known = conditions(obj)
    progress = known.get("Progressing")
    if progress is not None and progress.reason == "ProgressDeadlineExceeded":
        return failed(f"{missing}: {progress}")
    paused = " (the Deployment is paused)" if value(obj, "spec", "paused") is True else ""
    return waiting(missing + paused + _why(obj))


def replica_set(obj: JsonObject) -> Readiness:
    """All replicas available, none too many; for ReplicationControllers, too."""
    behind = unobserved(obj, required=True)
    if behind is not None:
        return behind
    wanted = _wanted(obj)
    missing = _short_of(count(obj, "status", "availableReplicas"), wanted, "available") or _left_over(
        count(obj, "status", "replicas") - wanted
    )
    return waiting(missing + _why(obj)) if missing else READY


def stateful_set(obj: JsonObject) -> Readiness:
    """All replicas ready, and of the newest revision as far as the update strategy brings them there.

    A rolling update with a partition changes only the pods whose ordinal is the partition or above; ordinals start at
    ``spec.ordinals.start``. With ``OnDelete`` somebody else replaces the pods, when they like.
    """
    behind = unobserved(obj, required=True)
    if behind is not None:
        return behind
    wanted = _wanted(obj)
    missing = _short_of(count(obj, "status", "readyReplicas"), wanted, "ready")
    if not missing and number(obj, "status", "availableReplicas") is not None and count(obj, "spec", "minReadySeconds"):
        missing = _short_of(count(obj, "status", "availableReplicas"), wanted, "available")
    missing = missing or _left_over(count(obj, "status", "replicas") - wanted)
    if not missing and text(obj, "spec", "updateStrategy", "type") != "OnDelete":
        missing = _behind_revision(obj, wanted)
    return waiting(missing + _why(obj)) if missing else READY


def _behind_revision(obj: JsonObject, wanted: int) -> str:
    first = count(obj, "spec", "ordinals", "start")
    partition = count(obj, "spec", "updateStrategy", "rollingUpdate", "partition")
    if partition > first:
        return _short_of(count(obj, "status", "updatedReplicas"), max(0, first + wanted - partition), "updated")
    # Both are the same only when the last pod is updated; then the controller no longer counts updatedReplicas.
    current, update = text(obj, "status", "currentRevision"), text(obj, "status", "updateRevision")
    if current == update:
        return ""
    return _short_of(count(obj, "status", "updatedReplicas"), wanted, "updated") or "the update is not finished"


def daemon_set(obj: JsonObject) -> Readiness:
    """A pod on every node that is to have one, available, and updated unless that is left to ``OnDelete``.

    No node that is to have one is ready: that is what was asked for.
    """
    behind = unobserved(obj, required=True)
    if behind is not None:
        return behind
    wanted = number(obj, "status", "desiredNumberScheduled")
    if wanted is None:
        return waiting("its controller has not counted the nodes yet")
    missing = ""
    if text(obj, "spec", "updateStrategy", "type") != "OnDelete":
        missing = _short_of(count(obj, "status", "updatedNumberScheduled"), wanted, "updated")
    missing = missing or _short_of(count(obj, "status", "numberAvailable"), wanted, "available")
    return waiting(missing + _why(obj)) if missing else READY


def job(obj: JsonObject) -> Readiness:
    """Ready when complete, failed when the controller gave it up.

    kstatus calls a job current once it has started; here something waits for its result.
    """
    known = conditions(obj)
    for kind in ("Failed", "FailureTarget"):  # the second comes first, while its pods are still being ended
        condition = known.get(kind)
        if condition is not None and condition.status == "True":
            return failed(f"the job failed: {condition}")
    complete = known.get("Complete")
    if complete is not None and complete.status == "True":
        return READY
    if value(obj, "spec", "suspend") is True:
        return waiting("the job is suspended")
    counted = f"{count(obj, 'status', 'succeeded')} of {_completions(obj)} completions"
    tries = count(obj, "status", "failed")
    return waiting(f"{counted}, {count(obj, 'status', 'active')} active" + (f", {tries} failed tries" if tries else ""))


def _completions(obj: JsonObject) -> int:
    # Kubernetes: without completions, one success is enough, whatever the parallelism.
    found = number(obj, "spec", "completions")
    return 1 if found is None else found


def pod(obj: JsonObject) -> Readiness:
    """Ready when it runs and its containers are, or when it succeeded; failed when it ended otherwise.

    A container that crashes or whose image cannot be pulled is tried again by the kubelet and may yet come: it is
    named in the message, and the caller's time-out decides (kstatus calls it failed).
    """
    phase = text(obj, "status", "phase")
    if phase == "Succeeded":
        return READY
    if phase == "Failed":
        reason = ": ".join(part for part in (text(obj, "status", "reason"), text(obj, "status", "message")) if part)
        return failed("the pod failed" + (f": {reason}" if reason else _containers(obj)))
    known = conditions(obj)
    ready = known.get("Ready")
    if phase == "Running" and ready is not None and ready.status == "True":
        return READY
    found = _containers(obj)
    scheduled = known.get("PodScheduled")
    if not found and scheduled is not None and scheduled.status == "False":
        found = f": {scheduled}"
    return waiting((f"{phase}, not ready" if phase else "no kubelet has taken it yet") + found)


def _containers(obj: JsonObject) -> str:
    """What holds the first container that is not well."""
    for kind in ("initContainerStatuses", "containerStatuses"):
        for item in objects(obj, "status", kind):
            name = text(item, "name") or "?"
            for state in ("waiting", "terminated"):
                reason = text(item, "state", state, "reason")
                if reason and reason not in ("ContainerCreating", "PodInitializing", "Completed"):
                    message = text(item, "state", state, "message")
                    code = number(item, "state", state, "exitCode")
                    ended = f" (exit status {code})" if code is not None else ""
                    return f": container {name}: {reason}{ended}" + (f": {message}" if message else "")
    return ""


def _wanted(obj: JsonObject) -> int:
    # The API server fills the default in; 1 is what it would be.
    found = number(obj, "spec", "replicas")
    return 1 if found is None else found


def _short_of(there: int, wanted: int, what: str) -> str:
    return f"{there} of {wanted} {what}" if there < wanted else ""


def _left_over(there: int) -> str:
    return f"{there} old or surplus still to end" if there > 0 else ""


def _why(obj: JsonObject) -> str:
    """Why the controller cannot make pods (quota, admission), if it says so."""
    condition = conditions(obj).get("ReplicaFailure")
    return f": {condition}" if condition is not None and condition.status == "True" else ""
