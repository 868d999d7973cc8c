"""Renders Helm components for the Helm controller of k3s and RKE2: a ``HelmChart`` in the cluster namespace.

The controller runs a job that installs the chart into the workload namespace. The agent waits for that job, whose
name stands in the status (``edge_agent/appliers/readiness/custom.py``).

Source of the fields: the API types of k3s-io/helm-controller, ``helm.cattle.io/v1``. The object's name *is* the
release name there, so two deployments with the same ``release`` in one cluster namespace are refused on the device.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from orchestrator.charts.archive import ChartArchive
from orchestrator.rendering.chart_source import Carried, FromAddress, FromRegistry, FromRepository, source_of
from orchestrator.rendering.driven import chart_of, driving, duration_text
from orchestrator.rendering.helm_renderer import release_name
from orchestrator.rendering.port import RenderContext
from topics.documents.base import JsonObject
from topics.documents.manifest import ManifestComponent
from topics.documents.spec import Component, HelmChart


class K3sRenderer:
    """``HelmChart``, with the chart inside (``chartContent``) where it lies on the orchestrator.

    The controller has no drift detection and cannot pin by digest: it is given the exact version, or the very
    bytes. ``failurePolicy: abort`` leaves a failed release as it is: the default would uninstall it, and with it
    what ran, where the agent restores the last good generation.

    Patches of the component change the ``HelmChart``: the controller cannot patch what the chart renders to.
    """

    name: ClassVar[str] = "k3s"
    kinds: ClassVar[frozenset[str]] = frozenset({"helm"})
    manifest_type: ClassVar[str] = "kubernetes"
    depends_on_device: ClassVar[bool] = False

    def render(
        self, component: Component, context: RenderContext, charts: Mapping[str, ChartArchive]
    ) -> ManifestComponent:
        """See ``Renderer``."""
        body, archive = chart_of(component, charts)
        spec: dict[str, Any] = {
            **_chart(body, archive),
            "targetNamespace": context.workload_namespace,
            "createNamespace": context.create_namespace,
            "timeout": duration_text(body),
            "failurePolicy": "abort",
        }
        if body.values:
            # JSON is YAML; sorted and indented it is the same text each time, and people can read it.
            spec["valuesContent"] = json.dumps(body.values, sort_keys=True, ensure_ascii=False, indent=2) + "\n"
        chart: JsonObject = {
            "apiVersion": "helm.cattle.io/v1",
            "kind": "HelmChart",
            "metadata": {"name": release_name(component, context.deployment)},
            "spec": spec,
        }
        return driving((chart,), component, context, body, archive, patches=component.patches)


def _chart(body: HelmChart, archive: ChartArchive) -> JsonObject:
    place = source_of(body, archive)
    match place:
        case FromRegistry():
            plain = {"plainHTTP": True} if place.plain_http else {}
            secret = {"dockerRegistrySecret": {"name": body.pull_secret}} if body.pull_secret else {}
            return {"chart": f"oci://{place.repository}", "version": archive.version, **plain, **secret}
        case FromRepository():
            secret = {"authSecret": {"name": body.pull_secret}} if body.pull_secret else {}
            return {"chart": place.name, "repo": place.address, "version": place.version, **secret}
        case FromAddress():
            return {"chart": place.url}
        case Carried():
            return {"chartContent": place.archive}
