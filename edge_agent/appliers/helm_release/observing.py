"""Tells the agent when somebody may have touched a release: watches on its objects and on its initialization."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from edge_agent.appliers.helm_release import records
from edge_agent.appliers.helm_release.initialization import APPLIER, APPLIER_LABEL, Initialization
from edge_agent.appliers.helm_release.releases import ReleaseId, Releases
from edge_agent.appliers.kubernetes.observing import Observer
from topics.documents.base import JsonObject
from topics.documents.manifest import Manifest

_OF_RELEASES = f"{records.MANAGED_BY_LABEL}=Helm"
_OF_INITIALIZATIONS = f"{APPLIER_LABEL}={APPLIER}"


class ReleaseObserver:
    """From ``start`` on follows the releases that the cluster has and those that the applier finds. Not Helm's records
    are watched (each holds a whole chart), but what they name. Safe from several threads."""

    def __init__(self, releases: Releases, initialization: Initialization) -> None:
        self._releases = releases
        self._initialization = initialization
        self._versions: dict[str, frozenset[str]] = {}
        self._watching: tuple[Observer, Observer] | None = None
        self._lock = threading.Lock()

    def start(self, changed: Callable[[str], None]) -> None:
        """Watch from now on, from threads of its own; a second call changes nothing."""
        with self._lock:
            if self._watching is None:
                own = self._initialization
                self._watching = (
                    Observer(self._releases.cluster, self._releases.known, changed, labels=_OF_RELEASES),
                    Observer(own.cluster, own.known, changed, labels=_OF_INITIALIZATIONS),
                )

    def follow(self, manifest: Manifest, present: Mapping[ReleaseId, JsonObject]) -> None:
        """The deployment has these newest records now. Raises ``ApplyError``."""
        with self._lock:
            watching = self._watching
        if watching is None:
            return
        name = manifest.deployment
        versions = frozenset(record["metadata"]["uid"] for record in present.values())
        if self._versions.get(name) != versions:  # each revision has a record of its own
            watching[0].follow(name, frozenset().union(*map(self._releases.refs, present.values())))
            self._versions[name] = versions
        watching[1].follow(name, self._initialization.refs(manifest))

    def forget(self, deployment: str) -> None:
        """The deployment is gone."""
        with self._lock:
            watching = self._watching
        self._versions.pop(deployment, None)
        for observer in watching or ():
            observer.follow(deployment, frozenset())

    def close(self) -> None:
        with self._lock:
            watching, self._watching = self._watching, None
        for observer in watching or ():
            observer.close()
