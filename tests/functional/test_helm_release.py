"""Helm releases made by a device: real charts from real servers, a real API server, with each thing that plays Helm."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import subprocess
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_agent.appliers.helm_release.applier import HelmReleaseApplier
from edge_agent.appliers.port import INITIALIZATION, ApplyError, Cancelled, never
from orchestrator.charts.archive import ChartArchive, digest_of, open_archive
from orchestrator.charts.errors import ChartFetchError
from orchestrator.rendering.helm_release_renderer import HelmReleaseRenderer
from orchestrator.rendering.port import RenderContext
from tests.functional.chart_servers import BASIC, PASSWORD, USER, Registry, WebServer, index_of, send
from tests.support.brokers import HOST, ReservedPort
from tests.support.cluster import ControlPlane
from tests.support.cluster_api import wait
from tests.support.cluster_kubelet import Kubelet
from tests.support.helm_programs import ENGINES, helm_options, helm_program
from tests.unit.charts.chart_files import archive
from topics.documents.base import JsonObject
from topics.documents.manifest import Manifest, ManifestComponent
from topics.documents.spec import Component

pytestmark = pytest.mark.timeout(300)

EXAMPLES = Path(__file__).parents[2] / "examples" / "kubernetes"
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec: {containers: [{name: main, image: {{ .Values.image }}, resources: {requests: {cpu: 1000m}}}]}
"""
SETTINGS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {text: {{ .Values.text | quote }}}
"""


def web(version: str = "1.2.3", **changes: str) -> bytes:
    """A chart of a Deployment and a ConfigMap."""
    return archive(
        {
            "Chart.yaml": f"apiVersion: v2\nname: web\nversion: {version}\n",
            "values.yaml": "replicas: 1\nimage: example/web:1\ntext: none\n",
            "values.schema.json": '{"properties": {"replicas": {"type": "integer"}}}',
            "templates/settings.yaml": SETTINGS,
            "templates/web.yaml": DEPLOYMENT,
            **changes,
        }
    )


WEB = web()


class Device:
    """A device with an applier of its own, a namespace of its own, and the cluster it works on."""

    def __init__(self, cluster: ControlPlane, folder: Path, engine: str, **options: str) -> None:
        self.cluster = cluster
        self.name = f"press-{uuid.uuid4().hex[:8]}"
        self.options = {
            "kubeconfig": str(cluster.kubeconfig), "staging": str(folder / "staging"),
            **helm_options(engine), **options,
        }  # fmt: skip
        self.applier = HelmReleaseApplier(self.options)

    def restart(self, **options: str) -> None:
        self.applier.close()
        self.applier = HelmReleaseApplier({**self.options, **options})

    def component(
        self, data: bytes = WEB, *, name: str = "web", timeout: str = "60s", **helm: Any
    ) -> ManifestComponent:
        """A component from the orchestrator's own renderer; the chart is carried unless ``helm`` says where it is."""
        chart = {"chart": "charts/web", "timeout": timeout, **helm}
        component = Component.model_validate({"name": name, "helm": chart})
        context = RenderContext(self.name, 1, "fleet", self.name, None)
        return HelmReleaseRenderer().render(component, context, {name: _opened(data)})

    def manifest(self, *components: ManifestComponent, generation: int = 1, **fields: Any) -> Manifest:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}}
        return Manifest.model_validate(
            {
                "action": "apply", "deployment": self.name, "device": "edge-01", "generation": generation,
                "workloadNamespace": self.name, "initialization": [namespace], "components": components, **fields,
            }
        )  # fmt: skip

    def deploy(self, manifest: Manifest) -> None:
        self.applier.check(manifest)
        self.applier.download(manifest, lambda *_: None, never)
        self.applier.initialize(manifest, never)
        for component in manifest.components:
            self.applier.apply(manifest, component.name, never)
        self.applier.finish(manifest)

    def healthy(self, manifest: Manifest) -> bool:
        return all(entry.healthy for entry in self.applier.health(manifest))

    def text(self, release: str = "web") -> str | None:
        found = self.cluster.api.get("v1", "ConfigMap", f"{self.name}-{release}", self.name)
        return None if found is None else str(found["data"]["text"])

    def records(self, status: str = "") -> list[JsonObject]:
        selector = "owner=helm" + (f",status={status}" if status else "")
        return self.cluster.api.list("v1", "Secret", self.name, selector=selector)

    def failure(self, manifest: Manifest) -> ApplyError:
        with pytest.raises(ApplyError) as caught:
            self.deploy(manifest)
        return caught.value


def config_map(name: str, namespace: str) -> JsonObject:
    """One without content."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}


def _opened(data: bytes) -> ChartArchive:
    try:
        return open_archive(data)
    except ChartFetchError:  # broken on purpose: the orchestrator itself would not hand it on
        return ChartArchive("web", "1.2.3", digest_of(data), data)


@pytest.fixture(params=ENGINES)
def device(request: pytest.FixtureRequest, cluster: ControlPlane, kubelet: Kubelet, tmp_path: Path) -> Iterator[Device]:
    """A device with each thing that plays Helm."""
    made = Device(cluster, tmp_path, str(request.param))
    yield made
    with contextlib.suppress(ApplyError):  # what a test broke on purpose goes with its namespace
        made.applier.remove(made.name, never)
    made.applier.close()
    cluster.api.delete({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": made.name}})


@pytest.fixture
def sdk_device(cluster: ControlPlane, kubelet: Kubelet, tmp_path: Path) -> Iterator[Device]:
    """A device with Helm's SDK, for what does not depend on what plays Helm."""
    made = Device(cluster, tmp_path, "sdk")
    yield made
    with contextlib.suppress(ApplyError):
        made.applier.remove(made.name, never)
    made.applier.close()
    cluster.api.delete({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": made.name}})


# -- watching


def test_watching_tells_of_others_changes(sdk_device: Device) -> None:
    """An edit and a loss of a release's objects, and of the initialization's."""
    device, heard = sdk_device, list[str]()
    device.applier.watch(heard.append)
    note = config_map("note", device.name)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": device.name}}
    wanted = device.manifest(device.component(values={"text": "one"}), initialization=[namespace, note])
    device.deploy(wanted)
    settings = config_map(f"{device.name}-web", device.name)
    for changed in (settings, note):
        for change in ({"data": {"text": "edited"}}, None):
            device.applier.initialize(wanted, never)
            device.applier.apply(wanted, "web", never)

            def told(changed: JsonObject = changed, change: JsonObject | None = change) -> bool:
                if change is None:
                    device.cluster.api.delete(changed)
                else:
                    device.cluster.api.merge(changed, change)
                return device.name in heard

            heard.clear()
            wait(f"{changed['metadata']['name']} to be told of after {change}", told)


def test_watching_begins_with_the_releases_that_the_cluster_has(sdk_device: Device) -> None:
    """A fresh agent watches what an older one installed, before it looks at anything."""
    device, heard = sdk_device, list[str]()
    device.deploy(device.manifest(device.component(values={"text": "one"})))
    device.restart()
    device.applier.watch(heard.append)
    numbers = itertools.count()

    def told() -> bool:
        edit = {"data": {"text": str(next(numbers))}}
        device.cluster.api.merge(config_map(f"{device.name}-web", device.name), edit)
        return device.name in heard

    wait("the watch to have begun", told)


# -- life


def test_release_is_installed_upgraded_healed_rolled_back_and_removed(device: Device) -> None:
    """The whole life, with the history that ``helm list`` and ``helm history`` read, and nothing left behind."""
    first = device.manifest(device.component(values={"text": "one"}))
    device.deploy(first)
    assert device.healthy(first)
    assert device.text() == "one"
    second = device.manifest(device.component(values={"text": "two"}), generation=2)
    device.deploy(second)
    assert device.text() == "two"
    assert not device.healthy(first)
    # drift: a field taken by somebody else, and an object deleted
    settings = config_map(f"{device.name}-web", device.name)
    device.cluster.api.apply({**settings, "data": {"text": "an operator"}}, manager="kubectl", force=True)
    [health] = device.applier.health(second)
    assert "data.text" in health.message
    device.applier.apply(second, "web", never)
    assert (device.text(), device.healthy(second)) == ("two", True)
    assert [len(device.records(status)) for status in ("", "deployed")] == [2, 1]
    # back to what worked, without the chart
    device.applier.initialize(first, never)
    device.applier.apply(first, "web", never)
    device.applier.finish(first)
    assert (device.text(), device.healthy(first)) == ("one", True)
    assert len(device.records()) == 3
    device.applier.remove(device.name, never)
    assert device.records() == []
    wait("the namespace to go", lambda: device.cluster.api.get("v1", "Namespace", device.name) is None)
    assert not [path for path in Path(device.options["staging"]).rglob("*") if path.is_file()]


def test_helm_list_shows_the_release(sdk_device: Device) -> None:
    """With the real command: what the SDK installs is a release like any other."""
    program = helm_program("4") or helm_program("3")
    if program is None:
        pytest.skip("no helm command: run tests/setup/helm.sh")
    device = sdk_device
    device.deploy(device.manifest(device.component(values={"text": "one"})))
    arguments = ["list", "--namespace", device.name, "--kubeconfig", device.options["kubeconfig"], "-o", "json"]
    [shown] = json.loads(subprocess.check_output([program, *arguments]))
    assert (shown["name"], shown["status"], shown["chart"]) == (f"{device.name}-web", "deployed", "web-1.2.3")


def test_upgrade_over_a_field_that_somebody_took_takes_it_back(device: Device) -> None:
    """A conflict of field managers must not block every update after somebody's quick fix."""
    device.deploy(device.manifest(device.component(values={"text": "one"})))
    settings = config_map(f"{device.name}-web", device.name)
    device.cluster.api.apply({**settings, "data": {"text": "an operator"}}, manager="kubectl", force=True)
    second = device.manifest(device.component(values={"text": "two"}), generation=2)
    device.deploy(second)
    assert (device.text(), device.healthy(second)) == ("two", True)


def test_release_that_the_new_generation_has_not_is_uninstalled(sdk_device: Device) -> None:
    """By finish, and not before; also one that moved to another namespace."""
    device = sdk_device
    device.deploy(device.manifest(device.component(), device.component(name="panel")))
    second = device.manifest(device.component(), generation=2)
    device.deploy(second)
    assert {item["metadata"]["labels"]["name"] for item in device.records()} == {f"{device.name}-web"}
    assert device.text("panel") is None
    assert device.healthy(second)


def test_failed_upgrade_is_taken_back_at_once(device: Device) -> None:
    """Atomic: pods that never become ready, the time-out, and the old revision runs again."""
    first = device.manifest(device.component(values={"text": "one"}))
    device.deploy(first)
    bad = device.component(values={"text": "two", "image": "example/missing:1"}, timeout="5s")
    error = device.failure(device.manifest(bad, generation=2))
    assert (error.code, error.retryable, error.component) == ("not-ready-in-time", True, "web")
    assert device.text() == "one"
    device.applier.apply(first, "web", never)
    assert device.healthy(first)


def test_failed_installation_leaves_nothing(device: Device) -> None:
    """Atomic: what could not become ready is taken off again."""
    bad = device.component(values={"image": "example/missing:1"}, timeout="4s")
    error = device.failure(device.manifest(bad))
    assert (error.code, error.retryable) == ("not-ready-in-time", True)
    assert device.records() == []
    assert device.text() is None


def interrupt(device: Device, manifest: Manifest) -> None:
    """Stop Helm while it waits for pods."""
    seen = threading.Event()

    def cancelled() -> bool:
        if device.records("pending-upgrade"):
            seen.set()
        return seen.is_set()

    device.applier.download(manifest, lambda *_: None, never)
    with pytest.raises(Cancelled):
        device.applier.apply(manifest, "web", cancelled)
    assert device.records("pending-upgrade")


def test_interrupted_upgrade_is_repaired(device: Device) -> None:
    """Killed while it waits, Helm leaves ``pending-upgrade``, which it refuses to touch; the next call goes on."""
    device.deploy(device.manifest(device.component(values={"text": "one"})))
    interrupt(
        device, device.manifest(device.component(values={"text": "two", "image": "example/slow:1"}), generation=2)
    )
    third = device.manifest(device.component(values={"text": "three"}), generation=3)
    device.deploy(third)
    assert (device.text(), device.healthy(third)) == ("three", True)
    assert not device.records("pending-upgrade")


# -- charts from servers


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    if missing := Registry.missing():
        pytest.skip(missing)
    with Registry(tmp_path / "registry") as running:
        yield running


def test_chart_comes_from_a_registry(device: Device, registry: Registry) -> None:
    """Fetched by the device, compared with its digest, and reported with its size."""
    registry.push("charts/web", "1.2.3", WEB)
    manifest = device.manifest(device.component(chart=f"oci://{registry.host}/charts/web", version="1.2.3"))
    reports: list[tuple[int, int | None]] = []
    device.applier.download(manifest, lambda _, done, total: reports.append((done, total)), never)
    assert reports == [(0, len(WEB)), (len(WEB), len(WEB))]
    device.deploy(manifest)
    assert device.healthy(manifest)


def test_chart_that_was_exchanged_is_refused(sdk_device: Device, registry: Registry) -> None:
    """Another chart under the same version is not what the orchestrator rendered: final, and nothing is installed."""
    device = sdk_device
    registry.push("charts/web", "1.2.3", web(**{"templates/more.yaml": "# exchanged"}))
    error = device.failure(device.manifest(device.component(chart=f"oci://{registry.host}/charts/web")))
    assert (error.code, error.retryable, error.component) == ("chart-digest-mismatch", False, "web")
    assert device.records() == []


def test_registry_with_password(device: Device, tmp_path: Path) -> None:
    """Refused without credentials, taken with those of the agent's file."""
    if missing := Registry.missing():
        pytest.skip(missing)
    with Registry(tmp_path / "closed", htpasswd=True) as closed:
        closed.push("charts/web", "1.2.3", WEB)
        manifest = device.manifest(device.component(chart=f"oci://{closed.host}/charts/web"))
        error = device.failure(manifest)
        assert (error.code, error.retryable) == ("chart-auth-refused", False)
        device.restart(**{"chart-credentials": str(credentials(tmp_path, closed.host))})
        device.deploy(manifest)
        assert device.healthy(manifest)


def credentials(folder: Path, host: str) -> Path:
    """A file as ``helm registry login`` writes it."""
    file = folder / "credentials.json"
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    file.write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    return file


def test_http_repository_with_password(device: Device, tmp_path: Path) -> None:
    """The index and the archive are asked for with user and password of the agent's file."""

    def closed(content: bytes) -> Any:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            if handler.headers.get("Authorization") == BASIC:
                send(handler, 200, content)
            else:
                send(handler, 401, b"", {"WWW-Authenticate": 'Basic realm="charts"'})

        return answer

    with WebServer() as server:
        server.files["/charts/index.yaml"] = closed(index_of({"web": {"1.2.3": WEB}}))
        server.files["/charts/web-1.2.3.tgz"] = closed(WEB)
        manifest = device.manifest(device.component(chart="web", repository=f"{server.url}/charts"))
        assert device.failure(manifest).code in ("chart-auth-refused", "chart-unreachable")
        device.restart(**{"chart-credentials": str(credentials(tmp_path, server.host))})
        device.deploy(manifest)
        assert device.healthy(manifest)


def test_archive_behind_an_address(device: Device) -> None:
    """Without an index."""
    with WebServer() as server:
        server.files["/web-1.2.3.tgz"] = WEB
        manifest = device.manifest(device.component(chart=f"{server.url}/web-1.2.3.tgz"))
        device.deploy(manifest)
        assert device.healthy(manifest)


def test_missing_chart_is_final_and_a_silent_server_is_not(device: Device) -> None:
    """What only a person can change, and what may be there again later."""
    with WebServer() as server:
        server.files["/charts/index.yaml"] = index_of({"web": {"9.9.9": WEB}})
        error = device.failure(device.manifest(device.component(chart="web", repository=f"{server.url}/charts")))
        assert (error.code, error.retryable) == ("chart-not-found", False)

        def broken(handler: BaseHTTPRequestHandler) -> None:
            send(handler, 503, b"not now")

        server.files["/charts/index.yaml"] = broken
        error = device.failure(device.manifest(device.component(chart="web", repository=f"{server.url}/charts")))
        assert error.retryable
    port = ReservedPort()
    error = device.failure(device.manifest(device.component(chart=f"oci://{HOST}:{port.port}/charts/web")))
    port.close()
    assert (error.code, error.retryable) == ("chart-unreachable", True)


def test_downloaded_chart_is_installed_without_its_server(sdk_device: Device) -> None:
    """Between download and activation the network may go."""
    device = sdk_device
    with WebServer() as server:
        server.files["/web-1.2.3.tgz"] = WEB
        manifest = device.manifest(device.component(chart=f"{server.url}/web-1.2.3.tgz"))
        device.applier.download(manifest, lambda *_: None, never)
    device.restart()
    device.applier.initialize(manifest, never)
    device.applier.apply(manifest, "web", never)
    assert device.healthy(manifest)


# -- what goes wrong


@pytest.mark.parametrize(
    ("data", "values", "code", "retryable"),
    [
        (b"this is no archive", {}, "chart-invalid", False),
        (web(**{"templates/bad.yaml": '{{ fail "port is needed" }}'}), {}, "helm-template", False),
        (WEB, {"replicas": "many"}, "helm-values", False),
        (web(**{"templates/bad.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: BAD_name}\n"}), {},
         "invalid", False),
        (web(**{"templates/lamp.yaml": "apiVersion: lamps.example/v1\nkind: Lamp\nmetadata: {name: one}\n"}), {},
         "kind-not-known", True),
    ],
    ids=["no-chart", "template", "values", "invalid", "unknown-kind"],
)  # fmt: skip
def test_chart_that_cannot_be_installed_says_why(
    device: Device, data: bytes, values: JsonObject, code: str, retryable: bool
) -> None:
    """Each with its code; nothing is left of it."""
    error = device.failure(device.manifest(device.component(data, values=values)))
    assert (error.code, error.retryable, error.component) == (code, retryable, "web"), error.message
    assert device.text() is None


def test_object_of_somebody_else_is_not_taken_over(device: Device) -> None:
    """Helm refuses it; the message names it."""
    device.applier.initialize(device.manifest(device.component()), never)
    settings = config_map(f"{device.name}-web", device.name)
    device.cluster.api.apply({**settings, "data": {"text": "somebody else's"}})
    error = device.failure(device.manifest(device.component()))
    assert (error.code, error.retryable) == ("object-taken", False)
    assert f"{device.name}-web" in error.message
    assert device.text() == "somebody else's"


def test_terminating_namespace_is_waited_for(sdk_device: Device) -> None:
    """A retry after it is gone succeeds."""
    device = sdk_device
    manifest = device.manifest(device.component())
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": device.name}}
    held = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "held", "namespace": device.name, "finalizers": ["example.com/hold"]},
    }
    device.cluster.api.apply(namespace)
    device.cluster.api.apply(held)
    device.cluster.api.delete(namespace)
    error = device.failure(manifest)
    assert (error.code, error.retryable) == ("namespace-terminating", True)
    device.cluster.api.merge(held, {"metadata": {"finalizers": None}})
    device.cluster.api.wait_gone("v1", "Namespace", device.name)
    device.deploy(manifest)
    assert device.healthy(manifest)


def test_cluster_that_does_not_answer_is_retryable(tmp_path: Path) -> None:
    """Check, apply, health and remove say so; none hangs."""
    port = ReservedPort()
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": f"http://{HOST}:{port.port}"}}],
        "users": [{"name": "x", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }))  # fmt: skip
    applier = HelmReleaseApplier({"kubeconfig": str(kubeconfig), "staging": str(tmp_path / "staging")})
    manifest = Manifest(action="apply", deployment="press", device="edge-01", generation=1)
    for call in (
        lambda: applier.check(manifest),
        lambda: applier.health(manifest),
        lambda: applier.finish(manifest),
        lambda: applier.remove("press", never),
    ):
        with pytest.raises(ApplyError) as caught:
            call()
        assert (caught.value.code, caught.value.retryable) == ("cluster-unreachable", True)
    applier.close()
    port.close()


def test_account_without_rights_is_told_which(cluster: ControlPlane, tmp_path: Path) -> None:
    """The message names what is forbidden."""
    options = {"kubeconfig": str(cluster.kubeconfig_of("plain")), "staging": str(tmp_path / "staging")}
    applier = HelmReleaseApplier(options)
    with pytest.raises(ApplyError) as caught:
        applier.remove("press", never)
    applier.close()
    assert caught.value.code == "forbidden"
    assert "secrets" in caught.value.message


@pytest.fixture(scope="module")
def example_account(cluster: ControlPlane) -> Path:
    """The kubeconfig of an account with the examples' rules and no others, under names of its own."""
    for file in ("agent-rbac.yaml", "agent-rbac-helm-release.yaml"):
        text = (EXAMPLES / file).read_text().replace("fleetbus-agent", "fleetbus-helm-agent")
        for item in yaml.safe_load_all(text.replace("aggregate-to-agent", "aggregate-to-helm-agent")):
            cluster.api.apply(item, manager="operator")

    def aggregated() -> bool:
        role = cluster.api.get("rbac.authorization.k8s.io/v1", "ClusterRole", "fleetbus-helm-agent")
        return role is not None and "update" in str(role.get("rules"))

    wait("the roles to be put together", aggregated)
    return cluster.account("fleetbus-system", "fleetbus-helm-agent")


def test_the_example_account_suffices(device: Device, example_account: Path) -> None:
    """Install, health, drift, an interrupted upgrade, update, prune and removal, under RBAC."""
    device.restart(kubeconfig=str(example_account))
    heard: list[str] = []
    device.applier.watch(heard.append)
    first = device.manifest(device.component(values={"text": "one"}), device.component(name="panel"))
    device.deploy(first)
    assert device.healthy(first)
    device.cluster.api.delete(config_map(f"{device.name}-web", device.name))
    wait("the loss", lambda: device.name in heard)
    device.applier.apply(first, "web", never)
    second = device.manifest(device.component(values={"text": "two"}), generation=2)
    interrupt(device, device.manifest(device.component(values={"image": "example/slow:1"}), generation=2))
    device.deploy(second)
    assert (device.text(), device.healthy(second)) == ("two", True)
    device.applier.remove(device.name, never)
    device.cluster.api.wait_gone("v1", "Namespace", device.name)


def test_jobs_of_the_initialization_run_before_the_components(sdk_device: Device) -> None:
    """Once; a failing one fails the step with its name, and is made anew."""
    device = sdk_device
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "example/failing:1"}]}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "prepare", "namespace": device.name},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}},
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": device.name}}
    bad = device.manifest(device.component(), initialization=[namespace, job])
    error = device.failure(bad)
    assert (error.code, error.retryable, error.component) == ("job-failed", True, INITIALIZATION)
    assert "prepare" in error.message
    good = json.loads(json.dumps(job).replace("failing", "good"))
    manifest = device.manifest(device.component(), generation=2, initialization=[namespace, good])
    device.deploy(manifest)
    made = device.cluster.api.get("batch/v1", "Job", "prepare", device.name)
    device.deploy(manifest)
    again = device.cluster.api.get("batch/v1", "Job", "prepare", device.name)
    assert made is not None
    assert again is not None
    assert made["metadata"]["uid"] == again["metadata"]["uid"]
    assert device.healthy(manifest)
