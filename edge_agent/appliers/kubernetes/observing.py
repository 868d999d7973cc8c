"""Tells the agent which deployments somebody may have touched: watches on the objects that they have."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from edge_agent.appliers.kubernetes.cluster import Cluster
from edge_agent.appliers.kubernetes.objects import DEPLOYMENT_LABEL, Ref, label, ref_of
from edge_agent.appliers.kubernetes.watching import Target, Watches
from edge_agent.appliers.port import ApplyError
from topics.documents.base import JsonObject
from topics.program.logs import EventLog

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_STOP_SECONDS = 5.0
_log = EventLog("edge_agent.appliers.kubernetes")

Known: TypeAlias = Callable[[], Mapping[str, frozenset[Ref]]]
"""Asked once at the start: the objects of each deployment that the cluster remembers. Raises ``ApplyError``."""


class Observer:
    """Starts with what the cluster remembers and follows what the applier reports.

    ``labels`` is the selector that all namespaced objects have which are to be watched.
    """

    def __init__(
        self, cluster: Cluster, known: Known, changed: Callable[[str], None], *, labels: str = DEPLOYMENT_LABEL
    ) -> None:
        self._known = known
        self._labels = labels
        self._changed = changed
        self._objects: dict[str, frozenset[Ref]] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._watches = Watches(cluster, self._noticed, initially=False)
        self._thread = threading.Thread(target=self._begin, name="watch-begin", daemon=True)
        self._thread.start()

    def follow(self, deployment: str, objects: frozenset[Ref]) -> None:
        """The deployment's objects are these now; none: it is gone."""
        with self._lock:
            if objects:
                self._objects[deployment] = objects
            else:
                self._objects.pop(deployment, None)
        self._watch()

    def close(self) -> None:
        self._stopping.set()
        self._watches.close()
        self._thread.join(_STOP_SECONDS)

    def _begin(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                found = self._known()
            except ApplyError as error:
                _log.warning("not known what to watch", code=error.code, reason=error.message, again_in=pause)
                self._stopping.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            with self._lock:
                for deployment, objects in found.items():
                    self._objects.setdefault(deployment, objects)
            self._watch()
            return

    def _watch(self) -> None:
        with self._lock:
            self._watches.set({target for refs in self._objects.values() for target in _targets(refs, self._labels)})

    def _noticed(self, item: JsonObject, gone: bool) -> None:
        key = ref_of(item).key
        with self._lock:
            # Without its label it is still found by its place.
            names = [name for name, refs in self._objects.items() if any(ref.key == key for ref in refs)]
        for name in names or [label(item, DEPLOYMENT_LABEL)]:
            if name:
                self._changed(name)


def _targets(refs: frozenset[Ref], labels: str) -> Iterator[Target]:
    """Namespaced kinds once for each namespace; cluster-scoped objects one by one: an account may be allowed to watch
    just those."""
    for ref in refs:
        if ref.namespace:
            yield Target(ref.api_version, ref.kind, ref.namespace, labels=labels)
        else:
            yield Target(ref.api_version, ref.kind, "", fields=f"metadata.name={ref.name}")
