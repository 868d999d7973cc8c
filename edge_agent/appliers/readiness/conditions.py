"""What holds for every kind: deletion, observed generation, and the conditions that controllers agree on."""

from __future__ import annotations

from edge_agent.appliers.readiness.answer import READY, Readiness, failed, waiting
from edge_agent.appliers.readiness.fields import conditions, count, number, text, value
from topics.documents.base import JsonObject


def deletion(obj: JsonObject) -> Readiness | None:
    """The answer for an object that is being deleted, with what holds it; ``None`` for any other."""
    if not text(obj, "metadata", "deletionTimestamp"):
        return None
    holding = value(obj, "metadata", "finalizers")
    names = [item for item in holding if isinstance(item, str)] if isinstance(holding, list) else []
    return waiting("is being deleted" + (f", held by the finalizers {', '.join(names)}" if names else ""))


def unobserved(obj: JsonObject, *, required: bool) -> Readiness | None:
    """The answer while the controller has not seen the newest generation; ``None`` when it has.

    ``required``: the kind's controller always reports the generation, so that a status without it is none yet.
    """
    wanted = count(obj, "metadata", "generation")
    seen = number(obj, "status", "observedGeneration")
    if (seen is None and not required) or (seen or 0) >= wanted:
        return None
    return waiting(f"its controller has not seen generation {wanted} yet" + (f", only {seen}" if seen else ""))


def generic(obj: JsonObject) -> Readiness:
    """The rule for kinds without their own, as kstatus has it.

    The observed generation, then the conditions ``Stalled``, ``Reconciling`` and ``Ready``. An object without any of
    them is ready as soon as it exists: most kinds (ConfigMap, Role, Ingress, …) report nothing.
    """
    behind = unobserved(obj, required=False)
    if behind is not None:
        return behind
    known = conditions(obj)
    stalled = known.get("Stalled")
    if stalled is not None and stalled.status == "True":
        return failed(f"stalled: {stalled}")
    reconciling = known.get("Reconciling")
    if reconciling is not None and reconciling.status == "True":
        return waiting(f"being reconciled: {reconciling}")
    return must_be_true(obj, "Ready") if "Ready" in known else READY


def must_be_true(obj: JsonObject, type_: str) -> Readiness:
    """Ready when the condition is there, is ``True``, and speaks of the newest generation."""
    condition = conditions(obj).get(type_)
    if condition is None:
        return waiting(f"has no condition {type_} yet")
    seen = condition.observed_generation
    if seen is not None and seen < count(obj, "metadata", "generation"):
        return waiting(f"its condition {type_} speaks of generation {seen}")
    return READY if condition.status == "True" else waiting(f"not {type_}: {condition}")
