"""``fleetbus-agent``: the program of one device."""

from __future__ import annotations

import os
import sys

from edge_agent.bootstrap import build
from edge_agent.config import PROGRAM, read_config
from edge_agent.ports import JournalError
from topics.program import logs, runner
from topics.program.lock import DataFolderInUseError
from topics.program.scratch import use_own_scratch

EXIT_FAILED = 1


def main() -> int:
    """Run the agent until SIGTERM or SIGINT; the exit status is 0 then, 2 for a wrong option."""
    return runner.main(PROGRAM, _run)


def _run() -> int:
    config = read_config(None, os.environ)
    logs.configure(config.log_level, config.log_format)
    try:
        service = build(config)
        use_own_scratch(config.data)
        runner.stop_on_signals(service.stop)
        service.start()
        service.run()
    except (JournalError, DataFolderInUseError) as error:
        sys.stderr.write(f"{PROGRAM}: {error}\n")
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
