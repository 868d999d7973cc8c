"""The objects that are there before the first component: the namespace, config maps, secrets, jobs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from orchestrator.rendering.ownership import owned
from orchestrator.rendering.port import RenderContext, RenderError
from orchestrator.rendering.scope import Identity, identity_of, shown
from topics.documents.base import JsonObject
from topics.documents.spec import Initialization
from topics.errors import Reason

_BUILT_IN_NAMESPACES = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})
"""They are always there and are nobody's to create, label or remove."""

CREATED = "spec.workload.create"

Placed: TypeAlias = tuple[str, JsonObject]
"""An object and the place in the spec that it comes from."""


def initialization(
    body: Initialization, context: RenderContext, reasons: list[Reason], *, create: bool
) -> list[Placed]:
    """The workload namespace first if it is to be created, then config maps, secrets and jobs.

    What cannot be taken is left out and its reasons are added to ``reasons``.
    """
    placed: list[Placed] = []
    if create and context.workload_namespace not in _BUILT_IN_NAMESPACES:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": context.workload_namespace}}
        placed.append((CREATED, owned(namespace, context, component=None, path="spec.workload")))
    for field, version, kind, items in (
        ("configMaps", "v1", "ConfigMap", body.config_maps),
        ("secrets", "v1", "Secret", body.secrets),
        ("jobs", "batch/v1", "Job", body.jobs),
    ):
        for index, item in enumerate(items):
            path = f"spec.initialization.{field}[{index}]"
            whole = {"apiVersion": version, "kind": kind, **item}
            try:
                if (whole["apiVersion"], whole["kind"]) != (version, kind):
                    raise RenderError.because(
                        "object-invalid", f"is not a {version} {kind}", path=path, hint="put it into a component"
                    )
                placed.append((path, owned(whole, context, component=None, path=path)))
            except RenderError as error:
                reasons += error.reasons
    return placed


def duplicates(places: Iterable[Placed]) -> list[Reason]:
    """A reason for each object whose identity an earlier one has already."""
    first: dict[Identity, str] = {}
    reasons = []
    for path, item in places:
        identity = identity_of(item)
        other = first.get(identity)
        if other is None:
            first[identity] = path
        else:
            created = CREATED in (other, path)
            reasons.append(
                Reason(
                    path=path,
                    code="duplicate-object",
                    message=f"{shown(identity)} is also given by {other}",
                    hint="set spec.workload.create to false, or leave this object out"
                    if created
                    else "give one of them another name, or leave it out",
                )
            )
    return reasons
