"""Readiness of the objects that drive a controller in the cluster, by (API group, kind).

What each controller says, and where:

- Flux (``HelmRelease``, ``OCIRepository``, ``HelmRepository``): the condition ``Ready``, which counts only once
  ``status.observedGeneration`` is the object's; ``Stalled`` says that it has given up (Flux, "Status
  conditions", the same as kstatus). Before its first look at an object there is no condition at all, which for other
  kinds would mean ready.
- Argo CD (``Application``): ``status.sync.status`` is ``Synced`` *for the source that the spec has now*
  (``status.sync.comparedTo``), and ``status.health.status`` is ``Healthy``. There is no observed generation.
- k3s (``HelmChart``): the condition ``Failed`` when no job could be made of it; else ``status.jobName``, and the job in
  the same namespace is what succeeds or fails (``related``). There is no observed generation: between a change and
  the controller's look at it, the old job still counts; the next check of the health sees the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from edge_agent.appliers.readiness.answer import READY, Readiness, failed, waiting
from edge_agent.appliers.readiness.conditions import must_be_true, unobserved
from edge_agent.appliers.readiness.fields import conditions, group_and_kind, objects, text, value
from topics.documents.base import JsonObject


class Related(NamedTuple):
    """Another object whose readiness is part of the first one's."""

    api_version: str
    kind: str
    namespace: str
    name: str


def related(obj: JsonObject) -> Related | None:
    """The object that must be ready too, for the kinds that only point to one; ``None`` for all others."""
    if group_and_kind(obj) != ("helm.cattle.io", "HelmChart"):
        return None
    job = text(obj, "status", "jobName")
    return Related("batch/v1", "Job", text(obj, "metadata", "namespace"), job) if job else None


def flux(obj: JsonObject) -> Readiness:
    """``Ready`` for the newest generation; failed when Flux has stopped trying."""
    behind = unobserved(obj, required=True)
    if behind is not None:
        return behind
    stalled = conditions(obj).get("Stalled")
    if stalled is not None and stalled.status == "True":
        return failed(f"Flux has given up: {stalled}")
    return must_be_true(obj, "Ready")


def argo_application(obj: JsonObject) -> Readiness:
    """Synced to what the spec asks for, and healthy.

    A spec that Argo CD calls invalid is failed; a sync that failed is tried again, so that it is only not ready yet.
    """
    for item in objects(obj, "status", "conditions"):  # without a status, unlike Kubernetes' own
        if text(item, "type") == "InvalidSpecError":
            return failed(f"Argo CD refuses the Application: {text(item, 'message')}")
    sync = text(obj, "status", "sync", "status")
    if not sync:
        return waiting("Argo CD has not looked at it yet")
    if not _compared(value(obj, "status", "sync", "comparedTo", "source"), value(obj, "spec", "source")):
        return waiting("Argo CD has not looked at its newest source yet")
    if sync != "Synced":
        return waiting(f"not synced: {sync}{_why_not_synced(obj)}")
    health = text(obj, "status", "health", "status")
    if health == "Healthy":
        return READY
    message = text(obj, "status", "health", "message")
    return waiting(f"not healthy: {health or 'Unknown'}" + (f": {message}" if message else ""))


def _compared(seen: object, wanted: object) -> bool:
    """Whether every field of ``wanted`` was seen; Argo CD may have filled in more."""
    if isinstance(wanted, dict):
        return isinstance(seen, dict) and all(_compared(seen.get(key), item) for key, item in wanted.items())
    return seen == wanted


def _why_not_synced(obj: JsonObject) -> str:
    phase, message = text(obj, "status", "operationState", "phase"), text(obj, "status", "operationState", "message")
    found = [": ".join(part for part in (phase, message) if part)] if phase in ("Failed", "Error") else []
    found += [
        f"{text(item, 'type')}: {text(item, 'message')}"
        for item in objects(obj, "status", "conditions")
        if text(item, "type").endswith("Error")
    ]
    return f" ({'; '.join(found)})" if found else ""


def k3s_chart(obj: JsonObject) -> Readiness:
    """A job was made of it; how that ends, the job itself says (``related``)."""
    known = conditions(obj).get("Failed")
    if known is not None and known.status == "True":
        return failed(f"k3s cannot install the chart: {known}")
    return READY if text(obj, "status", "jobName") else waiting("k3s has not made a job of it yet")


RULES: Mapping[tuple[str, str], Callable[[JsonObject], Readiness]] = {
    ("argoproj.io", "Application"): argo_application,
    ("helm.cattle.io", "HelmChart"): k3s_chart,
    ("helm.toolkit.fluxcd.io", "HelmRelease"): flux,
    ("source.toolkit.fluxcd.io", "HelmRepository"): flux,
    ("source.toolkit.fluxcd.io", "OCIRepository"): flux,
}
