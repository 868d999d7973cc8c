"""Which namespace an object belongs in.

Kubernetes knows which kinds are cluster-scoped by asking its API server; a renderer has none to ask, so the
built-in kinds are listed here (Kubernetes 1.36, ``kubectl api-resources --namespaced=false``) with the
two from widely used projects that charts bring along, and custom kinds are read from the
CustomResourceDefinitions of the same component. Every other kind is taken as namespaced.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from topics.documents.base import JsonObject
from topics.policy import DRIVERS

CLUSTER_SCOPED: frozenset[tuple[str, str]] = frozenset(
    (group, kind)
    for group, kinds in {
        "": "ComponentStatus Namespace Node PersistentVolume",
        "admissionregistration.k8s.io": "MutatingAdmissionPolicy MutatingAdmissionPolicyBinding "
        "MutatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding "
        "ValidatingWebhookConfiguration",
        "apiextensions.k8s.io": "CustomResourceDefinition",
        "apiregistration.k8s.io": "APIService",
        "authentication.k8s.io": "SelfSubjectReview TokenReview",
        "authorization.k8s.io": "SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview",
        "certificates.k8s.io": "CertificateSigningRequest ClusterTrustBundle",
        "flowcontrol.apiserver.k8s.io": "FlowSchema PriorityLevelConfiguration",
        "internal.apiserver.k8s.io": "StorageVersion",
        "networking.k8s.io": "IngressClass IPAddress ServiceCIDR",
        "node.k8s.io": "RuntimeClass",
        "policy": "PodSecurityPolicy",
        "rbac.authorization.k8s.io": "ClusterRole ClusterRoleBinding",
        "resource.k8s.io": "DeviceClass DeviceTaintRule ResourceSlice",
        "scheduling.k8s.io": "PriorityClass",
        "storage.k8s.io": "CSIDriver CSINode StorageClass VolumeAttachment VolumeAttributesClass",
        "storagemigration.k8s.io": "StorageVersionMigration",
        "cert-manager.io": "ClusterIssuer",
        "gateway.networking.k8s.io": "GatewayClass",
    }.items()
    for kind in kinds.split()
)

Identity = tuple[str, str, str, str]
"""API group, kind, namespace (empty for cluster-scoped), name: what Kubernetes tells objects apart by."""


def group_of(item: JsonObject) -> str:
    """The API group; empty for the core group."""
    group, slash, _version = str(item["apiVersion"]).rpartition("/")
    return group if slash else ""


def declared_cluster_kinds(objects: Iterable[JsonObject]) -> frozenset[tuple[str, str]]:
    """(group, kind) of each CustomResourceDefinition among the objects that declares a cluster-scoped kind."""
    found = set()
    for item in objects:
        if item.get("kind") == "CustomResourceDefinition" and group_of(item) == "apiextensions.k8s.io":
            body: Any = item.get("spec")
            names = body.get("names") if isinstance(body, dict) else None
            if isinstance(names, dict) and body.get("scope") == "Cluster":
                found.add((str(body.get("group", "")), str(names.get("kind", ""))))
    return frozenset(found)


def namespace_for(
    item: JsonObject, workload: str, cluster: str, declared: frozenset[tuple[str, str]] = frozenset()
) -> str | None:
    """The namespace the object is put in; ``None`` for a cluster-scoped kind, whatever it says itself.

    A namespace that the object names is kept.
    """
    key = (group_of(item), item["kind"])
    if key in CLUSTER_SCOPED or key in declared:
        return None
    named = item["metadata"].get("namespace")
    if named:
        return str(named)
    return cluster if key in DRIVERS else workload


def identity_of(item: JsonObject) -> Identity:
    """The identity of a rendered object."""
    metadata = item["metadata"]
    return (group_of(item), item["kind"], metadata.get("namespace", ""), metadata["name"])


def shown(identity: Identity) -> str:
    """An identity for a message: ``Deployment.apps press/web``."""
    group, kind, namespace, name = identity
    return f"{kind}{'.' + group if group else ''} {namespace + '/' if namespace else ''}{name}"
