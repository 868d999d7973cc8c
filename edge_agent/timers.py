"""Timers on a monotonic clock: at most one of a kind per deployment, a new one replaces the old."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from edge_agent.happenings import TimerKind


class Timers:
    """A heap; replaced timers stay in it until they are due, and are skipped."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, str, TimerKind]] = []
        self._current: dict[tuple[str, TimerKind], int] = {}
        self._count = 0

    def start(self, name: str, kind: TimerKind, at: float) -> None:
        self._count += 1
        self._current[(name, kind)] = self._count
        heapq.heappush(self._heap, (at, self._count, name, kind))

    def next(self) -> float | None:
        """When the next one is due."""
        while self._heap and self._current.get(self._heap[0][2:]) != self._heap[0][1]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> Iterator[tuple[str, TimerKind]]:
        """Take what is due."""
        while (at := self.next()) is not None and at <= now:
            _, _, name, kind = heapq.heappop(self._heap)
            del self._current[(name, kind)]
            yield name, kind
