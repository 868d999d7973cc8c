"""A Margo ``ApplicationDeployment`` in any of its forms, as a native deployment spec. Pure.

The forms: those of 2024 (``margo.org/v1-alpha1``, ``margo.deployment/v1``; ids in the metadata or its
annotations, ``helm.v3`` and ``docker-compose``), PR1 (``application.margo.org/v1alpha1``, the id at the top)
and 1.0-rc (neither ``apiVersion`` nor ``kind``, ``metadata.deviceId``, ``spec.applicationId``,
``deviceConstraints``). One reader takes the union; what 1.0-rc has otherwise is a warning. Profiles,
components and parameters are those of application packages and read by the same code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from topics.codec import MAX_PAYLOAD_BYTES, canonical_json
from topics.documents.base import reasons_of
from topics.documents.spec import API_VERSION, KIND, DeploymentSpec
from topics.errors import Reason
from topics.margo.identity import (
    Identity,
    check_version,
    read_application_id,
    read_devices,
    read_id,
    read_metadata,
    read_name,
)
from topics.margo.kinds import check_kind, margo_kind
from topics.margo.package.description import Profile
from topics.margo.package.findings import Findings, joined
from topics.margo.package.making import component_body
from topics.margo.package.profiles import read_profile
from topics.margo.package.reading import read_parameters
from topics.margo.settings import settle

_FIELDS = frozenset({"apiVersion", "kind", "id", "metadata", "spec"})
_SPEC = frozenset({"applicationId", "deploymentProfile", "parameters", "appPackageRef"})
_PROFILE_AT = "spec.deploymentProfile"


def read_deployment(
    value: dict[str, Any], *, name: str | None = None, devices: Sequence[str] = ()
) -> tuple[DeploymentSpec, tuple[Reason, ...]]:
    """The spec of a parsed Margo document, and a warning for everything that was tolerated.

    ``name`` is the deployment's name where the topic gives one. ``devices`` are ids or paths for a document that
    names none. Raises ``ContractError`` with every reason; for a document of another kind, where that belongs.
    """
    kind = margo_kind(value)
    if kind is not None:
        check_kind(value, kind)
    findings = Findings()
    check_version(value, findings)
    findings.unknown(value, _FIELDS, "")
    metadata = _required(value, "metadata", "", findings)
    spec = _required(value, "spec", "", findings)
    findings.unknown(spec, _SPEC, "spec")
    identity = read_id(value, metadata, findings)
    application = read_application_id(spec, metadata, findings)
    agents = read_devices(metadata, devices, findings)
    profile = _profile(spec, findings)
    parameters = read_parameters(spec.get("parameters"), findings, "spec.parameters")
    settings = settle(profile, parameters, findings) if profile is not None else {}
    native_metadata = read_metadata(metadata, findings)
    given_name = findings.text(metadata, "name", "metadata")
    namespace = findings.text(metadata, "namespace", "metadata")
    if namespace is None:
        findings.tolerate("metadata.namespace", "is missing: the deployment's name is taken")
    wire_name = name if name is not None else read_name(given_name, identity, findings)
    findings.check()
    assert profile is not None, "a document without one was refused"
    native_metadata["name"] = wire_name
    native_metadata["annotations"] |= Identity(identity, application, given_name or "").annotations()
    native = _native(native_metadata, agents, namespace, profile, settings)
    return _validated(native, findings), findings.warnings


def _required(owner: Mapping[str, object], key: str, path: str, findings: Findings) -> Mapping[str, object]:
    at = joined(path, key)
    found = findings.mapping(owner.get(key), at)
    if found is None and owner.get(key) is None:
        findings.refuse(at, "missing", "is required and missing")
    return found or {}


def _profile(spec: Mapping[str, object], findings: Findings) -> Profile | None:
    given = spec.get("deploymentProfile")
    if given is None:
        beside = [key for key in ("type", "components") if key in spec]
        findings.refuse(
            _PROFILE_AT, "missing", "is required and missing",
            hint=f"{' and '.join(beside)} stand beside it and belong below it: indent them" if beside else None,
        )  # fmt: skip
        return None
    entry = findings.mapping(given, _PROFILE_AT)
    profile = read_profile(entry, _PROFILE_AT, findings) if entry is not None else None
    for component in profile.components if profile is not None else ():
        if component.local:
            key = "packageLocation" if component.packaged else "repository"
            findings.refuse(
                joined(joined(component.path, "properties"), key), "not-allowed",
                f"{component.source!r:.120} is a path, and a deployment carries no files",
                hint="write an address from which it is fetched: oci://… or https://…",
            )  # fmt: skip
    return profile


def _native(
    metadata: dict[str, Any],
    agents: dict[str, Any],
    namespace: str | None,
    profile: Profile,
    settings: Mapping[str, dict[str, Any]],
) -> dict[str, Any]:
    """The native document. There is no ``application``: a deployment does not say which version it is of."""
    requirements = profile.requirements.model_dump(mode="json", by_alias=True, exclude_unset=True)
    body: dict[str, Any] = {
        "agents": agents,
        **({"workload": {"namespace": namespace}} if namespace is not None else {}),
        **({"requirements": requirements} if requirements else {}),
        "components": [
            {"name": item.name, profile.type: component_body(profile, item, settings[item.name])}
            for item in profile.components
        ],
    }
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": body}


def _validated(native: dict[str, Any], findings: Findings) -> DeploymentSpec:
    size = len(canonical_json(native))
    if size > MAX_PAYLOAD_BYTES:
        findings.refuse(
            "", "too-large", f"the deployment takes {size} bytes when its values are in place, and may take "
            f"{MAX_PAYLOAD_BYTES}", hint="put large data into the image or chart, not into the document",
        )  # fmt: skip
    findings.check()
    try:
        return DeploymentSpec.model_validate(native)
    except ValidationError as error:
        for reason in reasons_of(error):
            findings.add(reason.model_copy(update={"path": _margo_path(reason.path)}))
    findings.check()
    raise AssertionError("a document that is not valid has a reason")


_PATHS = (
    ("spec.workload.namespace", "metadata.namespace"),
    ("spec.agents", "metadata.deviceId"),
    ("spec.requirements.rules", f"{_PROFILE_AT}.deviceConstraints.eligibilityRules"),
    ("spec.components", f"{_PROFILE_AT}.components"),
)
_MEMBERS = (
    (".helm.chart", "repository"), (".helm.version", "revision"), (".helm.timeout", "timeout"),
    (".compose.package", "repository"), (".compose.timeout", "timeout"),
)  # fmt: skip


def _margo_path(path: str) -> str:
    """Where the part of the native document came from, as near as it can be told."""
    for native, margo in _PATHS:
        if path.startswith(native):
            path = margo + path.removeprefix(native)
            break
    for native, margo in _MEMBERS:
        before, found, _ = path.partition(native)
        if found:
            return f"{before}.properties.{margo}"
    return path
