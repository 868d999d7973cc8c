"""A device's own component: its placeholders filled in, its values merged over those of all devices.

What differs is found once for a component; of a thousand devices those that agree in it share one rendering.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from orchestrator.rendering.placeholders import (
    Facts,
    depends_on_device,
    facts_in,
    filled,
    has_placeholders,
    unknown_in,
    values_of,
)
from orchestrator.rendering.port import RenderError, Target
from topics.documents.base import JsonObject
from topics.documents.device import Capabilities
from topics.documents.spec import Component, DeviceValues, Initialization
from topics.eligibility import Subject, compile_references, compile_selector
from topics.errors import Reason

_FIELDS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "helm": (("values", "values"),),
    "kubernetes": (("objects", "objects"),),
    "compose": (("project", "project"), ("environment", "environment"), ("files", "files")),
    "custom": (("config", "config"),),
}
"""Per kind: the attributes whose strings are filled in, with their names in the document."""


class OwnComponent:
    """One component of a spec, prepared for many devices. ``deployment`` is the spec's name."""

    def __init__(self, component: Component, deployment: str) -> None:
        self.component = component
        self._deployment = deployment
        self._layers = tuple(_Layer(item) for item in (component.helm.device_values if component.helm else ()))
        self._fields = {
            attribute: (name, value)
            for attribute, name in _FIELDS[component.kind]
            if has_placeholders(value := getattr(getattr(component, component.kind), attribute))
        }
        self._patches = tuple(has_placeholders(patch.patch) for patch in component.patches)
        self._facts = facts_in(
            [
                [value for _, value in self._fields.values()],
                [layer.values for layer in self._layers],
                [patch.patch for patch in component.patches],
            ]
        )
        self.depends_on_device = bool(self._layers) or depends_on_device(self._facts)

    def key(self, target: Target) -> Hashable:
        """Devices with the same key have the same component."""
        facts = values_of(self._facts, target, self._deployment)
        return self._suiting(target), tuple(sorted(facts.items()))

    def _suiting(self, target: Target) -> tuple[int, ...]:
        """Which of the values by device are for this one."""
        if not self._layers:
            return ()
        subject = subject_of(target)
        return tuple(index for index, layer in enumerate(self._layers) if layer.suits(subject))

    def unknown(self) -> tuple[Reason, ...]:
        """A reason for each placeholder that no device can fill in, whatever it is; paths in the component."""
        kind = self.component.kind
        places = [
            *((f"{kind}.{name}", value) for name, value in self._fields.values()),
            *((f"helm.deviceValues[{index}].values", layer.values) for index, layer in enumerate(self._layers)),
            *((f"patches[{index}].patch", patch.patch) for index, patch in enumerate(self.component.patches)),
        ]
        return tuple(reason for path, value in places for reason in unknown_in(value, path))

    def for_device(self, target: Target) -> Component:
        """The device's own component. Raises ``RenderError``, paths relative to the component."""
        component, kind = self.component, self.component.kind
        reasons: list[Reason] = []
        facts = values_of(self._facts, target, self._deployment)
        fill = _Collecting(facts, target, reasons)
        update: dict[str, Any] = {
            attribute: fill(value, f"{kind}.{name}") for attribute, (name, value) in self._fields.items()
        }
        if "objects" in update:
            update["objects"] = tuple(update["objects"])
        if self._layers:
            assert component.helm is not None, "only charts have values by device"
            values = update.get("values", component.helm.values)
            for index in self._suiting(target):
                values = merged(values, fill(self._layers[index].values, f"helm.deviceValues[{index}].values"))
            update |= {"values": values, "device_values": ()}
        patches = tuple(
            patch.model_copy(update={"patch": fill(patch.patch, f"patches[{index}].patch")}) if changes else patch
            for index, (patch, changes) in enumerate(zip(component.patches, self._patches, strict=True))
        )
        if reasons:
            raise RenderError(reasons)
        if not update and not any(self._patches):
            return component
        body = getattr(component, kind).model_copy(update=update)
        return component.model_copy(update={kind: body, "patches": patches})


class OwnInitialization:
    """The objects that are there before the components, prepared in the same way."""

    def __init__(self, initialization: Initialization, deployment: str) -> None:
        self._fields: dict[str, tuple[str, tuple[JsonObject, ...]]] = {
            attribute: (name, value)
            for attribute, name in (("config_maps", "configMaps"), ("secrets", "secrets"), ("jobs", "jobs"))
            if has_placeholders(value := getattr(initialization, attribute))
        }
        self._initialization = initialization
        self._deployment = deployment
        self._facts = facts_in([value for _, value in self._fields.values()])
        self.depends_on_device = depends_on_device(self._facts)

    def key(self, target: Target) -> Hashable:
        """Devices with the same key have the same objects."""
        return tuple(sorted(values_of(self._facts, target, self._deployment).items()))

    def unknown(self) -> tuple[Reason, ...]:
        """As of a component; paths from ``spec``."""
        return tuple(
            reason
            for name, value in self._fields.values()
            for reason in unknown_in(value, f"spec.initialization.{name}")
        )

    def for_device(self, target: Target) -> Initialization:
        """The device's own objects. Raises ``RenderError`` with paths from ``spec``."""
        if not self._fields:
            return self._initialization
        reasons: list[Reason] = []
        fill = _Collecting(values_of(self._facts, target, self._deployment), target, reasons)
        update = {
            attribute: tuple(fill(value, f"spec.initialization.{name}"))
            for attribute, (name, value) in self._fields.items()
        }
        if reasons:
            raise RenderError(reasons)
        return self._initialization.model_copy(update=update)


def merged(values: JsonObject, over: JsonObject) -> JsonObject:
    """``over`` merged into ``values`` as Helm merges values files: maps key by key, anything else replaced.

    A ``null`` stays: Helm takes it as the wish that the chart's own default be gone too.
    """
    result = dict(values)
    for key, value in over.items():
        known = result.get(key)
        result[key] = merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return result


def subject_of(target: Target) -> Subject:
    """The device as selectors see it; of one that nobody knows, its id and labels."""
    known = target.capabilities
    return Subject(known or Capabilities(device=target.device, labels=dict(target.labels)))


class _Layer:
    """The values of some devices."""

    def __init__(self, item: DeviceValues) -> None:
        self.values = item.values
        self.suits = compile_references(item.devices) if item.selector is None else compile_selector(item.selector)


class _Collecting:
    """Fills in, and keeps the reasons of what cannot be, so that all of them are told at once."""

    def __init__(self, facts: Facts, target: Target, reasons: list[Reason]) -> None:
        self._facts = facts
        self._target = target
        self._reasons = reasons

    def __call__(self, value: Any, path: str) -> Any:
        try:
            return filled(value, self._facts, self._target, path)
        except RenderError as error:
            self._reasons += error.reasons
            return value
