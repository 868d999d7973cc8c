"""Which renderers are installed, and which one a component needs."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

from orchestrator.offers import Offer, Offers, unrenderable
from orchestrator.rendering.port import Renderer, RenderError
from topics.documents.spec import COMPONENT_KINDS, Component

GROUP = "fleetbus.renderers"


class Renderers:
    """The installed renderers by name."""

    def __init__(self, renderers: Iterable[Renderer]) -> None:
        """Raises ``ValueError`` if two have the same name, or one takes a kind that no spec has."""
        self._by_name: dict[str, Renderer] = {}
        for renderer in renderers:
            unknown = sorted(renderer.kinds - set(COMPONENT_KINDS))
            if unknown:
                raise ValueError(
                    f"the renderer {renderer.name!r} ({type(renderer).__qualname__}) takes components of kind "
                    f"{', '.join(unknown)}; there are {', '.join(COMPONENT_KINDS)}"
                )
            other = self._by_name.setdefault(renderer.name, renderer)
            if other is not renderer:
                raise ValueError(
                    f"two renderers called {renderer.name!r} are installed: "
                    f"{type(other).__qualname__} and {type(renderer).__qualname__}; remove one"
                )

    @property
    def offers(self) -> Offers:
        """What decisions know of them."""
        return {name: Offer(item.kinds, item.manifest_type) for name, item in sorted(self._by_name.items())}

    def renderer_of(self, component: Component) -> Renderer:
        """The renderer a component needs. Raises ``RenderError`` if none is installed or it does not take the kind."""
        reason = unrenderable(component, self.offers)
        if reason is not None:
            raise RenderError((reason,))
        return self._by_name[component.renderer_name]


def load_renderers() -> Renderers:
    """All renderers registered under the entry-point group ``fleetbus.renderers``.

    A plug-in that cannot be imported raises its own error here, at start, and is not passed over.
    """
    # The same distribution may be found twice on the path (an editable install in its own folder).
    points = {(point.name, point.value): point for point in entry_points(group=GROUP)}
    return Renderers(_load(point) for _, point in sorted(points.items()))


def _load(point: EntryPoint) -> Renderer:
    renderer: Renderer = point.load()()
    if renderer.name != point.name:
        raise ValueError(
            f"the entry point {point.name!r} in {GROUP!r} ({point.value}) names a renderer called {renderer.name!r}; "
            "they must be the same, or an error names what nobody can find"
        )
    return renderer
