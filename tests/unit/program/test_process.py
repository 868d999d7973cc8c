"""What needs a process of its own: failpoints, the lock on a data folder, signals, logs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from topics.program import failpoints
from topics.program.lock import DataFolderInUseError, DataFolderLock
from topics.program.options import OptionError
from topics.program.runner import ALIVE_FILE, SignOfLife, main

ROOT = Path(__file__).parents[3]


def python(code: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, text=True, env={**os.environ, **env},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


# -- failpoints --------------------------------------------------------------------------------

REACH = """
from topics.program.failpoints import reach
for number in range(4):
    print(number, flush=True)
    reach("other")
    reach("here")
"""


@pytest.mark.parametrize(
    ("armed", "printed", "status"),
    [
        ("", 4, 0),
        ("elsewhere=kill", 4, 0),
        ("here=kill", 1, -signal.SIGKILL),
        ("here=kill:3", 3, -signal.SIGKILL),
        ("here=kill:9, other=kill:2", 2, -signal.SIGKILL),
    ],
)
def test_a_process_dies_at_its_failpoint(armed: str, printed: int, status: int) -> None:
    """At the visit that the variable names, by SIGKILL, and nowhere without it."""
    with python(REACH, FLEETBUS_FAILPOINTS=armed) as process:
        out, _ = process.communicate(timeout=30)
    assert (len(out.split()), process.returncode) == (printed, status)


@pytest.mark.parametrize(
    "text", ["here", "=kill", "here=stop", "here=kill:", "here=kill:0", "here=kill:-1", "here=killx"]
)
def test_a_mistyped_failpoint_is_refused(text: str) -> None:
    """A fault test that arms nothing would prove nothing."""
    with pytest.raises(ValueError, match="is not PLACE=kill or PLACE=kill:N"):
        failpoints.parse(text)


# -- the lock ----------------------------------------------------------------------------------

HOLD = """
import sys, pathlib
from topics.program.lock import DataFolderLock
with DataFolderLock(pathlib.Path(sys.stdin.readline().strip())):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("end", ["orderly", "killed"])
def test_two_processes_never_share_a_data_folder(tmp_path: Path, end: str) -> None:
    """The second is refused with a sentence, and gets in when the first has ended, however it did."""
    folder = tmp_path / "new" / "data"
    with python(HOLD) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{folder}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "held\n"
        with pytest.raises(DataFolderInUseError, match="give each program its own --data"):
            DataFolderLock(folder)
        if end == "killed":
            process.kill()
        process.communicate("\n" if end == "orderly" else None, timeout=30)
    with DataFolderLock(folder):
        pass


def test_the_lock_is_released_within_a_process_too(tmp_path: Path) -> None:
    """Leaving the block releases it; a second one inside is refused."""
    with DataFolderLock(tmp_path), pytest.raises(DataFolderInUseError):
        DataFolderLock(tmp_path)
    with DataFolderLock(tmp_path):
        pass


# -- signals -----------------------------------------------------------------------------------

RUN = """
import sys, threading
from topics.program.runner import stop_on_signals
stopped = threading.Event()
def stop():
    print("stopping", flush=True)
    if sys.argv[1:] != ["hang"]:
        stopped.set()
lock = threading.Lock()
stop_on_signals(stop)
print("ready", flush=True)
stopped.wait()
print("stopped", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_calls_stop(number: signal.Signals) -> None:
    """Once, and the program ends in its own order with its own status."""
    with python(RUN) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (out, err, process.returncode) == ("stopping\nstopped\n", "", 0)


def test_a_second_signal_ends_a_program_that_hangs() -> None:
    """Whoever presses Ctrl-C twice means it."""
    with python(RUN.replace('sys.argv[1:] != ["hang"]', "False")) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.stdout.readline() == "stopping\n"
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM


def test_a_wrong_option_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback for a mistyped option; another status is passed on."""

    def wrong() -> int:
        raise OptionError("--broker is missing")

    assert main("prog", wrong) == 2
    assert capsys.readouterr().err == "prog: --broker is missing\nTry 'prog --help'.\n"
    assert main("prog", lambda: 3) == 3


def test_the_sign_of_life_touches_its_file(tmp_path: Path) -> None:
    """At the first call, and not again within the same seconds."""
    alive = SignOfLife(tmp_path)
    alive()
    file = tmp_path / ALIVE_FILE
    os.utime(file, (0, 0))
    alive()
    assert file.stat().st_mtime == 0


# -- logs --------------------------------------------------------------------------------------

LOG = """
import sys
from topics.program.logs import EventLog, configure
configure(*STYLE)
log = EventLog("fleetbus.test", device="edge-01").bind(deployment="press")
log.debug("not shown")
log.info("state changed", source="Created", note='two "words"', lines="a\\nb", device="edge-02")
try:
    1 / 0
except ZeroDivisionError:
    log.error("a bug", trace=True, path=__import__("pathlib").Path("/x"))
"""


def logged(style: str) -> list[str]:
    with python(LOG.replace("STYLE", f'("info", "{style}")')) as process:
        out, err = process.communicate(timeout=30)
    assert (out, process.returncode) == ("", 0)
    return err.splitlines()


def test_text_logs_are_one_line_of_fields() -> None:
    """Time, level, event, bound and own fields; what has spaces or line breaks is quoted."""
    first, second, *trace = logged("text")
    assert first.endswith(
        ' INFO    state changed device=edge-02 deployment=press source=Created note="two \\"words\\"" lines="a\\nb"'
    )
    assert second.endswith(" ERROR   a bug device=edge-01 deployment=press path=/x")
    assert trace[-1] == "ZeroDivisionError: division by zero"


def test_json_logs_are_one_object_a_line() -> None:
    """Every line is JSON by itself, with the traceback inside."""
    first, second = (json.loads(line) for line in logged("json"))
    assert first.pop("time")
    assert first == {
        "level": "INFO", "event": "state changed", "device": "edge-02", "deployment": "press", "source": "Created",
        "note": 'two "words"', "lines": "a\nb",
    }  # fmt: skip
    assert (second["level"], second["path"]) == ("ERROR", "/x")
    assert "ZeroDivisionError" in second["trace"]


def test_a_bug_on_any_thread_ends_the_process() -> None:
    """A program without its network thread would look healthy: it ends with status 70 and the traceback."""
    script = (
        "import threading, time\n"
        "from topics.program.runner import main\n"
        "def run():\n"
        "    threading.Thread(target=lambda: 1 / 0, name='network').start()\n"
        "    threading.Event().wait(30)\n"
        "    return 0\n"
        "raise SystemExit(main('program', run))\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 70
    assert "'network'" in ended.stderr
    assert "ZeroDivisionError" in ended.stderr
