"""Who takes a spec, who cannot and why, and whom it still waits for. Pure.

The seam for richer matching: everything else asks ``place`` and never looks at selectors.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from orchestrator.model import DeviceRecord, Fleet, SpecRecord
from topics.documents.device import Capabilities
from topics.documents.spec import DeploymentSpec, LabelExpression, Selector
from topics.errors import Reason
from topics.requirements import unmet, unsupported

MANIFEST_TYPE = "kubernetes"
"""What both renderers of this version produce: Kubernetes objects."""


@dataclass(frozen=True, slots=True)
class Placement:
    """``placed`` can take the spec; ``refused`` are selected and cannot; ``waiting_for`` were named and
    have not said yet what they are."""

    placed: frozenset[str]
    refused: Mapping[str, tuple[Reason, ...]]
    waiting_for: tuple[str, ...]
    surplus: frozenset[str]
    """Devices that match and are not needed, because ``count`` others are enough."""


def place(spec: DeploymentSpec, devices: Mapping[str, DeviceRecord], current: Collection[str]) -> Placement:
    """The placement of a spec over all known devices.

    ``current`` are the devices that hold the spec already: with a ``count`` they stay chosen before
    others are, so that a device that joins moves nothing; the rest are taken in the order of their ids.
    """
    agents = spec.spec.agents
    waiting_for: tuple[str, ...] = ()
    selected: list[Capabilities] = []
    if agents.selector is None:
        for device in agents.devices:
            record = devices.get(device)
            if record is not None and record.capabilities is not None:
                selected.append(record.capabilities)
            else:
                waiting_for += (device,)
    else:
        selected = [
            record.capabilities
            for record in devices.values()
            if record.capabilities is not None and selects(agents.selector, record.capabilities.labels)
        ]
    refused: dict[str, tuple[Reason, ...]] = {}
    fitting: list[str] = []
    for capabilities in selected:
        reasons = refusal(spec, capabilities)
        if reasons:
            refused[capabilities.device] = reasons
        else:
            fitting.append(capabilities.device)
    chosen = sorted(fitting, key=lambda device: (device not in current, device))
    if agents.count != "all":
        chosen = chosen[: agents.count]
    return Placement(frozenset(chosen), refused, waiting_for, frozenset(fitting) - frozenset(chosen))


def refusals_of(fleet: Fleet, spec: SpecRecord) -> Mapping[str, tuple[Reason, ...]]:
    """The selected devices that cannot take a spec, and why; remembered in the fleet until something
    it was derived from changes."""
    if spec.spec is None:
        return {}
    if spec.name not in fleet.refusals:
        fleet.refusals[spec.name] = dict(place(spec.spec, fleet.devices, fleet.of_spec(spec.name)).refused)
    return fleet.refusals[spec.name]


def refusal(spec: DeploymentSpec, capabilities: Capabilities) -> tuple[Reason, ...]:
    """Every reason why a device cannot take the spec; empty if it can."""
    return unmet(spec.spec.requirements, capabilities) + unsupported({MANIFEST_TYPE}, capabilities)


def selects(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects a device with these labels (Kubernetes' rules)."""
    return all(labels.get(key) == value for key, value in selector.match_labels.items()) and all(
        _holds(expression, labels) for expression in selector.match_expressions
    )


def may_concern(spec: DeploymentSpec, device: str, labels: Mapping[str, str]) -> bool:
    """Whether a change of this device can change the placement of the spec."""
    agents = spec.spec.agents
    return device in agents.devices if agents.selector is None else selects(agents.selector, labels)


def _holds(expression: LabelExpression, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression.key)
    match expression.operator:
        case "In":
            return value in expression.values
        case "NotIn":  # as in Kubernetes, a missing label is not in the list
            return value not in expression.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
