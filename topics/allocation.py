"""What deployments are promised of a device, and what is left: exact integers, no I/O.

The orchestrator reserves with it when it assigns, the device grants with it before it applies, and the
CLI explains with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from topics.documents.device import Capabilities
from topics.documents.spec import Requirements
from topics.errors import Reason
from topics.quantity import format_bytes, format_cores, parse_quantity


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a device: millicores, bytes of memory, bytes of storage."""

    cpu: int = 0
    memory: int = 0
    storage: int = 0

    def __bool__(self) -> bool:
        return bool(self.cpu or self.memory or self.storage)


NOTHING = Share()


@dataclass(frozen=True, slots=True)
class Holdings:
    """A device's capacity, and what each deployment is promised of it."""

    capacity: Share
    promised: Mapping[str, Share] = field(default_factory=dict)

    @property
    def left(self) -> Share:
        """What nobody was promised; never below zero."""
        return left_of(self.capacity, self.promised.values())


def share_of(requirements: Requirements) -> Share:
    """What a deployment with these requirements is promised; parts of a unit count as a whole one. Its images
    lie on the disk beside what it stores."""
    return Share(
        cpu=math.ceil(parse_quantity(requirements.cpu.cores or "0") * 1000),
        memory=math.ceil(parse_quantity(requirements.memory or "0")),
        storage=math.ceil(parse_quantity(requirements.storage or "0")) + images_of(requirements),
    )


def images_of(requirements: Requirements) -> int:
    """Bytes that the images take on the device's disk; 0 where the spec does not say."""
    return math.ceil(parse_quantity(requirements.images or "0"))


def capacity_of(capabilities: Capabilities) -> Share:
    """What can be promised on the device: its best CPU entry (entries are never summed: Margo), its
    memory, and its largest volume."""
    return Share(
        cpu=max((cpu.cores for cpu in capabilities.cpus), default=0) * 1000,
        memory=capabilities.memory,
        storage=max((volume.capacity for volume in capabilities.storage), default=0),
    )


def larger_of(shares: Iterable[Share]) -> Share:
    """The largest of each resource: generations of one deployment are never at work together, and no
    other deployment may take the difference while one replaces the other."""
    known = list(shares)
    return Share(
        cpu=max((share.cpu for share in known), default=0),
        memory=max((share.memory for share in known), default=0),
        storage=max((share.storage for share in known), default=0),
    )


def left_of(capacity: Share, shares: Iterable[Share]) -> Share:
    """What is left after the promises; never below zero."""
    taken = list(shares)
    return Share(
        cpu=max(0, capacity.cpu - sum(share.cpu for share in taken)),
        memory=max(0, capacity.memory - sum(share.memory for share in taken)),
        storage=max(0, capacity.storage - sum(share.storage for share in taken)),
    )


def shortages(needed: Share, holdings: Holdings, device: str | None = None) -> tuple[Reason, ...]:
    """A reason for each resource of which less is left than needed, with who was promised the rest."""
    left = holdings.left
    return tuple(
        Reason(
            path=f"spec.requirements.{path}", code=f"{name}-left", device=device,
            message=f"needs {shown(want)} {noun}, {shown(have)} left of {shown(getattr(holdings.capacity, name))}"
            + _promised(name, holdings, shown),
            required=shown(want), available=shown(have),
        )
        for name, path, noun, shown in (
            ("cpu", "cpu.cores", "cores", _cores),
            ("memory", "memory", "memory", format_bytes),
            ("storage", "storage", "storage", format_bytes),
        )
        if (want := getattr(needed, name)) > (have := getattr(left, name))
    )  # fmt: skip


_MOST_NAMED = 5


def _promised(name: str, holdings: Holdings, shown: object) -> str:
    """Who holds it: the largest promises first."""
    assert callable(shown)
    holders = sorted(
        ((getattr(share, name), deployment) for deployment, share in holdings.promised.items() if getattr(share, name)),
        key=lambda item: (-item[0], item[1]),
    )
    if not holders:
        return ""
    named = ", ".join(deployment for _, deployment in holders[:_MOST_NAMED])
    more = f" and {len(holders) - _MOST_NAMED} more" if len(holders) > _MOST_NAMED else ""
    return f": {shown(sum(amount for amount, _ in holders))} promised to {named}{more}"


def _cores(millicores: int) -> str:
    return format_cores(Fraction(millicores, 1000))
