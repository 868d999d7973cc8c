"""Kustomize-style patches: which of the rendered objects, and what is changed in them.

Group, version, kind, name and namespace of a target are regular expressions that match the whole, as in
kustomize; they are matched by RE2, which takes linear time whatever is written. A patch that hits nothing is
an error: it was meant for something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from orchestrator.rendering.json_patch import PatchError, apply_operations
from orchestrator.rendering.merge_patch import MergeError, merge
from orchestrator.rendering.ownership import check_object
from orchestrator.rendering.port import RenderError
from orchestrator.rendering.scope import group_of
from topics.documents.base import JsonObject
from topics.documents.selection import Selector
from topics.documents.spec import Component, Patch, PatchTarget
from topics.eligibility.operators import holds_of
from topics.errors import Reason
from topics.patterns import PatternError, matcher

Test = Callable[[JsonObject], bool]


def patched(
    objects: Iterable[JsonObject], patches: Sequence[Patch], own: Callable[[JsonObject], JsonObject]
) -> list[JsonObject]:
    """The objects (marked, in their namespaces) with the patches made to them; what nothing hits stays the same.

    ``own`` marks a changed object again: no patch takes the ownership off. A patch sees what the ones before it made. Raises
    ``RenderError`` with the reasons of the first patch that cannot be made, and of all that hit nothing.
    """
    result = list(objects)
    reasons: list[Reason] = []
    for index, patch in enumerate(patches):
        path = f"patches[{index}]"
        hits = _test(patch.target, f"{path}.target")
        changed = [_made(item, patch, path, own) if hits(item) else item for item in result]
        if all(after is before for after, before in zip(changed, result, strict=True)):
            reasons.append(_hit_nothing(patch.target, result, path))
        result = [item for item in changed if item is not None]
    if reasons:
        raise RenderError(reasons)
    return result


def refuse(component: Component, renderer: str) -> None:
    """Raise ``RenderError`` if the component has patches; for renderers whose result holds no such objects."""
    if component.patches:
        raise RenderError.because(
            "patches-unsupported",
            f"the renderer {renderer!r} makes no patches",
            path="patches",
            hint="use the renderer 'helm' or 'kubernetes', or put the change into the values",
        )


def _made(item: JsonObject, patch: Patch, path: str, own: Callable[[JsonObject], JsonObject]) -> JsonObject | None:
    """A changed copy, checked to be the same object still; ``None`` if the patch deletes it."""
    try:
        changed = merge(item, patch.patch) if isinstance(patch.patch, dict) else apply_operations(item, patch.patch)
    except PatchError as error:
        raise RenderError.because(
            "patch-failed", f"{_shown(item)}: {error}", path=f"{path}.patch[{error.index}]"
        ) from error
    except MergeError as error:
        raise RenderError.because("patch-failed", f"{_shown(item)}: {error}", path=f"{path}.patch") from error
    if changed is None:
        return None
    check_object(changed, f"{path}.patch")
    for field, before, after in (
        ("apiVersion", item["apiVersion"], changed["apiVersion"]),
        ("kind", item["kind"], changed["kind"]),
        ("metadata.name", item["metadata"]["name"], changed["metadata"]["name"]),
        ("metadata.namespace", item["metadata"].get("namespace"), changed["metadata"].get("namespace")),
    ):
        if before != after:
            raise RenderError.because(
                "patch-failed",
                f"{_shown(item)}: a patch may not make it another object ({field}: {before!r} to {after!r})",
                path=f"{path}.patch",
                hint="put the object with that name into a component of its own",
            )
    return own(changed)


def _test(target: PatchTarget, path: str) -> Test:
    tests: list[Test] = []
    readers: dict[str, Callable[[JsonObject], str]] = {
        "group": group_of,
        "version": lambda item: str(item["apiVersion"]).rpartition("/")[2],
        "kind": lambda item: str(item["kind"]),
        "name": lambda item: str(item["metadata"]["name"]),
        "namespace": lambda item: str(item["metadata"].get("namespace", "")),
    }
    for field, read in readers.items():
        pattern = getattr(target, field)
        if pattern:
            tests.append(_matching(pattern, read, f"{path}.{field}"))
    if target.label_selector is not None:
        tests += _labels(target.label_selector, f"{path}.labelSelector")
    return lambda item: all(test(item) for test in tests)


def _matching(pattern: str, read: Callable[[JsonObject], str], path: str) -> Test:
    try:
        matches = matcher(pattern)
    except PatternError as error:
        raise RenderError.because("pattern-invalid", f"{pattern!r:.200} {error}", path=path, hint=error.hint) from error
    return lambda item: matches(read(item))


def _labels(selector: Selector, path: str) -> Iterable[Test]:
    def label(item: JsonObject, key: str) -> str | None:
        return (item["metadata"].get("labels") or {}).get(key)

    for key, value in selector.match_labels.items():
        yield lambda item, key=key, value=value: label(item, key) == value  # type: ignore[misc]  # bound early
    for index, expression in enumerate(selector.match_expressions):
        if expression.on_property:
            raise RenderError.because(
                "selector-invalid",
                f"{expression.key!r} points into a device; objects are selected by their labels",
                path=f"{path}.matchExpressions[{index}].key",
            )
        holds, wanted = holds_of(expression), expression.key
        yield lambda item, holds=holds, wanted=wanted: holds(label(item, wanted))  # type: ignore[misc]


def _hit_nothing(target: PatchTarget, objects: Sequence[JsonObject], path: str) -> Reason:
    there = ", ".join(_shown(item) for item in objects[:10]) + (", …" if len(objects) > 10 else "")
    wanted = ", ".join(
        f"{name} {value!r}" for name, value in target.model_dump(exclude_none=True, by_alias=True).items()
    )
    return Reason(
        path=f"{path}.target", code="patch-hits-nothing",
        message=f"no object of this component is changed by it; it is for {wanted or 'every object'}",
        required=wanted[:300] or None, available=there or "no objects",
        hint="correct the target (its patterns match the whole name), or take the patch out",
    )  # fmt: skip


def _shown(item: JsonObject) -> str:
    return f"{item['kind']} {item['metadata']['name']!r}"
