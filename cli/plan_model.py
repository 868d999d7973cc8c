"""What a plan is: the devices and what becomes of each, the refusals, the differences, the sizes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from cli.manifest_diff import Difference
from topics.allocation import images_of
from topics.documents.device import Capabilities
from topics.documents.manifest import Manifest
from topics.documents.spec import DeploymentSpec
from topics.errors import Reason

Change = Literal["new", "changed", "same", "unchanged", "pending", "kept", "removed"]
"""What a device gets: its first manifest, other objects, the same objects under a new generation, nothing (it
has this generation), the manifest it still lacks, nothing because it cannot take this generation, its end."""


SERVED: frozenset[Change] = frozenset({"new", "changed", "same", "pending"})
"""What a manifest is sent for."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of a component; ``size`` of the archive in bytes. The orchestrator fetches it, unless it is
    ``carried`` in the spec."""

    component: str
    name: str
    version: str
    size: int
    carried: bool = False


@dataclass(slots=True)
class Rendering:
    """The new generation, rendered for the devices that lack it, and what it was made from.

    ``refused`` are the devices that can have no manifest of it, ``size`` the bytes of the largest one. Devices that
    agree share what is in their manifests, and of a spec that is the same everywhere all share one.
    """

    charts: tuple[Chart, ...] = ()
    manifests: dict[str, Manifest] = field(default_factory=dict)
    refused: dict[str, tuple[Reason, ...]] = field(default_factory=dict)
    size: int = 0


Make = Callable[[DeploymentSpec, int, str, Iterable[str], Mapping[str, Capabilities]], Rendering]
"""Renders a spec's generation, given its content digest, for these devices, given what they say of themselves.
Raises ``RenderError`` for what is wrong for all of them."""


@dataclass(frozen=True, slots=True)
class Target:
    """One device and what becomes of it. ``generation`` is the one it has now (0: none), ``why`` says why it is
    chosen, kept or taken off."""

    device: str
    change: Change
    why: str
    generation: int
    online: bool
    group: int | None = None
    """Which of the plan's ``differences`` it gets."""


@dataclass(slots=True)
class Plan:
    """A plan of one spec. ``before`` is the generation in force (0: none), ``after`` the one there would be.

    ``problems`` keep it from being rendered; if it would be ``rejected``, they are why, and nothing happens. The
    reasons of a refusal need not name their device: what is wrong with many devices is the same object for all of
    them.
    """

    name: str
    source: str
    before: int
    after: int
    identical: bool
    warnings: tuple[Reason, ...] = ()
    targets: list[Target] = field(default_factory=list)
    refused: dict[str, tuple[Reason, ...]] = field(default_factory=dict)
    not_selected: dict[str, tuple[Reason, ...]] = field(default_factory=dict)
    """Devices that were asked about by name, and why the spec passes them over."""
    waiting_for: tuple[str, ...] = ()
    differences: list[Difference] = field(default_factory=list)
    problems: tuple[Reason, ...] = ()
    rejected: bool = False
    rendering: Rendering | None = None
    manifest_bytes: int | None = None
    new_images: tuple[str, ...] = ()
    remarks: list[str] = field(default_factory=list)

    @property
    def taken(self) -> bool:
        """Whether any device would have this generation."""
        return not self.problems and any(item.change not in ("kept", "removed") for item in self.targets)

    @property
    def image_bytes(self) -> int:
        """What all of the spec's images take on a device, by the word of its author; 0 where it does not say."""
        manifests = self.rendering.manifests.values() if self.rendering is not None else ()
        return next((images_of(manifest.requirements) for manifest in manifests), 0)  # they are those of the spec

    @property
    def served(self) -> int:
        """How many devices would be sent a manifest."""
        return sum(item.change in SERVED for item in self.targets)

    @property
    def changes(self) -> bool:
        """Whether anything would be published."""
        return any(item.change not in ("kept", "unchanged") for item in self.targets)
