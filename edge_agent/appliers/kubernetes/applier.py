"""Makes manifests real on a Kubernetes API server by server-side apply, with an inventory kept on the cluster.

It must never touch an object that is not the deployment's own. ``docs/kubernetes.md`` says for operators what it
does and why; ``tests/contract/test_kubernetes_applier.py`` holds it to that on a real API server.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from typing import ClassVar

from edge_agent.appliers.kubernetes.applying import Writer
from edge_agent.appliers.kubernetes.cluster import Cluster
from edge_agent.appliers.kubernetes.drift import DriftCheck, in_order
from edge_agent.appliers.kubernetes.inventory import Inventory, claimed
from edge_agent.appliers.kubernetes.objects import Ref, declared_kinds, is_crd, is_namespace, ref_of
from edge_agent.appliers.kubernetes.observing import Observer
from edge_agent.appliers.kubernetes.options import KubernetesOptions
from edge_agent.appliers.kubernetes.parts import Part, part_called, parts_of, unknown_kinds
from edge_agent.appliers.kubernetes.problems import ApiError
from edge_agent.appliers.kubernetes.removing import delete_all, remove_and_wait, remove_namespaces, still_owned
from edge_agent.appliers.kubernetes.running import Run
from edge_agent.appliers.kubernetes.store import InventoryStore
from edge_agent.appliers.kubernetes.waiting import stop_if
from edge_agent.appliers.port import INITIALIZATION, ApplyError, CancelCheck, ComponentHealth, ProgressReport, never
from topics.documents.manifest import Manifest


class KubernetesApplier:
    """See ``edge_agent.appliers.port.Applier`` for the methods, ``KubernetesOptions`` for the options.

    Safe from several threads as long as no two work on the same deployment.
    """

    types: ClassVar[frozenset[str]] = frozenset({"kubernetes"})

    def __init__(self, options: Mapping[str, str]) -> None:
        self._options = KubernetesOptions.parse(options)
        self._cluster = Cluster(self._options)
        self._store = InventoryStore(self._cluster)
        self._drift = DriftCheck(self._cluster)
        self._observer: Observer | None = None
        self._lock = threading.Lock()

    def check(self, manifest: Manifest) -> None:
        """The cluster answers, knows the kinds, and nothing of somebody else's is where the objects go."""
        for component in manifest.components:
            if component.type not in self.types:
                raise ApplyError(
                    "unsupported-type",
                    f"the kubernetes applier takes {', '.join(sorted(self.types))}, not {component.type}",
                    retryable=False,
                    component=component.name,
                )
        self._cluster.version()
        known = self._known(manifest)
        parts = parts_of(manifest, self._cluster)
        for where, api_version, kind in unknown_kinds(parts, manifest):
            with _in_component(where):
                self._cluster.kinds.find(api_version, kind)
        writer = self._writer(manifest, known)
        for part in parts:
            with _in_component(part.name):
                writer.look_ahead(part.refs)

    def download(self, manifest: Manifest, progress: ProgressReport, cancelled: CancelCheck) -> None:
        """There is nothing to fetch: images are the kubelet's. Every object is applied as a dry run instead.

        So what the API server refuses is known before anything changes. An object whose namespace or kind will only
        come with the deployment itself cannot be tried and is left out.
        """
        parts = parts_of(manifest, self._cluster)
        writer = self._writer(manifest, self._known(manifest))
        # The cluster namespace is made for the inventory, and custom resources for a controller live there too.
        coming = {manifest.cluster_namespace}
        coming |= {ref_of(item).name for part in parts for item in part.items if is_namespace(item)}
        for part in parts:
            total = sum(len(json.dumps(item)) for item in part.items)
            done = 0
            with _in_component(part.name):
                stop_if(cancelled, part.name)
                writer.look_ahead(part.refs)
                if not part.items:
                    progress(part.name, 0, 0)
                for item in part.items:
                    stop_if(cancelled, part.name)
                    ref = ref_of(item)
                    try:
                        if (ref.group, ref.kind) not in part.unknown:
                            writer.apply(item, dry_run=True)
                    except ApiError as error:
                        if not (error.is_missing and ref.namespace in coming):
                            raise _without_namespace(error, ref) from error
                    done += len(json.dumps(item))
                    progress(part.name, done, total)

    def initialize(self, manifest: Manifest, cancelled: CancelCheck) -> None:
        """Claim every object of the generation, then apply those of the initialization; each job runs to its end."""
        with _in_component(INITIALIZATION):
            stop_if(cancelled, INITIALIZATION)
            parts, run = self._claim(manifest, cancelled)
            part = part_called(parts, INITIALIZATION)
            run.apply(part, jobs_wait=True)
            run.wait(part, part.seconds)
            run.record_done(part)

    def apply(self, manifest: Manifest, component: str, cancelled: CancelCheck) -> None:
        """Apply one component: definitions of kinds first, and what they define once they are established."""
        with _in_component(component):
            stop_if(cancelled, component)
            began = time.monotonic()
            parts, run = self._claim(manifest, cancelled)
            part = part_called(parts, component)
            crds = part._replace(items=tuple(item for item in part.items if is_crd(item)))
            if crds.items:
                run.apply(crds, jobs_wait=False)
                run.wait(crds, part.seconds)
                for group, _ in declared_kinds(crds.items):
                    self._cluster.kinds.forget(group)
                # Only now it is known which of the new kinds live in namespaces.
                parts, run = self._claim(manifest, cancelled)
                part = part_called(parts, component)
            run.apply(part._replace(items=tuple(item for item in part.items if not is_crd(item))), jobs_wait=False)
            if part.wait:
                run.wait(part, max(part.seconds - (time.monotonic() - began), 0.1))
                run.record_done(part)

    def finish(self, manifest: Manifest) -> None:
        """Delete what only other generations had, the last applied first.

        It does not wait for what takes its time (finalizers): that stays in the inventory until it is gone.
        """
        inventory = self._store.load(manifest.deployment)
        if inventory is None or inventory.generation != manifest.generation:
            # Everything would look left over, and be deleted.
            there = "none" if inventory is None else f"generation {inventory.generation}"
            raise ApplyError(
                "not-applied",
                f"generation {manifest.generation} of {manifest.deployment} cannot be finished, because {there} was "
                "applied last; apply it first",
                retryable=False,
            )
        if not inventory.leftovers:
            return
        writer = self._writer(manifest, inventory)
        refs = [entry.ref for entry in reversed(inventory.leftovers)]
        namespaces = [ref for ref in refs if ref.is_namespace]
        others = [ref for ref in refs if not ref.is_namespace]
        delete_all(self._cluster, writer, others, never)
        left = set(still_owned(self._cluster, writer, others))
        self._save(inventory.without([ref for ref in others if ref not in left]), manifest.cluster_namespace)
        if namespaces and not left:
            self._remove_namespaces(manifest.deployment, namespaces, never, wait=False)
            self._save(inventory.without(refs), manifest.cluster_namespace)

    def health(self, manifest: Manifest) -> tuple[ComponentHealth, ...]:
        """What is missing, changed, or not ready; changes are found by a dry run of the same apply."""
        names = [component.name for component in manifest.components]
        inventory = self._store.load(manifest.deployment)
        if inventory is None or inventory.generation != manifest.generation:
            there = f"generation {inventory.generation}" if inventory is not None else "none"
            message = f"generation {manifest.generation} was not applied here; on the cluster is {there}"
            return tuple(ComponentHealth(name, False, message) for name in names)
        findings = list(self._drift.findings(parts_of(manifest, self._cluster), inventory))
        return tuple(
            ComponentHealth(part, not found, "; ".join(found)) for part, found in in_order(names, findings).items()
        )

    def remove(self, deployment: str, cancelled: CancelCheck) -> None:
        """Delete everything of the deployment, component by component backwards, and wait until it is gone.

        The inventory goes last. Namespaces that Fleetbus made go when nothing else is in them.
        """
        stop_if(cancelled)
        inventory = self._store.load(deployment)
        if inventory is not None:
            writer = Writer(self._cluster, deployment, inventory, "report")
            entries = [entry for entry in reversed(inventory.entries) if not entry.ref.is_namespace]
            for part, some in groupby(entries, key=lambda entry: entry.part):
                with _in_component(part):
                    remove_and_wait(self._cluster, writer, [entry.ref for entry in some], cancelled)
            namespaces = [entry.ref for entry in inventory.entries if entry.ref.is_namespace]
            self._remove_namespaces(deployment, namespaces, cancelled, wait=True)
        self._store.delete(deployment)
        self._drift.forget(deployment)
        self._follow(deployment, None)

    def discard(self, deployment: str, generation: int) -> None:
        """Nothing is staged anywhere."""

    def watch(self, changed: Callable[[str], None]) -> None:
        """Watch what the inventories name, from a thread of its own; see ``Observer``."""
        with self._lock:
            if self._observer is None:
                self._observer = Observer(self._cluster, self._remembered, changed)

    def close(self) -> None:
        with self._lock:
            observer, self._observer = self._observer, None
        if observer is not None:
            observer.close()
        self._cluster.close()

    def _known(self, manifest: Manifest) -> Inventory | None:
        """The inventory. Raises ``ApplyError`` if the deployment is another device's on this cluster."""
        known = self._store.load(manifest.deployment)
        if known is not None and known.device != manifest.device:
            raise ApplyError(
                "other-device",
                f"{manifest.deployment} is on this cluster already, for the device {known.device!r}: a cluster has "
                "one device's agent for a deployment; take it off there first",
                retryable=False,
            )
        return known

    def _claim(self, manifest: Manifest, cancelled: CancelCheck) -> tuple[list[Part], Run]:
        """Write ahead what this generation owns, beside what others left; the parts, and what applies them."""
        known = self._known(manifest)
        parts = parts_of(manifest, self._cluster)
        wanted = claimed(
            known, manifest.deployment, manifest.device, manifest.generation, [(part.name, part.refs) for part in parts]
        )
        writer = self._writer(manifest, known)
        if wanted != known:
            for part in parts:
                with _in_component(part.name):
                    writer.look_ahead([ref for ref in part.refs if known is None or known.find(ref) is None])
            self._save(wanted, manifest.cluster_namespace)
            writer.known = wanted
        run = Run(
            self._cluster, writer, wanted, cancelled,
            save=lambda changed: self._save(changed, manifest.cluster_namespace),
        )  # fmt: skip
        return parts, run

    def _writer(self, manifest: Manifest, known: Inventory | None) -> Writer:
        return Writer(self._cluster, manifest.deployment, known, manifest.drift)

    def _save(self, inventory: Inventory, namespace: str) -> None:
        self._store.save(inventory, namespace)
        self._follow(inventory.deployment, inventory)

    def _follow(self, deployment: str, inventory: Inventory | None) -> None:
        with self._lock:
            observer = self._observer
        if observer is not None:
            observer.follow(deployment, _refs(inventory) if inventory is not None else frozenset())

    def _remembered(self) -> dict[str, frozenset[Ref]]:
        return {inventory.deployment: _refs(inventory) for inventory in self._store.every()}

    def _remove_namespaces(self, deployment: str, refs: list[Ref], cancelled: CancelCheck, *, wait: bool) -> None:
        if refs:
            others = [
                entry.ref
                for other in self._store.every()
                if other.deployment != deployment
                for entry in other.entries
            ]  # fmt: skip
            remove_namespaces(self._cluster, deployment, refs, others, cancelled, wait=wait)


def _refs(inventory: Inventory) -> frozenset[Ref]:
    return frozenset(entry.ref for entry in inventory.entries)


@contextmanager
def _in_component(name: str) -> Iterator[None]:
    """Errors within are the component's, unless they say another."""
    try:
        yield
    except ApplyError as error:
        if error.component is None:
            error.component = name
        raise


def _without_namespace(error: ApiError, ref: Ref) -> ApiError:
    """A 404 on an apply means that the namespace is not there: the kind is known already."""
    if not error.is_missing or error.code != "not-found":
        return error
    return ApiError(
        "namespace-missing",
        f"apply {ref}: there is no namespace {ref.namespace!r}: create it, or set spec.workload.create",
        retryable=True,
        status=404,
    )
