"""Every installed renderer passes the suite of renderers."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import entry_points
from typing import Any

import pytest

pytest.register_assert_rewrite("tests.contract.renderer_conformance")

from orchestrator.charts.archive import open_archive  # noqa: E402 - the line above must come first
from orchestrator.rendering.registry import GROUP, load_renderers  # noqa: E402
from tests.contract.renderer_conformance import RendererConformance, Sample  # noqa: E402
from tests.unit.charts.chart_files import WEB, archive  # noqa: E402
from topics.documents.spec import Component  # noqa: E402

CHART = replace(open_archive(archive(WEB)), artifact="sha256:" + "a" * 64)
REMOTE = {"chart": "oci://registry.example/charts/web", "version": "1.2.3", "values": {"port": 81}, "timeout": "90s"}
BAD_RELEASE = {**REMOTE, "release": "r" * 60}

SAMPLES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "kubernetes": (
        "kubernetes",
        {
            "objects": [
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"rate": "10"}},
                {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "reader"}},
            ],
            "timeout": "90s",
        },
        {"objects": [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "labels": "none"}}]},
    ),
    "helm": (
        "helm",
        {"chart": "web", "values": {"replicas": 2, "text": "ü"}, "timeout": "90s"},
        {"chart": "web", "values": {"port": {"no": "number"}}, "release": "r" * 60},
    ),
    "helm-release": ("helm", REMOTE, BAD_RELEASE),
    "flux": ("helm", REMOTE, BAD_RELEASE),
    "k3s": ("helm", REMOTE, BAD_RELEASE),
    "argocd": ("helm", REMOTE, BAD_RELEASE),
    "compose": (
        "compose",
        {"project": {"services": {"web": {"image": "example/web:1"}}}, "timeout": "90s"},
        {"project": {"services": {"web": {"build": "."}}}},
    ),
}
"""Kind, a good and a bad component, by renderer; a new renderer adds its own here."""

INSTALLED = load_renderers()


class TestRenderers(RendererConformance):
    """The suite, for each of them."""

    @pytest.fixture(params=sorted(INSTALLED.offers))
    def sample(self, request: pytest.FixtureRequest) -> Sample:
        kind, good, bad = SAMPLES[request.param]
        component = Component.model_validate({"name": "part", "renderer": request.param, kind: good})
        return Sample(INSTALLED.renderer_of(component), kind, good, bad, {"part": CHART})


def test_entry_points_are_named_as_the_renderers() -> None:
    """So that an error can say which one is missing."""
    assert {point.name for point in entry_points(group=GROUP)} == set(INSTALLED.offers) >= {"kubernetes", "helm"}
