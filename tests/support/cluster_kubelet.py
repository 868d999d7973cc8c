"""A stand-in for scheduler and kubelet: it sets the status of pods as if their containers ran.

What a pod does, its first container's image says:

    an image with "missing"    ImagePullBackOff: it never starts
    an image with "crashing"   CrashLoopBackOff: it starts again and again
    an image with "slow"       it stays Pending until its namespace is released by ``release``
    an image with "failing"    it ends with status 1 (a Job with ``backoffLimit: 0`` fails of it)
    any other                  a Job's pod succeeds, every other one runs and is ready

It also plays one ready node ``edge``, for DaemonSets. Pods are not bound to it, and so they are deleted
at once.
"""

from __future__ import annotations

import threading
import time
from typing import Self

from tests.support.cluster_api import Api, ApiError, Follower
from topics.documents.base import JsonObject

NODE = "edge"
_NOW = "%Y-%m-%dT%H:%M:%SZ"


class Kubelet:
    """Plays every pod of the cluster, or of one namespace, for the time of a ``with`` block."""

    def __init__(self, api: Api, namespace: str | None = None) -> None:
        self._api = api
        self._released: set[str] = set()
        self._slow: list[JsonObject] = []
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._follower = Follower(api, api.path("v1", "Pod", namespace, everywhere=True))
        self._thread = threading.Thread(target=self._run, name="kubelet stand-in")

    def __enter__(self) -> Self:
        self._make_node()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._follower.close()
        self._thread.join(10)
        assert not self._thread.is_alive(), "the kubelet stand-in does not end"
        if self._error is not None:
            raise self._error

    def release(self, namespace: str) -> None:
        """Let the slow pods of a namespace start, those to come included."""
        with self._lock:
            self._released.add(namespace)
            waiting = [pod for pod in self._slow if pod["metadata"]["namespace"] == namespace]
            self._slow = [pod for pod in self._slow if pod not in waiting]
        for pod in waiting:
            self._play(pod)

    def set_ready(self, pod: JsonObject, ready: bool) -> None:
        """Change a running pod's readiness, as a failing or recovering probe would."""
        self._set_status(pod, _running(pod, ready))

    def _run(self) -> None:
        try:
            for pod in self._follower.objects():
                if not pod.get("status", {}).get("containerStatuses") and "deletionTimestamp" not in pod["metadata"]:
                    self._play(pod)
        except BaseException as error:  # reported by the thread that ends the block
            self._error = error

    def _play(self, pod: JsonObject) -> None:
        image = str(pod["spec"]["containers"][0]["image"])
        owners = {owner["kind"] for owner in pod["metadata"].get("ownerReferences", [])}
        with self._lock:
            if "slow" in image and pod["metadata"]["namespace"] not in self._released:
                self._slow.append(pod)
                return
        if "missing" in image:
            message = f'Back-off pulling image "{image}"'
            status = _waiting(pod, "Pending", "ImagePullBackOff", message)
        elif "crashing" in image:
            status = _waiting(pod, "Running", "CrashLoopBackOff", "back-off 10s restarting failed container")
        elif "failing" in image:
            status = _ended(pod, "Failed", "Error", 1)
        elif "Job" in owners:
            status = _ended(pod, "Succeeded", "Completed", 0)
        else:
            status = _running(pod, ready=True)
        self._set_status(pod, status)

    def _set_status(self, pod: JsonObject, status: JsonObject) -> None:
        named = {"apiVersion": "v1", "kind": "Pod", "metadata": pod["metadata"]}
        try:
            self._api.merge(named, {"status": status}, status=True)
        except ApiError as error:
            if error.code not in (404, 409):  # deleted meanwhile
                raise
        except OSError:
            return  # the API server is away: listed anew, the pod comes again

    def _make_node(self) -> None:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": {"kubernetes.io/os": "linux"}}}
        self._api.apply(node, manager="kubelet", force=True)
        room = {"cpu": "8", "memory": "16Gi", "pods": "110"}
        ready = _condition("Ready", True, "KubeletReady")
        conditions = [ready | {"lastHeartbeatTime": ready["lastTransitionTime"]}]
        self._api.merge(
            node, {"status": {"capacity": room, "allocatable": room, "conditions": conditions}}, status=True
        )


def _condition(type_: str, holds: bool, reason: str = "") -> JsonObject:
    now = time.strftime(_NOW, time.gmtime())
    return {"type": type_, "status": "True" if holds else "False", "reason": reason, "lastTransitionTime": now}


def _status(pod: JsonObject, phase: str, ready: bool, state: JsonObject) -> JsonObject:
    """A pod status in which every container is in the same state."""
    reason = "" if ready else "ContainersNotReady"
    return {
        "phase": phase,
        "conditions": [
            _condition("PodScheduled", True),
            _condition("Initialized", True),
            _condition("ContainersReady", ready, reason),
            _condition("Ready", ready, reason),
        ],
        "containerStatuses": [
            {
                "name": container["name"], "image": container["image"], "imageID": "", "ready": ready,
                "started": ready, "restartCount": 0, "state": state,
            }
            for container in pod["spec"]["containers"]
        ],
    }  # fmt: skip


def _running(pod: JsonObject, ready: bool) -> JsonObject:
    return _status(pod, "Running", ready, {"running": {"startedAt": time.strftime(_NOW, time.gmtime())}})


def _waiting(pod: JsonObject, phase: str, reason: str, message: str) -> JsonObject:
    return _status(pod, phase, False, {"waiting": {"reason": reason, "message": message}})


def _ended(pod: JsonObject, phase: str, reason: str, code: int) -> JsonObject:
    return _status(pod, phase, False, {"terminated": {"reason": reason, "exitCode": code}})
