"""Takes objects off the cluster: only what the deployment owns, and namespaces only when nothing is left in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edge_agent.appliers.kubernetes.applying import Writer
from edge_agent.appliers.kubernetes.cluster import Cluster
from edge_agent.appliers.kubernetes.objects import (
    DEPLOYMENT_LABEL,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    Ref,
    label,
)
from edge_agent.appliers.kubernetes.problems import ApiError
from edge_agent.appliers.kubernetes.store import INVENTORY_LABEL
from edge_agent.appliers.kubernetes.waiting import blocked_by, stop_if, wait_gone
from edge_agent.appliers.port import ApplyError, CancelCheck
from topics.documents.base import JsonObject
from topics.program.logs import EventLog

_KEPT = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})
_GENERATED = frozenset(
    {
        ("", "Event"),
        ("events.k8s.io", "Event"),
        ("", "Endpoints"),
        ("discovery.k8s.io", "EndpointSlice"),
        ("metrics.k8s.io", "PodMetrics"),
        ("apps", "ControllerRevision"),
    }
)
"""Kinds that come and go by themselves: no reason to keep a namespace."""
_SHOWN = 5
_log = EventLog("edge_agent.appliers.kubernetes")


def delete_all(cluster: Cluster, writer: Writer, refs: Iterable[Ref], cancelled: CancelCheck) -> None:
    """Ask for the deletion of what the deployment owns, in the given order; what is not its own stays."""
    for ref in refs:
        stop_if(cancelled)
        live = cluster.get(ref)
        if live is None or live["metadata"].get("deletionTimestamp"):
            continue
        if not writer.owns(ref, live):
            _log.warning("not deleted: it is somebody else's now", object=str(ref))
            continue
        cluster.delete(live, wait_for_owned=True)


def still_owned(cluster: Cluster, writer: Writer, refs: Iterable[Ref]) -> list[Ref]:
    """Those that are there and the deployment's."""
    return [ref for ref in refs if (live := cluster.get(ref)) is not None and writer.owns(ref, live)]


def remove_and_wait(cluster: Cluster, writer: Writer, refs: Sequence[Ref], cancelled: CancelCheck) -> None:
    """Delete in the given order and wait until all are gone: definitions of kinds after everything else.

    Raises ``ApplyError`` (``removal-blocked``) with what is in the way.
    """
    crds = [ref for ref in refs if ref.kind == "CustomResourceDefinition"]
    others = [ref for ref in refs if ref.kind != "CustomResourceDefinition"]
    for some in (others, crds):
        delete_all(cluster, writer, some, cancelled)
        wait_or_raise(cluster, still_owned(cluster, writer, some), cancelled)


def wait_or_raise(cluster: Cluster, refs: Sequence[Ref], cancelled: CancelCheck) -> None:
    """Wait until all are gone; raises ``ApplyError`` with what is in the way."""
    left = wait_gone(cluster, refs, cluster.options.removal_timeout, cancelled)
    if left:
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        raise ApplyError(
            "removal-blocked",
            f"not gone after {cluster.options.removal_timeout:g} s: "
            f"{'; '.join(blocked_by(live) for live in left[:_SHOWN])}{more}; it is tried again",
            retryable=True,
        )


def remove_namespaces(
    cluster: Cluster, deployment: str, refs: Iterable[Ref], others: Iterable[Ref], cancelled: CancelCheck, *, wait: bool
) -> None:
    """Remove namespaces that Fleetbus made, if nothing is left in them and no other deployment wants them.

    ``others`` are the objects in other deployments' inventories. Raises ``ApplyError`` while one does not go.
    """
    wanted = {ref.name if ref.is_namespace else ref.namespace for ref in others}
    going = []
    for ref in refs:
        stop_if(cancelled)
        live = cluster.get(ref)
        if live is None or ref.name in _KEPT or label(live, MANAGED_BY_LABEL) != MANAGED_BY:
            continue
        if not label(live, DEPLOYMENT_LABEL):
            continue  # a cluster namespace that the agent made for its inventories
        if not live["metadata"].get("deletionTimestamp"):
            used = "another deployment uses it" if ref.name in wanted else ""
            reason = used or _occupied(cluster, ref.name, deployment)
            if reason:
                _log.info("namespace kept", namespace=ref.name, deployment=deployment, reason=reason)
                continue
            cluster.delete(live, wait_for_owned=False)
        going.append(ref)
    if wait:
        wait_or_raise(cluster, going, cancelled)


def _occupied(cluster: Cluster, namespace: str, deployment: str) -> str:
    """What is in a namespace, for a person; empty if nothing is. What cannot be seen counts as something."""
    for kind in cluster.kinds.every_namespaced():
        group = kind.api_version.rpartition("/")[0]
        if (group, kind.kind) in _GENERATED:
            continue
        try:
            items = cluster.list(kind, namespace, most=_SHOWN).items
        except ApiError as error:
            if error.status == 403:
                return f"it may hold {kind.plural}: the agent's account may not list them"
            if error.is_missing or error.status == 405:
                continue
            raise
        for item in items:
            if not _comes_with_it(item) and label(item, INVENTORY_LABEL) != deployment:
                return f"{kind.kind} {item['metadata']['name']} is in it"
    return ""


def _comes_with_it(item: JsonObject) -> bool:
    """Whether it is what every namespace has (k8s.io/kubernetes, root CA publisher and service account controller),
    is going already, or goes with its owner, which counts itself."""
    name = item["metadata"]["name"]
    if item["metadata"].get("deletionTimestamp") or item["metadata"].get("ownerReferences"):
        return True
    if item["kind"] == "ConfigMap":
        return bool(name == "kube-root-ca.crt")
    if item["kind"] == "ServiceAccount":
        return bool(name == "default")
    return bool(item["kind"] == "Secret" and item.get("type") == "kubernetes.io/service-account-token")
