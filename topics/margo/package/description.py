"""What an application description says, once it is read: every form of the document becomes this one.

The names are Margo's. ``path`` is the place in the document, for reasons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from topics.documents.spec import Requirements

ProfileType = Literal["helm", "compose"]
ItemType = Literal["string", "integer", "double", "boolean"]
Item: TypeAlias = str | int | float | bool
Value: TypeAlias = Item | list[Item]
"""What a parameter can be: a scalar, or a list of scalars of one type."""


@dataclass(frozen=True, slots=True)
class ProfileComponent:
    """One component of a profile. ``source`` is its ``repository``, or the old ``packageLocation``.

    ``timeout`` is a duration as it was written.
    """

    name: str
    path: str
    source: str
    packaged: bool = False
    revision: str | None = None
    key_location: str | None = None
    wait: bool = True
    timeout: str | None = None

    @property
    def local(self) -> bool:
        """Whether it lies in the package itself: its source is a path and no address."""
        return "://" not in self.source


@dataclass(frozen=True, slots=True)
class Profile:
    """One way to deploy the application. ``requirements_at`` maps a path of the requirements to the document's."""

    id: str
    type: ProfileType
    path: str
    components: tuple[ProfileComponent, ...]
    description: str = ""
    requirements: Requirements = field(default_factory=Requirements)
    requirements_at: str = "requiredResources"
    rules_at: str = "requiredResources"

    @property
    def component_names(self) -> frozenset[str]:
        """The names that targets may use."""
        return frozenset(component.name for component in self.components)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a parameter's value goes: a pointer within each of the components."""

    pointer: str
    components: tuple[str, ...]
    path: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """One thing that can be set; ``default`` is ``None`` where the description gives none."""

    name: str
    path: str
    default: object = None
    targets: tuple[Target, ...] = ()


@dataclass(frozen=True, slots=True)
class Schema:
    """What a value has to be. Lengths in characters, precisions in decimals.

    For a list they hold for each entry; ``allow_empty`` is about the list. ``many``: several of ``options``.
    """

    name: str
    path: str
    type: ItemType = "string"
    many: bool = False
    allow_empty: bool = False
    min_length: int | None = None
    max_length: int | None = None
    regex: str | None = None
    min_value: int | float | None = None
    max_value: int | float | None = None
    min_precision: int | None = None
    max_precision: int | None = None
    options: tuple[Item, ...] | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """How a parameter is shown and checked."""

    parameter: str
    name: str
    path: str
    schema: str | None
    section: str = ""
    description: str = ""
    immutable: bool = False


@dataclass(frozen=True, slots=True)
class Description:
    """An application description. ``settings`` is by parameter, the other mappings by name."""

    id: str
    name: str
    version: str
    profiles: tuple[Profile, ...]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    settings: Mapping[str, Setting] = field(default_factory=dict)
    schemas: Mapping[str, Schema] = field(default_factory=dict)
    description: str = ""
    catalog: Mapping[str, object] = field(default_factory=dict)

    def schema_of(self, parameter: str) -> Schema | None:
        """The schema that the parameter's setting names, if it has one."""
        setting = self.settings.get(parameter)
        return self.schemas.get(setting.schema) if setting is not None and setting.schema is not None else None

    def is_immutable(self, parameter: str) -> bool:
        """Whether the value may only be set on the first deployment."""
        setting = self.settings.get(parameter)
        return setting is not None and setting.immutable
