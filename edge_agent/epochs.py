"""The numbers of the agent's sessions."""

from __future__ import annotations

import threading

SESSIONS_PER_BOOT = 1_000_000


class Epochs:
    """Numbers the sessions: growing over restarts, without a write for each connection."""

    def __init__(self, boot: int) -> None:
        self._last = boot * SESSIONS_PER_BOOT
        self._lock = threading.Lock()

    def next(self) -> int:
        """The number of the next session. Called on the bus's thread."""
        with self._lock:
            self._last += 1
            return self._last

    @staticmethod
    def boot_of(epoch: int) -> int:
        return epoch // SESSIONS_PER_BOOT
