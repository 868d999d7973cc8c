"""A device's capabilities as Margo's 1.0-rc document. Pure.

Memory and storage are written in binary units without a space, rounded down to a whole Ki. What Margo has no
word for is left out: labels, addresses, runtimes by name, ``other`` hardware, an architecture beyond its three.
"""

from __future__ import annotations

from typing import Any

from topics.allocation import capacity_of
from topics.documents.device import Capabilities, Peripheral
from topics.eligibility.subject import OCI_RUNTIMES
from topics.margo.vocabulary import INTERFACES, MARGO_ARCHITECTURES, PERIPHERALS

MARGO_TYPES = ("helm", "compose")
_UNITS = tuple((f"{letter}i", 1024**power) for power, letter in reversed(tuple(enumerate("KMGTPE", start=1))))


def capabilities_manifest(capabilities: Capabilities, *, otel_collector: bool = False) -> dict[str, Any]:
    """Margo's ``DeviceCapabilitiesManifest`` of a device, in the form of 1.0-rc (no ``apiVersion``, no ``kind``).

    A device that runs neither Helm charts nor Compose projects says only who it is, as Margo wants it of a
    gateway. Margo wants a collector of telemetry on every device that takes workloads; nothing here can tell
    whether there is one, so ``otel_collector`` says it.
    """
    device, gateway = capabilities.device, capabilities.gateway
    properties: dict[str, Any] = {
        "id": f"{gateway}/{device}" if gateway else device,
        "vendor": capabilities.vendor,
        "modelNumber": capabilities.model,
        "serialNumber": capabilities.serial,
    }
    types = [kind for kind in MARGO_TYPES if kind in capabilities.deployment_types]
    if types:
        properties |= {
            "cpus": [
                {"cores": cpu.cores}
                | ({"architecture": cpu.architecture} if cpu.architecture in MARGO_ARCHITECTURES else {})
                for cpu in capabilities.cpus
            ],
            "memory": margo_size(capabilities.memory),
            "storage": margo_size(capacity_of(capabilities).storage),
            "peripherals": [_peripheral(item) for item in capabilities.peripherals if item.type in PERIPHERALS],
            "interfaces": [{"type": item.type} for item in capabilities.interfaces if item.type in INTERFACES],
            "otelCollector": otel_collector,
            "supportedRuntimes": ["oci"] if any(item.name in OCI_RUNTIMES for item in capabilities.runtimes) else [],
            "supportedDeploymentTypes": types,
        }
    return {"properties": properties}


def margo_size(size: int) -> str:
    """Bytes in the largest binary unit of which they are a whole number; what is less than a Ki is left out."""
    whole = max(0, size) // 1024 * 1024
    for unit, factor in _UNITS:
        if whole and whole % factor == 0:
            return f"{whole // factor}{unit}"
    return "0Ki"


def _peripheral(item: Peripheral) -> dict[str, str]:
    described = {"type": item.type, "manufacturer": item.manufacturer, "model": item.model}
    return {key: value for key, value in described.items() if value}
