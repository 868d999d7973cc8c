"""What the renderers for controllers in the cluster have in common: custom resources in the cluster namespace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from orchestrator.charts.archive import ChartArchive
from orchestrator.rendering.ownership import CHART_ANNOTATION, owned
from orchestrator.rendering.patches import patched
from orchestrator.rendering.port import RenderContext
from topics.documents.base import JsonObject
from topics.documents.manifest import ManifestComponent
from topics.documents.spec import Component, HelmChart, Patch
from topics.quantity import parse_duration


def chart_of(component: Component, charts: Mapping[str, ChartArchive]) -> tuple[HelmChart, ChartArchive]:
    """The component's Helm part and its fetched chart. Raises ``ValueError`` for a component without one."""
    if component.helm is None:
        raise ValueError(f"component {component.name!r} has no chart")
    return component.helm, charts[component.name]


def duration_text(chart: HelmChart) -> str:
    """The time-out as Go's durations are written and the CRDs' patterns want it: ``510s``, ``1500ms``."""
    seconds = parse_duration(chart.timeout)
    return f"{int(seconds)}s" if seconds == int(seconds) else f"{max(1, round(seconds * 1000))}ms"


def described(archive: ChartArchive) -> str:
    """``<name>-<version>@<digest of the archive>``: what the orchestrator fetched and checked."""
    return f"{archive.name}-{archive.version}@{archive.digest}"


def driving(
    objects: Iterable[JsonObject],
    component: Component,
    context: RenderContext,
    chart: HelmChart,
    archive: ChartArchive,
    *,
    patches: Sequence[Patch] = (),
) -> ManifestComponent:
    """The part of the manifest: the objects marked, in the cluster namespace, in this order.

    ``patches`` are made to these objects themselves. Raises ``RenderError`` for one that cannot be made.
    """
    source = described(archive)

    def own(item: JsonObject) -> JsonObject:
        inside = {**item, "metadata": {**item["metadata"], "namespace": context.cluster_namespace}}
        marks = {CHART_ANNOTATION: source}
        return owned(inside, context, component=component.name, path="helm", annotations=marks)

    return ManifestComponent(
        name=component.name,
        type="kubernetes",
        objects=tuple(patched([own(item) for item in objects], patches, own)),
        source=f"helm:{source}",
        wait=chart.wait,
        timeout_seconds=parse_duration(chart.timeout),
    )
