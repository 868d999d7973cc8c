"""Reading fields of objects that somebody else wrote: what is missing or of another type is missing."""

from __future__ import annotations

from typing import Any, NamedTuple

from topics.documents.base import JsonObject


class Condition(NamedTuple):
    """An entry of ``status.conditions`` (Kubernetes API conventions, "Typical status properties")."""

    type: str
    status: str
    reason: str
    message: str
    observed_generation: int | None

    def __str__(self) -> str:
        """Reason and message, as far as there are any."""
        return ": ".join(part for part in (self.reason, self.message) if part) or f"{self.type} is {self.status}"


def group_and_kind(obj: JsonObject) -> tuple[str, str]:
    """The API group (``""`` for the core group) and the kind."""
    group, slash, _ = text(obj, "apiVersion").partition("/")
    return (group if slash else ""), text(obj, "kind")


def value(obj: JsonObject, *path: str) -> Any:
    """What stands at ``path``; ``None`` if there is nothing."""
    found: Any = obj
    for step in path:
        if not isinstance(found, dict):
            return None
        found = found.get(step)
    return found


def text(obj: JsonObject, *path: str) -> str:
    """The string at ``path``; empty if there is none."""
    found = value(obj, *path)
    return found if isinstance(found, str) else ""


def number(obj: JsonObject, *path: str) -> int | None:
    """The integer at ``path``."""
    found = value(obj, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def count(obj: JsonObject, *path: str) -> int:
    """The integer at ``path``; 0 if there is none: the API leaves counts of zero out."""
    return number(obj, *path) or 0


def objects(obj: JsonObject, *path: str) -> list[JsonObject]:
    """The objects in the list at ``path``."""
    found = value(obj, *path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def conditions(obj: JsonObject) -> dict[str, Condition]:
    """The conditions of an object by their type; of two of the same type, the first."""
    found: dict[str, Condition] = {}
    for item in objects(obj, "status", "conditions"):
        condition = Condition(
            text(item, "type"), text(item, "status"), text(item, "reason"), text(item, "message"),
            number(item, "observedGeneration"),
        )  # fmt: skip
        if condition.type:
            found.setdefault(condition.type, condition)
    return found
