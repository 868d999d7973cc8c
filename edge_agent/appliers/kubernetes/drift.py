"""Whether a deployment is as it was applied: there, unchanged, and ready.

Changes are found by the API server itself: a dry run of the same apply must change nothing. An object whose
``resourceVersion`` was looked at before is not asked about again, so a deployment at rest costs one list per kind.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

from edge_agent.appliers.kubernetes.cluster import Cluster
from edge_agent.appliers.kubernetes.inventory import Inventory
from edge_agent.appliers.kubernetes.objects import (
    DEPLOYMENT_LABEL,
    Ref,
    comparable,
    differences,
    digest,
    is_namespace,
    is_ours,
    owner_text,
    ref_of,
)
from edge_agent.appliers.kubernetes.parts import Part
from edge_agent.appliers.kubernetes.problems import ApiError, conflict_text
from edge_agent.appliers.port import INITIALIZATION
from edge_agent.appliers.readiness import Readiness, readiness_of, related
from topics.documents.base import JsonObject

_Key = tuple[str, str, str, str]
_Memory = dict[_Key, tuple[str, str]]


class DriftCheck:
    """Finds what differs; remembers what did not. Safe from several threads."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._unchanged: dict[str, _Memory] = {}
        self._lock = threading.Lock()

    def forget(self, deployment: str) -> None:
        with self._lock:
            self._unchanged.pop(deployment, None)

    def findings(self, parts: list[Part], inventory: Inventory) -> Iterator[tuple[str, str]]:
        """(part, finding) of everything that is not as it should be."""
        live = self._live(parts, inventory.deployment)
        memory = self._unchanged.get(inventory.deployment, {})
        remembered: _Memory = {}
        for part in parts:
            for item in part.items:
                ref = ref_of(item)
                found = live.get(ref.key) or self._cluster.get(ref)
                finding = self._finding(part, item, found, inventory, known=memory, new=remembered)
                if finding:
                    yield part.name, f"{ref} {finding}"
        for entry in inventory.leftovers:
            found = self._cluster.get(entry.ref)
            if found is not None and not found["metadata"].get("deletionTimestamp"):
                yield entry.part, f"{entry.ref} should be gone"
        with self._lock:
            self._unchanged[inventory.deployment] = remembered

    def _live(self, parts: list[Part], deployment: str) -> dict[_Key, JsonObject]:
        """The live objects with the deployment's label, by one list for each kind and namespace."""
        places = {
            (ref.api_version, ref.kind, ref.namespace)
            for part in parts
            for ref in part.refs
            if (ref.group, ref.kind) not in part.unknown
        }
        found: dict[_Key, JsonObject] = {}
        for api_version, kind, namespace in sorted(places):
            if not namespace:
                continue  # cluster-scoped ones are few, and the agent need not be allowed to list them all
            listed = self._cluster.list(
                self._cluster.kinds.find(api_version, kind), namespace, labels=f"{DEPLOYMENT_LABEL}={deployment}"
            )
            found.update({ref_of(item).key: item for item in listed.items})
        return found

    def _finding(
        self,
        part: Part,
        item: JsonObject,
        live: JsonObject | None,
        inventory: Inventory,
        *,
        known: _Memory,
        new: _Memory,
    ) -> str:
        """What is wrong with one object; ``known`` is what was looked at before, ``new`` what was now."""
        ref = ref_of(item)
        entry = inventory.find(ref)
        content = digest(item)
        done = entry is not None and entry.done == content
        if live is None:
            return "" if done else "is missing"
        if live["metadata"].get("deletionTimestamp"):
            return "is being deleted"
        manager = self._cluster.options.field_manager
        if not is_ours(live, inventory.deployment, manager, inventoried=entry is not None):
            return "" if is_namespace(item) else f"was replaced by {owner_text(live)}"
        mark = (content, str(live["metadata"].get("resourceVersion")))
        if known.get(ref.key) != mark:
            changed = self._changed(item, live)
            if changed:
                return changed
        new[ref.key] = mark
        if done:
            return ""
        readiness = self._readiness(live)
        # Who does not wait for a component wants to hear of it only when it will never be ready.
        if readiness.failed or (not readiness.ready and part.wait):
            return f"is not ready: {readiness.message or 'not yet'}"
        return ""

    def _readiness(self, live: JsonObject) -> Readiness:
        """The object's, and of what it points to; a job that was cleaned up after it was done is no finding."""
        readiness = readiness_of(live)
        also = related(live)
        if not readiness.ready or also is None:
            return readiness
        ref = Ref(*also)
        other = self._cluster.get(ref)
        if other is None or (found := readiness_of(other)).ready:
            return readiness
        return replace(found, message=f"{ref} {found.message}")

    def _changed(self, item: JsonObject, live: JsonObject) -> str:
        try:
            wanted = self._cluster.apply(item, dry_run=True)
        except ApiError as error:
            if error.conflicts:
                return f"was changed: {conflict_text(error.conflicts)}"
            if error.status in (409, 422):
                return f"was changed, and cannot be changed back: {error.message}"
            raise
        paths = differences(comparable(live), comparable(wanted))
        if not paths:
            return ""
        now = self._cluster.get(ref_of(item))
        if now is not None and now["metadata"].get("resourceVersion") != live["metadata"].get("resourceVersion"):
            # A controller wrote between the look and the dry run.
            paths = differences(comparable(now), comparable(self._cluster.apply(item, dry_run=True)))
        return f"was changed: {', '.join(paths)}" if paths else ""


def in_order(names: list[str], findings: list[tuple[str, str]]) -> dict[str, list[str]]:
    """The findings of each component in order, then those of anything else."""
    found: dict[str, list[str]] = {name: [] for name in names if name != INITIALIZATION}
    for part, finding in findings:
        found.setdefault(part, []).append(finding)
    return found
