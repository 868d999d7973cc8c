"""A manifest as this applier sees it: prepared objects, part by part, in the order of application."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from edge_agent.appliers.kubernetes.cluster import Cluster
from edge_agent.appliers.kubernetes.objects import (
    Ref,
    declared_kinds,
    is_crd,
    is_job,
    is_namespace,
    prepared,
    ref_of,
)
from edge_agent.appliers.kubernetes.problems import ApiError
from edge_agent.appliers.port import INITIALIZATION, ApplyError
from topics.documents.base import JsonObject
from topics.documents.manifest import Manifest


class Part(NamedTuple):
    """The initialization or one component. ``unknown`` are kinds that the cluster does not have (yet)."""

    name: str
    items: tuple[JsonObject, ...]
    wait: bool
    seconds: float
    unknown: frozenset[tuple[str, str]] = frozenset()

    @property
    def refs(self) -> list[Ref]:
        return [ref_of(item) for item in self.items]


def parts_of(manifest: Manifest, cluster: Cluster) -> list[Part]:
    """Every part, the initialization first. Raises ``ApplyError`` for what is no object, and ``ApiError``.

    Within a part definitions of kinds come first, then namespaces, then the manifest's order; in the
    initialization jobs are last.
    """
    preparing = _Preparing(manifest, cluster)
    seconds = cluster.options.initialization_timeout
    return [
        preparing.part(INITIALIZATION, manifest.initialization, wait=True, seconds=seconds),
        *(preparing.part(c.name, c.objects, wait=c.wait, seconds=c.timeout_seconds) for c in manifest.components),
    ]


def part_called(parts: list[Part], name: str) -> Part:
    """The part of a component. Raises ``ApplyError`` if the manifest has none."""
    for part in parts:
        if part.name == name:
            return part
    raise ApplyError("unknown-component", f"the manifest has no component {name!r}", retryable=False, component=name)


class _Preparing:
    def __init__(self, manifest: Manifest, cluster: Cluster) -> None:
        self._manifest = manifest
        self._cluster = cluster

    def part(self, name: str, objects: tuple[JsonObject, ...], *, wait: bool, seconds: float) -> Part:
        unknown: set[tuple[str, str]] = set()
        items = [self._prepared(item, index, name, unknown) for index, item in enumerate(objects)]
        ranked = sorted(enumerate(items), key=lambda pair: (_rank(pair[1], name), pair[0]))
        return Part(name, tuple(item for _, item in ranked), wait, seconds, frozenset(unknown))

    def _prepared(self, item: JsonObject, index: int, part: str, unknown: set[tuple[str, str]]) -> JsonObject:
        problem = _problem(item)
        if problem:
            raise ApplyError("invalid", f"object {index} {problem}", retryable=False, component=part)
        namespaced: bool | None
        try:
            namespaced = self._cluster.kinds.find(item["apiVersion"], item["kind"]).namespaced
        except ApiError as error:
            if not error.is_missing:
                raise
            namespaced = None
            unknown.add((item["apiVersion"].rpartition("/")[0], item["kind"]))
        return prepared(
            item, self._manifest.deployment, namespaced=namespaced, namespace=self._manifest.workload_namespace
        )


def unknown_kinds(parts: list[Part], manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    """(part, apiVersion, kind) of what the cluster lacks and nothing in the manifest can bring before it.

    A component may be an operator that declares its kinds by itself, so only those of the first component, and of
    the initialization, are sure to be missing.
    """
    declared = declared_kinds(item for part in parts for item in part.items)
    first = manifest.components[0].name if manifest.components else INITIALIZATION
    for part in parts:
        if part.name in (INITIALIZATION, first):
            for ref in part.refs:
                if (ref.group, ref.kind) in part.unknown - declared:
                    yield part.name, ref.api_version, ref.kind


def _rank(item: JsonObject, part: str) -> int:
    if is_crd(item):
        return 0
    if is_namespace(item):
        return 1
    return 3 if part == INITIALIZATION and is_job(item) else 2


def _problem(item: JsonObject) -> str:
    metadata = item.get("metadata")
    for field in ("apiVersion", "kind"):
        if not isinstance(item.get(field), str) or not item[field]:
            return f"has no {field!r}"
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        return f"({item['kind']}) has no 'metadata.name'"
    if metadata.get("namespace") is not None and not isinstance(metadata["namespace"], str):
        return f"({item['kind']} {metadata['name']}) has a 'metadata.namespace' that is no text"
    for field in ("labels", "annotations"):
        if metadata.get(field) is not None and not isinstance(metadata[field], dict):
            return f"({item['kind']} {metadata['name']}) has 'metadata.{field}' that is no mapping"
    return ""
