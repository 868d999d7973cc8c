"""Programs whose packages may not be installed: an agent's install has the agent alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from topics.program.runner import EXIT_USAGE

_OURS = frozenset({"topics", "orchestrator", "edge_agent", "cli"})


def entry(program: str, extra: str, module: str, name: str) -> Callable[[], Any]:
    """The function ``name`` of ``module``; if one of the extra's packages is missing, one that says so."""
    try:
        found: Callable[[], Any] = getattr(import_module(module), name)
        return found
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.partition(".")[0] in _OURS:
            raise  # not a missing package: a bug of this one

    def refuse() -> int:
        sys.stderr.write(f"{program}: {missing} is not installed here: pip install 'fleetbus[{extra}]'\n")
        return EXIT_USAGE

    return refuse
