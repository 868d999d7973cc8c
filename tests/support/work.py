"""How much work something is, counted and not timed: the same on every machine, however busy it is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def steps(action: Callable[[], object]) -> int:
    """The byte code instructions that ``action`` executes on this thread. Loops within C (a sort, a copy) are one."""
    count = 0

    def look(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            count += 1
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


def growth(work: Callable[[int], Callable[[], object]], size: int) -> float:
    """By how much the work grows when the size doubles: 2 is linear, 4 is quadratic.

    ``work(size)`` prepares outside of what is counted and returns what is.
    """
    work(2 * size)()  # what is made once, at the first use, is not the size's doing
    return steps(work(2 * size)) / steps(work(size))
