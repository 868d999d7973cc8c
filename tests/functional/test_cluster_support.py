"""The tests' own cluster does what the tests on it rely on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edge_agent.appliers.readiness import READY, readiness_of
from tests.support.brokers import ReservedPort
from tests.support.cluster import ControlPlane
from tests.support.cluster_api import ApiError, wait
from tests.support.cluster_kubelet import Kubelet
from tests.support.processes import REPOSITORY


def namespace(cluster: ControlPlane, name: str) -> str:
    cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


def template(image: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "main", "image": image}]} | spec}


def workload(kind: str, name: str, image: str = "example/web:1", **spec: Any) -> dict[str, Any]:
    selector = {"matchLabels": {"app": "x"}}
    return {
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": name},
        "spec": {"selector": selector, "template": template(image)} | spec,
    }  # fmt: skip


def job(name: str, image: str) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": name},
        "spec": {"backoffLimit": 0, "template": template(image, restartPolicy="Never")},
    }  # fmt: skip


def live(cluster: ControlPlane, obj: dict[str, Any]) -> dict[str, Any]:
    metadata = obj["metadata"]
    found = cluster.api.get(obj["apiVersion"], obj["kind"], metadata["name"], metadata["namespace"])
    assert found is not None
    return found


def become(cluster: ControlPlane, obj: dict[str, Any], what: str) -> str:
    """Apply it and wait until its readiness's attribute ``what`` is true; the message."""
    namespace(cluster, obj["metadata"]["namespace"])
    cluster.api.apply(obj)
    wait(f"{obj['kind']} {what}", lambda: getattr(readiness_of(live(cluster, obj)), what))
    return readiness_of(live(cluster, obj)).message


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_workloads_become_ready_with_a_kubelet(cluster: ControlPlane, kubelet: Kubelet, kind: str) -> None:
    """Real controllers make the pods, the stand-in runs them, and readiness says so."""
    spec = {"serviceName": "x", "replicas": 2} if kind == "StatefulSet" else {}
    assert become(cluster, workload(kind, f"ready-{kind.lower()}", **spec), "ready") == ""


@pytest.mark.parametrize("strategy", ["RollingUpdate", "Recreate"])
def test_an_update_is_ready_when_every_pod_is_new(cluster: ControlPlane, kubelet: Kubelet, strategy: str) -> None:
    """At the moment that readiness says so, no pod of the old image is left."""
    changed = {"strategy": {"type": strategy}, "replicas": 2}
    become(cluster, workload("Deployment", f"upd-{strategy.lower()}", "example/web:1", **changed), "ready")
    become(cluster, workload("Deployment", f"upd-{strategy.lower()}", "example/web:2", **changed), "ready")
    pods = cluster.api.list("v1", "Pod", f"upd-{strategy.lower()}")
    assert {pod["spec"]["containers"][0]["image"] for pod in pods} == {"example/web:2"}


def test_a_stateful_set_with_a_partition_is_ready_when_the_upper_pods_are_new(
    cluster: ControlPlane, kubelet: Kubelet
) -> None:
    """Three replicas, partition 2: pod 2 alone is new."""
    spec: dict[str, Any] = {
        "serviceName": "x", "replicas": 3, "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}},
    }  # fmt: skip
    become(cluster, workload("StatefulSet", "partition", "example/db:1", **spec), "ready")
    become(cluster, workload("StatefulSet", "partition", "example/db:2", **spec), "ready")
    images = {
        pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"]
        for pod in cluster.api.list("v1", "Pod", "partition")
    }
    assert images == {
        "partition-0": "example/db:1", "partition-1": "example/db:1", "partition-2": "example/db:2",
    }  # fmt: skip


def test_a_job_completes_and_another_fails(cluster: ControlPlane, kubelet: Kubelet) -> None:
    """By the image's name; the failed one says why."""
    assert become(cluster, job("job-good", "example/migrate:1"), "ready") == ""
    assert "BackoffLimitExceeded" in become(cluster, job("job-bad", "example/failing:1"), "failed")


def test_a_deployment_past_its_deadline_has_failed(cluster: ControlPlane, kubelet: Kubelet) -> None:
    """Its image does not exist; the pod says that, the Deployment gives up after its own deadline."""
    spec = workload("Deployment", "too-late", "example/missing:1", progressDeadlineSeconds=1)
    assert "ProgressDeadlineExceeded" in become(cluster, spec, "failed")
    # The deadline may pass before the controller has made the pod at all.
    [pod] = wait("its pod", lambda: cluster.api.list("v1", "Pod", "too-late"))
    wait("what the pod says", lambda: "ImagePullBackOff" in readiness_of(live(cluster, pod)).message)


def test_a_slow_pod_starts_when_it_is_released(cluster: ControlPlane) -> None:
    """Until then its Deployment is not ready."""
    namespace(cluster, "slow")
    with Kubelet(cluster.api, "slow") as kubelet:
        slow = workload("Deployment", "slow", "example/slow:1")
        cluster.api.apply(slow)
        wait("its pod", lambda: cluster.api.list("v1", "Pod", "slow"))
        assert not readiness_of(live(cluster, slow)).ready
        kubelet.release("slow")
        wait("readiness", lambda: readiness_of(live(cluster, slow)) == READY)


def test_a_namespace_goes_with_everything_in_it(cluster: ControlPlane, kubelet: Kubelet) -> None:
    """As on any cluster; and while it goes it says so."""
    become(cluster, workload("Deployment", "going"), "ready")
    held = {"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "held", "namespace": "going", "finalizers": ["example.com/hold"]}}  # fmt: skip
    cluster.api.apply(held)
    found = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "going"}}
    cluster.api.delete(found)
    gone = wait("its termination", lambda: _terminating(cluster, "going"))
    assert "deleted" in gone or "terminating" in gone
    wait("the finalizer's name", lambda: "example.com/hold" in readiness_of(live(cluster, held)).message)
    cluster.api.merge(held, {"metadata": {"finalizers": []}})
    cluster.api.wait_gone("v1", "Namespace", "going")


def _terminating(cluster: ControlPlane, name: str) -> str:
    found = cluster.api.get("v1", "Namespace", name)
    return readiness_of(found).message if found else ""


def test_a_user_has_only_the_rights_that_a_binding_gives(cluster: ControlPlane) -> None:
    """The API server asks RBAC: an account can nothing at first."""
    with pytest.raises(ApiError) as refused:
        cluster.api_of("plain").list("v1", "ConfigMap", "default")
    assert refused.value.code == 403
    path = cluster.account("accounts", "nobody")
    answer = subprocess.run(
        [str(cluster.program("kubectl")), "--kubeconfig", str(path), "auth", "can-i", "create", "pods"],
        capture_output=True, text=True, check=False, env={"HOME": str(cluster.folder)},
    )  # fmt: skip
    assert answer.stdout.strip() == "no"


def test_an_api_server_comes_back_with_its_data(tmp_path: Path) -> None:
    """Killed and started again on the same address, with the same certificate."""
    if missing := ControlPlane.missing():
        pytest.skip(missing)
    with ControlPlane(tmp_path) as own:
        namespace(own, "kept")
        with own.without_api_server(), pytest.raises(OSError):
            own.api.get("v1", "Namespace", "kept")
        assert own.api.get("v1", "Namespace", "kept")


_KILLED = """
import sys, time
from pathlib import Path
from tests.support.cluster import ControlPlane
plane = ControlPlane(Path(sys.argv[1])).start()
print(*plane.pids.values(), flush=True)
time.sleep(600)
"""


def test_a_control_plane_ends_with_a_killed_test_run(tmp_path: Path) -> None:
    """A kill -9 of the process that started it ends etcd, API server and controllers."""
    if missing := ControlPlane.missing():
        pytest.skip(missing)
    run = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    with run:
        assert run.stdout is not None
        pids = [int(word) for word in run.stdout.readline().split()]
        run.kill()
    assert len(pids) == 3
    deadline = time.monotonic() + 30
    try:
        while alive := [pid for pid in pids if _runs(pid)]:
            assert time.monotonic() < deadline, f"still running: {alive}"
            time.sleep(0.05)
    finally:
        for pid in pids:
            if _runs(pid):
                os.kill(pid, signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_ports_are_below_those_of_clients(cluster: ControlPlane) -> None:
    """Above 32767 they would collide with ports that the kernel gives to connections."""
    port = int(cluster.server.rpartition(":")[2])
    assert port < 32768
    other = ReservedPort()
    other.close()
    assert other.port != port
