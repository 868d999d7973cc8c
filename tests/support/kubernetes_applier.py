"""What tests of the Kubernetes applier share: manifests of plain objects, and appliers with short time limits."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_agent.appliers.kubernetes import KubernetesApplier
from edge_agent.appliers.port import never
from tests.contract.applier_conformance import steps_of
from topics.documents.base import JsonObject
from topics.documents.manifest import Manifest

_numbers = itertools.count(1)


def unique(prefix: str = "ns") -> str:
    """A name for one test alone."""
    return f"{prefix}-{next(_numbers)}"


@contextmanager
def applier(kubeconfig: Path, **options: str) -> Iterator[KubernetesApplier]:
    """An applier; underscores in the names of options are hyphens."""
    named = {key.replace("_", "-"): value for key, value in options.items()}
    built = KubernetesApplier({"kubeconfig": str(kubeconfig), "removal-timeout": "10", **named})
    try:
        yield built
    finally:
        built.close()


def namespace(name: str) -> JsonObject:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def config_map(name: str, value: str = "one", **metadata: Any) -> JsonObject:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"value": value}}


def job(name: str, image: str = "example/work:1") -> JsonObject:
    """A job that fails at the first failing pod; see the stand-in kubelet for what images do."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "work", "image": image}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}},
    }


def deployment(name: str, image: str = "example/web:1", replicas: int = 1) -> JsonObject:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": image}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def manifest(
    name: str, *objects: JsonObject, generation: int = 1, initialization: tuple[JsonObject, ...] = (), **fields: Any
) -> Manifest:
    """A manifest of one component ``main``, whose deployment is called as its workload namespace."""
    component = {"name": "main", "type": "kubernetes", "source": "spec", "objects": objects, "timeout_seconds": 20.0}
    return Manifest.model_validate(
        {
            "action": "apply",
            "deployment": name,
            "device": "edge-01",
            "generation": generation,
            "cluster_namespace": "fleetbus-system",
            "workload_namespace": name,
            "initialization": (namespace(name), *initialization),
            "components": [{**component, **fields.pop("component", {})}],
            **fields,
        }
    )


def deploy(built: KubernetesApplier, wanted: Manifest) -> None:
    """Every step, as the agent does them."""
    for step in steps_of(wanted):
        step.run(built)


def remove(built: KubernetesApplier, name: str) -> None:
    built.remove(name, never)
