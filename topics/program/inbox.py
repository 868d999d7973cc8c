"""The inbox of a program's one deciding thread: bounded for messages, drained in batches."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue that is emptied in batches.

    ``put(..., bounded=True)`` blocks while ``limit`` items wait: that is the back-pressure on the
    network thread. Unbounded puts never block, so the deciding thread may put to its own inbox.
    """

    def __init__(self, limit: int = 5_000) -> None:
        self._limit = limit
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: T, *, bounded: bool = False) -> None:
        with self._changed:
            while bounded and len(self._items) >= self._limit and not self._closed:
                self._changed.wait()
            self._items.append(item)
            if len(self._items) == 1:
                self._changed.notify_all()

    def take(self, most: int, timeout: float, linger: float = 0.0) -> list[T]:
        """Up to ``most`` items in order; waits up to ``timeout`` seconds for the first one, and with it
        there up to ``linger`` seconds for more to come."""
        with self._changed:
            if not self._items and not self._closed:
                self._changed.wait(timeout)
            if linger and 0 < len(self._items) < most and not self._closed:
                self._changed.wait(linger)
            full = len(self._items) >= self._limit
            batch = [self._items.popleft() for _ in range(min(most, len(self._items)))]
            if full:
                self._changed.notify_all()
            return batch

    def close(self) -> None:
        """Wake everybody up; nothing blocks any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
