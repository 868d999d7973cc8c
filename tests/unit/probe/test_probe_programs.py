"""Asking programs and HTTP servers: bounded in time and size, whatever they do. Real processes, real sockets."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from edge_agent.probe import http_api
from edge_agent.probe.http_api import NoAnswerError, unix_server
from edge_agent.probe.program import first_line
from tests.unit.probe.servers import DOCKER, Replies, http_on, program, short_folder, silent_socket


def line(folder: Path, script: str, seconds: float = 5.0) -> str:
    place = program(folder, "asked", script)
    return first_line(["asked", "version"], {"PATH": f"{place}:/usr/bin:/bin"}, seconds)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo v3.14.2+gc309b6f", "v3.14.2+gc309b6f"),
        ("echo; echo '  2.26.1 '; echo more", "2.26.1"),
        ("echo warning >&2; echo 1.0", "1.0"),
        ("printf '\\033[1m1.0\\a\\377'", "[1m1.0\N{REPLACEMENT CHARACTER}"),
        ("echo 1.0; exit 1", ""),
        ("exit 0", ""),
        ("cat", ""),  # standard input is empty
        ("head -c 200 /dev/zero | tr '\\0' x", "x" * 100),
    ],
)
def test_the_first_line_is_the_answer(tmp_path: Path, script: str, expected: str) -> None:
    """Printable, bounded, and only of a program that ended well."""
    assert line(tmp_path, script) == expected


def test_a_program_that_is_not_installed_says_nothing(tmp_path: Path) -> None:
    """Nor does one for another processor."""
    assert first_line(["no-such-program"], {"PATH": str(tmp_path)}, 1.0) == ""
    place = program(tmp_path, "foreign", "")
    (place / "foreign").write_bytes(b"\x7fELF of another machine")
    assert first_line(["foreign"], {"PATH": str(place)}, 1.0) == ""


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "script",
    [
        "echo $$ >'{pid}'; exec sleep 600",
        "(echo $BASHPID; exec sleep 600) & echo $! >'{pid}'; wait",  # what it started is ended with it
        "(trap '' TERM; exec sleep 600) & echo $! >'{pid}'; exec cat /dev/zero",
    ],
)
def test_a_program_that_hangs_is_ended(tmp_path: Path, script: str) -> None:
    """Within its time, with everything it started."""
    pid = tmp_path / "pid"
    began = time.monotonic()
    assert line(tmp_path, script.format(pid=pid), 0.5) == ""
    assert time.monotonic() - began < 5
    number = int(pid.read_text())
    deadline = time.monotonic() + 5
    while _runs(number):
        assert time.monotonic() < deadline, f"process {number} still runs"
        time.sleep(0.01)  # between two looks at a condition


def _runs(pid: int) -> bool:
    """Whether the process is there and is no zombie (nobody may reap it in a container)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.timeout(20)
def test_an_endless_output_is_cut(tmp_path: Path) -> None:
    """It neither fills the memory nor takes longer than its time."""
    began = time.monotonic()
    assert line(tmp_path, "yes", 0.5) == ""
    assert time.monotonic() - began < 5


@pytest.mark.timeout(20)
def test_an_output_that_somebody_keeps_open_is_not_waited_for(tmp_path: Path) -> None:
    """A service that the program leaves behind may hold its output for ever."""
    began = time.monotonic()
    assert line(tmp_path, "setsid sleep 8 & echo 1.0", 0.5) in ("", "1.0")
    assert time.monotonic() - began < 5


def test_json_comes_over_a_unix_socket() -> None:
    """As Docker's API speaks."""
    with short_folder() as folder, http_on(folder / "s", Replies({"/version": DOCKER})) as replies:
        assert unix_server(str(folder / "s")).get("/version", 5.0) == DOCKER
    assert [path for path, _ in replies.requests] == ["/version"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((500, b"oops"), "HTTP status 500"),
        ((200, b"no json"), "not valid JSON"),
        ((200, b"\xff\xfe"), "decode"),
        ((200, b"[" * 200_000), "nested deeper"),
    ],
)
def test_an_unusable_answer_says_why(answer: tuple[int, bytes], why: str) -> None:
    """Never anything but ``NoAnswerError``."""
    with (
        short_folder() as folder,
        http_on(folder / "s", Replies({"/version": answer})),
        pytest.raises(NoAnswerError, match=why),
    ):
        unix_server(str(folder / "s")).get("/version", 5.0)


def test_no_server_is_no_answer(tmp_path: Path) -> None:
    """No socket, a file in its place, a path too long for one."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "none", tmp_path / "file", tmp_path / ("x" * 200)):
        with pytest.raises(NoAnswerError):
            unix_server(str(path)).get("/version", 1.0)


def test_an_answer_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not even read to its end."""
    monkeypatch.setattr(http_api, "LIMIT_BYTES", 1000)
    with (
        short_folder() as folder,
        http_on(folder / "s", Replies({"/version": (200, b'"' + b"x" * 2000 + b'"')})),
        pytest.raises(NoAnswerError, match="longer than 1000 bytes"),
    ):
        unix_server(str(folder / "s")).get("/version", 5.0)


def _drip(connection: socket.socket, over: threading.Event) -> None:
    """A header line that never ends, a byte now and then: every single read is in time."""
    try:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not over.wait(0.05):
            connection.sendall(b"x")
    except OSError:
        return  # the client has had enough


@pytest.mark.timeout(20)
@pytest.mark.parametrize("answer", [None, _drip])
def test_a_server_that_hangs_is_given_up(answer: object) -> None:
    """One that says nothing, and one that says a byte at a time."""
    assert answer is None or callable(answer)
    with short_folder() as folder, silent_socket(folder / "s", answer):
        began = time.monotonic()
        with pytest.raises(NoAnswerError):
            unix_server(str(folder / "s")).get("/version", 0.5)
        assert time.monotonic() - began < 5


def test_nothing_is_left_open(tmp_path: Path) -> None:
    """No descriptor and no thread, however the asking ended."""
    before = _open()
    with short_folder() as folder, http_on(folder / "s", Replies({"/version": DOCKER})) as replies:
        for _ in range(3):
            unix_server(str(folder / "s")).get("/version", 5.0)
            with pytest.raises(NoAnswerError):
                unix_server(str(folder / "s")).get("/nothing", 5.0)
            line(tmp_path, "exec sleep 60", 0.05)
    assert replies.requests
    deadline = time.monotonic() + 5
    while _open() != before:
        assert time.monotonic() < deadline, "something is left open"
        time.sleep(0.01)  # between two looks at a condition


def _open() -> tuple[int, int]:
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
