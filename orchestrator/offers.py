"""What the installed renderers offer, as far as decisions need it: which kinds, and what comes out. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from topics.documents.spec import Component, DeploymentSpec
from topics.errors import Reason


@dataclass(frozen=True, slots=True)
class Offer:
    """One renderer: the component kinds that it takes, and the manifest type that a device needs an applier for."""

    kinds: frozenset[str]
    manifest_type: str


Offers: TypeAlias = Mapping[str, Offer]
"""By renderer name."""


def manifest_types(spec: DeploymentSpec, offers: Offers) -> frozenset[str]:
    """The manifest types of a spec's components; a renderer that is not installed any more asks for none."""
    names = {component.renderer_name for component in spec.spec.components}
    return frozenset(offers[name].manifest_type for name in names if name in offers)


def unrenderable(component: Component, offers: Offers) -> Reason | None:
    """Why nothing here renders the component, with its path in the component; ``None`` if something does."""
    name, kind = component.renderer_name, component.kind
    able = ", ".join(sorted(other for other, offer in offers.items() if kind in offer.kinds))
    offer = offers.get(name)
    if offer is not None and kind in offer.kinds:
        return None
    if offer is None:
        # Without a name the kind itself is what nothing here can render.
        message = (
            f"no renderer {name!r} is installed" if component.renderer else f"no renderer takes {kind!r} components"
        )
        code, required, available = "no-renderer", name, ", ".join(sorted(offers)) or "none"
    else:
        message = f"the renderer {name!r} does not take {kind!r} components"
        code, required, available = "renderer-kind", kind, ", ".join(sorted(offer.kinds))
    hint = f"use one of: {able}" if able else "install a package that registers one under 'fleetbus.renderers'"
    return Reason(
        path="renderer" if component.renderer else kind, code=code, message=message, required=required,
        available=available, hint=hint,
    )  # fmt: skip
