"""Renders Helm components: chart and values to objects, in the order in which Helm installs them.

CRDs of the chart's ``crds/`` folders come first, then the templates' objects by kind. Test hooks and NOTES
are left out. Any other hook is refused by name, since running the objects without it would be another
installation than the chart's author meant (``docs/decisions/2026-11-23-helm-hooks.md``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from orchestrator.charts.archive import ChartArchive
from orchestrator.rendering.helm_chart import HelmEngine
from orchestrator.rendering.helm_engine import find_engine
from orchestrator.rendering.helm_objects import CRD_RANK, FoundObject, objects_of
from orchestrator.rendering.ownership import CHART_ANNOTATION, owned
from orchestrator.rendering.patches import patched
from orchestrator.rendering.port import RenderContext, RenderError
from orchestrator.rendering.scope import declared_cluster_kinds
from topics.documents.base import SCHEMA_VERSION, JsonObject
from topics.documents.manifest import ManifestComponent
from topics.documents.spec import Component
from topics.quantity import parse_duration

MAX_RELEASE_NAME = 53
"""Helm's limit: what it appends must still fit the 63 characters of a DNS label."""

_MOST_CHECKED = 512
_MOST_MARKINGS, _MOST_MARKED = 16, 2_000


def release_name(component: Component, deployment: str) -> str:
    """The Helm release name of a component: the spec's ``release``, else ``<deployment>-<component>``.

    The default is cut to 53 characters, Helm's limit. Raises ``RenderError`` for a longer one in the spec.
    """
    given = component.helm.release if component.helm else None
    if given is None:
        return f"{deployment}-{component.name}"[:MAX_RELEASE_NAME].rstrip("-")
    if len(given) > MAX_RELEASE_NAME:
        raise RenderError.because(
            "helm-release-name",
            f"release name {given!r} has {len(given)} characters; Helm takes at most {MAX_RELEASE_NAME}",
            path="helm.release",
        )
    return given


class HelmRenderer:
    """Renders with the first engine found; ``engine`` is looked up when the first chart is rendered."""

    name: ClassVar[str] = "helm"
    kinds: ClassVar[frozenset[str]] = frozenset({"helm"})
    manifest_type: ClassVar[str] = "kubernetes"
    depends_on_device: ClassVar[bool] = False

    def __init__(self, engine: Callable[[], HelmEngine] = find_engine) -> None:
        self._find_engine = engine
        self._engine: HelmEngine | None = None
        self._checked: dict[object, None] = {}
        self._marks: dict[object, _Marks] = {}

    def render(
        self, component: Component, context: RenderContext, charts: Mapping[str, ChartArchive]
    ) -> ManifestComponent:
        """See ``Renderer``."""
        body = component.helm
        if body is None:
            raise ValueError(f"component {component.name!r} has no chart")
        chart = charts[component.name]
        found = self._rendered(chart, body.values, release_name(component, context.deployment), context)
        source = f"{chart.name}-{chart.version}@{chart.digest}"
        cluster_kinds = declared_cluster_kinds(item.content for item in found if item.rank == CRD_RANK)
        application = context.application.id if context.application is not None else None
        namespaces = (context.workload_namespace, context.cluster_namespace)
        marks = self._marks_for((context.deployment, component.name, namespaces, application, source, cluster_kinds))

        def own(item: JsonObject) -> JsonObject:
            return owned(
                item, context, component=component.name, path="helm", annotations={CHART_ANNOTATION: source},
                cluster_kinds=cluster_kinds,
            )  # fmt: skip

        objects = [marks.of(item.content, own) for item in found]
        if component.patches:
            objects = patched(objects, component.patches, own)
        # Not validated again: what was read from YAML is finite JSON, and walking it takes longer than rendering.
        return ManifestComponent.model_construct(
            schema_version=SCHEMA_VERSION,
            name=component.name,
            type="kubernetes",
            objects=tuple(objects),
            config={},
            source=f"helm:{source}",
            wait=body.wait,
            timeout_seconds=parse_duration(body.timeout),
        )

    def _rendered(
        self, chart: ChartArchive, values: JsonObject, release: str, context: RenderContext
    ) -> list[FoundObject]:
        if self._engine is None:
            self._engine = self._find_engine()
        namespace = context.workload_namespace
        # What a chart makes up depends on which values are given, not on what they are: once for each shape.
        case = (chart.digest, release, namespace, json.dumps(_shape(values), sort_keys=True))
        is_new = case not in self._checked
        found = objects_of(self._engine.render(chart.data, values, release, namespace, anew=is_new))
        if is_new:
            again = self._engine.render(chart.data, values, release, namespace, anew=True)
            _check_deterministic(found, objects_of(again))
            if len(self._checked) >= _MOST_CHECKED:
                self._checked.clear()
            self._checked[case] = None
        return found

    def _marks_for(self, key: object) -> _Marks:
        if key not in self._marks:
            if len(self._marks) >= _MOST_MARKINGS:
                self._marks.clear()
            self._marks[key] = _Marks()
        return self._marks[key]


class _Marks:
    """The marked copies of objects, so that what devices share stays the same object, which is encoded once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[JsonObject, JsonObject]] = {}

    def of(self, item: JsonObject, own: Callable[[JsonObject], JsonObject]) -> JsonObject:
        known = self._known.get(id(item))
        if known is None:
            if len(self._known) >= _MOST_MARKED:
                self._known.clear()
            # The object is kept along: its id is only its own as long as it lives.
            known = self._known[id(item)] = (item, own(item))
        return known[1]


def _shape(value: Any) -> Any:
    """The values without what they are: which keys there are, and whether each is set, empty, true or false."""
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shape(item) for item in value]
    return bool(value) if value is not None else None


def _check_deterministic(first: list[FoundObject], second: list[FoundObject]) -> None:
    """Refuse charts that make up values: each rendering would be another manifest, and an update to nobody's wish.

    Two renderings are compared, which shows random values, generated certificates and precise times.
    """
    # What came from the same text is the same object.
    changed = {a.path for a, b in zip(first, second, strict=False) if a.content is not b.content and a != b}
    if changed or len(first) != len(second):
        raise RenderError.because(
            "helm-not-deterministic",
            f"the chart renders differently each time: {', '.join(sorted(changed)) or 'the number of objects differs'}",
            path="helm.values",
            hint="set the passwords, certificates or times it makes up (randAlphaNum, genCA, now) in the values",
        )
