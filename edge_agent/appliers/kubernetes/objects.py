"""What the applier knows of single objects: their identity, whose they are, how they differ. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

from topics.documents.base import JsonObject

DEPLOYMENT_LABEL = "fleetbus.io/deployment"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "fleetbus"
_OTHERS_MARKS = (
    # (labels or annotations, key, what it is the mark of)
    ("annotations", "meta.helm.sh/release-name", "Helm release"),
    ("labels", "argocd.argoproj.io/instance", "Argo CD application"),
    ("labels", "kustomize.toolkit.fluxcd.io/name", "Flux Kustomization"),
    ("labels", "helm.toolkit.fluxcd.io/name", "Flux HelmRelease"),
    ("labels", "objectset.rio.cattle.io/hash", "k3s object set"),
)
_SERVER_FIELDS = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
)
"""Metadata that only the server writes; ``managedFields`` in an apply is even refused."""
_SHOWN = 5


Key: TypeAlias = tuple[str, str, str, str]
"""API group, kind, namespace (empty for cluster-scoped), name: what Kubernetes tells objects apart by."""


class Ref(NamedTuple):
    """Where an object is; ``namespace`` is empty for cluster-scoped kinds."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def key(self) -> Key:
        """The identity: the same object whatever version of its group it is looked at with."""
        return (self.group, self.kind, self.namespace, self.name)

    @property
    def is_namespace(self) -> bool:
        return (self.group, self.kind) == ("", "Namespace")

    def __str__(self) -> str:
        group = f".{self.group}" if self.group else ""
        return f"{self.kind}{group} {self.namespace + '/' if self.namespace else ''}{self.name}"


def ref_of(item: JsonObject) -> Ref:
    """Where a prepared or live object is."""
    metadata = item["metadata"]
    return Ref(item["apiVersion"], item["kind"], metadata.get("namespace") or "", metadata["name"])


def prepared(item: JsonObject, deployment: str, *, namespaced: bool | None, namespace: str) -> JsonObject:
    """A copy of an object as it is applied: in a namespace, marked as the deployment's, without server fields.

    ``namespaced`` is ``None`` for a kind that the cluster does not know yet: the object's own word counts.
    """
    metadata: dict[str, Any] = {
        key: value for key, value in item["metadata"].items() if key not in _SERVER_FIELDS and value is not None
    }
    if namespaced is False:
        metadata.pop("namespace", None)
    elif namespaced and not metadata.get("namespace"):
        metadata["namespace"] = namespace
    labels = {MANAGED_BY_LABEL: MANAGED_BY, **(metadata.get("labels") or {}), DEPLOYMENT_LABEL: deployment}
    body = {key: value for key, value in item.items() if key != "status"}
    return {**body, "metadata": {**metadata, "labels": labels}}


def digest(item: JsonObject) -> str:
    """A digest over an object's content."""
    text = json.dumps(item, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


def is_crd(item: JsonObject) -> bool:
    ref = ref_of(item)
    return (ref.group, ref.kind) == ("apiextensions.k8s.io", "CustomResourceDefinition")


def is_job(item: JsonObject) -> bool:
    ref = ref_of(item)
    return (ref.group, ref.kind) == ("batch", "Job")


def is_namespace(item: JsonObject) -> bool:
    return ref_of(item).is_namespace


def declared_kinds(items: Iterable[JsonObject]) -> set[tuple[str, str]]:
    """(group, kind) of each kind that the definitions among the objects declare."""
    found = set()
    for item in items:
        if is_crd(item):
            spec: Any = item.get("spec")
            names = spec.get("names") if isinstance(spec, dict) else None
            if isinstance(names, dict):
                found.add((str(spec.get("group", "")), str(names.get("kind", ""))))
    return found


def label(live: JsonObject, name: str) -> str:
    labels = live["metadata"].get("labels") or {}
    return str(labels.get(name) or "")


def is_ours(live: JsonObject, deployment: str, manager: str, *, inventoried: bool) -> bool:
    """Whether the deployment owns a live object.

    The label says so. One that somebody took the label off is still ours if the inventory has it and our
    manager applied it: an object that was deleted and made again by somebody else has neither.
    """
    owner = label(live, DEPLOYMENT_LABEL)
    if owner:
        return owner == deployment
    return inventoried and any(
        entry.get("manager") == manager and entry.get("operation") == "Apply" for entry in managers_of(live)
    )


def owner_text(live: JsonObject) -> str:
    """Whose a foreign object is, for a person, by its marks, owner references and field managers."""
    metadata = live["metadata"]
    if owner := label(live, DEPLOYMENT_LABEL):
        return f"the Fleetbus deployment {owner!r}"
    for place, key, what in _OTHERS_MARKS:
        if value := (metadata.get(place) or {}).get(key):
            return f"the {what} {str(value)!r}"
    for reference in metadata.get("ownerReferences") or ():
        if isinstance(reference, dict):
            return f"the {reference.get('kind')} {reference.get('name')!r}"
    if by := label(live, MANAGED_BY_LABEL):
        return f"{by!r} (app.kubernetes.io/managed-by)"
    names = sorted({str(entry.get("manager")) for entry in managers_of(live)})
    return f"whoever made it (field managers: {', '.join(names)})" if names else "somebody else"


def managers_of(live: JsonObject) -> list[dict[str, Any]]:
    """The entries of ``managedFields``."""
    entries = live["metadata"].get("managedFields")
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def comparable(live: JsonObject) -> JsonObject:
    """A live object without what changes by itself: book-keeping of the server, and status."""
    metadata = {
        key: value
        for key, value in live["metadata"].items()
        if key not in ("managedFields", "resourceVersion", "generation", "selfLink")
    }
    return {**{key: value for key, value in live.items() if key != "status"}, "metadata": metadata}


def differences(live: object, wanted: object) -> list[str]:
    """The paths at which two objects differ, in order, at most a few; the last says how many more there are."""
    found = list(_paths(live, wanted, ""))
    return found if len(found) <= _SHOWN else [*found[:_SHOWN], f"{len(found) - _SHOWN} more"]


def _paths(live: object, wanted: object, at: str) -> Iterator[str]:
    if isinstance(live, dict) and isinstance(wanted, dict):
        for key in sorted({*live, *wanted}):
            yield from _paths(live.get(key), wanted.get(key), f"{at}.{key}" if at else key)
    elif isinstance(live, list) and isinstance(wanted, list) and len(live) == len(wanted):
        for index, (one, other) in enumerate(zip(live, wanted, strict=True)):
            yield from _paths(one, other, f"{at}[{index}]")
    elif live != wanted:
        yield at or "(whole object)"
