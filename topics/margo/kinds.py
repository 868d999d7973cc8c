"""What a document of the Margo standard is, by its kind and its shape, and where it belongs.

1.0-rc took ``apiVersion`` and ``kind`` out of most documents, so the shape has to tell.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from topics.errors import ContractError, Reason
from topics.margo.package.reading import is_description


class MargoKind(StrEnum):
    """What a document is; the values are words for people."""

    DEPLOYMENT = "an application deployment"
    DESCRIPTION = "the description of an application package"
    CAPABILITIES = "a device's capabilities"
    STATUS = "the status of a deployment"
    STATE_MANIFEST = "a manifest of desired states"
    PROBLEM = "an answer about a problem"
    PACKAGE_REFERENCE = "a reference to an application package"
    UNKNOWN = "a document of a kind that is not known"


_KINDS = {
    "ApplicationDeployment": MargoKind.DEPLOYMENT,
    "DeviceCapability": MargoKind.CAPABILITIES,
    "DeviceCapabilities": MargoKind.CAPABILITIES,
    "DeviceCapabilitiesManifest": MargoKind.CAPABILITIES,
    "DeploymentStatus": MargoKind.STATUS,
    "DeploymentStatusManifest": MargoKind.STATUS,
    "ApplicationPackage": MargoKind.PACKAGE_REFERENCE,
}
_BELONGS = {
    MargoKind.DESCRIPTION: "an application package: deploy it with fleetbus apply -f margo.yaml",
    MargoKind.CAPABILITIES: "nobody publishes it for a device: its agent says what the device is",
    MargoKind.STATUS: "statuses are written here and not read: see deployments/<deployment>/margo/<device>",
    MargoKind.STATE_MANIFEST: "publish each deployment that it lists on its own topic",
    MargoKind.PROBLEM: "it answers a request to a workload fleet manager, and deploys nothing",
    MargoKind.PACKAGE_REFERENCE: "fetch the application package that it names, and deploy it with fleetbus apply -f",
    MargoKind.UNKNOWN: "this version takes kind: ApplicationDeployment",
}
_PROBLEM_TYPES = "https://docs.margo.org/"


def margo_kind(value: Any) -> MargoKind | None:
    """What a parsed document is; ``None`` if nothing speaks for the Margo standard."""
    if not isinstance(value, dict):
        return None
    version, kind = value.get("apiVersion"), value.get("kind")
    if isinstance(kind, str) and kind in _KINDS:
        return _KINDS[kind]
    if is_description(value):
        return MargoKind.DESCRIPTION
    shape = _shape(value)
    named = isinstance(version, str) and "margo" in version
    if shape is not None and (kind is None or shape is not MargoKind.DEPLOYMENT):
        return shape
    return MargoKind.UNKNOWN if named or shape is not None else None


def check_kind(value: dict[str, Any], kind: MargoKind) -> None:
    """Raise ``ContractError`` for a Margo document that is no deployment: what it is, and where it belongs."""
    if kind is MargoKind.DEPLOYMENT:
        return
    given = value.get("kind")
    said = f"is {str(given)[:80]!r}: " if given is not None else ""
    raise ContractError(
        (
            Reason(
                path="kind" if given is not None else "", code="wrong-kind", message=f"{said}this is {kind.value}",
                required="ApplicationDeployment", available=str(given)[:80] if given is not None else None,
                hint=_BELONGS[kind],
            ),
        )
    )  # fmt: skip


def _shape(value: dict[str, Any]) -> MargoKind | None:
    """What a document is by its members."""
    spec = value.get("spec")
    if isinstance(spec, dict) and "deploymentProfile" in spec:
        return MargoKind.DEPLOYMENT
    if "deploymentId" in value and "status" in value:
        return MargoKind.STATUS
    if "manifestVersion" in value and "deployments" in value:
        return MargoKind.STATE_MANIFEST
    if isinstance(value.get("type"), str) and value["type"].startswith(_PROBLEM_TYPES) and "status" in value:
        return MargoKind.PROBLEM
    properties = value.get("properties")
    if isinstance(properties, dict) and "id" in properties and "vendor" in properties:
        return MargoKind.CAPABILITIES
    return None
