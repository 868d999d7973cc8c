"""Asks an HTTP server for JSON, within a time and a size, over TCP, TLS or a Unix socket.

The standard library's client bounds each read, not the whole: here a watchdog cuts the connection, so that a
server which sends a byte now and then cannot hold up the measurement.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from topics.codec import parse_json
from topics.errors import ContractError

LIMIT_BYTES = 16 * 1024 * 1024
"""Most bytes of an answer: a page of 50 Kubernetes nodes with their images is 1 to 2 MiB."""


_TOO_LATE = "no complete answer in time"
"""Always the same words, whichever read it was: a problem is logged when its text is new."""


class NoAnswerError(Exception):
    """There is no usable answer; the text says why. ``status`` is the HTTP status if there is one."""

    def __init__(self, text: str, status: int = 0) -> None:
        self.status = status
        super().__init__(text)


@dataclass(frozen=True)
class Server:
    """An HTTP server: how its socket is opened (with a time limit in seconds), and what every request has."""

    open_socket: Callable[[float], socket.socket]
    host: str = "localhost"
    prefix: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    tls_name: str = ""

    def get(self, path: str, seconds: float) -> Any:
        """The JSON value at ``path``. Raises ``NoAnswerError``, at the latest soon after ``seconds``."""
        try:
            connection = self.open_socket(seconds)
            connection.settimeout(seconds)
            if self.tls is not None:
                connection = self.tls.wrap_socket(
                    connection, server_hostname=self.tls_name, do_handshake_on_connect=False
                )
        except TimeoutError as error:
            raise NoAnswerError(_TOO_LATE) from error
        except (OSError, ValueError) as error:  # ssl's errors are OSErrors, a host that is no name a ValueError
            raise NoAnswerError(str(error)) from error
        late = threading.Event()
        watchdog = threading.Timer(seconds, _cut, (connection, late))
        watchdog.daemon = True
        watchdog.start()
        try:
            return self._ask(connection, path)
        except (OSError, ValueError, http.client.HTTPException, ContractError) as error:
            was_late = late.is_set() or isinstance(error, TimeoutError)
            raise NoAnswerError(_TOO_LATE if was_late else str(error) or type(error).__name__) from error
        finally:
            watchdog.cancel()
            connection.close()

    def _ask(self, connection: socket.socket, path: str) -> Any:
        if isinstance(connection, ssl.SSLSocket):
            connection.do_handshake()
        client = http.client.HTTPConnection(self.host)
        client.sock = connection  # so it opens none of its own
        client.request("GET", self.prefix + path, headers={"Accept": "application/json", **self.headers})
        with contextlib.closing(client.getresponse()) as response:
            body = response.read(LIMIT_BYTES + 1)
        if response.status != http.HTTPStatus.OK:
            raise NoAnswerError(f"HTTP status {response.status} {response.reason[:100]}", response.status)
        if len(body) > LIMIT_BYTES:
            raise NoAnswerError(f"the answer is longer than {LIMIT_BYTES} bytes")
        return parse_json(body.decode())


def unix_server(path: str) -> Server:
    """The server behind a Unix socket."""

    def connect(seconds: float) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(seconds)
            connection.connect(path)
        except BaseException:
            connection.close()
            raise
        return connection

    return Server(connect)


def tcp_connect(host: str, port: int) -> Callable[[float], socket.socket]:
    """What opens a TCP connection to the host."""
    return lambda seconds: socket.create_connection((host, port), timeout=seconds)


def _cut(connection: socket.socket, late: threading.Event) -> None:
    late.set()  # before: the reader sees the end of the connection at once
    # The plain socket's own method: an SSLSocket's would first drop the TLS state that the reader is using.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
