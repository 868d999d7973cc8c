"""The programs of the demo as child processes that cannot outlive it.

Each runs in its own session with its log in a file. They are ended in order at the end of the ``with``
block, whatever ended it; on Linux also when the demo itself is killed, because they are started through
``ending_with_parent``.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from cli.embedded_broker import EmbeddedBroker, ending_with_parent
from cli.nats_server import BrokerError

HOST = "127.0.0.1"
USUAL_PORTS = (1883, 9001)
_PORTS = range(20000, 32000)  # below the ports that the system gives to clients
_STOP_SECONDS = 6.0  # the programs promise 5 s
_LOG_LINES = 12


class DemoError(Exception):
    """The demo cannot go on; the text says why."""


@dataclass(frozen=True, slots=True)
class Device:
    """One agent of the demo. They all find the same machine, so they differ by their labels."""

    id: str
    labels: Mapping[str, str]


DEVICES = (
    Device("edge-01", {"line": "press"}),
    Device("edge-02", {"line": "press", "gpu": "nvidia"}),
    Device("edge-03", {"line": "paint"}),
)


class DemoProcesses:
    """Broker, orchestrator and agents, all of their files below ``folder``."""

    def __init__(self, folder: Path, examples: Path, *, usual_ports: bool = False) -> None:
        self._folder = folder
        self._examples = examples
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.broker = self._broker(usual_ports)

    def __enter__(self) -> Self:
        try:
            self.broker.start()
            self.broker.wait_ready()
        except BaseException as error:
            self.broker.stop()
            if isinstance(error, BrokerError):
                raise DemoError(str(error)) from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A second Ctrl-C must not leave half of them running.
        previous = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._stop_all()
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def start_programs(self) -> None:
        """Start the orchestrator and the agents. None needs another to be there first."""
        broker = ["--broker", self.broker.url]
        data = ["--data", str(self._folder / "orchestrator")]
        self._start("orchestrator", ["-m", "orchestrator", *broker, *data, "--charts", str(self._examples)])
        for device in DEVICES:
            labels = [part for key, value in device.labels.items() for part in ("--label", f"{key}={value}")]
            self._start(
                device.id,
                [
                    "-m", "edge_agent", *broker, "--device", device.id, "--data", str(self._folder / device.id),
                    "--applier", "directory", "--manifests", str(self.manifests(device.id)), *labels,
                ],
            )  # fmt: skip

    def manifests(self, device: str) -> Path:
        """The folder that the device's runtime would watch."""
        return self._folder / "manifests" / device

    def check(self) -> None:
        """Raise ``DemoError`` if one of them has ended."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise DemoError(f"{name} ended with status {process.returncode}")

    def logs(self) -> list[tuple[str, str]]:
        """The last lines of every log, by program."""
        files = {name: self._log(name) for name in self._running} | {"broker": self.broker.log}
        return [
            (name, "\n".join(file.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]))
            for name, file in files.items()
            if file.exists()
        ]

    def _start(self, name: str, arguments: Sequence[str]) -> None:
        # The operator's own configuration is for another broker.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("FLEETBUS_")}
        with self._log(name).open("wb") as log:
            self._running[name] = subprocess.Popen(  # noqa: S603 - our own programs
                ending_with_parent([sys.executable, *arguments]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    def _stop_all(self) -> None:
        for process in self._running.values():
            process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for process in self._running.values():
            try:
                process.wait(max(deadline - time.monotonic(), 0.0))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.broker.stop()

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _broker(self, usual_ports: bool) -> EmbeddedBroker:
        if usual_ports and all(_is_free(port) for port in USUAL_PORTS):
            port, ws_port = USUAL_PORTS
        else:
            port, ws_port = _free_ports(2)
        return EmbeddedBroker(self._folder / "broker", port, ws_port, HOST)


def _free_ports(count: int) -> list[int]:
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if _is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise DemoError(f"no free port between {_PORTS.start} and {_PORTS.stop}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
