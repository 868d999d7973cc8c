"""Named places in a program where a test can make it die, to prove that nothing is lost there.

``FLEETBUS_FAILPOINTS=agent.after-commit=kill:3,agent.state.Staged=kill`` ends the process with
SIGKILL the third time it reaches the first place, or the first time it reaches the second. Without
the variable ``reach`` is one look at an empty table. The variable is read once, at the start.
"""

from __future__ import annotations

import os
import signal
import threading

VARIABLE = "FLEETBUS_FAILPOINTS"


def parse(text: str) -> dict[str, int]:
    """The places of the variable's text, each with the visit at which to die (1: the first).

    Raises ``ValueError`` for anything that is not ``place=kill`` or ``place=kill:N``.
    """
    armed: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        place, _, action = part.partition("=")
        word, colon, count = action.partition(":")
        if not place or word != "kill" or (colon and not (count.isdecimal() and int(count) > 0)):
            raise ValueError(f"{VARIABLE}: {part!r} is not PLACE=kill or PLACE=kill:N with N from 1")
        armed[place] = int(count) if colon else 1
    return armed


_armed = parse(os.environ.get(VARIABLE, ""))
_lock = threading.Lock()


def reach(place: str) -> None:
    """Die here if the environment says so; otherwise nothing."""
    if not _armed:
        return
    with _lock:
        left = _armed.get(place, 0) - 1
        if left < 0:
            return
        _armed[place] = left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
