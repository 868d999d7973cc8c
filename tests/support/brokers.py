"""Real brokers for tests: Mosquitto and the NATS server behind one interface.

Each object is one broker process with its data in its own folder, on ports below 32768 (above that
they collide with clients' ephemeral ports). A port stays reserved for the object's life, across
restarts and against every other test process of the machine. Processes are ended by their id only,
and they end with the test process even when that is killed.
"""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Protocol, Self

from cli.embedded_broker import EmbeddedBroker, ending_with_parent
from cli.nats_server import ACK_WAIT_SECONDS, BrokerError, mqtt_answers, server_binary

HOST = "127.0.0.1"
READY_SECONDS = 15.0  # a broker takes 0.1 s; a busy machine with several test workers takes longer
_PORTS = range(20000, 32000)

# The settings of mosquitto/mosquitto.conf that decide what is kept and what is delivered.
MOSQUITTO_SETTINGS = """\
persistence true
autosave_interval 5
max_queued_messages 100000
max_inflight_messages 4096
max_packet_size 8388608
set_tcp_nodelay true
"""


class Broker(Protocol):
    """One broker process a test may start, stop and kill as it likes."""

    kind: ClassVar[str]

    @property
    def port(self) -> int: ...

    @property
    def url(self) -> str:
        """``mqtt://127.0.0.1:port``; the same after a restart."""

    @property
    def ws_url(self) -> str | None:
        """``ws://127.0.0.1:port/mqtt`` if the broker was made with ``websocket=True``."""

    @property
    def pid(self) -> int:
        """The process id of the running broker."""

    def start(self) -> None:
        """Start it and return when it answers MQTT."""

    def stop(self) -> None:
        """End it in order (SIGTERM): what it holds is saved."""

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""

    def restart(self, *, empty: bool = False) -> None:
        """Stop it if it runs and start it on the same port; ``empty``: with all of its data gone."""

    def close(self) -> None:
        """Stop it if it runs and give its ports back."""


class ReservedPort:
    """A free port no other test process will choose while this object is open."""

    def __init__(self) -> None:
        folder = Path(tempfile.gettempdir()) / f"fleetbus-test-ports-{os.getuid()}"
        folder.mkdir(exist_ok=True)
        for port in random.sample(_PORTS, len(_PORTS)):
            lock = os.open(folder / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((HOST, port))
            except OSError:  # reserved by another test process, or listened on by something else
                os.close(lock)
                continue
            self.port = port
            self._lock: int | None = lock
            return
        raise RuntimeError(f"no free port between {_PORTS.start} and {_PORTS.stop}")

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class _OwnProcess(ABC):
    """What both kinds do in the same way."""

    data: Path
    _ports: list[ReservedPort]

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def stop(self) -> None: ...

    def restart(self, *, empty: bool = False) -> None:
        self.stop()
        if empty:
            shutil.rmtree(self.data)
        self.start()

    def close(self) -> None:
        self.stop()
        for port in self._ports:
            port.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class MosquittoBroker(_OwnProcess):
    """A Mosquitto with the project's limits, anonymous unless ``configuration`` says otherwise.

    ``configuration`` replaces all of the file except listener 1 and the data folder, which it finds
    as ``{port}`` and ``{data}`` (and ``{ws_port}``); braces otherwise need doubling.
    """

    kind: ClassVar[str] = "mosquitto"

    def __init__(self, folder: Path, *, websocket: bool = False, configuration: str | None = None) -> None:
        self._folder = folder
        self.data = folder / "data"
        self._port = ReservedPort()
        self._ws_port = ReservedPort() if websocket else None
        self._ports = [port for port in (self._port, self._ws_port) if port]
        self._template = configuration if configuration is not None else _open_configuration(websocket)
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def missing() -> str | None:
        """Why this broker cannot run here, or None."""
        return None if _mosquitto() else "mosquitto is not installed (tests/setup/debian-packages.sh installs it)"

    @property
    def port(self) -> int:
        return self._port.port

    @property
    def url(self) -> str:
        return f"mqtt://{HOST}:{self.port}"

    @property
    def ws_url(self) -> str | None:
        return None if self._ws_port is None else f"ws://{HOST}:{self._ws_port.port}/mqtt"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the broker does not run"
        return self._process.pid

    @property
    def log(self) -> Path:
        return self._folder / "mosquitto.log"

    def start(self) -> None:
        assert self._process is None, "the broker runs already"
        binary = _mosquitto()
        assert binary is not None, self.missing()
        self.data.mkdir(parents=True, exist_ok=True)
        configuration = self._folder / "mosquitto.conf"
        configuration.write_text(
            self._template.format(port=self.port, data=self.data, ws_port=self._ws_port.port if self._ws_port else 0)
        )
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ending_with_parent([binary, "-c", str(configuration)]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_ready()

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait(30)

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _wait_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + READY_SECONDS
        while not mqtt_answers(HOST, self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                state = (
                    f"ended with status {self._process.returncode}" if self._process.poll() is not None else "silent"
                )
                log = self.log.read_text(errors="replace")[-2000:]
                self.kill()
                raise RuntimeError(f"mosquitto on port {self.port} is not ready: {state}; its log:\n{log}")
            time.sleep(0.01)


class NatsBroker(_OwnProcess):
    """The embedded broker exactly as ``fleetbus broker`` configures it."""

    kind: ClassVar[str] = "nats"

    def __init__(self, folder: Path, *, websocket: bool = False, ack_wait_seconds: float = ACK_WAIT_SECONDS) -> None:
        self._port = ReservedPort()
        self._ws_port = ReservedPort() if websocket else None
        self._ports = [port for port in (self._port, self._ws_port) if port]
        self.data = folder / "data"
        self._broker = EmbeddedBroker(
            self.data,
            self._port.port,
            self._ws_port.port if self._ws_port else None,
            HOST,
            ack_wait_seconds=ack_wait_seconds,
        )

    @staticmethod
    def missing() -> str | None:
        """Why this broker cannot run here, or None."""
        try:
            server_binary()
        except BrokerError as error:
            return str(error)
        return None

    @property
    def port(self) -> int:
        return self._broker.port

    @property
    def url(self) -> str:
        return self._broker.url

    @property
    def ws_url(self) -> str | None:
        return self._broker.ws_url

    @property
    def pid(self) -> int:
        assert self._broker.pid is not None, "the broker does not run"
        return self._broker.pid

    @property
    def log(self) -> Path:
        return self._broker.log

    def start(self) -> None:
        self._broker.start()
        self._broker.wait_ready(READY_SECONDS)

    def stop(self) -> None:
        self._broker.stop()

    def kill(self) -> None:
        self._broker.kill()


KINDS: dict[str, type[MosquittoBroker | NatsBroker]] = {broker.kind: broker for broker in (MosquittoBroker, NatsBroker)}


def _mosquitto() -> str | None:
    # Debian installs it in /usr/sbin, which is not on an ordinary user's path.
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")


def _open_configuration(websocket: bool) -> str:
    lines = [MOSQUITTO_SETTINGS, "allow_anonymous true", "persistence_location {data}/", f"listener {{port}} {HOST}"]
    if websocket:
        lines += [f"listener {{ws_port}} {HOST}", "protocol websockets"]
    if os.geteuid() == 0:
        lines.append("user root")  # it would otherwise change to a user who cannot write to the test's folder
    return "\n".join(lines) + "\n"
