"""A spec message, from bytes to a validated ``DeploymentSpec``, or every reason why not."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from topics.codec import MAX_PAYLOAD_BYTES, canonical_json, check_size, parse_json
from topics.documents.base import as_contract_error
from topics.documents.spec import API_VERSION, KIND, DeploymentSpec
from topics.errors import ContractError, Reason
from topics.margo.annotations import DEVICES
from topics.margo.deployment import read_deployment
from topics.margo.kinds import MargoKind, margo_kind
from topics.yaml_loader import load_yaml

_TEMPLATE = re.compile(r"\{\{[^{}\n]{0,200}\}\}")


@dataclass(frozen=True, slots=True)
class SpecDocument:
    """A spec as it was read. ``warnings`` name each tolerance that was used; ``margo``: it came as a Margo document."""

    spec: DeploymentSpec
    warnings: tuple[Reason, ...] = ()
    margo: bool = False


def read_document(
    payload: bytes, *, name: str | None = None, limit: int = MAX_PAYLOAD_BYTES, devices: tuple[str, ...] = ()
) -> SpecDocument:
    """The spec in a payload, JSON or YAML (UTF-8): a native one, or a Margo ``ApplicationDeployment``.

    ``name`` is the deployment that the topic names: a native document must agree, a Margo document takes it.
    ``devices`` are ids or paths for a Margo document that names none (the forms of 2024 and PR1). Raises
    ``ContractError`` with every reason and its field path; for other documents of the Margo standard, with what
    they are and where they belong.
    """
    check_size(payload, limit)
    text = _text(payload)
    value = _parsed(text)
    if not isinstance(value, dict):
        raise ContractError.because("malformed", f"a spec is a mapping, this is {_kind(value)}")
    version = value.get("apiVersion")
    native = isinstance(version, str) and version.startswith("fleetbus/")
    if not native and margo_kind(value) is not None:
        spec, warnings = read_deployment(value, name=name, devices=devices)
        return SpecDocument(spec, warnings, margo=True)
    return SpecDocument(_native(value, name, devices))


def read_spec(payload: bytes, *, name: str | None = None, limit: int = MAX_PAYLOAD_BYTES) -> DeploymentSpec:
    """The spec in a payload, as ``read_document`` reads it, without how it was read."""
    return read_document(payload, name=name, limit=limit).spec


def assigned(payload: bytes, devices: Sequence[str]) -> bytes:
    """A Margo document that names no device, with an annotation that names these: what to publish.

    Any other payload is returned as it is. Raises ``ContractError`` for what cannot be parsed.
    """
    value = _parsed(_text(payload))
    if not devices or not isinstance(value, dict) or margo_kind(value) is not MargoKind.DEPLOYMENT:
        return payload
    metadata = value.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("deviceId") is not None:
        return payload
    annotations = metadata.get("annotations") or {}
    if not isinstance(annotations, dict):
        return payload  # its reader says what is wrong with it
    named = {**annotations, DEVICES: ",".join(devices)}
    return canonical_json({**value, "metadata": {**metadata, "annotations": named}})


def _parsed(text: str) -> object:
    if text.lstrip()[:1] in ("{", "[") and _is_json(text):
        return parse_json(text)
    try:
        return load_yaml(text)
    except ContractError as error:
        template = _TEMPLATE.search(text) is not None
        raise ContractError(_advised(reason, template=template) for reason in error.reasons) from error


def _advised(reason: Reason, *, template: bool) -> Reason:
    """The parser says where it stopped; what to do depends on the rest of the text."""
    if reason.hint is not None or not (template or reason.code == "malformed"):
        return reason
    hint = (
        "it holds '{{ }}': if it is a template, fill it in before you publish it"
        if template
        else "look at that line and the one before it: often the indentation is wrong, or a text needs quotes"
    )
    return reason.model_copy(update={"hint": hint})


def _native(value: dict[str, object], name: str | None, devices: tuple[str, ...]) -> DeploymentSpec:
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
    if devices:
        raise ContractError.because(
            "conflict", "the spec says itself on which devices it is to run, and other devices were given",
            path="spec.agents", hint="change the spec's agents, or give no devices",
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
