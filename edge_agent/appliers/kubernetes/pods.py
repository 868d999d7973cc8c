"""What the pods of a workload say about why it is not ready: the words of the kubelet and of the containers."""

from __future__ import annotations

from typing import Any

from edge_agent.appliers.kubernetes.cluster import Cluster
from edge_agent.appliers.kubernetes.problems import ApiError
from topics.documents.base import JsonObject

_PODS = 20
_SHOWN = 3
_LENGTH = 300


def explain(cluster: Cluster, live: JsonObject) -> str:
    """What the pods that an object selects say; empty if it has none, or the agent may not look at them."""
    selector = (live.get("spec") or {}).get("selector")
    labels = selector.get("matchLabels") if isinstance(selector, dict) else None
    namespace = live["metadata"].get("namespace")
    if not isinstance(labels, dict) or not labels or not namespace:
        return ""
    query = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    try:
        pods = cluster.list(cluster.kinds.find("v1", "Pod"), namespace, labels=query, most=_PODS).items
    except ApiError:
        # The reason that is explained here is the one that counts; this is only about saying more.
        return ""
    said = list(dict.fromkeys(text for pod in pods if (text := _said(pod))))
    return "; ".join(said[:_SHOWN])


def _said(pod: JsonObject) -> str:
    """The first thing that is wrong with a pod."""
    name = pod["metadata"]["name"]
    status = pod.get("status")
    if not isinstance(status, dict):
        return ""
    for container in [*_dicts(status.get("initContainerStatuses")), *_dicts(status.get("containerStatuses"))]:
        state = container.get("state")
        for kind in ("waiting", "terminated"):
            found = state.get(kind) if isinstance(state, dict) else None
            if isinstance(found, dict) and (kind == "waiting" or found.get("exitCode")):
                what = [str(found.get("reason") or kind)]
                if kind == "terminated":
                    what.append(f"exit code {found.get('exitCode')}")
                if found.get("message"):
                    what.append(str(found["message"]).strip()[:_LENGTH])
                return f"pod {name}, container {container.get('name')}: {', '.join(what)}"
    for condition in _dicts(status.get("conditions")):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"pod {name}: {condition.get('reason')}: {str(condition.get('message') or '')[:_LENGTH]}"
    message = str(status.get("message") or status.get("reason") or "")
    return f"pod {name}: {message[:_LENGTH]}" if message and status.get("phase") == "Failed" else ""


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
