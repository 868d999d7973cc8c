"""What all documents share: frozen, camelCase on the wire, reasons instead of exceptions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from topics.errors import ContractError, Reason

SCHEMA_VERSION = 1

MAX_REASONS = 100
"""Most reasons in one answer: a document of 1 MiB can have a million faults, and the answer must fit a packet."""

_MAX_STEP = 100  # characters of one key in a path: the key comes from whoever published the document


def _finite(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse NaN and infinities inside: pydantic's JSON parser takes them, but they are no JSON."""
    waiting: list[Any] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, float) and not math.isfinite(item):
            raise ValueError(f"{item} is not a JSON number")
    return value


JsonObject: TypeAlias = Annotated[dict[str, Any], AfterValidator(_finite)]
"""A JSON object whose inside belongs to somebody else (a Kubernetes object, Helm values)."""

Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
"""An integer that every store can hold: JSON itself has no largest one."""


class Document(BaseModel):
    """A document that a person writes: unknown fields are refused, so that a typing error shows."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Message(BaseModel):
    """A message that a program writes.

    Unknown fields are ignored: a newer agent may say more than an older orchestrator understands.
    ``schema_version`` changes only when an old reader would misunderstand a new message.
    """

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False
    )

    schema_version: int = SCHEMA_VERSION


def reasons_of(error: ValidationError, *, prefix: str = "") -> tuple[Reason, ...]:
    """The findings of a pydantic validation as reasons with their field paths; at most ``MAX_REASONS``, and then
    one that says how many more there are."""
    every = error.errors(include_url=False, include_context=False)
    items = every[:MAX_REASONS]
    more = len(every) - len(items)
    paths = [prefix + _path(item["loc"]) for item in items]
    found = tuple(
        Reason(
            path=path,
            code=_CODES.get(item["type"], "invalid"),
            message=_message(item["type"], item["msg"], item["input"]),
        )
        for path, item in zip(paths, items, strict=True)
        # A list whose entries are all broken is also reported as too short: that is no second finding.
        if not (item["type"] == "too_short" and any(other.startswith(path + "[") for other in paths))
    )
    return found if not more else (*found, Reason(path="", code="more", message=f"and {more} more problems"))


def as_contract_error(error: ValidationError, *, prefix: str = "") -> ContractError:
    """The contract error for a document that does not fit its model."""
    return ContractError(reasons_of(error, prefix=prefix))


_CODES = {"missing": "missing", "extra_forbidden": "unknown-field", "literal_error": "not-allowed"}


def _path(location: Iterable[int | str]) -> str:
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            shown = step if len(step) <= _MAX_STEP else step[: _MAX_STEP - 3] + "..."
            path += f".{shown}" if path else shown
    return path


def _message(kind: str, message: str, value: object) -> str:
    if kind == "missing":
        return "is required and missing"
    if kind == "extra_forbidden":
        return "is not a field of this document"
    text = message.removeprefix("Value error, ")
    if isinstance(value, str | int | float | bool) and kind != "value_error":
        shown = repr(value)
        return f"{text}, got {shown if len(shown) <= 80 else shown[:77] + '...'}"
    return text
