"""Readiness of every kind that has a rule, as a table: status in, answer out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.appliers.readiness import READY, Readiness, readiness_of
from edge_agent.appliers.readiness.custom import RULES

API = {
    "Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "ReplicaSet": "apps/v1",
    "ReplicationController": "v1", "Job": "batch/v1", "Pod": "v1", "PersistentVolumeClaim": "v1", "Service": "v1",
    "Namespace": "v1", "PodDisruptionBudget": "policy/v1", "CustomResourceDefinition": "apiextensions.k8s.io/v1",
    "APIService": "apiregistration.k8s.io/v1", "ConfigMap": "v1", "Widget": "example.com/v1",
}  # fmt: skip


def obj(kind: str, status: Any = None, spec: Any = None, generation: int = 1, **metadata: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "apiVersion": API[kind], "kind": kind, "metadata": {"name": "x", "generation": generation} | metadata,
    }  # fmt: skip
    return found | ({"status": status} if status is not None else {}) | ({"spec": spec} if spec is not None else {})


def condition(type_: str, status: str = "True", reason: str = "", message: str = "", **more: Any) -> dict[str, Any]:
    return {"type": type_, "status": status, "reason": reason, "message": message} | more


def conditions(*items: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {"conditions": list(items)} | status


def counts(seen: int = 1, **status: Any) -> dict[str, Any]:
    return {"observedGeneration": seen} | status


THREE = {"replicas": 3}
ALL = {"replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3}
SET = {"replicas": 3, "readyReplicas": 3, "currentRevision": "b", "updateRevision": "b"}
HALF = {"replicas": 3, "readyReplicas": 3, "currentRevision": "a", "updateRevision": "b"}
DAEMON = {"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2}
LATE = condition("Progressing", "False", "ProgressDeadlineExceeded", "has timed out")
QUOTA = condition("ReplicaFailure", "True", "FailedCreate", "exceeded quota")


def rolling(partition: int, **spec: Any) -> dict[str, Any]:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}
    return THREE | {"updateStrategy": strategy} | spec


def container(name: str, **state: Any) -> dict[str, Any]:
    return {"name": name, "state": state}


READY_OBJECTS = {
    "deployment": obj("Deployment", counts(**ALL), THREE),
    "deployment-scaled-to-zero": obj("Deployment", counts(), {"replicas": 0}),
    "deployment-without-replicas-has-one": obj(
        "Deployment", counts(replicas=1, updatedReplicas=1, availableReplicas=1), {}
    ),
    "deployment-once-late-and-now-there": obj("Deployment", counts(**ALL, conditions=[LATE]), THREE),
    "replica-set": obj("ReplicaSet", counts(replicas=3, availableReplicas=3), THREE),
    "replication-controller": obj("ReplicationController", counts(replicas=3, availableReplicas=3), THREE),
    "stateful-set": obj("StatefulSet", counts(**SET), THREE),
    "stateful-set-scaled-to-zero": obj("StatefulSet", counts(currentRevision="b", updateRevision="b"), {"replicas": 0}),
    "stateful-set-above-partition": obj("StatefulSet", counts(**HALF, updatedReplicas=1), rolling(2)),
    "stateful-set-partition-above-all": obj("StatefulSet", counts(**HALF), rolling(7)),
    "stateful-set-ordinals-from-5": obj(
        "StatefulSet", counts(**HALF, updatedReplicas=1), rolling(7, ordinals={"start": 5})
    ),
    "stateful-set-left-to-delete": obj("StatefulSet", counts(**HALF), THREE | {"updateStrategy": {"type": "OnDelete"}}),
    "stateful-set-min-ready": obj("StatefulSet", counts(**SET, availableReplicas=3), THREE | {"minReadySeconds": 5}),
    "daemon-set": obj("DaemonSet", counts(**DAEMON)),
    "daemon-set-for-no-node": obj("DaemonSet", counts(desiredNumberScheduled=0)),
    "daemon-set-left-to-delete": obj(
        "DaemonSet", counts(**DAEMON | {"updatedNumberScheduled": 0}), {"updateStrategy": {"type": "OnDelete"}}
    ),
    "job-complete": obj("Job", conditions(condition("Complete"), succeeded=1)),
    "pod-running": obj("Pod", conditions(condition("Ready"), phase="Running")),
    "pod-succeeded": obj("Pod", conditions(condition("Ready", "False"), phase="Succeeded")),
    "claim-bound": obj("PersistentVolumeClaim", {"phase": "Bound"}),
    "claim-bound-by-a-provisioner": obj(
        "PersistentVolumeClaim", {"phase": "Bound"},
        annotations={"volume.kubernetes.io/storage-provisioner": "rancher.io/local-path"},
    ),
    "claim-waiting-for-its-first-consumer": obj("PersistentVolumeClaim", {"phase": "Pending"}),
    "service": obj("Service", {"loadBalancer": {}}, {"type": "ClusterIP"}),
    "service-of-an-external-name": obj("Service", None, {"type": "ExternalName"}),
    "load-balancer": obj("Service", {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}, {"type": "LoadBalancer"}),
    "load-balancer-with-external-ips": obj("Service", {}, {"type": "LoadBalancer", "externalIPs": ["10.0.0.1"]}),
    "crd": obj("CustomResourceDefinition", conditions(condition("NamesAccepted"), condition("Established"))),
    "api-service": obj("APIService", conditions(condition("Available"))),
    "budget": obj("PodDisruptionBudget", counts(currentHealthy=2, desiredHealthy=2)),
    "namespace": obj("Namespace", {"phase": "Active"}),
    "nothing-reported": obj("ConfigMap"),
    "custom-without-status": obj("Widget"),
    "custom-ready": obj("Widget", conditions(condition("Ready", observedGeneration=2), **counts(2)), generation=2),
    "custom-with-other-conditions": obj("Widget", conditions(condition("Synced", "False"))),
    "custom-no-longer-reconciling": obj("Widget", conditions(condition("Reconciling", "False"), condition("Ready"))),
}  # fmt: skip

WAITING_OBJECTS = {
    "deployment-new": (obj("Deployment", {}, THREE), "has not seen generation 1"),
    "deployment-unobserved": (obj("Deployment", counts(**ALL), THREE, 2), "generation 2 yet, only 1"),
    "deployment-updating": (obj("Deployment", counts(**ALL | {"updatedReplicas": 1}), THREE), "1 of 3 updated"),
    "deployment-with-old": (obj("Deployment", counts(**ALL | {"replicas": 4}), THREE), "1 old or surplus"),
    "deployment-unavailable": (obj("Deployment", counts(**ALL | {"availableReplicas": 0}), THREE), "0 of 3 available"),
    "deployment-paused": (obj("Deployment", counts(**ALL | {"updatedReplicas": 0}), THREE | {"paused": True}), "paused"),
    "deployment-over-quota": (obj("Deployment", counts(conditions=[QUOTA]), THREE), "FailedCreate: exceeded quota"),
    "replica-set": (obj("ReplicaSet", counts(replicas=3, availableReplicas=1), THREE), "1 of 3 available"),
    "replica-set-surplus": (obj("ReplicaSet", counts(replicas=4, availableReplicas=4), THREE), "1 old or surplus"),
    "stateful-set-new": (obj("StatefulSet", {}, THREE), "has not seen"),
    "stateful-set-not-ready": (obj("StatefulSet", counts(**SET | {"readyReplicas": 2}), THREE), "2 of 3 ready"),
    "stateful-set-surplus": (obj("StatefulSet", counts(**SET | {"replicas": 4}), THREE), "1 old or surplus"),
    "stateful-set-updating": (obj("StatefulSet", counts(**HALF, updatedReplicas=2), THREE), "2 of 3 updated"),
    "stateful-set-almost": (obj("StatefulSet", counts(**HALF, updatedReplicas=3), THREE), "not finished"),
    "stateful-set-partition": (obj("StatefulSet", counts(**HALF, updatedReplicas=1), rolling(1)), "1 of 2 updated"),
    "stateful-set-min-ready": (
        obj("StatefulSet", counts(**SET, availableReplicas=1), THREE | {"minReadySeconds": 5}), "1 of 3 available",
    ),
    "daemon-set-uncounted": (obj("DaemonSet", counts()), "not counted"),
    "daemon-set-updating": (obj("DaemonSet", counts(**DAEMON | {"updatedNumberScheduled": 1})), "1 of 2 updated"),
    "daemon-set-unavailable": (obj("DaemonSet", counts(**DAEMON | {"numberAvailable": 0})), "0 of 2 available"),
    "job-new": (obj("Job", spec={"completions": 2}), "0 of 2 completions"),
    "job-running": (obj("Job", {"active": 1, "failed": 2}), "0 of 1 completions, 1 active, 2 failed tries"),
    "job-suspended": (obj("Job", spec={"suspend": True}), "suspended"),
    "pod-new": (obj("Pod"), "no kubelet"),
    "pod-unschedulable": (
        obj("Pod", conditions(condition("PodScheduled", "False", "Unschedulable", "no room"), phase="Pending")),
        "Unschedulable: no room",
    ),
    "pod-not-ready": (obj("Pod", conditions(condition("Ready", "False"), phase="Running")), "Running, not ready"),
    "pod-image": (
        obj("Pod", {"phase": "Pending", "containerStatuses": [
            container("side", running={}), container("web", waiting={"reason": "ImagePullBackOff", "message": "no"}),
        ]}),
        "container web: ImagePullBackOff: no",
    ),
    "pod-init": (
        obj("Pod", {"phase": "Pending", "initContainerStatuses": [container("init", terminated={"reason": "Error",
            "exitCode": 3})], "containerStatuses": [container("web", waiting={"reason": "PodInitializing"})]}),
        "container init: Error (exit status 3)",
    ),
    "claim-being-provisioned": (
        obj("PersistentVolumeClaim", {"phase": "Pending"},
            annotations={"volume.beta.kubernetes.io/storage-provisioner": "csi"}),
        "provisioned by csi",
    ),
    "load-balancer": (obj("Service", {"loadBalancer": {}}, {"type": "LoadBalancer"}), "no address"),
    "crd-new": (obj("CustomResourceDefinition"), "no condition Established"),
    "crd-installing": (
        obj("CustomResourceDefinition", conditions(condition("Established", "False", "Installing"))), "Installing",
    ),
    "api-service": (
        obj("APIService", conditions(condition("Available", "False", "MissingEndpoints"))), "MissingEndpoints",
    ),
    "budget": (obj("PodDisruptionBudget", counts(currentHealthy=1, desiredHealthy=2)), "1 of 2 pods healthy"),
    "namespace": (
        obj("Namespace", conditions(condition("NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain", "held"),
                                    phase="Terminating")),
        "SomeFinalizersRemain: held",
    ),
    "deleted": (obj("Deployment", counts(**ALL), THREE, deletionTimestamp="2026-01-01T00:00:00Z"), "being deleted"),
    "deleted-and-held": (
        obj("ConfigMap", deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["example.com/a", "b"]),
        "held by the finalizers example.com/a, b",
    ),
    "custom-unobserved": (obj("Widget", counts(1), generation=3), "generation 3 yet, only 1"),
    "custom-reconciling": (
        obj("Widget", conditions(condition("Ready"), condition("Reconciling", reason="Progressing"))), "Progressing",
    ),
    "custom-not-ready": (obj("Widget", conditions(condition("Ready", "False", "Waits", "for it"))), "Waits: for it"),
    "custom-unknown": (obj("Widget", conditions(condition("Ready", "Unknown"))), "Ready is Unknown"),
    "custom-outdated": (
        obj("Widget", conditions(condition("Ready", observedGeneration=1)), generation=2), "speaks of generation 1",
    ),
}  # fmt: skip

FAILED_OBJECTS = {
    "deployment": (obj("Deployment", counts(conditions=[LATE]), THREE), "ProgressDeadlineExceeded: has timed out"),
    "job": (
        obj("Job", conditions(condition("Failed", "True", "BackoffLimitExceeded", "often enough"), failed=7)),
        "BackoffLimitExceeded: often enough",
    ),
    "job-being-given-up": (obj("Job", conditions(condition("FailureTarget", reason="PodFailurePolicy"))), "PodFailure"),
    "pod": (obj("Pod", {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}), "Evicted: low on memory"),
    "pod-by-its-container": (
        obj("Pod", {"phase": "Failed", "containerStatuses": [container("web", terminated={"reason": "OOMKilled",
                                                                                        "exitCode": 137})]}),
        "container web: OOMKilled (exit status 137)",
    ),
    "claim": (obj("PersistentVolumeClaim", {"phase": "Lost"}), "lost"),
    "crd": (
        obj("CustomResourceDefinition", conditions(condition("NamesAccepted", "False", "ListKindConflict"))),
        "ListKindConflict",
    ),
    "custom": (obj("Widget", conditions(condition("Ready"), condition("Stalled", reason="Broken"))), "Broken"),
}  # fmt: skip


@pytest.mark.parametrize("name", READY_OBJECTS)
def test_is_ready(name: str) -> None:
    """All that the kind's controller reports is as it was applied."""
    assert readiness_of(READY_OBJECTS[name]) == READY


@pytest.mark.parametrize("name", WAITING_OBJECTS)
def test_is_waited_for(name: str) -> None:
    """Not ready and not failed, and the message says what is missing."""
    found = readiness_of(WAITING_OBJECTS[name][0])
    assert (found.ready, found.failed) == (False, False)
    assert WAITING_OBJECTS[name][1] in found.message


@pytest.mark.parametrize("name", FAILED_OBJECTS)
def test_has_failed(name: str) -> None:
    """Its controller gave up, and says why."""
    found = readiness_of(FAILED_OBJECTS[name][0])
    assert (found.ready, found.failed) == (False, True)
    assert FAILED_OBJECTS[name][1] in found.message


def test_a_built_in_kind_of_another_group_is_a_custom_one() -> None:
    """A Job of somebody else's API has no Complete condition to wait for."""
    assert readiness_of({"apiVersion": "batch.volcano.sh/v1alpha1", "kind": "Job", "metadata": {}}) == READY


def test_of_two_conditions_of_a_type_the_first_counts() -> None:
    """As a client of Kubernetes' own libraries reads them."""
    twice = conditions(condition("Ready", "False", "First"), condition("Ready"))
    assert "First" in readiness_of(obj("Widget", twice)).message


def test_a_long_message_is_cut() -> None:
    """It ends in a status, which has to fit a packet."""
    found = readiness_of(obj("Widget", conditions(condition("Ready", "False", "Why", "x" * 100_000))))
    assert len(found.message) == 500


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
STATUS_FIELDS = (
    "conditions", "observedGeneration", "replicas", "updatedReplicas", "phase", "containerStatuses", "loadBalancer",
    "desiredNumberScheduled", "currentRevision", "updateRevision", "readyReplicas", "sync", "health", "jobName",
)  # fmt: skip
KINDS = sorted({(version, kind) for kind, version in API.items()} | {(f"{group}/v1", kind) for group, kind in RULES})


@given(
    which=st.sampled_from(KINDS),
    metadata=JUNK | st.dictionaries(st.sampled_from(["generation", "finalizers", "deletionTimestamp"]), JUNK),
    spec=JUNK | st.dictionaries(st.sampled_from(["replicas", "updateStrategy", "type", "completions"]), JUNK),
    status=JUNK | st.dictionaries(st.sampled_from(STATUS_FIELDS), JUNK | st.lists(st.fixed_dictionaries(
        {"type": st.sampled_from(["Ready", "Complete", "Established"])}, optional={"status": JUNK}))),
)  # fmt: skip
def test_no_object_makes_it_raise(which: tuple[str, str], metadata: Any, spec: Any, status: Any) -> None:
    """Whatever stands in it, and of whatever kind it is: the answer is an answer."""
    nonsense = {"apiVersion": which[0], "kind": which[1], "metadata": metadata, "spec": spec, "status": status}
    found = readiness_of(nonsense)
    assert isinstance(found, Readiness)
    assert found.ready == (found.message == "")


@given(JUNK)
def test_not_even_one_without_a_kind(junk: Any) -> None:
    """An object with nothing that is known of it has nothing to wait for."""
    assert readiness_of({"kind": junk, "apiVersion": junk, "status": {"conditions": junk}}) == READY
