"""A broker, an orchestrator and agents that deploy to a real cluster; and specs for it, one for each engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.brokers import NatsBroker
from tests.support.cluster import ControlPlane
from tests.support.cluster_api import Api, ApiError, wait
from tests.support.observer import retained
from tests.support.processes import Agent, Site
from topics.documents.base import JsonObject

DEPLOYMENT_LABEL = "fleetbus.io/deployment"
CLUSTER_NAMESPACE = "fleetbus-system"
GOOD = "example/web:1"

# The text is what tests change, the image decides what the stand-in kubelet plays.
WEB_CHART = {
    "Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.2.3\n",
    "values.yaml": "text: none\nimage: example/web:1\n",
    "templates/settings.yaml": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {text: {{ .Values.text | quote }}}\n"
    ),
    "templates/deployment.yaml": (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"
        "spec:\n  selector: {matchLabels: {app: web}}\n"
        "  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: {{ .Values.image }}}]}}\n"
    ),
    "templates/service.yaml": (
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
        "spec: {selector: {app: web}, ports: [{port: 80, protocol: TCP}]}\n"
    ),
}
"""A ConfigMap ``settings``, a Deployment and a Service ``web``; values ``text`` and ``image``."""

Engine = Callable[[str, str], JsonObject]
"""A component ``main`` with this text and image."""


def plain(text: str, image: str) -> JsonObject:
    """The objects of the chart as objects of the spec."""
    selector = {"matchLabels": {"app": "web"}}
    containers = [{"name": "web", "image": image}]
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}}
    objects = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"text": text}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
         "spec": {"selector": selector, "template": template}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
         "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "protocol": "TCP"}]}},
    ]  # fmt: skip
    return {"name": "main", "kubernetes": {"objects": objects, "timeout": "20s"}}


def chart(text: str, image: str) -> JsonObject:
    """The chart, rendered to objects by the orchestrator."""
    values = {"text": text, "image": image}
    return {"name": "main", "helm": {"chart": "./web", "values": values, "timeout": "20s"}}


def release(text: str, image: str) -> JsonObject:
    """The chart, installed as a Helm release by the device."""
    return chart(text, image) | {"renderer": "helm-release"}


ENGINES: dict[str, Engine] = {"kubernetes": plain, "helm": chart, "helm-release": release}
"""Those after which the same objects run in the workload namespace."""


def cluster_spec(name: str, device: str, component: JsonObject, *more: JsonObject, **body: Any) -> JsonObject:
    """A spec for one device; the workload namespace is called as the deployment."""
    return {
        "apiVersion": "fleetbus/v1", "kind": "DeploymentSpec", "metadata": {"name": name},
        "spec": {"agents": {"devices": [device]}, "components": [component, *more]} | body,
    }  # fmt: skip


def changed_timeout(component: JsonObject, timeout: str) -> JsonObject:
    """The component with another timeout."""
    [kind] = component.keys() - {"name", "renderer"}
    return component | {kind: component[kind] | {"timeout": timeout}}


@contextmanager
def cluster_site(cluster: ControlPlane, folder: Path) -> Iterator[Site]:
    """An orchestrator that knows the chart, on a broker of its own; agents come with ``cluster_agent``."""
    for name, text in WEB_CHART.items():
        path = folder / "charts" / "web" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    charts = ("--charts", str(folder / "charts"))
    with NatsBroker(folder / "broker") as broker, Site(broker, folder, orchestrator_options=charts) as site:
        yield site.start()


def cluster_agent(site: Site, cluster: ControlPlane, device: str, *options: str) -> Agent:
    """An agent with the Kubernetes applier, and further ones by options, online.

    It looks at its health when the watch says so, and by itself every two minutes only.
    """
    own = ("--applier", "kubernetes", "--kubeconfig", str(cluster.kubeconfig), "--health-every", "120")
    return site.start_agent(device, *own, *options)


def text_of(api: Api, namespace: str) -> str | None:
    """What the ConfigMap ``settings`` says."""
    found = api.get("v1", "ConfigMap", "settings", namespace)
    return found["data"]["text"] if found else None


def image_of(api: Api, namespace: str) -> str | None:
    """The image of the Deployment ``web``."""
    found = api.get("apps/v1", "Deployment", "web", namespace)
    return found["spec"]["template"]["spec"]["containers"][0]["image"] if found else None


def left_of(api: Api, name: str) -> list[str]:
    """Everything on the cluster that a deployment has left behind: by label, by the names of its inventories and
    Helm releases, and its namespace."""
    found = [
        f"{kind} {item['metadata'].get('namespace', '')}/{item['metadata']['name']}"
        for version, kind in _listable(api)
        for item in _list(api, version, kind)
        if item["metadata"].get("labels", {}).get(DEPLOYMENT_LABEL) == name
        or (kind in ("ConfigMap", "Secret") and name in item["metadata"]["name"].replace(".", "-").split("-"))
    ]
    return [*found, *([f"Namespace {name}"] if api.get("v1", "Namespace", name) else [])]


def _list(api: Api, version: str, kind: str) -> list[JsonObject]:
    try:
        return api.list(version, kind)
    except ApiError as error:
        if error.code in (404, 405):  # a definition that another test took away meanwhile, or a kind without a list
            return []
        raise


def _listable(api: Api) -> list[tuple[str, str]]:
    """The preferred version of every kind that can be listed."""
    versions = ["v1"] + [group["preferredVersion"]["groupVersion"] for group in api.request("GET", "/apis")["groups"]]
    return [
        (version, item["kind"])
        for version in versions
        for item in api.request("GET", f"/apis/{version}" if "/" in version else f"/api/{version}")["resources"]
        if "list" in item["verbs"] and "/" not in item["name"]
    ]


def assert_nothing_left(site: Site, api: Api, name: str) -> None:
    """Neither on the cluster nor at the broker."""
    left: list[str] = []

    def gone() -> bool:
        left[:] = [topic for topic in retained(site.url) if name in topic.split("/")]
        return not left

    site.observer.wait(f"no retained topic of {name}", gone, lambda: left, 60)
    wait(f"nothing of {name} on the cluster: {left_of(api, name)}", lambda: not left_of(api, name), 30)
