"""Which renderers are installed, and which one a component needs."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import entry_points

from orchestrator.rendering.port import Renderer, RenderError
from topics.documents.spec import Component

GROUP = "fleetbus.renderers"


class Renderers:
    """The installed renderers by component kind."""

    def __init__(self, renderers: Iterable[Renderer]) -> None:
        """Raises ``ValueError`` if two render the same kind."""
        self._by_kind: dict[str, Renderer] = {}
        for renderer in renderers:
            other = self._by_kind.setdefault(renderer.kind, renderer)
            if other is not renderer:
                raise ValueError(
                    f"two renderers for components of kind {renderer.kind!r} are installed: "
                    f"{type(other).__qualname__} and {type(renderer).__qualname__}; remove one"
                )

    @property
    def kinds(self) -> tuple[str, ...]:
        """The component kinds that can be rendered, sorted."""
        return tuple(sorted(self._by_kind))

    def renderer_of(self, component: Component) -> Renderer:
        """The renderer a component needs. Raises ``RenderError`` (``renderer-missing``) if there is none."""
        renderer = self._by_kind.get(component.kind)
        if renderer is None:
            raise RenderError.because(
                "renderer-missing",
                f"components of kind {component.kind!r} cannot be rendered here; "
                f"installed renderers: {', '.join(self.kinds) or 'none'}",
                path=component.kind,
                hint=f"install a package with a {GROUP!r} entry point named {component.kind!r} on the orchestrator",
            )
        return renderer


def load_renderers() -> Renderers:
    """All renderers registered under the entry-point group ``fleetbus.renderers``.

    A plug-in that cannot be imported raises its own error here, at start, and is not passed over.
    """
    return Renderers(point.load()() for point in sorted(entry_points(group=GROUP), key=lambda point: point.name))
