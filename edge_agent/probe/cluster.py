"""The Kubernetes cluster that a device is part of: version, nodes, and what they have for workloads."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from edge_agent.probe.http_api import NoAnswerError, Server
from topics.documents.device import Runtime
from topics.quantity import parse_quantity

_PAGE = 50
_MOST_PAGES = 200  # 10,000 nodes: more than any cluster has
_INT64 = 2**63 - 1


def probe_cluster(server: Server, seconds: float) -> tuple[Runtime, str]:
    """The cluster, and what it did not say (empty if nothing). Raises ``NoAnswerError`` if it does not answer.

    ``cpu`` (millicores), ``memory`` and ``storage`` (bytes) are the sums of ``status.allocatable`` over the
    nodes: what their kubelets leave for pods, whatever of it is in use.
    """
    deadline = time.monotonic() + seconds
    version = _text(server.get("/version", seconds), "gitVersion")[:100]
    try:
        nodes = list(_nodes(server, deadline))
        return (
            Runtime(
                name="kubernetes", version=version, nodes=len(nodes),
                cpu=_sum(nodes, "cpu", 1000), memory=_sum(nodes, "memory"), storage=_sum(nodes, "ephemeral-storage"),
            ),
            "",
        )  # fmt: skip
    except NoAnswerError as error:
        hint = ": let the agent's account list nodes" if error.status in (401, 403) else ""
        return Runtime(name="kubernetes", version=version), f"the cluster's nodes are not known: {error}{hint}"


def _nodes(server: Server, deadline: float) -> Iterator[Any]:
    """``status.allocatable`` of each node, page by page: whole nodes are large, and a cluster may have many."""
    token = ""
    for _ in range(_MOST_PAGES):
        left = deadline - time.monotonic()
        if left <= 0:
            raise NoAnswerError("not all of them were listed in time")
        path = f"/api/v1/nodes?limit={_PAGE}" + (f"&continue={quote(token, safe='')}" if token else "")
        page = server.get(path, left)
        items = page.get("items") if isinstance(page, dict) else None
        if not isinstance(items, list):
            raise NoAnswerError("the answer is not a list of nodes")
        for item in items:
            status = item.get("status") if isinstance(item, dict) else None
            yield status.get("allocatable") if isinstance(status, dict) else None
        token = _text(page.get("metadata"), "continue")
        if not token:
            return
    raise NoAnswerError(f"there are more than {_PAGE * _MOST_PAGES}")


def _sum(nodes: list[Any], resource: str, scale: int = 1) -> int | None:
    """The sum over the nodes; ``None`` if one of them does not say it."""
    try:
        total = sum(math.floor(parse_quantity(node[resource]) * scale) for node in nodes)
    except (KeyError, TypeError, ValueError):
        return None
    return total if total <= _INT64 else None


def _text(document: Any, key: str) -> str:
    value = document.get(key) if isinstance(document, dict) else None
    return value if isinstance(value, str) else ""
