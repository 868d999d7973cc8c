"""What is rendered for controllers, against the schemas of their kinds, on a real API server."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.charts.archive import open_archive
from orchestrator.rendering.argocd_renderer import ArgocdRenderer
from orchestrator.rendering.flux_renderer import FluxRenderer
from orchestrator.rendering.k3s_renderer import K3sRenderer
from orchestrator.rendering.port import RenderContext, Renderer
from tests.support.cluster import ControlPlane
from tests.support.cluster_api import ApiError, wait
from tests.support.controller_crds import DEFINITIONS
from tests.unit.charts.chart_files import WEB, archive
from topics.documents.base import JsonObject
from topics.documents.spec import Component

CHART = replace(open_archive(archive(WEB)), artifact=f"sha256:{'a' * 64}")
OCI: JsonObject = {"chart": "oci://127.0.0.1:5000/charts/web", "version": "1.2.3"}
HTTP: JsonObject = {"chart": "web", "repository": "https://charts.example"}
PATCH = {
    "target": {"kind": "Deployment", "labelSelector": {"matchLabels": {"a": "b"}}},
    "patch": {"spec": {"replicas": 2}},
}

CASES: list[tuple[Renderer, JsonObject, JsonObject]] = [
    (FluxRenderer(), {**OCI, "pullSecret": "pull"}, {"patches": [PATCH]}),
    (FluxRenderer(), {**HTTP, "pullSecret": "pull", "wait": False}, {}),
    (K3sRenderer(), {**OCI, "pullSecret": "pull"}, {}),
    (K3sRenderer(), {**HTTP, "pullSecret": "pull"}, {}),
    (K3sRenderer(), {"chart": "charts/web", "archive": base64.b64encode(CHART.data).decode()}, {}),
    (ArgocdRenderer(), OCI, {}),
    (ArgocdRenderer(), HTTP, {}),
]


@pytest.fixture(scope="module", autouse=True)
def kinds(cluster: ControlPlane) -> None:
    """The definitions are installed and served."""
    for definition in DEFINITIONS:
        cluster.api.apply(definition, manager="controllers", force=True)
        version = f"{definition['spec']['group']}/{definition['spec']['versions'][0]['name']}"
        kind = definition["spec"]["names"]["kind"]
        wait(f"{kind} to be served", lambda version=version, kind=kind: _served(cluster, version, kind))


def _served(cluster: ControlPlane, version: str, kind: str) -> bool:
    try:
        cluster.api.list(version, kind, "default")
    except ApiError:
        return False
    return True


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Every scalar and empty collection, by its path."""
    if isinstance(value, dict) and value:
        return {key: item for name, inner in value.items() for key, item in leaves(inner, f"{path}.{name}").items()}
    if isinstance(value, list) and value:
        return {key: item for i, inner in enumerate(value) for key, item in leaves(inner, f"{path}[{i}]").items()}
    return {path: value}


@pytest.mark.parametrize(
    ("renderer", "helm", "more"), CASES, ids=[f"{item[0].name}-{i}" for i, item in enumerate(CASES)]
)
@pytest.mark.parametrize("drift", ["heal", "report"])
def test_every_rendered_field_is_one_of_the_kind(
    cluster: ControlPlane, renderer: Renderer, helm: JsonObject, more: JsonObject, drift: Any
) -> None:
    """The API server takes the objects and drops nothing from them: it would drop a field that the schema has not."""
    values = {"replicas": 2, "deep": {"list": [1, {"a": None}], "text": "ü"}}
    component = Component.model_validate(
        {"name": "web", "helm": {"values": values, "timeout": "8m30s", **helm}, **more}
    )
    context = RenderContext("press", 1, "default", "press", None, create_namespace=drift == "heal", drift=drift)
    for item in renderer.render(component, context, {"web": CHART}).objects:
        query = {"fieldManager": "fleetbus", "dryRun": "All"}
        taken = cluster.api.request(
            "PATCH", cluster.api.path_of(item), item, query=query, content="application/apply-patch+yaml"
        )
        kept = leaves(taken["spec"])
        assert {path: value for path, value in leaves(item["spec"]).items() if kept.get(path) != value} == {}
        assert json.dumps(taken["metadata"]["labels"])
