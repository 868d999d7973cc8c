"""Merging a patch into a Kubernetes object, as ``kubectl patch`` and kustomize do.

For kinds that are built into Kubernetes, lists whose items have a name of their own are merged item by item
(strategic merge patch): the keys are those of the API's ``patchMergeKey`` tags (Kubernetes 1.36, ``k8s.io/api``).
Every other list is replaced, and so are all lists of custom resources, whose schema is not known here (JSON
merge patch, RFC 7386). ``null`` removes a key. ``$patch: delete`` removes an item or an object's content,
``$patch: replace`` puts the patch in place of what is there.
"""

from __future__ import annotations

from typing import Any

from topics.documents.base import JsonObject

MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "volumeClaimTemplates": (),
    "ports": ("containerPort", "port"),
    "imagePullSecrets": ("name",),
    "secrets": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey",),
    "resourceClaims": ("name",),
    "schedulingGates": ("name",),
    "webhooks": ("name",),
    "ownerReferences": ("uid",),
    "conditions": ("type",),
}
"""Field to its merge key. ``ports`` has two: that of a container, and that of a Service."""

PRIMITIVES = frozenset({"finalizers"})
"""Lists of texts that are merged as sets."""

_BUILT_IN = frozenset(
    {
        "", "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "apps", "autoscaling",
        "batch", "certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io",
        "flowcontrol.apiserver.k8s.io", "networking.k8s.io", "node.k8s.io", "policy", "rbac.authorization.k8s.io",
        "resource.k8s.io", "scheduling.k8s.io", "storage.k8s.io",
    }
)  # fmt: skip
_DIRECTIVE = "$patch"


class MergeError(ValueError):
    """The patch cannot be merged; the text names the place."""


def merge(item: JsonObject, patch: JsonObject) -> JsonObject | None:
    """The object with the patch merged in; ``None`` if the patch deletes it. Both stay as they are.

    Raises ``MergeError``.
    """
    group = str(item.get("apiVersion", "")).rpartition("/")[0]
    if patch.get(_DIRECTIVE) == "delete":
        return None
    return _object(item, patch, "", strategic=group in _BUILT_IN)


def _object(value: JsonObject, patch: JsonObject, path: str, *, strategic: bool) -> JsonObject:
    directive = _directive(patch, path)
    if directive == "replace":
        return {key: _plain(item, _at(path, key)) for key, item in _without(patch).items() if item is not None}
    if directive == "delete":
        return {}
    result = dict(value)
    for key, wanted in patch.items():
        if key == _DIRECTIVE:
            continue
        if key.startswith("$"):
            raise MergeError(f"{_at(path, key)}: this directive is not taken; use a JSON patch for what it does")
        place = _at(path, key)
        known = result.get(key)
        if wanted is None:
            result.pop(key, None)
        elif isinstance(wanted, dict):
            result[key] = _object(known if isinstance(known, dict) else {}, wanted, place, strategic=strategic)
        elif isinstance(wanted, list):
            result[key] = _list(known if isinstance(known, list) else [], wanted, key, place, strategic=strategic)
        else:
            result[key] = wanted
    return result


def _list(value: list[Any], patch: list[Any], field: str, path: str, *, strategic: bool) -> list[Any]:
    if strategic and field in PRIMITIVES and all(isinstance(item, str) for item in patch):
        return [*value, *(item for item in patch if item not in value)]
    keys = MERGE_KEYS.get(field, ()) if strategic else ()
    if not keys or not all(isinstance(item, dict) for item in (*value, *patch)):
        return [_plain(item, path) for item in patch]
    key = next((name for name in keys if any(name in item for item in (*patch, *value))), keys[0])
    result, added = list(value), []
    for index, item in enumerate(patch):
        place = f"{path}[{index}]"
        directive = _directive(item, place)
        if directive == "replace" and not _without(item):
            result = []  # an item that is nothing but the directive speaks of the whole list
            continue
        if key not in item:
            raise MergeError(f"{place}: an item of this list is known by its {key!r}, which is missing")
        at = next((number for number, known in enumerate(result) if known.get(key) == item[key]), None)
        if directive == "delete":
            if at is None:
                raise MergeError(f"{place}: there is no item with {key} {item[key]!r} to delete")
            del result[at]
        elif at is None:
            added.append(_object({}, item, place, strategic=strategic))
        else:
            result[at] = _object(result[at], item, place, strategic=strategic)
    # New items come first, as Kubernetes puts them.
    return [*added, *result]


def _directive(patch: JsonObject, path: str) -> str | None:
    directive = patch.get(_DIRECTIVE)
    if directive is not None and directive not in ("delete", "replace", "merge"):
        raise MergeError(f"{_at(path, _DIRECTIVE)}: {directive!r} is none of delete, replace and merge")
    return None if directive is None else str(directive)


def _without(patch: JsonObject) -> JsonObject:
    return {key: value for key, value in patch.items() if key != _DIRECTIVE}


def _plain(value: Any, path: str) -> Any:
    """What is put in as a whole: nulls and directives in it would stay, and mean nothing to Kubernetes."""
    if isinstance(value, dict):
        strange = next((key for key in value if key.startswith("$")), None)
        if strange is not None:
            raise MergeError(f"{_at(path, strange)}: directives have no meaning in a list that is replaced")
        return {key: _plain(item, _at(path, key)) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_plain(item, path) for item in value]
    return value


def _at(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
