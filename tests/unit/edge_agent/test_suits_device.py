"""What the agent itself refuses before anything is applied: its operator's policy, whoever sent the manifest."""

from __future__ import annotations

from typing import Any

import pytest

from edge_agent.appliers.port import ApplyError
from edge_agent.work import suits_device
from topics.documents.device import Capabilities, Policy
from topics.documents.manifest import Manifest, ManifestComponent

POD: dict[str, Any] = {
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "press"},
    "spec": {"hostNetwork": True, "containers": [{"name": "main", "image": "nginx"}]},
}  # fmt: skip
MANIFEST = Manifest(
    action="apply", deployment="press", device="edge-01", generation=1,
    components=(ManifestComponent(name="web", type="kubernetes", objects=(POD,), source="spec"),),
)  # fmt: skip


def device(policy: Policy | None) -> Capabilities:
    """A device that takes Kubernetes objects."""
    return Capabilities(device="edge-01", appliers=("kubernetes",), policy=policy)


def test_what_the_policy_forbids_is_a_final_error_with_every_reason() -> None:
    """Trying again helps nobody: the manifest or the policy has to change."""
    with pytest.raises(ApplyError) as caught:
        suits_device(MANIFEST, device(Policy(forbid=("hostNetwork",), allowed_registries=("registry.example",))), None)
    assert (caught.value.code, caught.value.retryable) == ("policy", False)
    assert "hostNetwork" in caught.value.message
    assert "'nginx'" in caught.value.message


@pytest.mark.parametrize("policy", [None, Policy(), Policy(forbid=("privileged",))])
def test_what_it_does_not_forbid_is_taken(policy: Policy | None) -> None:
    """No policy forbids nothing."""
    suits_device(MANIFEST, device(policy), None)
