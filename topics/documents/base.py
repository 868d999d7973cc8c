"""What all documents share: frozen, camelCase on the wire, reasons instead of exceptions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from topics.errors import ContractError, Reason

JsonObject: TypeAlias = dict[str, Any]
"""A JSON object whose inside belongs to somebody else (a Kubernetes object, Helm values)."""

SCHEMA_VERSION = 1


class Document(BaseModel):
    """A document that a person writes: unknown fields are refused, so that a typing error shows."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Message(BaseModel):
    """A message that a program writes.

    Unknown fields are ignored: a newer agent may say more than an older orchestrator understands.
    ``schema_version`` changes only when an old reader would misunderstand a new message.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    schema_version: int = SCHEMA_VERSION


def reasons_of(error: ValidationError, *, prefix: str = "") -> tuple[Reason, ...]:
    """Every finding of a pydantic validation as a reason with its field path."""
    items = error.errors(include_url=False, include_context=False)
    paths = [prefix + _path(item["loc"]) for item in items]
    return tuple(
        Reason(
            path=path,
            code=_CODES.get(item["type"], "invalid"),
            message=_message(item["type"], item["msg"], item["input"]),
        )
        for path, item in zip(paths, items, strict=True)
        # A list whose entries are all broken is also reported as too short: that is no second finding.
        if not (item["type"] == "too_short" and any(other.startswith(path + "[") for other in paths))
    )


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
            path += f".{step}" if path else step
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
