"""What differs between two manifests: by component, object and field. Pure.

Objects are the same if Kubernetes takes them as the same (group, kind, namespace, name). What is inside of
Secrets is never shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from orchestrator.rendering.scope import Identity, identity_of
from topics.documents.base import JsonObject
from topics.documents.manifest import Manifest, ManifestComponent

Action = Literal["added", "removed", "changed"]

INITIALIZATION = "initialization"
"""What is done before the components, where it stands among them."""

HIDDEN = "(hidden)"
_TEMPLATED = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController"})
_OPEN_IN_SECRETS = frozenset({"apiVersion", "kind", "type", "immutable"})
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class _Absent:
    """Stands for a value that is not there; ``null`` is one."""

    def __repr__(self) -> str:
        return "(absent)"


ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field: its path within the object, and both values (``ABSENT`` where there is none)."""

    path: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """One object that comes, goes or changes. ``restarts``: its pods are replaced."""

    action: Action
    identity: Identity
    fields: tuple[FieldChange, ...] = ()
    restarts: bool = False

    @property
    def shown(self) -> str:
        """``Deployment press/bridge``."""
        _, kind, namespace, name = self.identity
        return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


@dataclass(frozen=True, slots=True)
class ComponentChange:
    """One component (or ``initialization``) that comes, goes or changes; ``fields`` are its own, such as its timeout."""

    name: str
    action: Action
    objects: tuple[ObjectChange, ...] = ()
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything that differs but generation, device and digests; false if nothing does."""

    components: tuple[ComponentChange, ...] = ()
    fields: tuple[FieldChange, ...] = ()
    """Of the manifest itself: namespaces, activation, requirements."""

    def __bool__(self) -> bool:
        return bool(self.components or self.fields)

    @property
    def restarts(self) -> tuple[str, ...]:
        """The workloads whose pods are replaced, with their component."""
        return tuple(f"{part.name}: {item.shown}" for part in self.components for item in part.objects if item.restarts)


def difference(old: Manifest, new: Manifest) -> Difference:
    """What a device that has ``old`` gets with ``new``."""
    parts = []
    before = tuple(old.initialization)
    objects = tuple(_objects(before, new.initialization))
    if objects:
        parts.append(ComponentChange(INITIALIZATION, _action(before, new.initialization), objects))
    olds = {part.name: part for part in old.components}
    news = {part.name: part for part in new.components}
    for name in [*news, *(name for name in olds if name not in news)]:
        change = _component(olds.get(name), news.get(name))
        if change is not None:
            parts.append(change)
    own = tuple(_fields(_own(old), _own(new), ""))
    return Difference(tuple(parts), own)


def images(manifest: Manifest) -> frozenset[str]:
    """Every container image that the manifest's objects name."""
    every = [*manifest.initialization, *(item for part in manifest.components for item in part.objects)]
    return frozenset(_images(every))


def _component(old: ManifestComponent | None, new: ManifestComponent | None) -> ComponentChange | None:
    before, after = old.objects if old else (), new.objects if new else ()
    objects = tuple(_objects(before, after))
    if old is None or new is None:
        part = old or new
        assert part is not None, "one of the two names it"
        return ComponentChange(part.name, "removed" if new is None else "added", objects)
    fields = tuple(_fields(_settings(old), _settings(new), ""))
    order = [identity_of(item) for item in before] != [identity_of(item) for item in after]
    if not objects and order:
        fields += (FieldChange("objects", "in another order", "in another order"),)
    return ComponentChange(new.name, "changed", objects, fields) if objects or fields else None


def _action(before: Sequence[object], after: Sequence[object]) -> Action:
    if before and after:
        return "changed"
    return "added" if after else "removed"


def _objects(before: Iterable[JsonObject], after: Iterable[JsonObject]) -> Iterator[ObjectChange]:
    olds = {identity_of(item): item for item in before}
    news = {identity_of(item): item for item in after}
    for identity, item in news.items():
        known = olds.get(identity)
        if known is None:
            yield ObjectChange("added", identity)
        elif fields := tuple(_fields(known, item, "")):
            secret = identity[:2] == ("", "Secret")
            shown = tuple(_hidden(change) for change in fields) if secret else fields
            yield ObjectChange("changed", identity, shown, _restarts(identity, fields))
    for identity in olds.keys() - news.keys():
        yield ObjectChange("removed", identity)


def _restarts(identity: Identity, fields: Iterable[FieldChange]) -> bool:
    """Whether a controller replaces the pods: their template differs. Of changed settings nobody can know."""
    kind = identity[1]
    start = "spec.template" if kind in _TEMPLATED else "spec" if kind == "Pod" else None
    return start is not None and any(change.path == start or change.path.startswith(start + ".") for change in fields)


def _hidden(change: FieldChange) -> FieldChange:
    """The change of a Secret without what it holds, and without what kubectl may have copied into it."""
    top = change.path.split(".", 1)[0].split("[", 1)[0]
    if top in _OPEN_IN_SECRETS or (top == "metadata" and not _carries_secrets(change)):
        return change
    old, new = (value if value is ABSENT else HIDDEN for value in (change.old, change.new))
    return FieldChange(change.path, old, new)


def _carries_secrets(change: FieldChange) -> bool:
    return _LAST_APPLIED in change.path or any(
        isinstance(value, dict) and _LAST_APPLIED in str(value) for value in (change.old, change.new)
    )


def _own(manifest: Manifest) -> JsonObject:
    kept = {"application", "cluster_namespace", "workload_namespace", "activation", "requirements"}
    return manifest.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True, include=kept)


def _settings(part: ManifestComponent) -> JsonObject:
    return part.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"objects", "name"})


def _fields(old: Any, new: Any, path: str) -> Iterator[FieldChange]:
    """The smallest parts that differ. Recurses as deep as documents may nest."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            inner = f"{path}.{key}" if path else str(key)
            yield from _fields(old.get(key, ABSENT), new.get(key, ABSENT), inner)
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple):
        yield from _items(old, new, path)
    elif type(old) is not type(new) or old != new:
        yield FieldChange(path, old, new)


def _items(old: Sequence[Any], new: Sequence[Any], path: str) -> Iterator[FieldChange]:
    """Lists of named things (containers, ports, variables) by their names, other lists by place."""
    olds, news = _by_name(old), _by_name(new)
    if olds is not None and news is not None:
        for name in [*olds, *(name for name in news if name not in olds)]:
            yield from _fields(olds.get(name, ABSENT), news.get(name, ABSENT), f"{path}[{name}]")
        if [name for name in olds if name in news] != [name for name in news if name in olds]:
            yield FieldChange(path, list(olds), list(news))
        return
    for index in range(max(len(old), len(new))):
        before = old[index] if index < len(old) else ABSENT
        after = new[index] if index < len(new) else ABSENT
        yield from _fields(before, after, f"{path}[{index}]")


def _by_name(items: Sequence[Any]) -> Mapping[str, Any] | None:
    found = {
        item["name"]: item for item in items if isinstance(item, dict) and isinstance(item.get("name"), str)
    }  # fmt: skip
    return found if len(found) == len(items) else None


def _images(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, dict):
            for key in ("containers", "initContainers"):
                for container in item.get(key) or () if isinstance(item.get(key), list) else ():
                    if isinstance(container, dict) and isinstance(container.get("image"), str):
                        yield container["image"]
            waiting.extend(item.values())
