"""Marks an object as Fleetbus's own: namespace, labels, annotations.

Labels
- ``app.kubernetes.io/managed-by: fleetbus``, whatever the object said: it is the agent that applies it.
- ``app.kubernetes.io/part-of: <deployment>``, unless the object says something itself: other objects may
  select by it, as ServiceMonitor selectors do.
- ``fleetbus.io/deployment`` and ``fleetbus.io/component``: what removal and the inventory go by.

Annotations
- ``fleetbus.io/application``: the application's id, where the spec has one.
- ``fleetbus.io/chart``: name, version and digest, for objects out of a chart.

The generation is no annotation and no label. It grows with every change of a spec, so every object of every
component would differ on every update: all would be applied again, drift could not be told from an
update, and the digest of a component would say nothing. The manifest carries the generation; objects
change only when their content does. Pod templates are never touched, so marking restarts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.rendering.port import RenderContext, RenderError
from orchestrator.rendering.scope import namespace_for
from topics.documents.base import JsonObject

MANAGED_BY = "fleetbus"
DEPLOYMENT_LABEL = "fleetbus.io/deployment"
COMPONENT_LABEL = "fleetbus.io/component"
APPLICATION_ANNOTATION = "fleetbus.io/application"
CHART_ANNOTATION = "fleetbus.io/chart"


def owned(
    item: JsonObject,
    context: RenderContext,
    *,
    component: str | None,
    path: str,
    annotations: Mapping[str, str] | None = None,
    cluster_kinds: frozenset[tuple[str, str]] = frozenset(),
) -> JsonObject:
    """A copy of the object with namespace, labels and annotations filled in.

    ``component`` is ``None`` for initialization, ``path`` the place for a reason. Raises ``RenderError``
    (``object-invalid``) for what is no Kubernetes object with a name.
    """
    check_object(item, path)
    metadata = dict(item["metadata"])
    namespace = namespace_for(item, context.workload_namespace, context.cluster_namespace, cluster_kinds)
    metadata.pop("namespace", None)
    if namespace is not None:
        metadata["namespace"] = namespace
    labels = {
        "app.kubernetes.io/part-of": context.deployment,
        **(metadata.get("labels") or {}),
        "app.kubernetes.io/managed-by": MANAGED_BY,
        DEPLOYMENT_LABEL: context.deployment,
    }
    if component is not None:
        labels[COMPONENT_LABEL] = component
    marks = {**(metadata.get("annotations") or {}), **(annotations or {})}
    if context.application is not None:
        marks[APPLICATION_ANNOTATION] = context.application.id
    metadata["labels"] = labels
    if marks:
        metadata["annotations"] = marks
    else:
        metadata.pop("annotations", None)
    return {**item, "metadata": metadata}


def check_object(item: object, path: str) -> None:
    """Raise ``RenderError`` unless this is a Kubernetes object with a name, and labels that are mappings."""
    problem = _problem(item)
    if problem:
        raise RenderError.because("object-invalid", problem, path=path)


def _problem(item: object) -> str | None:
    if not isinstance(item, dict):
        return f"is a {type(item).__name__}, not a Kubernetes object"
    for field in ("apiVersion", "kind"):
        if not isinstance(item.get(field), str) or not item[field]:
            return f"has no '{field}'"
    metadata = item.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        return f"{item['kind']} has no 'metadata.name'; an object without a fixed name could not be removed again"
    for field in ("labels", "annotations"):
        value = metadata.get(field)
        if value is not None and not isinstance(value, dict):
            return f"{item['kind']} {metadata['name']!r}: 'metadata.{field}' is not a mapping"
    namespace = metadata.get("namespace")
    if namespace is not None and not isinstance(namespace, str):
        return f"{item['kind']} {metadata['name']!r}: 'metadata.namespace' is not text"
    return None
