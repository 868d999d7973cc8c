"""How a program runs: until SIGTERM or SIGINT, with a sign of life that a health check can read."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from topics.program.options import OptionError

ALIVE_FILE = "alive"
"""Touched in the data folder while the deciding thread turns; older than 30 s means hung."""

ALIVE_EVERY_SECONDS = 5.0
EXIT_USAGE = 2


class SignOfLife:
    """Touches ``<data>/alive`` at most every five seconds; call it from the loop it vouches for."""

    def __init__(self, data: Path) -> None:
        self._file = data / ALIVE_FILE
        self._next = 0.0

    def __call__(self) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + ALIVE_EVERY_SECONDS
            self._file.touch()


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Call ``stop`` once on SIGTERM or SIGINT; a second signal ends the process at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        # Not on the interrupted main thread itself: it may hold the very lock that stop() needs.
        threading.Thread(target=stop, name="stop", daemon=True).start()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


def main(program: str, run: Callable[[], int]) -> int:
    """Run a program's body; a wrong option is one clear line and exit status 2."""
    try:
        return run()
    except OptionError as error:
        sys.stderr.write(f"{program}: {error}\nTry '{program} --help'.\n")
        return EXIT_USAGE
