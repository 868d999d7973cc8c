"""The initialization of a deployment whose components are Helm releases: namespace, config maps, secrets, jobs.

They are plain objects, applied server-side under Fleetbus's own field manager and marked as this applier's, so that a
Kubernetes applier on the same device and this one never prune each other's. Which there are is asked of the cluster
by that mark: there is no inventory that could get lost.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable

from edge_agent.appliers.kubernetes.cluster import Cluster
from edge_agent.appliers.kubernetes.objects import (
    DEPLOYMENT_LABEL,
    Ref,
    comparable,
    differences,
    is_job,
    is_namespace,
    label,
    owner_text,
    prepared,
    ref_of,
)
from edge_agent.appliers.kubernetes.problems import ApiError
from edge_agent.appliers.port import INITIALIZATION, ApplyError, CancelCheck, Cancelled
from edge_agent.appliers.readiness import readiness_of
from topics.documents.base import JsonObject
from topics.documents.manifest import Manifest

APPLIER_LABEL = "fleetbus.io/applier"
APPLIER = "helm-release"
JOB_SECONDS = 300.0
"""How long one job may take; Helm's own default for a time-out."""

_POLL_SECONDS = 0.25
_KINDS = (("batch/v1", "Job"), ("v1", "Secret"), ("v1", "ConfigMap"), ("v1", "Namespace"))
"""What an initialization can hold, in the order of removal."""


class Initialization:
    """See the module. ``cluster`` applies as ``fleetbus``. Safe from several threads."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def check(self, manifest: Manifest) -> None:
        """Raise ``ApplyError`` for an object that is somebody else's or a namespace that is going."""
        for item in self._wanted(manifest):
            live = self.cluster.get(ref_of(item))
            if live is not None:
                self._usable(live, manifest.deployment)

    def apply(self, manifest: Manifest, cancelled: CancelCheck) -> None:
        """Apply each object in order, and wait for each job to be complete."""
        for item in self._wanted(manifest):
            stop_if(cancelled, INITIALIZATION)
            live = self.cluster.get(ref_of(item))
            if live is not None and not self._usable(live, manifest.deployment):
                continue
            if live is None:
                self.cluster.apply(item, force=True)
            elif is_job(item):
                self._renew(item, live, cancelled)
            elif self._changed(item, live):
                self.cluster.apply(item, force=True)
            if is_job(item):
                self._complete(item, cancelled)

    def findings(self, manifest: Manifest) -> list[str]:
        """What is missing or was changed."""
        found = []
        for item in self._wanted(manifest):
            ref = ref_of(item)
            live = self.cluster.get(ref)
            if live is None:
                found.append(f"{ref} was deleted")
            elif not is_job(item) and label(live, DEPLOYMENT_LABEL) == manifest.deployment:
                changed = self._changed(item, live)
                found += [f"{ref} was changed: {', '.join(changed)}"] if changed else []
        return found

    def refs(self, manifest: Manifest) -> frozenset[Ref]:
        """Where a generation's objects are."""
        return frozenset(map(ref_of, self._wanted(manifest)))

    def known(self) -> dict[str, frozenset[Ref]]:
        """The objects that are on the cluster, by deployment."""
        found: dict[str, frozenset[Ref]] = defaultdict(frozenset)
        for item in self._labelled(f"{DEPLOYMENT_LABEL},{APPLIER_LABEL}={APPLIER}"):
            found[label(item, DEPLOYMENT_LABEL)] |= {ref_of(item)}
        return found

    def prune(self, manifest: Manifest) -> None:
        """Delete what only other generations had; does not wait until it is gone."""
        wanted = {ref_of(item).key for item in self._wanted(manifest)}
        self._delete(item for item in self._all(manifest.deployment) if ref_of(item).key not in wanted)

    def remove(self, deployment: str, cancelled: CancelCheck, seconds: float) -> None:
        """Delete all of it and wait until it is gone, the namespaces last."""
        deadline = time.monotonic() + seconds
        while left := self._all(deployment):
            inside = [item for item in left if not is_namespace(item)]
            self._delete(inside or left)
            stop_if(cancelled, None)
            if time.monotonic() > deadline:
                names = ", ".join(str(ref_of(item)) for item in left[:5])
                raise ApplyError(
                    "still-there",
                    f"{names} did not go within {seconds:g} s; see its finalizers, and what else is in the namespace",
                    retryable=True,
                )
            time.sleep(_POLL_SECONDS)

    def _wanted(self, manifest: Manifest) -> list[JsonObject]:
        found = []
        for item in manifest.initialization:
            namespaced = not is_namespace(item)
            whole = prepared(item, manifest.deployment, namespaced=namespaced, namespace=manifest.workload_namespace)
            metadata = whole["metadata"]
            found.append({**whole, "metadata": {**metadata, "labels": {**metadata["labels"], APPLIER_LABEL: APPLIER}}})
        return found

    def _all(self, deployment: str) -> list[JsonObject]:
        return self._labelled(f"{DEPLOYMENT_LABEL}={deployment},{APPLIER_LABEL}={APPLIER}")

    def _labelled(self, labels: str) -> list[JsonObject]:
        return [
            item
            for version, kind in _KINDS
            for item in self.cluster.list(self.cluster.kinds.find(version, kind), "", labels=labels).items
        ]

    def _usable(self, live: JsonObject, deployment: str) -> bool:
        """Whether the object is the deployment's own; a namespace of others is used and left as it is."""
        if is_namespace(live):
            if live["metadata"].get("deletionTimestamp"):
                raise ApplyError(
                    "namespace-terminating",
                    f"{ref_of(live)} is being terminated; it is tried again until it is gone",
                    retryable=True,
                    component=INITIALIZATION,
                )
            return label(live, DEPLOYMENT_LABEL) == deployment
        if label(live, DEPLOYMENT_LABEL) != deployment:
            raise ApplyError(
                "object-taken",
                f"{ref_of(live)} is there already and belongs to {owner_text(live)}; remove it, or give this one "
                "another name",
                retryable=False,
                component=INITIALIZATION,
            )
        return True

    def _changed(self, item: JsonObject, live: JsonObject) -> list[str]:
        return differences(comparable(live), comparable(self.cluster.apply(item, force=True, dry_run=True)))

    def _renew(self, item: JsonObject, live: JsonObject, cancelled: CancelCheck) -> None:
        """A job cannot be changed, and one that failed does not run again: such a one is deleted and made anew."""
        if not readiness_of(live).failed:
            try:
                if not self._changed(item, live):
                    return
            except ApiError as error:
                if error.code != "invalid":
                    raise
        self.cluster.delete(live, wait_for_owned=True)
        deadline = time.monotonic() + JOB_SECONDS
        while self.cluster.get(ref_of(item)) is not None:
            stop_if(cancelled, INITIALIZATION)
            if time.monotonic() > deadline:
                raise _slow(f"the old {ref_of(item)} did not go")
            time.sleep(_POLL_SECONDS)
        self.cluster.apply(item, force=True)

    def _complete(self, item: JsonObject, cancelled: CancelCheck) -> None:
        deadline = time.monotonic() + JOB_SECONDS
        while True:
            live = self.cluster.get(ref_of(item))
            answer = readiness_of(live) if live is not None else None
            if answer is not None and answer.ready:
                return
            said = answer.message if answer is not None else "it was deleted"
            if answer is None or answer.failed:
                raise ApplyError(
                    "job-failed",
                    f"{ref_of(item)}: {said}; see its pods' logs; it is made anew when this is tried again",
                    retryable=True,
                    component=INITIALIZATION,
                )
            stop_if(cancelled, INITIALIZATION)
            if time.monotonic() > deadline:
                raise _slow(f"{ref_of(item)}: {said}")
            time.sleep(_POLL_SECONDS)

    def _delete(self, items: Iterable[JsonObject]) -> None:
        for item in items:
            if not item["metadata"].get("deletionTimestamp"):
                self.cluster.delete(item, wait_for_owned=True)


def stop_if(cancelled: CancelCheck, component: str | None) -> None:
    if cancelled():
        raise Cancelled("stopped between two objects; the next call goes on from there", component=component)


def _slow(what: str) -> ApplyError:
    return ApplyError(
        "not-ready-in-time",
        f"{what} within {JOB_SECONDS:g} s; it is tried again",
        retryable=True,
        component=INITIALIZATION,
    )
