"""A plan as people and programs read it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cli.manifest_diff import ABSENT, ComponentChange, Difference, FieldChange, ObjectChange
from cli.plan_model import Change, Plan, Target
from cli.printing import named
from topics.errors import Reason
from topics.quantity import format_bytes

MOST_FIELDS = 30
"""Most fields of one object that are shown in text."""

_MOST_VALUE = 80
_SIGNS = {"added": "+", "removed": "-", "changed": "~"}
_WORDS: dict[Change, str] = {
    "new": "new",
    "changed": "changed",
    "same": "new generation, the same objects",
    "unchanged": "unchanged",
    "pending": "waits for its manifest",
    "kept": "cannot take it, keeps what it has",
    "removed": "loses it",
}
_COUNTED = {
    _WORDS["same"]: "with the same objects",
    _WORDS["pending"]: "waiting for the manifest",
    _WORDS["kept"]: "keeping what they have",
    _WORDS["removed"]: "losing it",
}
"""The same words after a number."""


def plan_lines(plan: Plan) -> list[str]:
    """A plan in lines: what it is, the devices, the refusals, what differs, what has to be fetched."""
    lines = [_headline(plan)]
    lines += [f"  warning: {reason}" for reason in plan.warnings]
    lines += [f"  {remark}" for remark in plan.remarks]
    if plan.rejected:
        return [*lines, *(f"  {reason}" for reason in plan.problems)]
    lines += [f"  cannot be rendered: {reason}" for reason in plan.problems]
    if plan.problems:
        lines.append("  no manifest is sent until it can be; what runs keeps running")
    for word, why, targets in _grouped(plan.targets):
        lines.append(f"  {word}: {named(item.device for item in targets)}")
        lines.append(f"    {why}")
        offline = [item.device for item in targets if not item.online]
        if offline:
            lines.append(f"    offline, and served when they return: {named(offline)}")
    lines += _refusals("refused", plan.refused)
    lines += _refusals("not for", plan.not_selected)
    if plan.waiting_for:
        lines.append(f"  waits for: {named(plan.waiting_for)} (named in the spec, and never heard of)")
    if not plan.targets and not plan.refused and not plan.not_selected and not plan.waiting_for:
        lines.append("  the spec selects none of the devices on this broker")
    for number, found in enumerate(plan.differences):
        lines.append(f"  changes on {named(item.device for item in plan.targets if item.group == number)}:")
        lines += [f"    {line}" for line in difference_lines(found)]
    lines += _sizes(plan)
    return lines


def difference_lines(found: Difference) -> list[str]:
    """What differs, by component and object, and what restarts."""
    lines = [_field(change) for change in found.fields]
    for part in found.components:
        lines.append(f"{_SIGNS[part.action]} {part.name}")
        lines += [f"  {_field(change)}" for change in part.fields]
        for item in part.objects:
            lines.append(f"  {_SIGNS[item.action]} {item.shown}" + (" (restarts)" if item.restarts else ""))
            lines += [f"      {_field(change)}" for change in item.fields[:MOST_FIELDS]]
            if len(item.fields) > MOST_FIELDS:
                lines.append(f"      … and {len(item.fields) - MOST_FIELDS} more fields")
    return lines


def plan_data(plan: Plan) -> dict[str, Any]:
    """A plan as plain data, with every device and every field."""
    data: dict[str, Any] = {
        "name": plan.name,
        "source": plan.source,
        "generation": {"before": plan.before, "after": plan.after},
        "identical": plan.identical,
        "changes": plan.changes,
        "takeable": plan.taken,
        "rejected": plan.rejected,
        "remarks": plan.remarks,
        "warnings": _reasons(plan.warnings),
        "problems": _reasons(plan.problems),
        "targets": [_target(plan, item) for item in plan.targets],
        "refused": [{"device": device, "reasons": _reasons(found, device)} for device, found in plan.refused.items()],
        "notSelected": [
            {"device": device, "reasons": _reasons(found, device)} for device, found in plan.not_selected.items()
        ],
        "waitingFor": list(plan.waiting_for),
        "differences": [_difference(found) for found in plan.differences],
        "newImages": list(plan.new_images),
    }
    if plan.image_bytes:
        data["imageBytes"] = plan.image_bytes
    if plan.manifest_bytes is not None:
        data["manifestBytes"] = plan.manifest_bytes
    if plan.rendering is not None:
        data["charts"] = [
            {
                "component": item.component,
                "name": item.name,
                "version": item.version,
                "bytes": item.size,
                "carried": item.carried,
            }
            for item in plan.rendering.charts
        ]
    return data


def _headline(plan: Plan) -> str:
    if plan.rejected:
        kept = f"generation {plan.before} stays in force" if plan.before else "nothing of it would run"
        return f"{plan.name}: would be rejected; {kept}"
    if plan.before == 0:
        what = "new"
    elif plan.identical:
        what = f"generation {plan.before} stays"
    else:
        what = f"generation {plan.before} → {plan.after}"
    counts = [f"{len(targets):,} {_COUNTED.get(word, word)}" for word, targets in _counts(plan.targets)]
    counts += [f"{len(plan.refused):,} refused"] if plan.refused else []
    return f"{plan.name}: {what}; " + (", ".join(counts) or "no device")


def _counts(targets: Sequence[Target]) -> Iterator[tuple[str, list[Target]]]:
    for change, word in _WORDS.items():
        found = [item for item in targets if item.change == change]
        if found:
            yield word, found


def _grouped(targets: Sequence[Target]) -> Iterator[tuple[str, str, list[Target]]]:
    """The devices of one fate and one reason together. Why one of N was chosen differs for each of them."""
    for word, found in _counts(targets):
        groups: dict[str, list[Target]] = {}
        for item in found:
            groups.setdefault(item.why, []).append(item)
        for why, same in groups.items():
            yield word, why or "has it already", same


def _refusals(word: str, refused: Mapping[str, tuple[Reason, ...]]) -> Iterator[str]:
    """Devices with the same reasons together, each reason in full."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for device, reasons in refused.items():
        groups.setdefault(tuple(_text(reason) for reason in reasons), []).append(device)
    for texts, devices in groups.items():
        yield f"  {word}: {named(devices)}"
        yield from (f"    {text}" for text in texts)


def _text(reason: Reason) -> str:
    """The reason without its device, which stands above it."""
    return str(reason).removeprefix(f"[{reason.device}] ")


def _sizes(plan: Plan) -> Iterator[str]:
    served = plan.served
    if plan.manifest_bytes is not None and served:
        total = format_bytes(plan.manifest_bytes * served)
        each = f"{served:,} of {format_bytes(plan.manifest_bytes)}, {total} in all" if served > 1 else total
        yield f"  manifests to send: {each}"
    for item in plan.rendering.charts if plan.rendering is not None else ():
        where = "carried in the spec" if item.carried else "fetched by the orchestrator"
        yield f"  chart of {item.component}: {item.name} {item.version}, {format_bytes(item.size)} ({where})"
    if plan.new_images:
        size = f"{format_bytes(plan.image_bytes)} in all, as the spec says" if plan.image_bytes else "of unknown size"
        yield f"  images that were not there before ({size}): {named(plan.new_images)}"


def _field(change: FieldChange) -> str:
    if change.old is ABSENT:
        return f"{change.path}: {_value(change.new)} (added)"
    if change.new is ABSENT:
        return f"{change.path}: {_value(change.old)} (removed)"
    return f"{change.path}: {_value(change.old)} → {_value(change.new)}"


def _value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _MOST_VALUE else text[: _MOST_VALUE - 1] + "…"


def _target(plan: Plan, item: Target) -> dict[str, Any]:
    data: dict[str, Any] = {
        "device": item.device,
        "change": item.change,
        "why": item.why,
        "generation": item.generation,
        "online": item.online,
    }
    if item.group is not None:
        data["difference"] = item.group
        data["restarts"] = list(plan.differences[item.group].restarts)
    return data


def _difference(found: Difference) -> dict[str, Any]:
    return {
        "fields": [_change(change) for change in found.fields],
        "components": [_component(part) for part in found.components],
        "restarts": list(found.restarts),
    }


def _component(part: ComponentChange) -> dict[str, Any]:
    return {
        "name": part.name,
        "action": part.action,
        "fields": [_change(change) for change in part.fields],
        "objects": [_object(item) for item in part.objects],
    }


def _object(item: ObjectChange) -> dict[str, Any]:
    group, kind, namespace, name = item.identity
    return {
        "action": item.action,
        "group": group,
        "kind": kind,
        "namespace": namespace,
        "name": name,
        "restarts": item.restarts,
        "fields": [_change(change) for change in item.fields],
    }


def _change(change: FieldChange) -> dict[str, Any]:
    sides = (("old", change.old), ("new", change.new))
    return {"path": change.path} | {side: value for side, value in sides if value is not ABSENT}


def _reasons(reasons: Iterable[Reason], device: str | None = None) -> list[dict[str, Any]]:
    of = {} if device is None else {"device": device}
    return [reason.model_dump(mode="json", by_alias=True, exclude_none=True) | of for reason in reasons]
