"""The Kubernetes applier passes the suite of every applier, on a real API server, with real crashes."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

pytest.register_assert_rewrite("tests.contract.applier_conformance")
pytest.importorskip("kubernetes", reason="the extra 'kubernetes' is not installed")

from edge_agent.appliers.kubernetes import KubernetesApplier  # noqa: E402 - the lines above must come first
from edge_agent.appliers.kubernetes.session import Session  # noqa: E402
from edge_agent.appliers.kubernetes.store import INVENTORY_LABEL  # noqa: E402
from edge_agent.appliers.port import Applier  # noqa: E402
from tests.contract.applier_conformance import (  # noqa: E402
    DEPLOYMENT,
    ApplierConformance,
    Observed,
    Runtime,
    Step,
)
from tests.support.cluster import ControlPlane  # noqa: E402
from topics.documents.base import JsonObject  # noqa: E402
from topics.documents.manifest import Manifest  # noqa: E402

_DIED = 86
_numbers = itertools.count(1)


class KubernetesRuntime(Runtime):
    """A workload namespace and a cluster namespace of their own, with config maps as the workload."""

    def __init__(self, cluster: ControlPlane) -> None:
        number = next(_numbers)
        self.api = cluster.api
        self.namespace = f"conformance-{number}"
        self.home = f"conformance-{number}-fleetbus"
        self.options = {"kubeconfig": str(cluster.kubeconfig), "namespace": self.home}
        self._appliers: list[Applier] = []
        for name in (self.namespace, self.home):
            self.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def applier(self) -> Applier:
        for old in self._appliers:
            old.close()
        self._appliers = [KubernetesApplier(self.options)]
        return self._appliers[0]

    def close(self) -> None:
        for old in self._appliers:
            old.close()

    def manifest(
        self, generation: int, components: Mapping[str, str], *, initialization: str = "", deployment: str = DEPLOYMENT
    ) -> Manifest:
        def item(name: str, value: str) -> JsonObject:
            return self._config_map(f"{deployment}.{name}", value)

        return Manifest.model_validate(
            {
                "action": "apply",
                "deployment": deployment,
                "device": "edge-01",
                "generation": generation,
                "cluster_namespace": self.home,
                "workload_namespace": self.namespace,
                "initialization": [item("settings", initialization)] if initialization else [],
                "components": [
                    {"name": name, "type": "kubernetes", "source": "spec", "objects": [item(name, value)]}
                    for name, value in components.items()
                ],
            }
        )

    def observed(self) -> dict[str, Observed]:
        return {
            f"{self.namespace}/{item['metadata']['name']}": Observed(
                (item["data"], item["metadata"].get("labels")),
                (item["metadata"]["resourceVersion"], item["metadata"]["uid"]),
            )
            for item in self.api.list("v1", "ConfigMap", self.namespace)
            if item["metadata"]["name"] != "kube-root-ca.crt"
        }

    def lose(self, name: str) -> None:
        self.api.delete(self._config_map(name.partition("/")[2]))

    def tamper(self, name: str) -> None:
        self.api.merge(self._config_map(name.partition("/")[2]), {"data": {"value": "an operator was here"}})

    def add_foreign(self) -> str:
        self.api.create(self._config_map("somebody-elses", "foreign"))
        return f"{self.namespace}/somebody-elses"

    def occupy(self, manifest: Manifest) -> str:
        name = manifest.components[0].objects[0]["metadata"]["name"]
        self.api.create(self._config_map(name, "foreign"))
        return f"{self.namespace}/{name}"

    def crashes(self, step: Step, nth: int) -> bool:
        return died(lambda: step.run(self.applier()), nth)

    def rubbish(self) -> list[str]:
        """Inventories of nothing."""
        return [name for name, owned in self._inventories().items() if not owned & set(self._names())]

    def check_consistent(self) -> None:
        """Every object is in an inventory or is somebody else's."""
        owned = set().union(*self._inventories().values())
        assert set(self._names()) <= owned | {"somebody-elses"}

    def _names(self) -> Iterator[str]:
        return (name.partition("/")[2] for name in self.observed())

    def _inventories(self) -> dict[str, set[str]]:
        return {
            item["metadata"]["name"]: {entry[3] for entry in json.loads(item["data"]["inventory"])["objects"]}
            for item in self.api.list("v1", "ConfigMap", self.home, selector=INVENTORY_LABEL)
        }

    def _config_map(self, name: str, value: str = "") -> JsonObject:
        metadata = {"name": name, "namespace": self.namespace}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": value}}


def died(work: Callable[[], object], nth: int) -> bool:
    """Do the work in a child process that ends without any clean-up at its ``nth`` chance.

    Each request that changes something is two of them: before it is sent, and when the answer has come and nobody has
    read it. False if the child came to the end of the work before.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _die_at(nth)
            work()
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, _DIED), f"the child ended with {status}"
    return status == _DIED


def _die_at(nth: int) -> None:
    count = 0
    original = Session.request

    def request(self: Session, method: str, path: str, what: str, **kwargs: Any) -> JsonObject:
        nonlocal count
        if method == "GET" or "dryRun" in (kwargs.get("query") or {}):
            return original(self, method, path, what, **kwargs)
        count += 1
        if count == nth:
            os._exit(_DIED)
        answer = original(self, method, path, what, **kwargs)
        count += 1
        if count == nth:
            os._exit(_DIED)
        return answer

    Session.request = request  # type: ignore[method-assign]


class TestKubernetesApplier(ApplierConformance):
    """The suite."""

    @pytest.fixture
    def runtime(self, cluster: ControlPlane) -> Iterator[KubernetesRuntime]:
        built = KubernetesRuntime(cluster)
        yield built
        built.close()
