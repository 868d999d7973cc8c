"""Tells the agent which deployments somebody may have touched: watches on what their inventories name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from edge_agent.appliers.kubernetes.cluster import Cluster
from edge_agent.appliers.kubernetes.inventory import Inventory
from edge_agent.appliers.kubernetes.objects import DEPLOYMENT_LABEL, Ref, label, ref_of
from edge_agent.appliers.kubernetes.problems import ApiError
from edge_agent.appliers.kubernetes.store import InventoryStore
from edge_agent.appliers.kubernetes.watching import Target, Watches
from topics.documents.base import JsonObject
from topics.program.logs import EventLog

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_STOP_SECONDS = 5.0
_log = EventLog("edge_agent.appliers.kubernetes")


class Observer:
    """Starts with the inventories that are on the cluster and follows those that the applier reports."""

    def __init__(self, cluster: Cluster, store: InventoryStore, changed: Callable[[str], None]) -> None:
        self._store = store
        self._changed = changed
        self._objects: dict[str, frozenset[Ref]] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._watches = Watches(cluster, self._noticed, initially=False)
        self._thread = threading.Thread(target=self._begin, name="watch-inventories", daemon=True)
        self._thread.start()

    def follow(self, deployment: str, inventory: Inventory | None) -> None:
        """The deployment's inventory is this one now; ``None``: it is gone."""
        with self._lock:
            if inventory is None:
                self._objects.pop(deployment, None)
            else:
                self._objects[deployment] = frozenset(entry.ref for entry in inventory.entries)
        self._watch()

    def close(self) -> None:
        self._stopping.set()
        self._watches.close()
        self._thread.join(_STOP_SECONDS)

    def _begin(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                found = self._store.every()
            except ApiError as error:
                _log.warning("inventories not read", code=error.code, reason=error.message, again_in=pause)
                self._stopping.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            with self._lock:
                for inventory in found:
                    self._objects.setdefault(inventory.deployment, frozenset(entry.ref for entry in inventory.entries))
            self._watch()
            return

    def _watch(self) -> None:
        with self._lock:
            self._watches.set({target for refs in self._objects.values() for target in _targets(refs)})

    def _noticed(self, item: JsonObject, gone: bool) -> None:
        key = ref_of(item).key
        with self._lock:
            # Without its label it is still found by its place.
            names = [name for name, refs in self._objects.items() if any(ref.key == key for ref in refs)]
        for name in names or [label(item, DEPLOYMENT_LABEL)]:
            if name:
                self._changed(name)


def _targets(refs: frozenset[Ref]) -> Iterator[Target]:
    """Namespaced kinds once for each namespace; cluster-scoped objects one by one: an account may be allowed to watch
    just those."""
    for ref in refs:
        if ref.namespace:
            yield Target(ref.api_version, ref.kind, ref.namespace, labels=DEPLOYMENT_LABEL)
        else:
            yield Target(ref.api_version, ref.kind, "", fields=f"metadata.name={ref.name}")
