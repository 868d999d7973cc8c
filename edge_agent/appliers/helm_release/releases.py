"""What is known of releases and their objects in the cluster, and how a changed object is put right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from edge_agent.appliers.helm_release import records
from edge_agent.appliers.helm_release.plan import DEPLOYED, SUPERSEDED, Revision
from edge_agent.appliers.kubernetes.cluster import Cluster
from edge_agent.appliers.kubernetes.objects import Ref, comparable, differences, digest, ref_of
from edge_agent.appliers.kubernetes.problems import ApiError
from edge_agent.appliers.port import ApplyError
from edge_agent.appliers.readiness import readiness_of
from topics.documents.base import JsonObject


class ReleaseId(NamedTuple):
    """A release: its namespace and its name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Finding(NamedTuple):
    """What is wrong with one object; ``object`` is as it was applied. ``repairable``: applying it again helps."""

    object: JsonObject
    text: str
    repairable: bool
    final: bool = False


class Releases:
    """Reads releases. ``cluster`` applies as Helm's own field manager. Safe from several threads."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._clean: dict[tuple[str, str, str, str], tuple[str, str]] = {}
        """By object: the version that was found clean, and the digest of what it was compared with."""

    def history(self, release: ReleaseId) -> list[Revision]:
        """Every recorded revision, oldest first."""
        found = [
            records.revision_of(secret) for secret in self._records(release.namespace, records.selector(release.name))
        ]
        return sorted(found, key=lambda revision: revision.number)

    def record(self, release: ReleaseId, number: int) -> JsonObject | None:
        """The record of one revision."""
        found = self._records(release.namespace, records.selector(release.name, version=str(number)))
        return next(iter(found), None)

    def deployed(self, release: ReleaseId) -> JsonObject | None:
        """The record of the revision that runs; the newest, should there be two."""
        found = self._records(release.namespace, records.selector(release.name, status=DEPLOYED))
        return max(found, key=_number, default=None)

    def of_deployment(self, deployment: str, *, with_history: bool = True) -> dict[ReleaseId, JsonObject]:
        """The newest record of each release of a deployment, whatever namespaces it had.

        Without the history only records that are not superseded are asked for: each holds a whole chart.
        """
        labels = f"owner=helm,{records.DEPLOYMENT_LABEL}={deployment}"
        newest: dict[ReleaseId, JsonObject] = {}
        for secret in self._records("", labels if with_history else f"{labels},status!={SUPERSEDED}"):
            release = ReleaseId(secret["metadata"]["namespace"], records.release_name(secret))
            other = newest.get(release)
            if release.name and (other is None or _number(other) < _number(secret)):
                newest[release] = secret
        return newest

    def mark_failed(self, release: ReleaseId, number: int) -> None:
        """Say in Helm's record that nobody is at work any more; a record that is gone or changed is left alone."""
        secret = self.record(release, number)
        if secret is not None:
            self.cluster.replace(records.marked_failed(secret))

    def findings(self, record: JsonObject) -> Iterator[Finding]:
        """Every object of a release that is missing, changed, or not ready.

        Changed is what a server-side apply of the same object would change: only fields that the chart gives count,
        and the server itself fills in defaults and writes quantities its own way. An object whose version was found
        clean once is not asked about again.
        """
        for item in self._objects(record):
            yield from self._finding(item)

    def refs(self, record: JsonObject) -> frozenset[Ref]:
        """Where the objects of a release are. Raises ``ApplyError`` for a damaged record."""
        return frozenset(map(ref_of, self._objects(record)))

    def known(self) -> dict[str, frozenset[Ref]]:
        """The objects of all releases, by deployment; those of damaged records are left out."""
        found: dict[str, frozenset[Ref]] = defaultdict(frozenset)
        for secret in self._records("", f"owner=helm,{records.DEPLOYMENT_LABEL},status!={SUPERSEDED}"):
            try:
                found[records.revision_of(secret).deployment] |= self.refs(secret)
            except ApiError:
                raise
            except ApplyError:
                continue  # the deployment's own steps report it
        return found

    def heal(self, findings: Iterable[Finding]) -> None:
        """Apply again what is missing or was changed, as Helm's field manager. Raises ``ApiError``."""
        for finding in findings:
            if finding.repairable:
                self.cluster.apply(finding.object, force=True)

    def _objects(self, record: JsonObject) -> Iterator[JsonObject]:
        namespace = record["metadata"]["namespace"]
        return (self._placed(item, namespace) for item in records.objects_of(record))

    def _finding(self, item: JsonObject) -> Iterator[Finding]:
        ref = ref_of(item)
        live = self.cluster.get(ref)
        if live is None:
            yield Finding(item, f"{ref} was deleted", repairable=True)
            return
        clean = (str(live["metadata"].get("resourceVersion")), digest(item))
        if self._clean.get(ref.key) != clean:
            try:
                wanted = self.cluster.apply(item, force=True, dry_run=True)
            except ApiError as error:
                if error.code != "invalid":
                    raise
                yield Finding(
                    item, f"{ref} was changed in what cannot be changed back: {error.message}", repairable=False
                )
                return
            changed = differences(comparable(live), comparable(wanted))
            if changed:
                yield Finding(item, f"{ref} was changed: {', '.join(changed)}", repairable=True)
                return
            self._clean[ref.key] = clean
        ready = readiness_of(live)
        if not ready.ready:
            yield Finding(item, f"{ref}: {ready.message}", repairable=False, final=ready.failed)

    def _placed(self, item: JsonObject, namespace: str) -> JsonObject:
        """The object with its namespace, where its kind has one."""
        metadata = item["metadata"]
        try:
            namespaced = self.cluster.kinds.find(item["apiVersion"], item["kind"]).namespaced
        except ApiError as error:
            if not error.is_missing:
                raise
            namespaced = False
        if not namespaced:
            return {**item, "metadata": {key: value for key, value in metadata.items() if key != "namespace"}}
        return {**item, "metadata": {**metadata, "namespace": metadata.get("namespace") or namespace}}

    def _records(self, namespace: str, labels: str) -> list[JsonObject]:
        return self.cluster.list(self.cluster.kinds.find("v1", "Secret"), namespace, labels=labels).items


def _number(secret: JsonObject) -> int:
    return records.revision_of(secret).number


def by_namespace(releases: Iterable[ReleaseId]) -> dict[str, list[str]]:
    """The names of releases by their namespace, sorted."""
    found: dict[str, list[str]] = defaultdict(list)
    for release in sorted(releases):
        found[release.namespace].append(release.name)
    return found
