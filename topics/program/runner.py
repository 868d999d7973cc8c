"""How a program runs: until SIGTERM or SIGINT, with a sign of life that a health check can read."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from topics.program.options import OptionError

ALIVE_FILE = "alive"
"""Touched in the data folder while the deciding thread turns; older than 30 s means hung."""

ALIVE_EVERY_SECONDS = 5.0
EXIT_USAGE = 2
EXIT_BUG = 70  # "internal software error" of sysexits.h


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


def _end_the_process(bug: threading.ExceptHookArgs) -> None:
    if bug.exc_type is SystemExit:
        return
    name = bug.thread.name if bug.thread else "unknown"
    sys.stderr.write(f"a bug ended thread {name!r}, and with it this process:\n")
    traceback.print_exception(bug.exc_type, bug.exc_value, bug.exc_traceback)
    sys.stderr.flush()
    os._exit(EXIT_BUG)


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
    """Run a program's body; a wrong option is one clear line and exit status 2.

    A bug on any thread ends the process (exit status 70): a program that lives on without its network
    thread would look healthy and do nothing, while one that is started again goes on where it was.
    """
    threading.excepthook = _end_the_process
    try:
        return run()
    except OptionError as error:
        sys.stderr.write(f"{program}: {error}\nTry '{program} --help'.\n")
        return EXIT_USAGE
