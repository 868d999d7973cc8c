"""The suite that every installed renderer passes: pure, deterministic, marked, in the right namespace."""

from __future__ import annotations

import copy
import json
from importlib.metadata import entry_points

import pytest

from orchestrator.charts.archive import ChartArchive, open_archive
from orchestrator.rendering.port import RenderContext, Renderer, RenderError
from orchestrator.rendering.registry import GROUP, load_renderers
from tests.unit.charts.chart_files import WEB, archive
from topics.documents.manifest import ManifestComponent
from topics.documents.spec import Component

CONTEXT = RenderContext("press-monitor", 3, "fleetbus-system", "press", None)
CHART = open_archive(archive(WEB))

GOOD = {
    "kubernetes": {
        "objects": [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"rate": "10"}},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "reader"}},
        ],
        "timeout": "90s",
    },
    "helm": {"chart": "web", "values": {"replicas": 2, "text": "ü"}, "timeout": "90s"},
}
"""A component of each kind; a new renderer adds its own here and below."""

BAD = {
    "kubernetes": {"objects": [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "labels": "none"}}]},
    "helm": {"chart": "web", "values": {"port": {"no": "number"}}, "release": "r" * 60},
}

INSTALLED = load_renderers()


@pytest.fixture(params=INSTALLED.kinds)
def renderer(request: pytest.FixtureRequest) -> Renderer:
    """Each installed renderer."""
    return INSTALLED.renderer_of(component(str(request.param)))


def component(kind: str, *, good: bool = True) -> Component:
    """The sample component of a kind."""
    return Component.model_validate({"name": "part", kind: (GOOD if good else BAD)[kind]})


def render(renderer: Renderer, charts: dict[str, ChartArchive] | None = None) -> ManifestComponent:
    """The sample rendered."""
    return renderer.render(component(renderer.kind), CONTEXT, {"part": CHART} if charts is None else charts)


def test_entry_point_is_named_after_the_kind() -> None:
    """So that an error can say which entry point is missing."""
    assert {point.name for point in entry_points(group=GROUP)} == set(INSTALLED.kinds) >= {"kubernetes", "helm"}


def test_same_input_gives_the_same_bytes(renderer: Renderer) -> None:
    """Also from another instance: nothing is remembered between renderings."""
    fresh = type(renderer)()
    assert render(renderer).model_dump_json() == render(fresh).model_dump_json() == render(renderer).model_dump_json()


def test_input_is_left_as_it_was(renderer: Renderer) -> None:
    """Renderers change neither the component nor the charts."""
    sample, charts = component(renderer.kind), {"part": CHART}
    before = copy.deepcopy((sample, charts))
    renderer.render(sample, CONTEXT, charts)
    assert (sample, charts) == before


def test_every_object_is_marked_and_named(renderer: Renderer) -> None:
    """What removal and the inventory go by."""
    part = render(renderer)
    assert part.objects
    for item in part.objects:
        assert item["apiVersion"]
        assert item["kind"]
        assert item["metadata"]["name"]
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/managed-by"] == "fleetbus"
        assert labels["fleetbus.io/deployment"] == "press-monitor"
        assert labels["fleetbus.io/component"] == "part"


def test_namespaced_objects_are_in_the_workload_namespace(renderer: Renderer) -> None:
    """And cluster-scoped ones in none."""
    for item in render(renderer).objects:
        assert item["metadata"].get("namespace") == (None if item["kind"].startswith("Cluster") else "press")


def test_part_says_what_it_is(renderer: Renderer) -> None:
    """Name, the applier's type, where it came from, how long it may take; all of it JSON."""
    part = render(renderer)
    assert (part.name, part.timeout_seconds, part.wait) == ("part", 90.0, True)
    assert part.type
    assert part.source
    assert ManifestComponent.model_validate_json(part.model_dump_json(by_alias=True)) == part
    assert json.loads(part.model_dump_json())


def test_generation_is_not_in_the_objects(renderer: Renderer) -> None:
    """Or each update would change every object."""
    other = RenderContext("press-monitor", 4, "fleetbus-system", "press", None)
    later = renderer.render(component(renderer.kind), other, {"part": CHART})
    assert later == render(renderer)


def test_refusal_has_reasons_with_paths_in_the_component(renderer: Renderer) -> None:
    """Readable, not retryable, and relative to the component."""
    with pytest.raises(RenderError) as caught:
        renderer.render(component(renderer.kind, good=False), CONTEXT, {"part": CHART})
    assert caught.value.reasons
    assert not caught.value.retryable
    for reason in caught.value.reasons:
        assert reason.path.startswith(renderer.kind)
        assert reason.code
        assert reason.message
