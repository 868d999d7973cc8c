"""Timers of a deciding thread: a heap of monotonic due times. No thread, no clock of its own."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Timers(Generic[T]):
    """Things that are due at a monotonic time. A key has at most one timer: the newest."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Hashable, T]] = []
        self._numbers = itertools.count()
        self._newest: dict[Hashable, int] = {}

    def set(self, key: Hashable, due: float, item: T) -> None:
        number = next(self._numbers)
        self._newest[key] = number
        heapq.heappush(self._heap, (due, number, key, item))

    def cancel(self, key: Hashable) -> None:
        self._newest.pop(key, None)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._newest

    def due(self, now: float) -> list[T]:
        """What is due, in order; it is forgotten here."""
        items = []
        while self._heap and self._heap[0][0] <= now:
            _, number, key, item = heapq.heappop(self._heap)
            if self._newest.get(key) == number:
                del self._newest[key]
                items.append(item)
        return items

    def next(self) -> float | None:
        """When the next one is due."""
        while self._heap and self._newest.get(self._heap[0][2]) != self._heap[0][1]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def wait(self, now: float, most: float) -> float:
        """Seconds until the next one is due, at most ``most``."""
        due = self.next()
        return most if due is None else max(0.0, min(most, due - now))
