"""Finds an applier by its name among the installed plug-ins and builds it with its options.

Only the one that is asked for is imported: an unused runtime costs an agent no memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

from edge_agent.appliers.port import GROUP, Applier, OptionError


def applier_names() -> tuple[str, ...]:
    """The names of the installed appliers, sorted; none of them is imported."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def load_applier(name: str, options: Mapping[str, str]) -> Applier:
    """The applier registered as ``name``, built with ``options``.

    Raises ``OptionError`` when there is no such applier, when two distributions register the
    name, when its import fails, or when it refuses the options.
    """
    point = _only(name, [point for point in entry_points(group=GROUP) if point.name == name])
    try:
        factory = point.load()
    except (ImportError, AttributeError) as error:
        raise OptionError(
            f"the applier {name!r} ({point.value}) cannot be imported: {error}; install what it needs"
        ) from error
    applier = factory(options)
    if not isinstance(applier, Applier):
        raise OptionError(f"the applier {name!r} ({point.value}) lacks methods of edge_agent.appliers.port.Applier")
    return applier


def _only(name: str, points: list[EntryPoint]) -> EntryPoint:
    # The same distribution may be found twice on the path (an editable install in its own folder).
    values = sorted({point.value for point in points})
    if not values:
        installed = ", ".join(applier_names()) or "none; is the fleetbus distribution itself installed?"
        raise OptionError(f"there is no applier {name!r}; installed: {installed}")
    if len(values) > 1:
        raise OptionError(f"the applier {name!r} is registered as {' and as '.join(values)}; uninstall one of them")
    return points[0]
