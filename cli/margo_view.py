"""Deployments as Margo's ``DeploymentStatusManifest``. Pure."""

from __future__ import annotations

from typing import Any

from cli.fleet import Fleet
from topics.documents.spec import DeploymentSpec
from topics.errors import Reason
from topics.margo import DEPLOYMENT, status_manifest


def margo_statuses(fleet: Fleet, name: str | None = None) -> list[dict[str, Any]]:
    """One for each device that holds a deployment, or is selected and cannot take it.

    A spec that did not come as a Margo document has no Margo id; its name stands for it.
    """
    found = []
    for deployment in fleet.names():
        if name not in (None, deployment):
            continue
        aggregate = fleet.aggregates.get(deployment)
        reasons: dict[str, tuple[Reason, ...]] = {}
        devices = {device for known, device in fleet.statuses if known == deployment}
        if aggregate is not None:
            devices |= {item.device for item in aggregate.devices}
            reasons = {item.device: item.reasons for item in aggregate.not_placeable if item.device not in devices}
        found += [
            _status(fleet, deployment, device, reasons.get(device, ())) for device in sorted(devices | reasons.keys())
        ]
    return found


def _status(fleet: Fleet, name: str, device: str, reasons: tuple[Reason, ...]) -> dict[str, Any]:
    heard, known = fleet.specs.get(name), fleet.capabilities.get(device)
    spec = heard.document if heard is not None and isinstance(heard.document, DeploymentSpec) else None
    status = fleet.statuses.get((name, device))
    if spec is not None:
        components = [item.name for item in spec.spec.components]
    else:
        components = [item.name for item in status.components] if status is not None else []
    return status_manifest(
        {DEPLOYMENT: name} | (dict(spec.metadata.annotations) if spec is not None else {}),
        status,
        device=f"{known.gateway}/{device}" if known is not None and known.gateway else device,
        components=components,
        name=name,
        reasons=reasons,
    )
