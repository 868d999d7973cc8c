"""The embedded broker: a NATS server with its MQTT and WebSocket listeners, from a Python wheel.

It lets one machine run Fleetbus without installing a broker (``make demo``, ``fleetbus broker``).
This module runs the server and speaks no MQTT beyond one CONNECT that proves the broker answers. It has no users and no TLS and therefore listens on loopback
unless told otherwise: a site runs the broker in ``mosquitto/`` or a NATS cluster.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from cli.nats_server import (
    ACK_WAIT_SECONDS,
    SYNC_INTERVAL,
    BrokerError,
    joined,
    mqtt_answers,
    server_binary,
    server_configuration,
)

__all__ = ["STOP_DEADLINE_SECONDS", "BrokerError", "EmbeddedBroker", "ending_with_parent", "run_foreground"]

STOP_DEADLINE_SECONDS = 4.0  # a program has 5 s from SIGTERM to its end; the rest is for the caller

# Started through this, the server ends with the process that started it, even on kill -9 (Linux:
# prctl PR_SET_PDEATHSIG = 1, kept across exec). It is a program and not a preexec_fn because that
# one may deadlock in a process with threads. A parent that died before the call is noticed, too.
_END_WITH_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]): sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def ending_with_parent(command: list[str]) -> list[str]:
    """The command, changed so that the process ends when the calling thread's process does (Linux only).

    On Linux it already ends with the *thread* that starts it.
    """
    if sys.platform != "linux":
        return command
    return [sys.executable, "-I", "-S", "-c", _END_WITH_PARENT, str(os.getpid()), *command]


class EmbeddedBroker:
    """One NATS server process with its data in one folder.

    ``with EmbeddedBroker(folder, port=1883) as broker:`` starts it, waits until it answers MQTT, and
    stops it at the end. On Linux the server also ends when the *thread* that called ``start`` ends,
    so call it from the main thread or one that lives as long.
    """

    def __init__(
        self,
        data: Path,
        port: int = 1883,
        ws_port: int | None = 9001,
        host: str = "127.0.0.1",
        *,
        ack_wait_seconds: float = ACK_WAIT_SECONDS,
        sync_interval: str = SYNC_INTERVAL,
    ) -> None:
        self.data = data
        self.port = port
        self.ws_port = ws_port
        self.host = host
        self._ack_wait_seconds = ack_wait_seconds
        self._sync_interval = sync_interval
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where MQTT clients connect, as ``mqtt://host:port``."""
        return f"mqtt://{joined(_reachable(self.host), self.port)}"

    @property
    def ws_url(self) -> str | None:
        """Where browsers connect, or None without a WebSocket listener. NATS serves MQTT at ``/mqtt`` only."""
        return None if self.ws_port is None else f"ws://{joined(_reachable(self.host), self.ws_port)}/mqtt"

    @property
    def pid(self) -> int | None:
        """The server's process id while it has not been stopped, for signals and measurements."""
        return self._process.pid if self._process is not None else None

    @property
    def log(self) -> Path:
        """The server's log of its present run."""
        return self.data / "broker.log"

    def start(self) -> None:
        """Start the server; ``wait_ready`` says when it answers.

        Raises:
            BrokerError: no binary, a port is taken, or the data folder is in use.
        """
        if self._process is not None:
            raise BrokerError(f"the broker on {self.url} is already started: stop() it first")
        command, lock = self._prepare()
        try:
            with self.log.open("wb") as log:
                self._process = subprocess.Popen(  # noqa: S603 - our own binary and file
                    ending_with_parent(command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(lock,),
                    start_new_session=True,  # Ctrl-C in the terminal is for the caller, who then stops it
                )
        finally:
            os.close(lock)  # the server holds its own copy

    def wait_ready(self, timeout: float = 10.0) -> None:
        """Return as soon as the server accepts an MQTT CONNECT.

        Raises:
            BrokerError: it ended, or did not answer within ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while not mqtt_answers(_reachable(self.host), self.port):
            if self._process is None or self._process.poll() is not None:
                status = "never started" if self._process is None else f"status {self._process.returncode}"
                raise BrokerError(f"the broker ended before it was ready ({status}); its log:\n{self.last_lines()}")
            if time.monotonic() > deadline:
                raise BrokerError(f"no MQTT answer from {self.url} within {timeout:g} s; its log:\n{self.last_lines()}")
            time.sleep(0.01)

    def wait(self) -> int:
        """Wait for the server to end by itself; its exit status, negative if a signal ended it."""
        if self._process is None:
            raise BrokerError(f"the broker on {self.url} is not started")
        return self._process.wait()

    def stop(self) -> int | None:
        """End the server with SIGTERM, after ``STOP_DEADLINE_SECONDS`` with SIGKILL; return its exit status.

        It closes its consumers one by one, 10 ms each: 1,000 QoS 1 subscriptions take 10 s. Not waiting
        for that loses nothing, since what it acknowledged is on disk. None if it does not run.
        """
        process, self._process = self._process, None
        if process is None:
            return None
        process.terminate()
        try:
            return process.wait(STOP_DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def last_lines(self) -> str:
        """The end of the server's log, for an error message."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])

    def _prepare(self) -> tuple[list[str], int]:
        """Write the configuration; return the server's command line, and the held lock on the data folder.

        The lock is a file descriptor that the server must inherit: it holds while any copy is open.
        """
        binary = server_binary()
        self.data.mkdir(parents=True, exist_ok=True)
        lock = _locked(self.data)
        try:
            for port in (self.port, self.ws_port):
                if port is not None:
                    _check_free(self.host, port)
            configuration = self.data / "broker.conf"
            configuration.write_text(
                server_configuration(
                    self.data.resolve(),
                    port=self.port,
                    ws_port=self.ws_port,
                    host=self.host,
                    ack_wait_seconds=self._ack_wait_seconds,
                    sync_interval=self._sync_interval,
                ),
                encoding="utf-8",
            )
        except BaseException:
            os.close(lock)
            raise
        return [str(binary), "-c", str(configuration)], lock


def run_foreground(
    data: Path,
    *,
    port: int = 1883,
    ws_port: int | None = 9001,
    host: str = "127.0.0.1",
    sync_interval: str = SYNC_INTERVAL,
) -> int:
    """What ``fleetbus broker`` does: run the server until SIGTERM, SIGINT or its end; return the exit status.

    Says the URLs on stdout as soon as clients can connect. 0 after a signal; otherwise the server's own
    status (128 + n if signal n ended it), with the end of its log on stderr. Call it from the main thread.

    Raises:
        BrokerError: no binary, a port is taken, the data folder is in use, or the server does not answer.
    """
    broker = EmbeddedBroker(data, port=port, ws_port=ws_port, host=host, sync_interval=sync_interval)
    previous = {number: signal.signal(number, _request_stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        broker.start()
        broker.wait_ready()
        print(f"MQTT: {broker.url}")
        if broker.ws_url:
            print(f"WebSocket: {broker.ws_url}")
        print(f"data: {data}, log: {broker.log}", flush=True)
        status = broker.wait()
        print(f"the broker ended by itself; its log:\n{broker.last_lines()}", file=sys.stderr)
        return status if status >= 0 else 128 - status
    except _StopRequested:
        for number in previous:
            signal.signal(number, signal.SIG_IGN)
        status = broker.stop() or 0
        return 0 if status == -signal.SIGKILL else status
    finally:
        broker.stop()
        for number, handler in previous.items():
            signal.signal(number, handler)


class _StopRequested(BaseException):
    """Raised in the main thread by the signals that end ``run_foreground``; like KeyboardInterrupt, no error."""


def _request_stop(_number: int, _frame: object) -> None:
    raise _StopRequested


def _check_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: TIME_WAIT is no obstacle
        try:
            probe.bind((host, port))
        except OSError as error:
            raise BrokerError(
                f"cannot listen on {joined(host, port)} ({error.strerror}): stop what listens there or choose "
                "another port"
            ) from error


def _locked(data: Path) -> int:
    """A held lock on the data folder, as a file descriptor: two servers in one folder would destroy it."""
    lock = os.open(data / "broker.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise BrokerError(f"another broker runs in {data}: stop it or give another --data folder") from None
    return lock


def _reachable(host: str) -> str:
    """The address to connect to, where ``host`` means every interface."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
