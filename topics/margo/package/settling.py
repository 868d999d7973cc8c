"""The values of an application's parameters: what is given, else what must not change, else the default. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from topics.documents.base import MAX_REASONS
from topics.errors import ContractError, Reason
from topics.margo.package.description import Description, Parameter, Profile, Value
from topics.margo.package.findings import joined
from topics.margo.package.values import is_empty, schema_for, settle_value

_MAX_NAME = 100


def settle_parameters(
    description: Description,
    given: Mapping[str, object],
    current: Mapping[str, object] | None,
    profile: Profile | None = None,
) -> dict[str, Value]:
    """The value of every parameter that has one, checked against its schema.

    ``given`` are the values that a person gives, texts or typed. ``current`` are those of what is deployed
    now, ``None`` if nothing is: an immutable parameter keeps its value from then on, and giving another is
    refused. All others are what is given now, else the default: what a command does not say does not depend
    on what an earlier one said. With ``profile``, a parameter that has no target in it may stay open.

    Raises ``ContractError`` with every reason.
    """
    reasons: list[Reason] = [
        _unknown(name, description.parameters) for name in given if name not in description.parameters
    ]
    values: dict[str, Value] = {}
    for parameter in description.parameters.values():
        value, faults = _settle(description, parameter, given, current, needed=_is_needed(parameter, profile))
        reasons += faults
        if value is not None and not faults:
            values[parameter.name] = value
    if reasons:
        more = len(reasons) - MAX_REASONS
        rest = [Reason(path="", code="more", message=f"and {more} more problems")] if more > 0 else []
        raise ContractError((*reasons[:MAX_REASONS], *rest))
    return values


def _settle(
    description: Description,
    parameter: Parameter,
    given: Mapping[str, object],
    current: Mapping[str, object] | None,
    *,
    needed: bool,
) -> tuple[Value | None, tuple[Reason, ...]]:
    name, path = parameter.name, joined("parameters", parameter.name)
    schema = description.schema_of(name)
    fixed = current is not None and description.is_immutable(name)
    kept = current.get(name) if fixed and current is not None else None
    if name in given:
        wanted = given[name]
    elif fixed and not is_empty(kept):
        wanted = kept
    else:
        wanted = parameter.default
    if schema is None:
        known = parameter.default if parameter.default is not None else wanted
        return settle_value(schema_for(known), wanted, path)
    if is_empty(wanted) and name not in given:
        if schema.allow_empty or not needed:
            return None, ()
        return None, (_required(name, path),)
    value, faults = settle_value(schema, wanted, path)
    if faults and name not in given:
        faults = tuple(_of_default(reason, name) for reason in faults)
    if fixed and not faults and not is_empty(kept) and not _same(value, kept):
        return None, (_immutable(path, value, kept),)
    return value, faults


def _is_needed(parameter: Parameter, profile: Profile | None) -> bool:
    if profile is None:
        return True
    return any(name in profile.component_names for target in parameter.targets for name in target.components)


def _same(value: object, kept: object) -> bool:
    """Whether two values are one; ``True`` is not 1."""
    return value == kept and isinstance(value, bool) == isinstance(kept, bool)


def _unknown(name: str, parameters: Iterable[str]) -> Reason:
    shown = name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 3] + "..."
    names = list(parameters)
    near = difflib.get_close_matches(shown, [item[:_MAX_NAME] for item in names], n=3, cutoff=0.5)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    else:
        hint = f"there are {', '.join(sorted(names)[:20])}" if names else "the application has no parameters"
    return Reason(
        path=joined("parameters", name), code="unknown-parameter",
        message="is not a parameter of this application", hint=hint,
    )  # fmt: skip


def _required(name: str, path: str) -> Reason:
    return Reason(
        path=path, code="required", message="has no default and must be given", hint=f"give it with --set {name}=…"
    )


def _of_default(reason: Reason, name: str) -> Reason:
    return reason.model_copy(
        update={
            "message": f"the value that the description gives {reason.message}",
            "hint": f"give one with --set {name}=…",
        }
    )


def _immutable(path: str, value: object, kept: object) -> Reason:
    return Reason(
        path=path, code="immutable", message="may only be set when the application is deployed for the first time",
        required=str(kept)[:80], available=str(value)[:80],
        hint=f"leave it out, or delete the deployment first; it is {str(kept)[:80]!r} now",
    )  # fmt: skip
