"""Renders components of plain Kubernetes objects: the objects of the spec, marked and put in a namespace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from orchestrator.charts.archive import ChartArchive
from orchestrator.rendering.ownership import owned
from orchestrator.rendering.patches import patched
from orchestrator.rendering.port import RenderContext, RenderError
from orchestrator.rendering.scope import declared_cluster_kinds
from topics.documents.base import JsonObject
from topics.documents.manifest import ManifestComponent
from topics.documents.spec import Component
from topics.errors import Reason
from topics.quantity import parse_duration


class KubernetesRenderer:
    """The objects in the order of the spec."""

    name: ClassVar[str] = "kubernetes"
    kinds: ClassVar[frozenset[str]] = frozenset({"kubernetes"})
    manifest_type: ClassVar[str] = "kubernetes"
    depends_on_device: ClassVar[bool] = False

    def render(
        self, component: Component, context: RenderContext, charts: Mapping[str, ChartArchive]
    ) -> ManifestComponent:
        """See ``Renderer``."""
        body = component.kubernetes
        if body is None:
            raise ValueError(f"component {component.name!r} has no objects")
        cluster_kinds = declared_cluster_kinds(body.objects)
        objects: list[JsonObject] = []
        reasons: list[Reason] = []
        for index, item in enumerate(body.objects):
            path = f"kubernetes.objects[{index}]"
            try:
                objects.append(owned(item, context, component=component.name, path=path, cluster_kinds=cluster_kinds))
            except RenderError as error:
                reasons += error.reasons
        if reasons:
            raise RenderError(reasons)
        if component.patches:

            def own(item: JsonObject) -> JsonObject:
                return owned(item, context, component=component.name, path="patches", cluster_kinds=cluster_kinds)

            objects = patched(objects, component.patches, own)
        return ManifestComponent(
            name=component.name,
            type="kubernetes",
            objects=tuple(objects),
            source="spec",
            wait=body.wait,
            timeout_seconds=parse_duration(body.timeout),
        )
