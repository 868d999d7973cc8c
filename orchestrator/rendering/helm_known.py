"""Rendered files of a chart that need no second rendering: nothing that their templates may read has changed.

Most of what the devices of a plant get is the same, or one of a few kinds; rendering it for each device would take
most of the time (``bench/charts.py`` measures both).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from typing import Any

from orchestrator.rendering.helm_chart import RenderedFile
from orchestrator.rendering.helm_reads import Group, Grouping, Path
from topics.documents.base import JsonObject

MOST_CHARACTERS = 16 * 1024 * 1024
"""Of files and keys that are kept: where each device has its own, they would grow with the devices."""

MOST_SELECTIONS = 8
"""Selections of templates, each of which the engine loads as a chart: beyond, the whole chart is rendered."""

Selection = frozenset[str]
"""Templates of a chart by name."""


class KnownFiles:
    """What was rendered of one chart, for one release name and namespace."""

    def __init__(self, chart: str, grouping: Grouping, *, has_schema: bool) -> None:
        """``chart`` is its name, with which the paths of rendered files begin."""
        self._groups = list(grouping.groups)
        if has_schema:
            # It reads all of the values, and the engine checks them against it with each rendering.
            self._groups.append(Group((Path(),), frozenset()))
        self._group_of = {
            f"{chart}/{name}": number for number, group in enumerate(self._groups) for name in group.templates
        }
        self._shared = grouping.shared
        self._known: dict[tuple[int, str], list[RenderedFile]] = {}
        self._size = 0
        self._selections: set[Selection] = set()

    def files(
        self, values: JsonObject, render: Callable[[Selection | None], Iterable[RenderedFile]], *, anew: bool
    ) -> tuple[RenderedFile, ...]:
        """The chart's files for these values. ``render`` is asked for what is not known (of a selection of templates, or
        of all of them), and for everything with ``anew``; what it raises is passed on, and nothing is kept then."""
        if self._size > MOST_CHARACTERS:
            self._known.clear()
            self._size = 0
        keys = list(enumerate(_key(values, group.reads) for group in self._groups))
        missing = [key for key in keys if anew or key not in self._known]
        if missing or anew:
            selection = None if anew else self._selection(missing)
            self._keep(keys if selection is None else missing, render(selection))
        return tuple([file for key in keys for file in self._known[key]])

    def _selection(self, missing: Collection[tuple[int, str]]) -> Selection | None:
        """What to render; all of the chart where that is most of it, or there are too many selections."""
        selection = self._shared.union(*(self._groups[number].templates for number, _ in missing))
        if len(selection) * 2 > len(self._group_of) + len(self._shared):
            return None
        if selection not in self._selections and len(self._selections) == MOST_SELECTIONS:
            return None
        self._selections.add(selection)
        return selection

    def _keep(self, keys: Iterable[tuple[int, str]], files: Iterable[RenderedFile]) -> None:
        """Other files than those of these groups may be there: templates that others include from."""
        found: dict[int, list[RenderedFile]] = {}
        for file in files:
            found.setdefault(self._group_of[file.path], []).append(file)
            self._size += len(file.text)
        for key in keys:
            self._known[key] = found.get(key[0], [])
            self._size += len(key[1])


def _key(values: JsonObject, reads: Iterable[Path]) -> str:
    """The same for values that agree in what is read."""
    return json.dumps([_found(values, path) for path in reads], sort_keys=True)


def _found(values: Any, path: Path) -> list[Any]:
    """How far the path leads, and what is there. What a chart sets by default comes below it, and is always the same."""
    for depth, name in enumerate(path):
        if not isinstance(values, dict):
            return [depth, values]
        if name not in values:
            return [depth]
        values = values[name]
    return [len(path), values]
