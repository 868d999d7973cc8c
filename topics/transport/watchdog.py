"""What the watchdog of a connection stands on: whose time has passed, and how a connection is ended."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Patience(Generic[T]):
    """A callback for the network thread, and a clock that stands still while the program keeps that thread waiting.

    An answer that is already here, behind a thousand messages for a slow program, is not the broker's delay.
    """

    def __init__(self, callback: Callable[[T], None]) -> None:
        self._callback = callback
        self._blocked_seconds = 0.0
        self._blocked_since: float | None = None

    def __call__(self, event: T) -> None:
        """Call the callback. For one thread only."""
        self._blocked_since = started = time.monotonic()
        self._callback(event)
        self._blocked_seconds, self._blocked_since = self._blocked_seconds + time.monotonic() - started, None

    def now(self) -> float:
        """Monotonic seconds without those that the callback took. For any thread."""
        since = self._blocked_since
        return (time.monotonic() if since is None else since) - self._blocked_seconds


def same_socket(connection: Any) -> socket.socket:
    """A second handle of a connection's socket, under TLS and WebSocket too: shutting those down would pull
    them from under the reading thread. Raises ``OSError`` if it is closed."""
    return socket.socket(fileno=os.dup(connection.fileno()))
