"""Renders Helm components for Flux: a ``HelmRelease`` and the source that its chart comes from.

Both are put into the cluster namespace; the release and its record are in the workload namespace. Flux's
controllers fetch, install, repair and uninstall; the agent applies the two objects and waits for their ``Ready``
condition (``edge_agent/appliers/readiness/custom.py``).

Source of the fields: the API types of Flux 2.3 and later, ``helm.toolkit.fluxcd.io/v2`` and
``source.toolkit.fluxcd.io/v1`` (``OCIRepository`` is in v1 since 2.6).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from orchestrator.charts.archive import ChartArchive
from orchestrator.charts.oci import CHART_LAYER
from orchestrator.rendering.chart_source import (
    Carried,
    FromRegistry,
    FromRepository,
    driver_name,
    not_deliverable,
    source_of,
)
from orchestrator.rendering.driven import chart_of, driving, duration_text
from orchestrator.rendering.helm_renderer import release_name
from orchestrator.rendering.port import RenderContext
from topics.documents.base import JsonObject
from topics.documents.manifest import ManifestComponent
from topics.documents.spec import Component, HelmChart, Patch, PatchTarget

_INTERVAL = "10m"
"""How often Flux looks again. The source is pinned, so it can only find what was changed behind its back."""

_SOURCES = "source.toolkit.fluxcd.io/v1"
_CARRIED_HINT = "push the chart to a registry or repository, or use the renderer 'helm', 'helm-release' or 'k3s'"


class FluxRenderer:
    """``HelmRelease`` with ``OCIRepository`` or ``HelmRepository``.

    A chart in a registry is pinned by the digest of its OCI manifest. An HTTP repository can only be asked for
    the exact version: what it serves is not compared with what the orchestrator fetched.

    Failed installations are tried again without an end: the agent's time-out decides when to give up, and a
    release that Flux has stopped trying would not come back with the network.

    Patches of the component become kustomize patches of Flux's post-renderer: they change the chart's objects.
    """

    name: ClassVar[str] = "flux"
    kinds: ClassVar[frozenset[str]] = frozenset({"helm"})
    manifest_type: ClassVar[str] = "kubernetes"
    depends_on_device: ClassVar[bool] = False

    def render(
        self, component: Component, context: RenderContext, charts: Mapping[str, ChartArchive]
    ) -> ManifestComponent:
        """See ``Renderer``."""
        body, archive = chart_of(component, charts)
        name = driver_name(context, component.name)
        source = _source(body, archive, name)
        wait = {} if body.wait else {"disableWait": True}
        again = {"crds": "CreateReplace", "remediation": {"retries": -1}, **wait}
        spec: dict[str, Any] = {
            "interval": _INTERVAL,
            "timeout": duration_text(body),
            "releaseName": release_name(component, context.deployment),
            "targetNamespace": context.workload_namespace,
            "storageNamespace": context.workload_namespace,
            **_chart(source, name, archive),
            "install": {"createNamespace": context.create_namespace, **again},
            "upgrade": {**again, "cleanupOnFail": True},
            "driftDetection": {"mode": "enabled" if context.drift == "heal" else "warn"},
        }
        if body.values:
            spec["values"] = body.values
        if component.patches:
            spec["postRenderers"] = [{"kustomize": {"patches": [_kustomize(patch) for patch in component.patches]}}]
        release = {
            "apiVersion": "helm.toolkit.fluxcd.io/v2",
            "kind": "HelmRelease",
            "metadata": {"name": name},
            "spec": spec,
        }
        return driving((source, release), component, context, body, archive)


def _source(body: HelmChart, archive: ChartArchive, name: str) -> JsonObject:
    place = source_of(body, archive)
    secret = {"secretRef": {"name": body.pull_secret}} if body.pull_secret else {}
    match place:
        case FromRegistry():
            return {
                "apiVersion": _SOURCES,
                "kind": "OCIRepository",
                "metadata": {"name": name},
                "spec": {
                    "interval": _INTERVAL,
                    "url": f"oci://{place.repository}",
                    "ref": {"digest": place.digest} if place.digest else {"tag": place.tag},
                    # The artifact is a manifest with several layers; the chart's is to be taken as it is.
                    "layerSelector": {"mediaType": CHART_LAYER, "operation": "copy"},
                    **({"insecure": True} if place.plain_http else {}),
                    **secret,
                },
            }
        case FromRepository():
            return {
                "apiVersion": _SOURCES,
                "kind": "HelmRepository",
                "metadata": {"name": name},
                "spec": {"interval": _INTERVAL, "url": place.address, **secret},
            }
        case Carried():
            raise not_deliverable(
                "flux",
                "cannot deliver a chart that lies on the orchestrator: Flux fetches charts itself",
                _CARRIED_HINT,
            )
        case _:
            raise not_deliverable(
                "flux",
                "cannot deliver a chart behind a plain address: Flux knows repositories and registries",
                "write the repository's address in 'repository' and the chart's name in 'chart'",
            )


def _chart(source: JsonObject, name: str, archive: ChartArchive) -> JsonObject:
    reference = {"kind": source["kind"], "name": name}
    if source["kind"] == "OCIRepository":
        return {"chartRef": reference}
    spec = {"chart": archive.name, "version": archive.version, "interval": _INTERVAL, "sourceRef": reference}
    return {"chart": {"spec": spec}}


def _kustomize(patch: Patch) -> JsonObject:
    # JSON is YAML, and sorted it is the same text each time.
    body = patch.patch if isinstance(patch.patch, dict) else list(patch.patch)
    return {"target": _target(patch.target), "patch": json.dumps(body, sort_keys=True, ensure_ascii=False)}


def _target(target: PatchTarget) -> JsonObject:
    found: JsonObject = {
        field: value
        for field in ("group", "version", "kind", "name", "namespace")
        if (value := getattr(target, field)) is not None
    }
    selector = target.label_selector
    if selector is not None:
        found["labelSelector"] = ",".join(
            [f"{key}={value}" for key, value in sorted(selector.match_labels.items())]
            + [_requirement(item.key, item.operator, item.values) for item in selector.match_expressions]
        )
    return found


def _requirement(key: str, operator: str, values: tuple[object, ...]) -> str:
    """A requirement in the text form of Kubernetes' label selectors."""
    match operator:
        case "Exists":
            return key
        case "DoesNotExist":
            return f"!{key}"
        case _:
            return f"{key} {operator.lower()} ({','.join(str(value) for value in values)})"
