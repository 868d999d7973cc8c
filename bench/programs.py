"""Ends the programs of a benchmark, and shows their logs when it fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.processes import Program

_SHOWN = 3_000  # characters of each log


@contextmanager
def ending(*programs: Program) -> Iterator[None]:
    """Kills them at the end of the block."""
    try:
        yield
    except BaseException:
        for program in programs:
            sys.stderr.write(f"---- {program.name} ----\n{program.text[-_SHOWN:]}\n")
        raise
    finally:
        for program in programs:
            program.kill()
