"""A spec becomes one manifest per device: rendered once, complete, without two objects of one identity."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.charts.archive import ChartArchive, open_archive
from orchestrator.charts.errors import ChartFetchError
from orchestrator.rendering.fetching import fetch_charts
from orchestrator.rendering.manifests import ManifestFactory, render_offline, tombstone
from orchestrator.rendering.port import RenderContext, RenderError
from orchestrator.rendering.registry import Renderers, load_renderers
from orchestrator.rendering.scope import identity_of
from tests.unit.charts.chart_files import WEB, archive
from topics.documents.manifest import Manifest, ManifestComponent
from topics.documents.spec import Component, DeploymentSpec, HelmChart

RENDERERS = load_renderers()
CHART = open_archive(archive(WEB))


def config_map(name: str, **metadata: Any) -> dict[str, Any]:
    """A ConfigMap object."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"rate": "10"}}


def spec_of(*components: dict[str, Any], **body: Any) -> DeploymentSpec:
    """A spec with plain defaults."""
    document = {
        "apiVersion": "fleetbus/v1",
        "kind": "DeploymentSpec",
        "metadata": {"name": "press"},
        "spec": {
            "agents": {"devices": ["edge-01", "edge-02"]},
            "components": list(components) or [objects("settings", config_map("settings"))],
            **body,
        },
    }
    return DeploymentSpec.model_validate(document)


def objects(name: str, *items: dict[str, Any]) -> dict[str, Any]:
    """A component of plain objects."""
    return {"name": name, "kubernetes": {"objects": list(items)}}


def manifest_of(spec: DeploymentSpec, **charts: ChartArchive) -> Manifest:
    """The manifest for one device."""
    return ManifestFactory(spec, 7, "sha256:abc", RENDERERS, charts).manifest_for("edge-01")


def refusal(spec: DeploymentSpec, **charts: ChartArchive) -> RenderError:
    """The error with which rendering ends."""
    with pytest.raises(RenderError) as caught:
        manifest_of(spec, **charts)
    return caught.value


def test_manifest_is_complete() -> None:
    """Everything a device needs stands in it."""
    spec = spec_of(
        application={"id": "com.example.press", "version": "1.4.0"},
        cluster={"namespace": "flux"},
        workload={"namespace": "hall-3"},
        requirements={"memory": "512Mi"},
        activation={"mode": "manual"},
        initialization={
            "configMaps": [{"metadata": {"name": "first"}, "data": {"a": "b"}}],
            "secrets": [{"metadata": {"name": "key"}, "stringData": {"a": "b"}}],
            "jobs": [{"metadata": {"name": "migrate"}, "spec": {"template": {}}}],
        },
    )
    manifest = manifest_of(spec)
    assert (manifest.action, manifest.deployment, manifest.device, manifest.generation) == (
        "apply",
        "press",
        "edge-01",
        7,
    )
    assert (manifest.spec_digest, manifest.activation) == ("sha256:abc", "manual")
    assert (manifest.cluster_namespace, manifest.workload_namespace) == ("flux", "hall-3")
    assert manifest.requirements.memory == "512Mi"
    assert manifest.application == spec.spec.application
    found = [(item["apiVersion"], item["kind"], item["metadata"].get("namespace")) for item in manifest.initialization]
    assert found == [
        ("v1", "Namespace", None),
        ("v1", "ConfigMap", "hall-3"),
        ("v1", "Secret", "hall-3"),
        ("batch/v1", "Job", "hall-3"),
    ]
    assert all(item["metadata"]["labels"]["fleetbus.io/deployment"] == "press" for item in manifest.initialization)
    assert "fleetbus.io/component" not in manifest.initialization[0]["metadata"]["labels"]
    [component] = manifest.components
    assert (component.name, component.type, component.source) == ("settings", "kubernetes", "spec")
    assert component.objects[0]["metadata"]["namespace"] == "hall-3"


def test_manifest_survives_the_wire() -> None:
    """What is published is read back as the same manifest."""
    manifest = manifest_of(spec_of())
    assert Manifest.model_validate_json(manifest.model_dump_json(by_alias=True)) == manifest


@pytest.mark.parametrize("namespace", ["default", "kube-system"])
def test_built_in_namespace_is_not_created(namespace: str) -> None:
    """Removing the deployment must never try to remove it."""
    assert manifest_of(spec_of(workload={"namespace": namespace})).initialization == ()


def test_namespace_is_not_created_unless_asked() -> None:
    """``create: false`` leaves it to somebody else."""
    assert manifest_of(spec_of(workload={"create": False})).initialization == ()


def test_a_device_that_runs_compose_alone_is_given_no_namespace() -> None:
    """Beside a component for Kubernetes it is."""
    compose = {"name": "bridge", "compose": {"project": {"services": {"a": {"image": "example/a:1"}}}}}
    assert manifest_of(spec_of(compose)).initialization == ()
    [namespace] = manifest_of(spec_of(compose, objects("settings", config_map("settings")))).initialization
    assert namespace["kind"] == "Namespace"


def test_each_object_gets_the_namespace_it_belongs_in() -> None:
    """Workload namespace, cluster namespace for objects that drive an orchestrator, none for cluster-scoped kinds."""
    items = [
        config_map("plain"),
        config_map("elsewhere", namespace="other"),
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "r", "namespace": "x"},
        },
        {"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "flux"}},
        {"apiVersion": "example.com/v1", "kind": "Unknown", "metadata": {"name": "u"}},
    ]
    [component] = manifest_of(spec_of(objects("all", *items), cluster={"namespace": "flux-system"})).components
    found = [item["metadata"].get("namespace") for item in component.objects]
    assert found == ["press", "other", None, "flux-system", "press"]


def test_labels_of_the_object_are_kept() -> None:
    """Own labels stay, ``part-of`` included since others may select by it; who manages it does not."""
    own = {"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/part-of": "line", "tier": "db"}
    [component] = manifest_of(spec_of(objects("a", config_map("x", labels=own, annotations=None)))).components
    assert component.objects[0]["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "fleetbus",
        "app.kubernetes.io/part-of": "line",
        "tier": "db",
        "fleetbus.io/deployment": "press",
        "fleetbus.io/component": "a",
    }
    assert "annotations" not in component.objects[0]["metadata"]


def test_objects_do_not_change_with_the_generation() -> None:
    """A new generation of the same content applies nothing anew."""
    spec = spec_of()
    one, two = (ManifestFactory(spec, number, "", RENDERERS, {}).manifest_for("edge-01") for number in (1, 2))
    assert one.components == two.components
    assert one.initialization == two.initialization


def test_duplicate_objects_are_refused_with_both_places() -> None:
    """Across components and initialization; another namespace or group is another object."""
    spec = spec_of(
        objects("a", config_map("one"), config_map("two", namespace="other")),
        objects("b", config_map("two"), config_map("one", namespace="press")),
        initialization={"configMaps": [{"metadata": {"name": "two"}}]},
    )
    first, second = refusal(spec).reasons
    assert first.path == "spec.components[1].kubernetes.objects[0]"
    assert "ConfigMap press/two" in first.message
    assert "spec.initialization.configMaps[0]" in first.message
    assert second.path == "spec.components[1].kubernetes.objects[1]"
    assert "spec.components[0].kubernetes.objects[0]" in second.message


def test_own_namespace_object_says_what_to_do() -> None:
    """A spec that brings the namespace itself is told of ``workload.create``."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "press"}}
    [reason] = refusal(spec_of(objects("a", namespace))).reasons
    assert reason.hint is not None
    assert "spec.workload.create" in reason.hint
    assert manifest_of(spec_of(objects("a", namespace), workload={"create": False})).components[0].objects


def test_component_without_renderer_is_refused_with_what_is_installed() -> None:
    """The renderers that there are stand in the reason; all other reasons are given at the same time."""
    spec = spec_of({"name": "c", "renderer": "nobodys", "custom": {}}, objects("a", config_map("x"), config_map("x")))
    missing, duplicate = refusal(spec).reasons
    assert (missing.code, missing.path) == ("no-renderer", "spec.components[0].renderer")
    assert "kubernetes" in (missing.available or "")
    assert duplicate.code == "duplicate-object"


def test_helm_and_objects_in_one_manifest() -> None:
    """In the order of the spec, each with its source."""
    spec = spec_of({"name": "web", "helm": {"chart": "web"}}, objects("settings", config_map("settings")))
    manifest = manifest_of(spec, web=CHART)
    assert [component.name for component in manifest.components] == ["web", "settings"]
    assert CHART.digest in manifest.components[0].source


def test_release_name_is_used_once() -> None:
    """Two charts under one release name would claim to be the same release."""
    helm = {"chart": "web", "release": "same", "values": {}}
    spec = spec_of({"name": "a", "helm": helm}, {"name": "b", "helm": helm})
    reasons = refusal(spec, a=CHART, b=CHART).reasons
    assert ("helm-release-name", "spec.components[1].helm.release") in {(one.code, one.path) for one in reasons}


@pytest.mark.parametrize(
    "item",
    [{"kind": "Secret", "metadata": {"name": "x"}}, {"metadata": {}}, {"metadata": {"name": "x", "labels": []}}, {}],
)
def test_initialization_object_of_another_kind_is_refused(item: dict[str, Any]) -> None:
    """A Secret among the config maps, no name, labels that are none."""
    [reason] = refusal(spec_of(initialization={"configMaps": [item]})).reasons
    assert (reason.code, reason.path) == ("object-invalid", "spec.initialization.configMaps[0]")


def test_rendering_leaves_the_spec_as_it_was() -> None:
    """Renderers are pure."""
    spec = spec_of(objects("a", config_map("x", labels={"a": "b"})), {"name": "web", "helm": {"chart": "web"}})
    before = copy.deepcopy(spec)
    manifest_of(spec, web=CHART)
    assert spec == before


def test_device_ids_are_checked() -> None:
    """An id that cannot be a topic level gets no manifest."""
    factory = ManifestFactory(spec_of(), 1, "", RENDERERS, {})
    with pytest.raises(ValueError, match="device id"):
        factory.manifest_for("edge/01")


def test_tombstone_carries_nothing_to_run() -> None:
    """It says only what is to go."""
    manifest = tombstone("press", "edge-01", 8)
    assert (manifest.action, manifest.deployment, manifest.device, manifest.generation) == (
        "remove",
        "press",
        "edge-01",
        8,
    )
    assert manifest.components == ()
    assert manifest.initialization == ()


def test_all_charts_that_cannot_be_had_are_named() -> None:
    """Retryable only if every failure is."""
    spec = spec_of({"name": "a", "helm": {"chart": "x"}}, {"name": "b", "helm": {"chart": "y"}})

    def fetch(chart: HelmChart) -> ChartArchive:
        raise ChartFetchError("chart-unreachable", "down", retryable=chart.chart == "x")

    with pytest.raises(RenderError) as caught:
        fetch_charts(spec, fetch)
    assert [reason.path for reason in caught.value.reasons] == ["spec.components[0].helm", "spec.components[1].helm"]
    assert not caught.value.retryable


def test_offline_rendering_names_the_devices_or_any() -> None:
    """Those given, those of the spec, or a placeholder for a selector."""
    spec = spec_of({"name": "web", "helm": {"chart": "web"}})

    def devices(spec: DeploymentSpec, *given: str) -> list[str]:
        return [manifest.device for manifest in render_offline(spec, lambda chart: CHART, devices=given)]

    assert devices(spec) == ["edge-01", "edge-02"]
    assert devices(spec, "edge-09") == ["edge-09"]
    assert devices(spec_of(agents={"selector": {"matchLabels": {"line": "press"}}})) == ["any"]


def test_two_renderers_of_one_name_are_refused() -> None:
    """Which of them would win is nobody's guess."""

    class Other:
        name: ClassVar[str] = "helm"
        kinds: ClassVar[frozenset[str]] = frozenset({"helm"})
        manifest_type: ClassVar[str] = "kubernetes"
        depends_on_device: ClassVar[bool] = False

        def render(
            self, component: Component, context: RenderContext, charts: Mapping[str, ChartArchive]
        ) -> ManifestComponent:
            raise NotImplementedError

    with pytest.raises(ValueError, match="two renderers called 'helm'"):
        Renderers([Other(), Other()])


_kinds = st.sampled_from([("v1", "ConfigMap"), ("v1", "Secret"), ("apps/v1", "Deployment"), ("v1", "Node")])
_objects = st.builds(
    lambda kind, name, namespace: {
        "apiVersion": kind[0],
        "kind": kind[1],
        "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
    },
    _kinds,
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["", "press", "other"]),
)


@given(st.lists(_objects, min_size=1, max_size=8), st.integers(1, 10))
def test_a_manifest_never_holds_two_objects_of_one_identity(items: list[dict[str, Any]], generation: int) -> None:
    """Either it is refused, or identities are unique and the bytes are the same each time."""
    spec = spec_of(objects("all", *items), workload={"create": False})
    try:
        manifest, again = (ManifestFactory(spec, generation, "", RENDERERS, {}).manifest_for("e") for _ in range(2))
    except RenderError as error:
        codes = {reason.code for reason in error.reasons}
    else:
        codes = {"duplicate-object"}
        found = [identity_of(item) for item in manifest.components[0].objects]
        assert len(set(found)) == len(found) == len(items)
        assert manifest.model_dump_json() == again.model_dump_json()
        assert json.loads(manifest.model_dump_json())
    assert codes == {"duplicate-object"}


def test_chart_from_a_folder_renders_offline(tmp_path: Path) -> None:
    """The whole way from a folder to a manifest, through the real store."""
    from orchestrator.charts.store import ChartStore
    from tests.unit.charts.chart_files import write

    write(tmp_path / "web", WEB)
    spec = spec_of({"name": "web", "helm": {"chart": str(tmp_path / "web"), "values": {"port": 8080}}})
    with ChartStore(tmp_path / "cache") as store:
        manifest = render_offline(spec, store.fetch)[0]
    assert manifest.components[0].objects[0]["spec"]["ports"] == [{"port": 8080}]
