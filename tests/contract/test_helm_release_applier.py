"""The helm-release applier passes the suite of every applier, on a real API server, with real Helm and real crashes."""

from __future__ import annotations

import base64
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.contract.applier_conformance")

from edge_agent.appliers.helm_release.applier import HelmReleaseApplier  # noqa: E402 - the line above must come first
from edge_agent.appliers.helm_release.charts import _digest  # noqa: E402
from edge_agent.appliers.port import Applier, never  # noqa: E402
from tests.contract.applier_conformance import (  # noqa: E402
    DEPLOYMENT,
    ApplierConformance,
    Observed,
    Runtime,
    Step,
)
from tests.support.cluster import ControlPlane  # noqa: E402
from tests.support.kill_proxy import KillProxy  # noqa: E402
from tests.unit.charts.chart_files import archive  # noqa: E402
from topics.documents.base import JsonObject  # noqa: E402
from topics.documents.manifest import Manifest  # noqa: E402

pytestmark = pytest.mark.timeout(900)  # a crash at every change of every step: each is several runs of Helm

SETTINGS = archive(
    {
        "Chart.yaml": "apiVersion: v2\nname: settings\nversion: 1.2.3\n",
        "templates/settings.yaml": (
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\ndata:\n"
            "  text: {{ .Values.text | quote }}\n"
        ),
    },
    top="settings",
)
"""A chart of one ConfigMap."""


class HelmRuntime(Runtime):
    """Namespaces of its own on the shared cluster, one for each deployment."""

    stride = 3

    def __init__(self, cluster: ControlPlane, proxy: KillProxy, folder: Path, **options: str) -> None:
        self.cluster = cluster
        self.proxy = proxy
        self.run = uuid.uuid4().hex[:8]
        self.staging = folder / "staging"
        self.options = {"kubeconfig": str(cluster.kubeconfig), "staging": str(self.staging), **options}
        self.namespaces: set[str] = set()
        self._appliers: list[Applier] = []
        self.namespace(DEPLOYMENT)

    def namespace(self, deployment: str) -> str:
        name = f"{deployment}-{self.run}"
        if name not in self.namespaces:
            self.namespaces.add(name)
            self.cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return name

    def applier(self) -> Applier:
        while self._appliers:
            self._appliers.pop().close()
        self._appliers.append(HelmReleaseApplier(self.options))
        return self._appliers[-1]

    def manifest(
        self, generation: int, components: Mapping[str, str], *, initialization: str = "", deployment: str = DEPLOYMENT
    ) -> Manifest:
        namespace = self.namespace(deployment)
        settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": namespace}}
        return Manifest.model_validate(
            {
                "action": "apply",
                "deployment": deployment,
                "device": "edge-01",
                "generation": generation,
                "workloadNamespace": namespace,
                "initialization": [{**settings, "data": {"text": initialization}}] if initialization else [],
                "components": [
                    release(f"{deployment}-{name}", namespace, {"text": value}, name=name)
                    for name, value in components.items()
                ],
            }
        )

    def observed(self) -> dict[str, Observed]:
        return {
            f"{namespace}/{item['metadata']['name']}": Observed(
                (item["data"], item["metadata"].get("labels"), item["metadata"].get("annotations")),
                (item["metadata"]["resourceVersion"], item["metadata"]["uid"]),
            )
            for namespace in sorted(self.namespaces)
            for item in self.cluster.api.list("v1", "ConfigMap", namespace)
            if item["metadata"]["name"] != "kube-root-ca.crt"
        }

    def records(self) -> list[JsonObject]:
        """Helm's records in the namespaces of this test."""
        return [
            item
            for namespace in sorted(self.namespaces)
            for item in self.cluster.api.list("v1", "Secret", namespace, selector="owner=helm")
        ]

    def lose(self, name: str) -> None:
        self.cluster.api.delete(config_map(name))

    def tamper(self, name: str) -> None:
        self.cluster.api.merge(config_map(name), {"data": {"text": "an operator was here"}})

    def add_foreign(self) -> str:
        name = f"{self.namespace(DEPLOYMENT)}/foreign"
        self.cluster.api.apply({**config_map(name), "data": {"text": "somebody else's"}})
        return name

    def occupy(self, manifest: Manifest) -> str:
        """The same release, made by another deployment."""
        config = manifest.components[0].config
        other = manifest.model_copy(update={"deployment": "somebody-else"})
        applier = HelmReleaseApplier({**self.options, "staging": str(self.staging.parent / "other")})
        applier.apply(other, manifest.components[0].name, never)
        applier.close()
        return f"{config['namespace']}/{config['release']}"

    def crashes(self, step: Step, nth: int) -> bool:
        self.proxy.arm(nth)
        ready, go = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.read(ready, 1)
                applier = HelmReleaseApplier({**self.options, "kubeconfig": str(self.proxy.kubeconfig)})
                step.run(applier)
                status = 0
            finally:
                os._exit(status)
        self.proxy.aim(child)
        os.write(go, b"x")
        os.close(go)
        os.close(ready)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, -9), status
        return status == -9

    def rubbish(self) -> list[str]:
        staged = [path for path in self.staging.rglob("*") if path.is_file()] if self.staging.is_dir() else []
        known = {path for path in staged if path.name.startswith("generation-") or path.parent.name == "charts"}
        deployed = {item["metadata"]["labels"]["name"] for item in self.records()}
        pending = [
            item["metadata"]["name"] for item in self.records() if "pending" in item["metadata"]["labels"]["status"]
        ]
        left = [] if deployed else [str(path) for path in staged]
        return [*(str(path) for path in staged if path not in known), *pending, *left]

    def check_consistent(self) -> None:
        """Every object of Helm's belongs to a recorded release."""
        recorded = {item["metadata"]["labels"]["name"] for item in self.records()}
        for name, item in self.observed().items():
            content = item.content
            assert isinstance(content, tuple)
            if (content[1] or {}).get("app.kubernetes.io/managed-by") == "Helm":
                assert content[2]["meta.helm.sh/release-name"] in recorded, f"{name} is an orphan"

    def close(self) -> None:
        for applier in self._appliers:
            applier.close()
        # The next test has a deployment of the same name, and the releases are the inventory.
        for record in self.records():
            self.cluster.api.delete(record)
        for namespace in self.namespaces:
            self.cluster.api.delete({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})


def config_map(name: str) -> JsonObject:
    """``namespace/name`` as an object without content."""
    namespace, _, own = name.partition("/")
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": own, "namespace": namespace}}


def release(
    name_: str, namespace: str, values: JsonObject, *, name: str = "main", data: bytes = SETTINGS
) -> JsonObject:
    """A component of type ``helm-release`` whose chart is in the manifest."""
    return {
        "name": name,
        "type": "helm-release",
        "source": "helm:settings-1.2.3",
        "timeoutSeconds": 60,
        "config": {
            "chart": "settings", "chartName": "settings", "version": "1.2.3",
            "digest": _digest(data), "size": len(data),
            "archive": base64.b64encode(data).decode(), "release": name_, "namespace": namespace, "values": values,
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def proxy(cluster: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillProxy]:
    with KillProxy(cluster, tmp_path_factory.mktemp("proxy")) as running:
        yield running


class TestHelmReleaseApplier(ApplierConformance):
    """The suite, with Helm's SDK."""

    @pytest.fixture
    def runtime(self, cluster: ControlPlane, proxy: KillProxy, tmp_path: Path) -> Iterator[HelmRuntime]:
        made = HelmRuntime(cluster, proxy, tmp_path)
        yield made
        made.close()
        shutil.rmtree(tmp_path)
