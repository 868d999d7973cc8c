"""Keeps inventories on the cluster, each as a ConfigMap in the cluster namespace of its deployment.

A removal knows only the deployment's name, so the agent's own namespace (the option ``namespace``) always has a
ConfigMap of the deployment: the inventory itself, or, where the spec names another cluster namespace, a pointer to
it. A spec may change its cluster namespace: the inventory moves, and at every instant the union of what the
pointer names is complete.
"""

from __future__ import annotations

import json
from dataclasses import replace

from edge_agent.appliers.kubernetes.cluster import Cluster
from edge_agent.appliers.kubernetes.inventory import Entry, Inventory, from_text, to_text
from edge_agent.appliers.kubernetes.objects import MANAGED_BY, MANAGED_BY_LABEL, Ref
from edge_agent.appliers.kubernetes.problems import ApiError
from edge_agent.appliers.port import ApplyError
from topics.documents.base import JsonObject
from topics.identifiers import check_dns_label

INVENTORY_LABEL = "fleetbus.io/inventory"
_PREFIX = "fleetbus-inventory-"


class InventoryStore:
    """Loads, saves and deletes inventories. One caller at a time per deployment."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._home = cluster.options.namespace

    def load(self, deployment: str) -> Inventory | None:
        """The inventory; ``None`` if the deployment has none. Raises ``ApplyError`` for a damaged one."""
        home = self._get(self._home, deployment)
        if home is None:
            return None
        held = [_inventory_in(home)]
        held += [
            _inventory_in(other)
            for namespace in _pointed(home)
            if (other := self._get(namespace, deployment)) is not None
        ]
        return _union([inventory for inventory in held if inventory is not None])

    def save(self, inventory: Inventory, namespace: str) -> None:
        """Write the inventory into a cluster namespace, which is made if it is not there."""
        name, text = inventory.deployment, to_text(inventory)
        namespace = namespace or self._home
        home = self._get(self._home, name)
        others = set(_pointed(home)) if home is not None else set()
        if namespace == self._home:
            self._write(home, self._home, name, text, others)
            self._delete_in(others, name)
            if others:
                self._write(self._get(self._home, name), self._home, name, text, set())
            return
        kept = _text_in(home) if home is not None else ""
        if namespace not in others:
            self._write(home, self._home, name, kept, {*others, namespace})
            home = self._get(self._home, name)
        self._write(self._get(namespace, name), namespace, name, text, set())
        stale = others - {namespace}
        if stale or kept:
            self._delete_in(stale, name)
            self._write(home, self._home, name, "", {namespace})

    def delete(self, deployment: str) -> None:
        """Delete the inventory; nothing there is fine."""
        home = self._get(self._home, deployment)
        if home is not None:
            self._delete_in(set(_pointed(home)), deployment)
            self._cluster.delete(home, wait_for_owned=False)

    def every(self) -> list[Inventory]:
        """Every inventory that the agent's own namespace has or points to; damaged ones are left out."""
        kind = self._cluster.kinds.find("v1", "ConfigMap")
        found = []
        for home in self._cluster.list(kind, self._home, labels=INVENTORY_LABEL).items:
            try:
                inventory = self.load(str(home["metadata"]["labels"][INVENTORY_LABEL]))
            except ApiError:
                raise
            except ApplyError:
                continue  # the deployment's own steps report it
            if inventory is not None:
                found.append(inventory)
        return found

    def _get(self, namespace: str, deployment: str) -> JsonObject | None:
        return self._cluster.get(_ref(namespace, deployment))

    def _delete_in(self, namespaces: set[str], deployment: str) -> None:
        for namespace in sorted(namespaces):
            if (other := self._get(namespace, deployment)) is not None:
                self._cluster.delete(other, wait_for_owned=False)

    def _write(self, live: JsonObject | None, namespace: str, deployment: str, text: str, others: set[str]) -> None:
        data = {key: value for key, value in (("inventory", text), ("namespaces", _joined(others))) if value}
        if live is not None and live.get("data") == data:
            return
        metadata = {
            "name": _ref(namespace, deployment).name,
            "namespace": namespace,
            "labels": {MANAGED_BY_LABEL: MANAGED_BY, INVENTORY_LABEL: deployment},
        }
        item: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        if live is not None:
            # Another agent that takes this deployment for its own at the same time is noticed.
            metadata["resourceVersion"] = live["metadata"]["resourceVersion"]
            self._cluster.replace(item)
            return
        try:
            self._cluster.create(item)
        except ApiError as error:
            if not error.is_missing:
                raise
            self._make_namespace(namespace)
            self._cluster.create(item)

    def _make_namespace(self, namespace: str) -> None:
        labels = {MANAGED_BY_LABEL: MANAGED_BY}
        try:
            self._cluster.create(
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
            )
        except ApiError as error:
            if error.status != 409:
                raise


def _ref(namespace: str, deployment: str) -> Ref:
    try:
        return Ref("v1", "ConfigMap", namespace, _PREFIX + check_dns_label(deployment))
    except ValueError as error:
        raise ApplyError("bad-name", str(error), retryable=False) from error


def _data(live: JsonObject, key: str) -> str:
    data = live.get("data")
    value = data.get(key) if isinstance(data, dict) else None
    return value if isinstance(value, str) else ""


def _text_in(live: JsonObject) -> str:
    return _data(live, "inventory")


def _where(live: JsonObject) -> str:
    return f"ConfigMap {live['metadata']['namespace']}/{live['metadata']['name']}"


def _inventory_in(live: JsonObject) -> Inventory | None:
    text = _text_in(live)
    if not text and not _data(live, "namespaces"):
        return from_text("", _where(live))  # raises: it says neither what there is nor where to look
    return from_text(text, _where(live)) if text else None


def _pointed(live: JsonObject) -> list[str]:
    text = _data(live, "namespaces")
    try:
        namespaces = json.loads(text) if text else []
        return [check_dns_label(str(namespace)) for namespace in namespaces]
    except (ValueError, TypeError) as error:
        raise ApplyError(
            "inventory-damaged",
            f"{_where(live)} has no list of namespaces in 'namespaces' ({error}); restore it",
            retryable=False,
        ) from error


def _joined(namespaces: set[str]) -> str:
    return json.dumps(sorted(namespaces)) if namespaces else ""


def _union(inventories: list[Inventory]) -> Inventory | None:
    """While an inventory moves there are two; the one of the newer claim is last and decides."""
    if not inventories:
        return None
    merged = inventories[0]
    for other in inventories[1:]:
        newer, older = (other, merged) if other.generation >= merged.generation else (merged, other)
        keys = {entry.ref.key for entry in newer.entries}
        rest: tuple[Entry, ...] = tuple(entry for entry in older.entries if entry.ref.key not in keys)
        merged = replace(newer, entries=(*rest, *newer.entries))
    return merged
