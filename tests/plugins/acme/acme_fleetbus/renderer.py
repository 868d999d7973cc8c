"""From a ``custom`` component to a station's recipe. See ``orchestrator.rendering.port``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from acme_fleetbus import MANIFEST_TYPE
from orchestrator.charts.archive import ChartArchive
from orchestrator.rendering.patches import refuse
from orchestrator.rendering.port import RenderContext, RenderError
from topics.documents.manifest import ManifestComponent
from topics.documents.spec import Component
from topics.quantity import parse_duration


class AcmeRenderer:
    """Each station gets the recipe with its own name on it, so every device's part is its own."""

    name: ClassVar[str] = "acme"
    kinds: ClassVar[frozenset[str]] = frozenset({"custom"})
    manifest_type: ClassVar[str] = MANIFEST_TYPE
    depends_on_device: ClassVar[bool] = True

    def render(
        self, component: Component, context: RenderContext, charts: Mapping[str, ChartArchive]
    ) -> ManifestComponent:
        """See ``Renderer``."""
        body = component.custom
        assert body is not None, "the orchestrator gives a renderer only the kinds that it takes"
        refuse(component, self.name)
        recipe = body.config.get("recipe")
        if not isinstance(recipe, dict) or not recipe:
            raise RenderError.because("acme-recipe", "has no recipe", path="custom.config.recipe", hint="write one")
        station = context.target.device if context.target is not None else "any"
        return ManifestComponent(
            name=component.name,
            type=MANIFEST_TYPE,
            config={"station": station, "recipe": recipe},
            source="spec",
            wait=body.wait,
            timeout_seconds=parse_duration(body.timeout),
        )
