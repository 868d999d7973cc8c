"""``fleetbus-orchestrator``: runs until SIGTERM."""

from __future__ import annotations

from orchestrator.adapters.schema import DamagedStoreError, StoreVersionError
from orchestrator.bootstrap import build
from orchestrator.config import OPTIONS
from topics.program import logs, runner
from topics.program.lock import DataFolderInUseError, DataFolderLock
from topics.program.options import OptionError, read_options
from topics.program.scratch import use_own_scratch

_DESCRIPTION = "Takes deployment specs from the broker, publishes a manifest for each device, and watches over them."


def main() -> int:
    """The console script."""
    return runner.main("fleetbus-orchestrator", _run)


def _run() -> int:
    options = read_options("fleetbus-orchestrator", _DESCRIPTION, OPTIONS)
    logs.configure(options["log_level"], options["log_format"])
    try:
        lock = DataFolderLock(options["data"])
        use_own_scratch(options["data"])
        orchestrator = build(options)
    except (ValueError, StoreVersionError, DamagedStoreError, DataFolderInUseError) as error:
        raise OptionError(str(error)) from error
    except OSError as error:
        raise OptionError(f"--data {options['data']}: {error.strerror or error}") from error
    with lock:
        runner.stop_on_signals(orchestrator.stop)
        orchestrator.start()
        orchestrator.run(runner.SignOfLife(options["data"]))
    return 0
