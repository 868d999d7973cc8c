"""``fleetbus``, also as ``python -m cli``."""

from __future__ import annotations

import sys

from topics.program.extras import entry


def main() -> int | None:
    """The console script; typer ends the process itself."""
    status: int | None = entry("fleetbus", "cli", "cli.main", "run")()
    return status


if __name__ == "__main__":
    sys.exit(main())
