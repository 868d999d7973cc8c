"""The renderers for controllers in the cluster, and the one for Helm releases: fields, namespaces, pins, refusals."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import yaml

from orchestrator.charts.archive import ChartArchive, open_archive
from orchestrator.rendering.argocd_renderer import ArgocdRenderer
from orchestrator.rendering.chart_source import MAX_CARRIED_BYTES
from orchestrator.rendering.flux_renderer import FluxRenderer
from orchestrator.rendering.helm_release_renderer import HelmReleaseRenderer
from orchestrator.rendering.k3s_renderer import K3sRenderer
from orchestrator.rendering.port import RenderContext, Renderer, RenderError
from tests.unit.charts.chart_files import WEB, archive
from topics.documents.base import JsonObject
from topics.documents.manifest import ManifestComponent
from topics.documents.release import HelmReleaseConfig
from topics.documents.spec import Component

DATA = archive(WEB)
CHART = open_archive(DATA)
ARTIFACT = f"sha256:{'a' * 64}"
CONTEXT = RenderContext("press", 3, "fleet", "press-line", None)
OCI: JsonObject = {"chart": "oci://registry.example/charts/web", "version": "^1", "timeout": "8m30s"}
HTTP: JsonObject = {"chart": "web", "repository": "https://charts.example/stable/", "timeout": "90s"}
ADDRESS: JsonObject = {"chart": "https://charts.example/web-1.2.3.tgz"}
LOCAL: JsonObject = {"chart": "charts/web"}

CONTROLLERS: list[Renderer] = [FluxRenderer(), K3sRenderer(), ArgocdRenderer()]


def named(renderer: Renderer) -> str:
    return renderer.name


def render(
    renderer: Renderer,
    helm: JsonObject,
    context: RenderContext = CONTEXT,
    chart: ChartArchive | None = None,
    **more: Any,
) -> ManifestComponent:
    """A component ``web`` of this chart."""
    component = Component.model_validate({"name": "web", "helm": {"values": {"replicas": 2}, **helm}, **more})
    pulled = ChartArchive(CHART.name, CHART.version, CHART.digest, CHART.data, ARTIFACT)
    return renderer.render(component, context, {"web": chart or (pulled if helm is OCI else CHART)})


def refusal(renderer: Renderer, helm: JsonObject, **more: Any) -> RenderError:
    with pytest.raises(RenderError) as caught:
        render(renderer, helm, **more)
    assert not caught.value.retryable
    return caught.value


def spec_of(part: ManifestComponent, kind: str) -> JsonObject:
    [found] = [item for item in part.objects if item["kind"] == kind]
    return dict(found["spec"])


# -- both namespaces


@pytest.mark.parametrize("renderer", CONTROLLERS, ids=named)
def test_driving_objects_are_in_the_cluster_namespace(renderer: Renderer) -> None:
    """All of them, marked as the deployment's, and never in the workload namespace."""
    for source in (OCI, HTTP):
        part = render(renderer, source)
        assert part.type == "kubernetes"
        assert {item["metadata"]["namespace"] for item in part.objects} == {"fleet"}
        for item in part.objects:
            assert item["metadata"]["labels"]["fleetbus.io/deployment"] == "press"
            assert item["metadata"]["annotations"]["fleetbus.io/chart"] == f"web-1.2.3@{CHART.digest}"


def test_flux_puts_release_and_record_into_the_workload_namespace() -> None:
    """And names no namespace for its source, which is beside it."""
    spec = spec_of(render(FluxRenderer(), OCI), "HelmRelease")
    assert (spec["targetNamespace"], spec["storageNamespace"]) == ("press-line", "press-line")
    assert "namespace" not in spec["chartRef"]


def test_k3s_puts_the_release_into_the_workload_namespace() -> None:
    """By ``targetNamespace``."""
    assert spec_of(render(K3sRenderer(), OCI), "HelmChart")["targetNamespace"] == "press-line"


def test_argocd_puts_the_release_into_the_workload_namespace() -> None:
    """By the destination, which is the cluster that Argo CD runs in."""
    spec = spec_of(render(ArgocdRenderer(), OCI), "Application")
    assert spec["destination"] == {"server": "https://kubernetes.default.svc", "namespace": "press-line"}


def test_helm_release_is_in_the_workload_namespace() -> None:
    """The cluster namespace has no part in it: nothing there drives anything."""
    part = render(HelmReleaseRenderer(), OCI)
    assert part.config["namespace"] == "press-line"
    assert "fleet" not in part.model_dump_json().replace("fleetbus", "")


@pytest.mark.parametrize("create", [True, False])
def test_namespace_is_created_only_if_the_spec_says_so(create: bool) -> None:
    """Whoever makes the release is told what the spec says about its namespace."""
    context = RenderContext("press", 3, "fleet", "press-line", None, create_namespace=create)
    assert spec_of(render(FluxRenderer(), OCI, context), "HelmRelease")["install"]["createNamespace"] is create
    assert spec_of(render(K3sRenderer(), OCI, context), "HelmChart")["createNamespace"] is create
    options = spec_of(render(ArgocdRenderer(), OCI, context), "Application")["syncPolicy"]["syncOptions"]
    assert options == [f"CreateNamespace={str(create).lower()}"]
    assert render(HelmReleaseRenderer(), OCI, context).config["createNamespace"] is create


# -- names


def test_names_of_deployment_and_component_do_not_run_together() -> None:
    """``a``/``b-c`` and ``a-b``/``c`` are in one cluster namespace."""
    for renderer in (FluxRenderer(), ArgocdRenderer()):
        names = set()
        for deployment, component in (("a", "b-c"), ("a-b", "c")):
            context = RenderContext(deployment, 1, "fleet", "x", None)
            made = renderer.render(
                Component.model_validate({"name": component, "helm": HTTP}), context, {component: CHART}
            )
            names |= {item["metadata"]["name"] for item in made.objects}
        assert len(names) == 2


def test_long_names_are_cut_and_still_differ() -> None:
    """At most 53 characters, so that a controller may use it as a label."""
    names = {
        render(FluxRenderer(), HTTP, RenderContext("d" * 60 + end, 1, "fleet", "x", None)).objects[0]["metadata"][
            "name"
        ]
        for end in ("a", "b")
    }
    assert len(names) == 2
    assert all(len(name) <= 53 for name in names)


def test_release_is_named_by_the_rule() -> None:
    """``<deployment>-<component>``, or what the spec says."""
    for given, name in ((OCI, "press-web"), ({**HTTP, "release": "own"}, "own")):
        assert spec_of(render(FluxRenderer(), given), "HelmRelease")["releaseName"] == name
        assert render(K3sRenderer(), given).objects[0]["metadata"]["name"] == name
        assert spec_of(render(ArgocdRenderer(), given), "Application")["source"]["helm"]["releaseName"] == name
        assert render(HelmReleaseRenderer(), given).config["release"] == name


# -- where the chart comes from


def test_flux_pins_an_oci_chart_by_the_digest_of_its_manifest() -> None:
    """Not by that of the archive, which a registry does not know as an artifact."""
    part = render(FluxRenderer(), OCI)
    source = spec_of(part, "OCIRepository")
    assert source["url"] == "oci://registry.example/charts/web"
    assert source["ref"] == {"digest": ARTIFACT}
    assert source["layerSelector"]["operation"] == "copy"
    assert "insecure" not in source
    assert spec_of(part, "HelmRelease")["chartRef"] == {"kind": "OCIRepository", "name": "press.web"}
    assert [item["kind"] for item in part.objects] == ["OCIRepository", "HelmRelease"]


def test_flux_asks_a_repository_for_the_exact_version() -> None:
    """The range of the spec was resolved by the orchestrator."""
    part = render(FluxRenderer(), {**HTTP, "version": "^1"})
    assert spec_of(part, "HelmRepository")["url"] == "https://charts.example/stable"
    chart = spec_of(part, "HelmRelease")["chart"]["spec"]
    assert (chart["chart"], chart["version"]) == ("web", "1.2.3")
    assert chart["sourceRef"] == {"kind": "HelmRepository", "name": "press.web"}


def test_flux_speaks_plain_http_to_this_machine_only() -> None:
    """As Helm and Docker do."""
    local = {**OCI, "chart": "oci://127.0.0.1:5000/charts/web"}
    assert spec_of(render(FluxRenderer(), local), "OCIRepository")["insecure"] is True


def test_k3s_takes_every_kind_of_source() -> None:
    """Registry, repository, address; and a chart on the orchestrator's disk inside the object."""
    registry = spec_of(render(K3sRenderer(), OCI), "HelmChart")
    assert (registry["chart"], registry["version"]) == ("oci://registry.example/charts/web", "1.2.3")
    repository = spec_of(render(K3sRenderer(), HTTP), "HelmChart")
    assert (repository["chart"], repository["repo"]) == ("web", "https://charts.example/stable")
    assert spec_of(render(K3sRenderer(), ADDRESS), "HelmChart")["chart"] == ADDRESS["chart"]
    carried = spec_of(render(K3sRenderer(), LOCAL), "HelmChart")
    assert base64.b64decode(carried["chartContent"]) == DATA
    assert "chart" not in carried


def test_argocd_names_a_registry_without_its_scheme() -> None:
    """The form of Argo CD's Helm repositories with OCI: the path before the chart's name."""
    source = spec_of(render(ArgocdRenderer(), OCI), "Application")["source"]
    assert (source["repoURL"], source["chart"], source["targetRevision"]) == ("registry.example/charts", "web", "1.2.3")
    source = spec_of(render(ArgocdRenderer(), HTTP), "Application")["source"]
    assert (source["repoURL"], source["chart"]) == ("https://charts.example/stable", "web")


@pytest.mark.parametrize("renderer", [FluxRenderer(), ArgocdRenderer()], ids=named)
@pytest.mark.parametrize("source", [LOCAL, {**OCI, "archive": base64.b64encode(DATA).decode()}, ADDRESS])
def test_chart_that_the_controller_cannot_reach_is_refused(renderer: Renderer, source: JsonObject) -> None:
    """With what to do instead."""
    [reason] = refusal(renderer, source).reasons
    assert (reason.path, reason.code) == ("helm.chart", "chart-not-deliverable")
    assert reason.hint


@pytest.mark.parametrize("renderer", [K3sRenderer(), HelmReleaseRenderer()], ids=named)
def test_chart_that_no_message_can_carry_is_refused(renderer: Renderer) -> None:
    """Its base64 would not fit a payload."""
    large = ChartArchive("web", "1.2.3", CHART.digest, bytes(MAX_CARRIED_BYTES + 1))
    [reason] = refusal(renderer, LOCAL, chart=large).reasons
    assert (reason.path, reason.code) == ("helm.chart", "chart-too-large")


def test_helm_release_says_exactly_which_chart() -> None:
    """Version, digest and size of what the orchestrator has; by reference where the device can fetch it."""
    config = HelmReleaseConfig.model_validate(render(HelmReleaseRenderer(), OCI).config)
    assert (config.chart, config.version) == ("oci://registry.example/charts/web", "1.2.3")
    assert (config.digest, config.size, config.archive) == (CHART.digest, len(DATA), None)
    assert config.values == {"replicas": 2}
    carried = HelmReleaseConfig.model_validate(render(HelmReleaseRenderer(), LOCAL).config)
    assert base64.b64decode(carried.archive or "") == DATA


# -- what else the spec says


def test_values_are_handed_on() -> None:
    """As an object, or as YAML that reads back to the same and is the same text each time."""
    values = {"z": 1, "a": {"text": "ü", "list": [1, 2.5, None, True]}}
    assert spec_of(render(FluxRenderer(), {**OCI, "values": values}), "HelmRelease")["values"] == values
    helm = spec_of(render(ArgocdRenderer(), {**OCI, "values": values}), "Application")["source"]["helm"]
    assert helm["valuesObject"] == values
    text = spec_of(render(K3sRenderer(), {**OCI, "values": values}), "HelmChart")["valuesContent"]
    assert yaml.safe_load(text) == values
    turned = dict(reversed(values.items()))
    assert spec_of(render(K3sRenderer(), {**OCI, "values": turned}), "HelmChart")["valuesContent"] == text


@pytest.mark.parametrize(("timeout", "text"), [("8m30s", "510s"), ("1h", "3600s"), ("1500ms", "1500ms"), ("2", "2s")])
def test_timeout_is_written_as_controllers_want_it(timeout: str, text: str) -> None:
    """Go's duration without days; the agent waits as long."""
    part = render(FluxRenderer(), {**OCI, "timeout": timeout})
    assert spec_of(part, "HelmRelease")["timeout"] == text
    assert spec_of(render(K3sRenderer(), {**OCI, "timeout": timeout}), "HelmChart")["timeout"] == text


@pytest.mark.parametrize("drift", ["heal", "report"])
def test_drift_is_the_controllers_to_heal_or_to_report(drift: Any) -> None:
    """What nobody deploys any more is pruned in any case."""
    context = RenderContext("press", 3, "fleet", "press-line", None, drift=drift)
    mode = spec_of(render(FluxRenderer(), OCI, context), "HelmRelease")["driftDetection"]["mode"]
    assert mode == {"heal": "enabled", "report": "warn"}[drift]
    automated = spec_of(render(ArgocdRenderer(), OCI, context), "Application")["syncPolicy"]["automated"]
    assert automated == {"prune": True, "selfHeal": drift == "heal"}


def test_argocd_takes_the_objects_along_when_it_goes() -> None:
    """Without the finalizer the Application would go and leave all behind."""
    [application] = render(ArgocdRenderer(), OCI).objects
    assert application["metadata"]["finalizers"] == ["resources-finalizer.argocd.argoproj.io"]


def test_pull_secret_is_named_where_the_controller_looks_for_it() -> None:
    """In the cluster namespace, each in its own field."""
    secret = {"pullSecret": "press-registry"}
    name = {"name": "press-registry"}
    assert spec_of(render(FluxRenderer(), {**OCI, **secret}), "OCIRepository")["secretRef"] == name
    assert spec_of(render(FluxRenderer(), {**HTTP, **secret}), "HelmRepository")["secretRef"] == name
    assert spec_of(render(K3sRenderer(), {**OCI, **secret}), "HelmChart")["dockerRegistrySecret"] == name
    assert spec_of(render(K3sRenderer(), {**HTTP, **secret}), "HelmChart")["authSecret"] == name


@pytest.mark.parametrize("renderer", [ArgocdRenderer(), HelmReleaseRenderer()], ids=named)
def test_pull_secret_that_nobody_would_read_is_refused(renderer: Renderer) -> None:
    """Rather than that the chart cannot be fetched, and nobody knows why."""
    [reason] = refusal(renderer, {**HTTP, "pullSecret": "x"}).reasons
    assert (reason.path, reason.code) == ("helm.pullSecret", "pull-secret-unsupported")


def test_patches_are_flux_post_renderers() -> None:
    """Merges and JSON patches, with every part of the target; the text is deterministic."""
    selector = {
        "matchLabels": {"app": "web"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["a", "b"]},
            {"key": "old", "operator": "DoesNotExist"},
        ],
    }
    patches = [
        {
            "target": {"kind": "Deployment", "group": "apps", "labelSelector": selector},
            "patch": {"spec": {"replicas": 3}, "metadata": {"labels": {"x": "y"}}},
        },
        {"target": {"name": "web"}, "patch": [{"op": "remove", "path": "/spec/replicas"}]},
    ]
    [renderer] = spec_of(render(FluxRenderer(), OCI, patches=patches), "HelmRelease")["postRenderers"]
    first, second = renderer["kustomize"]["patches"]
    assert first["target"] == {"kind": "Deployment", "group": "apps", "labelSelector": "app=web,tier in (a,b),!old"}
    assert first["patch"] == '{"metadata": {"labels": {"x": "y"}}, "spec": {"replicas": 3}}'
    assert json.loads(second["patch"]) == [{"op": "remove", "path": "/spec/replicas"}]


@pytest.mark.parametrize(("renderer", "kind"), [(K3sRenderer(), "HelmChart"), (ArgocdRenderer(), "Application")])
def test_patches_change_the_object_that_drives_the_controller(renderer: Renderer, kind: str) -> None:
    """Where the controller itself cannot patch: with fields that no spec has. What hits nothing is refused."""
    patch = {"spec": {"project": "line-7"}} if kind == "Application" else {"spec": {"bootstrap": True}}
    part = render(renderer, HTTP, patches=[{"target": {"kind": kind}, "patch": patch}])
    assert spec_of(part, kind).items() >= patch["spec"].items()
    assert part.objects[0]["metadata"]["labels"]["fleetbus.io/component"] == "web"
    [reason] = refusal(renderer, HTTP, patches=[{"target": {"kind": "Deployment"}, "patch": patch}]).reasons
    assert reason.path.startswith("patches[0]")


def test_helm_release_refuses_patches() -> None:
    """Helm renders on the device; nothing else comes between."""
    patches = [{"target": {"kind": "Deployment"}, "patch": {"spec": {"replicas": 3}}}]
    [reason] = refusal(HelmReleaseRenderer(), OCI, patches=patches).reasons
    assert (reason.path, reason.code) == ("patches", "patches-unsupported")


def test_wait_is_handed_on() -> None:
    """A component that is not waited for is not waited for by the controller either."""
    spec = spec_of(render(FluxRenderer(), {**OCI, "wait": False}), "HelmRelease")
    assert spec["install"]["disableWait"] is spec["upgrade"]["disableWait"] is True
    assert render(HelmReleaseRenderer(), {**OCI, "wait": False}).wait is False
