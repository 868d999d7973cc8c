"""From a manifest to what decisions need of it, and whether that fits what is left of the device."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

from edge_agent.model import Deployment, Plan, Share
from topics.documents.device import Capabilities
from topics.documents.manifest import Manifest
from topics.documents.spec import Requirements
from topics.lifecycle import State
from topics.quantity import format_bytes, format_cores, parse_quantity

_NOTHING = Share()


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
    )


def share_of(requirements: Requirements) -> Share:
    """What a deployment with these requirements is promised; parts of a unit count as a whole one."""
    cores = parse_quantity(requirements.cpu.cores or "0")
    return Share(
        cpu=math.ceil(cores * 1000),
        memory=math.ceil(parse_quantity(requirements.memory or "0")),
        storage=math.ceil(parse_quantity(requirements.storage or "0")),
    )


def capacity_of(capabilities: Capabilities) -> Share:
    """What can be promised on the device: its best CPU entry (never summed, as Margo has it), its
    memory, and its largest volume."""
    return Share(
        cpu=max((cpu.cores for cpu in capabilities.cpus), default=0) * 1000,
        memory=capabilities.memory,
        storage=max((volume.capacity for volume in capabilities.storage), default=0),
    )


def promised(record: Deployment) -> Share:
    """What the deployment holds of the device now.

    While a new generation is brought in beside the running one, the larger of both counts: they are
    not both at work, and no other deployment may take the difference in between.
    """
    if record.state is State.REMOVED:
        return _NOTHING
    shares = [record.deployed.share] if record.deployed else []
    if _holds_current(record):
        shares.append(record.current.share)
    return Share(
        cpu=max((share.cpu for share in shares), default=0),
        memory=max((share.memory for share in shares), default=0),
        storage=max((share.storage for share in shares), default=0),
    )


def left_of(capacity: Share, shares: Iterable[Share]) -> Share:
    """What is left after the promises; never below zero."""
    taken = list(shares)
    return Share(
        cpu=max(0, capacity.cpu - sum(share.cpu for share in taken)),
        memory=max(0, capacity.memory - sum(share.memory for share in taken)),
        storage=max(0, capacity.storage - sum(share.storage for share in taken)),
    )


def shortages(needed: Share, left: Share) -> list[str]:
    """What is missing, each in a phrase with what is needed and what is left; empty if it fits."""
    missing = []
    if needed.cpu > left.cpu:
        missing.append(f"needs {_cores(needed.cpu)} cores, {_cores(left.cpu)} are left")
    if needed.memory > left.memory:
        missing.append(f"needs {format_bytes(needed.memory)} memory, {format_bytes(left.memory)} is left")
    if needed.storage > left.storage:
        missing.append(f"needs {format_bytes(needed.storage)} storage, {format_bytes(left.storage)} is left")
    return missing


def _holds_current(record: Deployment) -> bool:
    if record.state in (State.CREATED, State.PREPARED):
        return False  # it is granted when the check succeeds; a retry is checked in Prepared
    if record.state is State.FAILED and record.failure is not None:
        return record.failure.stage not in (State.CREATED, State.PREPARED)
    return True


def _cores(millicores: int) -> str:
    return format_cores(Fraction(millicores, 1000))
