"""Makes Helm components real as Helm releases: what ``helm upgrade --install`` does, idempotent and resumable.

The releases themselves are the inventory: each record carries the deployment, the component and a digest of its
content as labels, from before Helm's first change on. So nothing has to be written down beside them, and after a kill
at any instant the next call sees where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from edge_agent.appliers.helm_release import records
from edge_agent.appliers.helm_release.charts import ChartFolder
from edge_agent.appliers.helm_release.engine import FIELD_MANAGER, Change, Helm, find_helm
from edge_agent.appliers.helm_release.initialization import Initialization, stop_if
from edge_agent.appliers.helm_release.observing import ReleaseObserver
from edge_agent.appliers.helm_release.options import HelmReleaseOptions
from edge_agent.appliers.helm_release.plan import DEPLOYED, Act, Revision, next_action
from edge_agent.appliers.helm_release.releases import Finding, ReleaseId, Releases, by_namespace
from edge_agent.appliers.helm_release.wanted import change_of, config_of, configs_of, release_of
from edge_agent.appliers.kubernetes.cluster import Cluster
from edge_agent.appliers.kubernetes.options import KubernetesOptions
from edge_agent.appliers.port import (
    INITIALIZATION,
    ApplyError,
    CancelCheck,
    Cancelled,
    ComponentHealth,
    ProgressReport,
    never,
)
from topics.documents.base import JsonObject
from topics.documents.manifest import Manifest, ManifestComponent
from topics.documents.release import RELEASE_TYPE, HelmReleaseConfig

REMOVAL_SECONDS = 120.0
"""How long a removal waits for objects to be gone before it fails and is tried again."""

_MOST_ACTIONS = 6
"""More than any history needs: mark failed, roll back, upgrade; or mark failed, uninstall, install."""

_POLL_SECONDS = 0.5


class HelmReleaseApplier:
    """See ``edge_agent.appliers.port.Applier`` for the methods, ``HelmReleaseOptions`` for the options.

    Safe from several threads as long as no two work on the same deployment.
    """

    types: ClassVar[frozenset[str]] = frozenset({RELEASE_TYPE})

    def __init__(self, options: Mapping[str, str], helm: Helm | None = None) -> None:
        self._options = HelmReleaseOptions.parse(options)
        self._helm = helm
        self._charts = ChartFolder(self._options.staging, self._options.chart_credentials)
        own = KubernetesOptions(kubeconfig=self._options.kubeconfig, context=self._options.context)
        # Helm owns the fields of what it applied; putting right what somebody changed must not make a second owner.
        self._cluster = Cluster(replace(own, field_manager=FIELD_MANAGER))
        self._own = Cluster(own)
        self._releases = Releases(self._cluster)
        self._initialization = Initialization(self._own)
        self._observer = ReleaseObserver(self._releases, self._initialization)

    def check(self, manifest: Manifest) -> None:
        """Types and configurations are right, Helm is there, the cluster answers, no release is somebody else's."""
        configs = configs_of(manifest)
        self._engine()
        self._cluster.version()
        self._initialization.check(manifest)
        for component, config in configs.items():
            self._history(manifest.deployment, component, config)

    def download(self, manifest: Manifest, progress: ProgressReport, cancelled: CancelCheck) -> None:
        """Fetch every chart that is not here yet. Images are fetched by the cluster when it needs them."""
        configs = configs_of(manifest)
        self._charts.remember(manifest.deployment, manifest.generation, [config.digest for config in configs.values()])
        for component, config in configs.items():
            stop_if(cancelled, component)
            progress(component, 0, config.size or None)
            path = self._charts.fetch(self._engine(), manifest.deployment, config, component, cancelled)
            size = path.stat().st_size
            progress(component, size, size)

    def initialize(self, manifest: Manifest, cancelled: CancelCheck) -> None:
        """Apply the initialization objects and wait for its jobs."""
        stop_if(cancelled, INITIALIZATION)
        self._initialization.apply(manifest, cancelled)

    def apply(self, manifest: Manifest, component: str, cancelled: CancelCheck) -> None:
        """Bring the component's release to its content, put right what was changed in it, wait until it is healthy."""
        stop_if(cancelled, component)
        part = next((item for item in manifest.components if item.name == component), None)
        if part is None:
            raise ApplyError(
                "no-such-component", f"generation {manifest.generation} has no component {component!r}", retryable=False
            )
        config = config_of(part)
        change = change_of(manifest, part, config)
        deadline = time.monotonic() + part.timeout_seconds
        for _ in range(_MOST_ACTIONS):
            history = self._history(manifest.deployment, component, config)
            if not self._act(manifest.deployment, config, change, history, cancelled):
                break
            stop_if(cancelled, component)
        else:
            raise ApplyError(
                "release-busy",
                f"release {release_of(config)} does not stay as Helm leaves it: is somebody else changing it?",
                retryable=True,
                component=component,
            )
        self._settle(config, part, deadline, cancelled)

    def finish(self, manifest: Manifest) -> None:
        """Uninstall the releases that this generation has not, without waiting for their objects to be gone."""
        wanted = {release_of(config) for config in configs_of(manifest).values()}
        present = self._releases.of_deployment(manifest.deployment)
        missing = sorted(str(release) for release in wanted - present.keys())
        if missing:
            # Everything else would look left over, and be uninstalled.
            raise ApplyError(
                "not-applied",
                f"generation {manifest.generation} of {manifest.deployment} cannot be finished, because its release "
                f"{missing[0]} is not there; apply it first",
                retryable=False,
            )
        for namespace, names in by_namespace(present.keys() - wanted).items():
            self._uninstall(manifest.deployment, namespace, names, wait=False, cancelled=never)
        self._initialization.prune(manifest)
        self._observer.follow(manifest, {release: record for release, record in present.items() if release in wanted})
        self._charts.keep_since(manifest.deployment, manifest.generation)

    def health(self, manifest: Manifest) -> tuple[ComponentHealth, ...]:
        """Each release is deployed with this content, and each of its objects is there, unchanged and ready."""
        entries = []
        present = self._releases.of_deployment(manifest.deployment, with_history=False)
        self._observer.follow(manifest, present)
        for component, config in configs_of(manifest).items():
            message = self._finding(component, config, present)
            entries.append(ComponentHealth(component, not message, message))
        wanted = {release_of(config) for config in configs_of(manifest).values()}
        for release in sorted(present.keys() - wanted):
            name = records.revision_of(present[release]).component or str(release)
            entries.append(ComponentHealth(name, False, f"release {release} should be gone"))
        found = self._initialization.findings(manifest)
        if found:
            entries.append(ComponentHealth(INITIALIZATION, False, "; ".join(found)))
        return tuple(entries)

    def remove(self, deployment: str, cancelled: CancelCheck) -> None:
        """Uninstall every release of the deployment, then its initialization, then what was downloaded."""
        stop_if(cancelled, None)
        for namespace, names in by_namespace(self._releases.of_deployment(deployment)).items():
            self._uninstall(deployment, namespace, names, wait=True, cancelled=cancelled)
        self._initialization.remove(deployment, cancelled, REMOVAL_SECONDS)
        self._charts.remove(deployment)
        self._observer.forget(deployment)

    def discard(self, deployment: str, generation: int) -> None:
        """Delete the charts that only this generation has."""
        self._charts.discard(deployment, generation)

    def watch(self, changed: Callable[[str], None]) -> None:
        """Watch the objects of the releases; see ``ReleaseObserver``."""
        self._observer.start(changed)

    def close(self) -> None:
        """Stop watching and let go of the connections."""
        self._observer.close()
        self._cluster.close()
        self._own.close()

    def _engine(self) -> Helm:
        if self._helm is None:
            self._helm = find_helm(self._options)
        return self._helm

    def _uninstall(
        self, deployment: str, namespace: str, names: list[str], *, wait: bool, cancelled: CancelCheck
    ) -> None:
        """Uninstall; whoever was quicker (a namespace that is ending) is as good."""
        try:
            self._engine().uninstall(namespace, names, wait=wait, seconds=REMOVAL_SECONDS, cancelled=cancelled)
        except Cancelled:
            raise
        except ApplyError:
            left = self._releases.of_deployment(deployment)
            if any(ReleaseId(namespace, name) in left for name in names):
                raise

    def _history(self, deployment: str, component: str, config: HelmReleaseConfig) -> list[Revision]:
        """The history of the component's release. Raises ``ApplyError`` if it is somebody else's."""
        history = self._releases.history(release_of(config))
        if history and history[-1].deployment != deployment:
            owner = f"the Fleetbus deployment {history[-1].deployment!r}" if history[-1].deployment else "somebody else"
            raise ApplyError(
                "release-taken",
                f"the release {release_of(config)} is there already and belongs to {owner}; uninstall it, or give "
                "this one another name with 'release' in the spec",
                retryable=False,
                component=component,
            )
        return history

    def _act(
        self,
        deployment: str,
        config: HelmReleaseConfig,
        change: Change,
        history: list[Revision],
        cancelled: CancelCheck,
    ) -> bool:
        """One action towards the wanted content; false when there is nothing left to do."""
        action = next_action(history, change.labels[records.CONTENT_LABEL])
        helm, release = self._engine(), release_of(config)
        match action.act:
            case Act.NOTHING:
                return False
            case Act.MARK_FAILED:
                self._releases.mark_failed(release, action.revision)
            case Act.ROLLBACK:
                helm.rollback(change, action.revision, cancelled)
            case Act.UNINSTALL:
                names = [release.name]
                helm.uninstall(release.namespace, names, wait=True, seconds=change.seconds, cancelled=cancelled)
            case Act.INSTALL:
                helm.install(change, self._archive(deployment, config, change.component, cancelled), cancelled)
            case Act.UPGRADE:
                self._upgrade(deployment, config, change, cancelled)
        return True

    def _upgrade(self, deployment: str, config: HelmReleaseConfig, change: Change, cancelled: CancelCheck) -> None:
        """Upgrade; when somebody else has taken fields of an object, first take them back and then once more."""
        archive = self._archive(deployment, config, change.component, cancelled)
        try:
            self._engine().upgrade(change, archive, cancelled)
        except ApplyError as error:
            record = self._releases.deployed(release_of(config)) if error.code == "field-conflict" else None
            found = list(self._releases.findings(record)) if record is not None else []
            if not any(finding.repairable for finding in found):
                raise
            self._releases.heal(found)
            self._engine().upgrade(change, archive, cancelled)

    def _archive(self, deployment: str, config: HelmReleaseConfig, component: str, cancelled: CancelCheck) -> Path:
        return self._charts.fetch(self._engine(), deployment, config, component, cancelled)

    def _settle(
        self, config: HelmReleaseConfig, part: ManifestComponent, deadline: float, cancelled: CancelCheck
    ) -> None:
        """Put right what was changed, and wait until every object is ready."""
        while True:
            record = self._releases.deployed(release_of(config))
            found = list(self._releases.findings(record)) if record is not None else []
            self._releases.heal(found)
            if not found or (not part.wait and not any(finding.repairable for finding in found)):
                return
            self._give_up(found, part, deadline)
            stop_if(cancelled, part.name)
            time.sleep(_POLL_SECONDS if not any(finding.repairable for finding in found) else 0)

    def _give_up(self, found: list[Finding], part: ManifestComponent, deadline: float) -> None:
        final = [finding.text for finding in found if finding.final]
        if final:
            raise ApplyError("not-ready", "; ".join(final), retryable=True, component=part.name)
        if time.monotonic() > deadline:
            waiting = "; ".join(finding.text for finding in found[:5])
            raise ApplyError(
                "not-ready-in-time",
                f"not ready within {part.timeout_seconds:g} s: {waiting}; give it longer (timeout), or see why",
                retryable=True,
                component=part.name,
            )

    def _finding(self, component: str, config: HelmReleaseConfig, present: Mapping[ReleaseId, JsonObject]) -> str:
        """What is wrong with a component; empty if nothing."""
        release = release_of(config)
        record = present.get(release)
        if record is None:
            return f"release {release} is not there"
        newest = records.revision_of(record)
        if newest.status != DEPLOYED:
            return f"release {release} is {newest.status} (revision {newest.number})"
        if newest.content != records.content_of(config):
            return f"release {release} has another content (revision {newest.number}); this generation was not applied"
        return "; ".join(finding.text for finding in self._releases.findings(record))
