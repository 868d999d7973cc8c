"""Watches objects of one kind: list, then watch from there, for ever, whatever happens to the connection.

What is called back is a change that matters: an object is new, gone, or its content or readiness differs from what
it was at the last call. Book-keeping of the server (``managedFields``, time stamps in a status) is no change.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from edge_agent.appliers.kubernetes.cluster import Cluster
from edge_agent.appliers.kubernetes.objects import comparable, digest
from edge_agent.appliers.kubernetes.problems import ApiError
from edge_agent.appliers.kubernetes.session import Stream
from edge_agent.appliers.readiness import readiness_of, related
from topics.documents.base import JsonObject
from topics.program.logs import EventLog

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 60.0
_FORBIDDEN_PAUSE = 300.0
_SHORT = 1.0
_STOP_SECONDS = 5.0
_log = EventLog("edge_agent.appliers.kubernetes")

Changed = Callable[[JsonObject, bool], None]
"""Called with the object, as it is or last was, and whether it is gone."""


class Target(NamedTuple):
    """What one watch looks at: a kind, a namespace (empty: all), and selectors."""

    api_version: str
    kind: str
    namespace: str
    labels: str = ""
    fields: str = ""


class Watch:
    """One target, on a thread of its own. ``stop`` ends it."""

    def __init__(
        self, cluster: Cluster, target: Target, changed: Changed, *, initially: bool, listed: Callable[[], None]
    ) -> None:
        """``initially``: also call for what is there at the start. ``listed`` is called after each list."""
        self._cluster = cluster
        self._target = target
        self._changed = changed
        self._initially = initially
        self._on_listed = listed
        self._seen: dict[str, tuple[str, JsonObject]] = {}
        self._listed = False
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._stream: Stream | None = None
        name = f"watch-{target.kind}-{target.namespace or 'all'}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Tell the thread to end; ``join`` waits for it."""
        self._stopping.set()
        with self._lock:
            if self._stream is not None:
                self._stream.close()

    def join(self, seconds: float = _STOP_SECONDS) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        told = ""
        while not self._stopping.is_set():
            try:
                version = self._list()
                if told:
                    _log.info("watching again", what=self._target.kind, namespace=self._target.namespace)
                told, pause = "", _FIRST_PAUSE
                while version and not self._stopping.is_set():
                    began = time.monotonic()
                    version = self._follow(version)
                    if time.monotonic() - began < _SHORT:
                        # A server, or a proxy, that ends every watch at once must not be asked without a pause.
                        self._stopping.wait(_FIRST_PAUSE)
            except ApiError as error:
                if self._stopping.is_set():
                    return
                if error.code != told:
                    told = error.code
                    _log.warning(
                        "not watching", what=self._target.kind, namespace=self._target.namespace, code=error.code,
                        reason=error.message,
                    )  # fmt: skip
                if error.code == "forbidden":
                    pause = _FORBIDDEN_PAUSE
                self._stopping.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _list(self) -> str:
        """Look at all of it; what differs from what was seen before is called back. The version to go on from."""
        target = self._target
        kind = self._cluster.kinds.find(target.api_version, target.kind)
        listed = self._cluster.list(kind, target.namespace, labels=target.labels, fields=target.fields)
        gone = set(self._seen) - {item["metadata"]["uid"] for item in listed.items}
        for item in listed.items:
            self._noticed(item)
        for uid in gone:
            self._lost(uid)
        self._listed = True
        self._on_listed()
        return listed.version

    def _follow(self, version: str) -> str:
        """Watch until the server ends it; the version to go on from, empty if it must be listed again."""
        target = self._target
        kind = self._cluster.kinds.find(target.api_version, target.kind)
        query = {"resourceVersion": version, "allowWatchBookmarks": "true"}
        if target.labels:
            query["labelSelector"] = target.labels
        if target.fields:
            query["fieldSelector"] = target.fields
        stream = self._cluster.session.stream(kind.path(target.namespace), f"watch {kind.plural}", query)
        with self._lock:
            self._stream = stream
            if self._stopping.is_set():
                stream.close()
        for event in stream:
            item = event["object"]
            if event.get("type") == "ERROR":
                # 410 Gone: the version is older than what the server remembers.
                return ""
            metadata = item.get("metadata")
            if not isinstance(metadata, dict):
                return ""
            version = str(metadata.get("resourceVersion") or version)
            if event["type"] == "DELETED":
                self._lost(str(metadata.get("uid")), item)
            elif event["type"] in ("ADDED", "MODIFIED"):
                self._noticed(item)
        return version

    def _noticed(self, item: JsonObject) -> None:
        uid = str(item["metadata"].get("uid"))
        mark = digest({"content": comparable(item), "readiness": repr((readiness_of(item), related(item)))})
        before = self._seen.get(uid)
        # Only what names it is kept: a watch must not hold every object in memory.
        known = ("name", "namespace", "uid", "labels")
        metadata = {key: value for key, value in item["metadata"].items() if key in known}
        names: JsonObject = {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": metadata}
        self._seen[uid] = (mark, names)
        if before is None and not self._listed and not self._initially:
            return
        if before is None or before[0] != mark:
            self._changed(item, False)

    def _lost(self, uid: str, item: JsonObject | None = None) -> None:
        before = self._seen.pop(uid, None)
        last = item if item is not None else before[1] if before is not None else None
        if last is not None:
            self._changed(last, True)


class Watches:
    """A set of watches that is changed as a whole."""

    def __init__(
        self, cluster: Cluster, changed: Changed, *, initially: bool, listed: Callable[[], None] = lambda: None
    ) -> None:
        self._cluster = cluster
        self._changed = changed
        self._initially = initially
        self._listed = listed
        self._watches: dict[Target, Watch] = {}
        self._lock = threading.Lock()
        self._closed = False

    def set(self, targets: Iterable[Target]) -> None:
        """Watch these from now on, and no others."""
        wanted = set(targets)
        with self._lock:
            if self._closed:
                return
            for target in [target for target in self._watches if target not in wanted]:
                self._watches.pop(target).stop()
            for target in wanted - self._watches.keys():
                self._watches[target] = Watch(
                    self._cluster, target, self._changed, initially=self._initially, listed=self._listed
                )

    def close(self) -> None:
        """Stop all of them, and wait until their threads are gone."""
        with self._lock:
            self._closed = True
            watches = list(self._watches.values())
            self._watches.clear()
        for watch in watches:
            watch.stop()
        for watch in watches:
            watch.join()
