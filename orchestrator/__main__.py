"""``fleetbus-orchestrator``, also as ``python -m orchestrator``."""

from __future__ import annotations

import sys

from topics.program.extras import entry


def main() -> int:
    """The console script."""
    status: int = entry("fleetbus-orchestrator", "orchestrator", "orchestrator.program", "main")()
    return status


if __name__ == "__main__":
    sys.exit(main())
