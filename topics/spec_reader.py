"""A spec message, from bytes to a validated ``DeploymentSpec``, or every reason why not."""

from __future__ import annotations

import codecs

from pydantic import ValidationError

from topics.codec import MAX_PAYLOAD_BYTES, check_size, parse_json
from topics.documents.base import as_contract_error
from topics.documents.spec import API_VERSION, KIND, DeploymentSpec
from topics.errors import ContractError, Reason
from topics.yaml_loader import load_yaml


def read_spec(payload: bytes, *, name: str | None = None, limit: int = MAX_PAYLOAD_BYTES) -> DeploymentSpec:
    """The spec in a payload, JSON or YAML (UTF-8).

    ``name`` is the deployment that the topic names; the document must agree. Raises
    ``ContractError`` with every reason and its field path.
    """
    check_size(payload, limit)
    text = _text(payload)
    value = parse_json(text) if text.lstrip()[:1] in ("{", "[") and _is_json(text) else load_yaml(text)
    if not isinstance(value, dict):
        raise ContractError.because("malformed", f"a spec is a mapping, this is {_kind(value)}")
    _check_version(value)
    try:
        spec = DeploymentSpec.model_validate(value)
    except ValidationError as error:
        raise as_contract_error(error) from error
    if name is not None and spec.name != name:
        raise ContractError(
            (
                Reason(
                    path="metadata.name", code="wrong-name",
                    message=f"is {spec.name!r}, but the topic names the deployment {name!r}",
                    required=name, available=spec.name,
                    hint="publish a spec under its own name",
                ),
            )
        )  # fmt: skip
    return spec


def _text(payload: bytes) -> str:
    try:
        text = payload.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ContractError.because(
            "not-utf8", f"not valid UTF-8 at byte {error.start}", hint="save the document as UTF-8"
        ) from error
    return text


def _is_json(text: str) -> bool:
    """A document that starts with a bracket may be YAML's flow style: JSON is told by its quotes."""
    rest = text.lstrip()[1:].lstrip()
    return rest[:1] in ('"', "}", "]", "{", "[")


def _check_version(value: dict[str, object]) -> None:
    """Say plainly that the kind or version is wrong, instead of listing every field of another kind."""
    reasons = [
        Reason(
            path=path, code="unsupported-version" if path == "apiVersion" else "wrong-kind",
            message=f"is {str(value.get(path))[:80]!r}" if path in value else "is required and missing",
            required=wanted, hint=f"this version takes {path}: {wanted}",
        )
        for path, wanted in (("apiVersion", API_VERSION), ("kind", KIND))
        if value.get(path) != wanted
    ]  # fmt: skip
    if reasons:
        raise ContractError(reasons)


def _kind(value: object) -> str:
    names = {list: "a list", str: "a text", type(None): "empty", bool: "a truth value"}
    return names.get(type(value), "a number")
