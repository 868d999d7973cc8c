"""Which files a manifest becomes: their names and their bytes. Pure; touches no disk.

The names obey three readers at once
- k3s names its AddOn after the file name *up to the first period*, and the AddOn is what it prunes
  by: two files that differ only behind a period would prune each other. So a name has one period,
  that of ``.yaml``, and everything before it is a DNS name.
- A kubelet reads one Pod per file: every Pod has a file of its own, all other objects of a
  component share one.
- k0s reads ``*.yaml`` only, and all of them apply files in the order of their names: initialization
  first, then the components by rank.

A name is stable over generations: it is made of the deployment, the component, the component's rank
and (for Pods) the Pod's own name. Deployment and component names hold ``-`` themselves, so their
concatenation is ambiguous; the hash at the end is over the separated parts and makes the name unique.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from edge_agent.appliers.port import INITIALIZATION, ApplyError
from topics.documents.base import JsonObject
from topics.documents.manifest import Manifest

RANK_STEP = 50
"""The distance between two ranks of a new deployment, so that later components fit in between."""

_MAX_RANK = 9999
_FILE_NAME = re.compile(r"fleetbus-[a-z0-9](?:[a-z0-9-]{0,240}[a-z0-9])?\.yaml\Z")
_POD_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\Z")
# Raw C1 controls, DEL, line separators, byte order mark and non-characters are no YAML text.
_NOT_YAML_TEXT = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


class PlannedFile(NamedTuple):
    """One file to be: ``part`` is the component it belongs to, or ``INITIALIZATION``."""

    name: str
    part: str
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def is_own_name(name: str) -> bool:
    """Whether ``name`` can be the name of a file of this applier (and so holds no path)."""
    return _FILE_NAME.match(name) is not None


def allot_ranks(components: tuple[str, ...], known: Mapping[str, int]) -> dict[str, int]:
    """The rank of every component, between 1 and 9999; ``known`` are those it had before.

    A known rank never changes: with a new rank the file would have a new name, and the runtime
    would delete and create again what only moved. A new component goes between its neighbours;
    where no number is left, it shares the rank of the one before it.
    """
    ranks: dict[str, int] = {}
    before = 0
    for index, component in enumerate(components):
        if component in known:
            ranks[component] = before = known[component]
            continue
        later = (known[name] for name in components[index + 1 :] if known.get(name, 0) > before)
        after = next(later, None)
        gap = RANK_STEP if after is None else (after - before) // 2
        before = max(1, min(before + gap, _MAX_RANK))
        ranks[component] = before
    return ranks


def plan_initialization(manifest: Manifest) -> tuple[PlannedFile, ...]:
    """The files of the initialization objects; none if there are no objects."""
    return _plan(manifest.deployment, INITIALIZATION, "initialization", 0, manifest.initialization)


def plan_component(manifest: Manifest, component: str, rank: int) -> tuple[PlannedFile, ...]:
    """The files of one component; raises ``ApplyError`` if its objects cannot be written as files."""
    for candidate in manifest.components:
        if candidate.name == component:
            return _plan(manifest.deployment, component, component, rank, candidate.objects)
    raise ApplyError(
        "unknown-component",
        f"generation {manifest.generation} of {manifest.deployment} has no component {component!r}",
        retryable=False,
        component=component,
    )


def plan_parts(manifest: Manifest, ranks: Mapping[str, int]) -> Iterator[tuple[str, tuple[PlannedFile, ...]]]:
    """Part by part, in the order of application, the files of the whole generation."""
    yield INITIALIZATION, plan_initialization(manifest)
    for component in manifest.components:
        yield component.name, plan_component(manifest, component.name, ranks[component.name])


def empty_content() -> bytes:
    """A file without any object: what k3s needs to see before it prunes what the file held."""
    return b"# Fleetbus removed what was here.\n"


def _plan(
    deployment: str, part: str, shown: str, rank: int, objects: tuple[JsonObject, ...]
) -> tuple[PlannedFile, ...]:
    shared: list[JsonObject] = []
    files: dict[str, PlannedFile] = {}
    for item in _flatten(objects):
        if not _is_pod(item):
            shared.append(item)
            continue
        namespace, pod = _pod_identity(item, part)
        pod_shown = pod[:60].replace(".", "-").rstrip("-")
        name = _file_name(deployment, rank, f"{shown}-pod-{pod_shown}", (part, namespace, pod))
        if name in files:
            raise ApplyError(
                "duplicate-object",
                f"the Pod {namespace or 'default'}/{pod} stands there twice; keep one of them",
                retryable=False,
                component=part,
            )
        files[name] = PlannedFile(name, part, _content(deployment, part, [item]))
    if shared:
        # "<hash>" sorts before "pod-": what Pods stand on is applied before them.
        name = _file_name(deployment, rank, shown, (part,))
        files[name] = PlannedFile(name, part, _content(deployment, part, shared))
    return tuple(files[name] for name in sorted(files))


def _file_name(deployment: str, rank: int, shown: str, identity: tuple[str, ...]) -> str:
    unique = hashlib.sha256("\0".join((deployment, *identity)).encode()).hexdigest()[:10]
    name = f"fleetbus-{deployment}-{rank:04d}-{shown}-{unique}.yaml"
    if not is_own_name(name):
        raise ApplyError("bad-name", f"{name!r} cannot be a file name; rename the component", retryable=False)
    return name


def _content(deployment: str, part: str, objects: list[JsonObject]) -> bytes:
    """One comment line, then one JSON document per object with ``---`` between them.

    JSON with these escapes is YAML; the comment makes readers that guess the format guess YAML, and
    no ``---`` stands before the first object because a kubelet reads the first document only. There
    is no generation in it: the bytes change only when the objects do.
    """
    try:
        documents = [
            json.dumps(item, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) for item in objects
        ]
        text = f"# Written by Fleetbus for {deployment}, {part.strip('()')}. Changes made here are overwritten.\n"
        text += "\n---\n".join(_NOT_YAML_TEXT.sub(_escaped, document) for document in documents)
        return (text + "\n").encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise ApplyError(
            "not-serialisable",
            f"an object cannot be written as JSON: {error}; correct it in the spec",
            retryable=False,
            component=part,
        ) from error


def _escaped(match: re.Match[str]) -> str:
    # Characters above U+FFFF stay raw: Go's YAML refuses the surrogate pair that JSON writes for them.
    return f"\\u{ord(match.group()):04x}"


def _flatten(objects: tuple[JsonObject, ...]) -> Iterator[JsonObject]:
    # Charts may render a v1 List, which would hide its Pods from a kubelet.
    for item in objects:
        items = item.get("items")
        if item.get("apiVersion") == "v1" and item.get("kind") == "List" and isinstance(items, list):
            yield from _flatten(tuple(inner for inner in items if isinstance(inner, dict)))
        else:
            yield item


def _is_pod(item: JsonObject) -> bool:
    return item.get("apiVersion") == "v1" and item.get("kind") == "Pod"


def _pod_identity(item: JsonObject, part: str) -> tuple[str, str]:
    metadata = item.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    namespace = metadata.get("namespace") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not _POD_NAME.match(name):
        raise ApplyError(
            "bad-object",
            f"a Pod has no valid metadata.name ({name!r:.80}); give it a lowercase DNS name",
            retryable=False,
            component=part,
        )
    return (namespace if isinstance(namespace, str) else ""), name
