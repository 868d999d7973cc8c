"""The Kubernetes applier on a real API server: applying 30 objects, and the agent's memory at rest.

Server-side apply of the same 30 objects (ten each of ConfigMaps, Services and Deployments without replicas), each
round into a namespace of its own, on etcd, API server and controllers on this machine. The baseline is
``kubectl apply --server-side`` of them in the same run, started anew each time as it always is; the rounds of the
two alternate. What is measured of the applier is one call of ``apply`` with everything that belongs to it: the
inventory, the ownership checks, and waiting until all 30 are ready.

    python -m bench.apply [--rounds 5] [--seconds 60]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.figures import Figure, environment, milliseconds, show
from bench.programs import ending
from bench.rest import processor_seconds, resident_mib
from bench.watcher import Watcher
from edge_agent.appliers.port import never
from edge_agent.appliers.registry import load_applier
from tests.support.brokers import KINDS
from tests.support.cluster import ControlPlane
from tests.support.cluster_api import wait
from tests.support.processes import Program
from topics import channels
from topics.channels import Topics
from topics.codec import encode, seal
from topics.documents.manifest import Manifest, ManifestComponent

OBJECTS, FACTOR, RSS_MIB = 30, 1.5, 90.0
TOPICS = Topics()
DEVICE = "edge-01"
_MARKS = {"app.kubernetes.io/managed-by": "fleetbus", "fleetbus.io/component": "main"}


def objects(namespace: str) -> list[dict[str, Any]]:
    """Thirty objects as a renderer makes them."""
    made: list[dict[str, Any]] = []
    for number in range(OBJECTS // 3):
        name = f"part-{number}"
        selector = {"app": name}
        containers = [{"name": "main", "image": "example/web:1", "env": [{"name": "NUMBER", "value": str(number)}]}]
        template = {"metadata": {"labels": selector}, "spec": {"containers": containers}}
        bodies: list[dict[str, Any]] = [
            {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "x" * 500, "number": str(number)}},
            {"apiVersion": "v1", "kind": "Service",
             "spec": {"selector": selector, "ports": [{"name": "web", "port": 80, "protocol": "TCP"}]}},
            {"apiVersion": "apps/v1", "kind": "Deployment",
             "spec": {"replicas": 0, "selector": {"matchLabels": selector}, "template": template}},
        ]  # fmt: skip
        labels = _MARKS | {"fleetbus.io/deployment": namespace, "app.kubernetes.io/part-of": namespace}
        made += [body | {"metadata": {"name": name, "namespace": namespace, "labels": labels}} for body in bodies]
    return made


def manifest(name: str, listed: list[dict[str, Any]], device: str = DEVICE) -> Manifest:
    component = ManifestComponent(name="main", type="kubernetes", source="spec", objects=tuple(listed), wait=False)
    return Manifest(
        action="apply", deployment=name, device=device, generation=1, cluster_namespace="fleetbus-system",
        workload_namespace=name, components=(component,),
    )  # fmt: skip


def measure(rounds: int = 5, seconds: float = 60.0) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder, ControlPlane(Path(folder) / "cluster") as cluster:
        yield applying(cluster, Path(folder), rounds)
        yield at_rest(cluster, Path(folder), seconds)


def applying(cluster: ControlPlane, folder: Path, rounds: int) -> Figure:
    """The applier against kubectl, the fastest round of each."""
    applier = load_applier("kubernetes", {"kubeconfig": str(cluster.kubeconfig), "staging": str(folder / "staging")})
    ours, theirs = [], []
    kubectl = [str(cluster.program("kubectl")), "--kubeconfig", str(cluster.kubeconfig), "apply", "--server-side"]
    kubectl += ["--field-manager", "bench", "-f"]
    try:
        for number in range(rounds):
            ours.append(_ours(cluster, applier, f"ours-{number}"))
            theirs.append(_theirs(cluster, kubectl, folder / "objects.json", f"theirs-{number}"))
    finally:
        applier.close()
    ratio = min(ours) / min(theirs)
    return Figure(
        f"{OBJECTS} objects applied by the Kubernetes applier", milliseconds(min(ours)),
        f"kubectl apply --server-side {milliseconds(min(theirs))}: {ratio:.2f} x", f"<= {FACTOR:g} x", ratio <= FACTOR,
    )  # fmt: skip


def _ours(cluster: ControlPlane, applier: Any, name: str) -> float:
    _namespace(cluster, name)
    wanted = manifest(name, objects(name))
    began = time.perf_counter()
    applier.apply(wanted, "main", never)
    taken = time.perf_counter() - began
    _check(cluster, name)
    return taken


def _theirs(cluster: ControlPlane, command: list[str], path: Path, name: str) -> float:
    _namespace(cluster, name)
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects(name)}))
    began = time.perf_counter()
    subprocess.run([*command, str(path)], check=True, capture_output=True, env=os.environ | {"HOME": str(path.parent)})
    taken = time.perf_counter() - began
    _check(cluster, name)
    return taken


def _namespace(cluster: ControlPlane, name: str) -> None:
    cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    # What the controllers make of themselves in a new namespace is not part of the work.
    wait("the namespace's own objects", lambda: cluster.api.get("v1", "ConfigMap", "kube-root-ca.crt", name))


def _check(cluster: ControlPlane, name: str) -> None:
    for version, kind in (("v1", "ConfigMap"), ("v1", "Service"), ("apps/v1", "Deployment")):
        found = [item for item in cluster.api.list(version, kind, name) if item["metadata"]["name"].startswith("part-")]
        assert len(found) == OBJECTS // 3, f"{len(found)} of {OBJECTS // 3} {kind}s applied"


def at_rest(cluster: ControlPlane, folder: Path, seconds: float) -> Figure:
    """The agent with the Kubernetes applier, one deployment of 30 objects Deployed and watched."""
    name = "at-rest"
    _namespace(cluster, name)
    with (
        KINDS["nats"](folder / "broker") as broker,
        Watcher(broker.port, [TOPICS.filter(channels.STATUS)]) as watcher,
    ):
        agent = Program(
            "agent",
            ["-m", "edge_agent", "--broker", broker.url, "--device", DEVICE, "--data", str(folder / "data"),
             "--applier", "kubernetes", "--kubeconfig", str(cluster.kubeconfig)],
            folder / "agent.log",
        )  # fmt: skip
        with ending(agent):
            agent.start(environment=environment())
            topic = TOPICS.topic(channels.MANIFEST, device=DEVICE, deployment=name)
            watcher.publish(topic, seal(encode(manifest(name, objects(name)))), retain=True)
            watcher.wait_for("Deployed", lambda _, body: bool(body) and json.loads(body)["state"] == "Deployed")
            time.sleep(3.0)  # what was under way settles
            before, began = processor_seconds(agent.pid), time.monotonic()
            time.sleep(seconds)
            share = 100 * (processor_seconds(agent.pid) - before) / (time.monotonic() - began)
            memory = resident_mib(agent.pid)
            assert agent.running, "the agent ended"
    return Figure(
        f"agent at rest with the Kubernetes applier, {OBJECTS} objects watched, resident memory", f"{memory:.1f} MiB",
        f"processor over {seconds:g} s: {share:.2f} % of a core", f"< {RSS_MIB:g} MiB", memory < RSS_MIB,
    )  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=float, default=60.0)
    options = arguments.parse_args()
    if missing := ControlPlane.missing():
        raise SystemExit(missing)
    show(measure(options.rounds, options.seconds))


if __name__ == "__main__":
    main()
