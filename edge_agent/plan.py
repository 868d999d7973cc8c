"""From a manifest to what decisions need of it, and what a deployment holds of the device."""

from __future__ import annotations

from edge_agent.model import Deployment, Plan
from topics.allocation import NOTHING, Share, larger_of, share_of
from topics.documents.manifest import Manifest
from topics.lifecycle import State


def plan_of(manifest: Manifest, digest: str) -> Plan:
    """The plan of an authentic manifest."""
    return Plan(
        generation=manifest.generation,
        digest=digest,
        remove=manifest.action == "remove",
        components=tuple(component.name for component in manifest.components),
        initializes=bool(manifest.initialization),
        manual=manifest.activation == "manual",
        share=share_of(manifest.requirements),
        drift=manifest.drift,
    )


def promised(record: Deployment) -> Share:
    """What the deployment holds of the device now.

    While a new generation is brought in beside the running one, the larger of both counts: they are
    not both at work, and no other deployment may take the difference in between.
    """
    if record.state is State.REMOVED:
        return NOTHING
    shares = [record.deployed.share] if record.deployed else []
    if _holds_current(record):
        shares.append(record.current.share)
    return larger_of(shares)


def _holds_current(record: Deployment) -> bool:
    if record.state in (State.CREATED, State.PREPARED):
        return False  # it is granted when the check succeeds; a retry is checked in Prepared
    if record.state is State.FAILED and record.failure is not None:
        return record.failure.stage not in (State.CREATED, State.PREPARED)
    return True
