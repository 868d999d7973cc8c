"""The manifest of one device, checked against what its operator allows and what a message may hold."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.rendering.manifests import ManifestFactory
from orchestrator.rendering.port import RenderError, Target
from topics.documents.device import Capabilities, Policy
from topics.documents.manifest import Manifest
from topics.policy import PolicyCheck


def target_of(device: str, known: Mapping[str, Capabilities]) -> Target:
    """The device as renderers see it, from what it says of itself."""
    capabilities = known.get(device)
    return Target(device, capabilities.labels, capabilities) if capabilities is not None else Target(device)


class DeviceManifests:
    """Manifests with their payloads, device by device. ``max_bytes`` is the largest payload of a message."""

    def __init__(self, factory: ManifestFactory, max_bytes: int) -> None:
        self.factory = factory
        self._max_bytes = max_bytes
        self._checks: dict[Policy, PolicyCheck] = {}  # the devices of a fleet share few

    def manifest(self, target: Target) -> Manifest:
        """The manifest, if the device's policy allows it. Raises ``RenderError`` with every reason of this device."""
        manifest = self.factory.manifest_for(target)
        policy = target.capabilities.policy if target.capabilities is not None else None
        if policy is not None:
            check = self._checks.setdefault(policy, PolicyCheck(policy))
            if forbidden := check.violations(manifest):
                raise RenderError(forbidden)
        return manifest

    def payload(self, manifest: Manifest) -> bytes:
        """The sealed payload. Raises ``RenderError`` (``oversize``) for one that no message holds."""
        payload = self.factory.payload_of(manifest)
        if len(payload) > self._max_bytes:
            raise RenderError.because(
                "oversize",
                f"the manifest has {len(payload)} bytes, a message may have {self._max_bytes}",
                path="spec.components",
                hint="split the spec, or move large data out of the chart",
            )
        return payload
