"""From rendered files to objects in the order in which Helm installs them.

A file's text that was seen before is not read again: the manifests of a thousand devices differ in a few files,
and reading YAML takes most of the time. What is remembered is the text's own meaning, so nothing depends on
what was rendered before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from orchestrator.rendering.helm_chart import RenderedChart, RenderedFile
from orchestrator.rendering.kubernetes_yaml import load_document, split_documents
from orchestrator.rendering.ownership import check_object
from orchestrator.rendering.port import RenderError
from topics.documents.base import JsonObject
from topics.errors import Reason

# The order is the one ``helm install`` uses; kinds that are not in it come last, by name. A test compares
# it with what Helm itself does.
INSTALL_ORDER = [
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
]

_RANK = {kind: rank for rank, kind in enumerate(INSTALL_ORDER)}
CRD_RANK = (_RANK["CustomResourceDefinition"], "")
_HOOK = "helm.sh/hook"
_TEST_HOOKS = {"test", "test-success", "test-failure"}
_LARGE_TEXT = 16 * 1024
"""Characters of a file beyond which its objects are not remembered: many large ones would fill the memory."""

_MOST_FILES = 1024


class FoundObject(NamedTuple):
    """One object, the file of the chart it comes from, and its place in the order."""

    path: str
    rank: tuple[int, str]
    is_hook: bool
    content: JsonObject


def objects_of(rendered: RenderedChart) -> list[FoundObject]:
    """The objects to apply: CRDs of the chart's ``crds/`` folders first, then the templates' objects by kind.

    Raises ``RenderError`` with every reason. The contents are shared and not to be changed.
    """
    reasons: list[Reason] = []
    crds = _gathered(rendered.crds, reasons)
    templates = _gathered(rendered.templates, reasons)
    if any(item.is_hook for item in templates):
        templates = list(_without_hooks(templates, reasons))
    if reasons:
        raise RenderError(reasons)
    # Sorting is stable: within a kind and a file the order is that of the text.
    templates.sort(key=attrgetter("rank", "path"))
    return crds + templates


def _gathered(files: Iterable[RenderedFile], reasons: list[Reason]) -> list[FoundObject]:
    found: list[FoundObject] = []
    for path, text in files:
        try:
            found += _read(path, text) if len(text) <= _LARGE_TEXT else _read.__wrapped__(path, text)
        except RenderError as error:
            reasons += error.reasons
    return found


@lru_cache(maxsize=_MOST_FILES)
def _read(path: str, text: str) -> tuple[FoundObject, ...]:
    """The objects of one file. Raises ``RenderError``."""
    found: list[FoundObject] = []
    reasons: list[Reason] = []
    for document in split_documents(text):
        try:
            value = load_document(document)
            for item in [] if value is None or value == {} else _flattened(value):
                check_object(item, "helm")
                found.append(
                    FoundObject(
                        path, _install_rank(item["kind"]), _HOOK in (item["metadata"].get("annotations") or ()), item
                    )
                )
        except ValueError as error:
            reasons.append(_reason("helm-template", f"{path}: the rendered text {error}"))
        except RenderError as error:
            reasons += [_reason(reason.code, f"{path}: {reason.message}") for reason in error.reasons]
    if reasons:
        raise RenderError(reasons)
    return tuple(found)


def _install_rank(kind: str) -> tuple[int, str]:
    return (_RANK[kind], "") if kind in _RANK else (len(_RANK), kind)


def _flattened(value: Any) -> list[Any]:
    """The items of a ``List`` object; anything else as it is."""
    if isinstance(value, dict) and str(value.get("kind", "")).endswith("List") and isinstance(value.get("items"), list):
        return [inner for item in value["items"] for inner in _flattened(item)]
    return [value]


def _without_hooks(found: Iterable[FoundObject], reasons: list[Reason]) -> Iterator[FoundObject]:
    for item in found:
        if not item.is_hook:
            yield item
            continue
        hooks = {hook.strip() for hook in str(item.content["metadata"]["annotations"][_HOOK]).split(",")} - {""}
        if not hooks:
            yield item
        elif hooks - _TEST_HOOKS:
            name = f"{item.content['kind']} {item.content['metadata']['name']!r}"
            reasons.append(
                Reason(
                    path="helm.chart",
                    code="helm-hooks",
                    message=f"{item.path}: {name} is a {', '.join(sorted(hooks - _TEST_HOOKS))} hook; "
                    "hooks other than tests need Helm itself on the device",
                    hint="use renderer: helm-release (or flux, k3s, argocd), which run hooks; or turn the hook off in "
                    "the chart's values",
                )
            )


def _reason(code: str, message: str) -> Reason:
    return Reason(path="helm", code=code, message=message)
