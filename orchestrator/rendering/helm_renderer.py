"""Renders Helm components: chart and values to objects, in the order in which Helm installs them.

CRDs of the chart's ``crds/`` folders come first, then the templates' objects by kind. Test hooks and NOTES
are left out. Any other hook is refused by name, since running the objects without it would be another
installation than the chart's author meant.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from orchestrator.charts.archive import ChartArchive
from orchestrator.rendering.helm_engine import HelmEngine, RenderedChart, RenderedFile, find_engine
from orchestrator.rendering.kubernetes_yaml import load_document
from orchestrator.rendering.ownership import CHART_ANNOTATION, check_object, owned
from orchestrator.rendering.port import RenderContext, RenderError
from orchestrator.rendering.scope import declared_cluster_kinds
from topics.documents.base import JsonObject
from topics.documents.manifest import ManifestComponent
from topics.documents.spec import Component
from topics.errors import Reason
from topics.quantity import parse_duration

MAX_RELEASE_NAME = 53
"""Helm's limit: what it appends must still fit the 63 characters of a DNS label."""

# The order is the one ``helm install`` uses; kinds that are not in it come last, by name. A test compares
# it with what Helm itself does.
INSTALL_ORDER = [
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
]

_RANK = {kind: rank for rank, kind in enumerate(INSTALL_ORDER)}
_HOOK = "helm.sh/hook"
_TEST_HOOKS = {"test", "test-success", "test-failure"}


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

    kind: ClassVar[str] = "helm"

    def __init__(self, engine: Callable[[], HelmEngine] = find_engine) -> None:
        self._find_engine = engine
        self._engine: HelmEngine | None = None

    def render(
        self, component: Component, context: RenderContext, charts: Mapping[str, ChartArchive]
    ) -> ManifestComponent:
        """See ``Renderer``."""
        body = component.helm
        if body is None:
            raise ValueError(f"component {component.name!r} is not of kind {self.kind!r}")
        chart = charts[component.name]
        release = release_name(component, context.deployment)
        if self._engine is None:
            self._engine = self._find_engine()
        rendered = self._engine.render(chart.data, body.values, release, context.workload_namespace)
        found = _objects(rendered)
        again = _objects(self._engine.render(chart.data, body.values, release, context.workload_namespace))
        _check_deterministic(found, again)
        source = f"{chart.name}-{chart.version}@{chart.digest}"
        cluster_kinds = declared_cluster_kinds(item.content for item in found)
        return ManifestComponent(
            name=component.name,
            type="kubernetes",
            objects=tuple(
                owned(
                    item.content,
                    context,
                    component=component.name,
                    path="helm",
                    annotations={CHART_ANNOTATION: source},
                    cluster_kinds=cluster_kinds,
                )
                for item in found
            ),
            source=f"helm:{source}",
            wait=body.wait,
            timeout_seconds=parse_duration(body.timeout),
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """One object and the file of the chart it comes from."""

    path: str
    content: JsonObject


def _objects(rendered: RenderedChart) -> list[_Found]:
    """The objects to apply, in install order. Raises ``RenderError`` with every reason."""
    reasons: list[Reason] = []
    crds = list(_parsed(rendered.crds, reasons))
    templates = list(_without_hooks(_parsed(rendered.templates, reasons), reasons))
    if reasons:
        raise RenderError(reasons)
    # Sorting is stable: within a kind the order is that of the files' paths, then that within the file.
    templates.sort(key=lambda item: item.path)
    templates.sort(key=lambda item: _install_rank(item.content["kind"]))
    return crds + templates


def _install_rank(kind: str) -> tuple[int, str]:
    return (_RANK[kind], "") if kind in _RANK else (len(_RANK), kind)


def _parsed(files: Iterable[RenderedFile], reasons: list[Reason]) -> Iterator[_Found]:
    for file in files:
        try:
            value = load_document(file.text)
            for item in [] if value is None or value == {} else _flattened(value):
                check_object(item, "helm")
                yield _Found(file.path, item)
        except ValueError as error:
            reasons.append(_reason("helm-template", f"{file.path}: the rendered text {error}"))
        except RenderError as error:
            reasons += [_reason(reason.code, f"{file.path}: {reason.message}") for reason in error.reasons]


def _flattened(value: Any) -> list[Any]:
    """The items of a ``List`` object; anything else as it is."""
    if isinstance(value, dict) and str(value.get("kind", "")).endswith("List") and isinstance(value.get("items"), list):
        return [inner for item in value["items"] for inner in _flattened(item)]
    return [value]


def _without_hooks(found: Iterable[_Found], reasons: list[Reason]) -> Iterator[_Found]:
    for item in found:
        annotations = item.content["metadata"].get("annotations") or {}
        hooks = {hook.strip() for hook in str(annotations.get(_HOOK, "")).split(",")} - {""}
        if not hooks:
            yield item
        elif hooks - _TEST_HOOKS:
            name = f"{item.content['kind']} {item.content['metadata']['name']!r}"
            reasons.append(
                Reason(
                    path="helm.chart",
                    code="helm-hooks",
                    message=f"{item.path}: {name} is a {', '.join(sorted(hooks - _TEST_HOOKS))} hook; "
                    "hooks other than tests are not run by this version",
                    hint="turn the hook off in the chart's values, or put the object under spec.initialization",
                )
            )


def _check_deterministic(first: list[_Found], second: list[_Found]) -> None:
    """Refuse charts that make up values: each rendering would be another manifest, and an update to nobody's wish.

    Two renderings are compared, which shows random values, generated certificates and precise times.
    """
    one, two = ([json.dumps(item.content, sort_keys=True) for item in found] for found in (first, second))
    changed = sorted({item.path for item, a, b in zip(first, one, two, strict=False) if a != b})
    if one != two:
        raise RenderError.because(
            "helm-not-deterministic",
            f"the chart renders differently each time: {', '.join(changed) or 'the number of objects differs'}",
            path="helm.values",
            hint="set the passwords, certificates or times it makes up (randAlphaNum, genCA, now) in the values",
        )


def _reason(code: str, message: str) -> Reason:
    return Reason(path="helm", code=code, message=message)
