"""The tests' own client of the Kubernetes API, where a real server is too well-behaved."""

from __future__ import annotations

import http.client
import socket
import struct
import threading

import psutil
import pytest

from tests.support.brokers import HOST
from tests.support.cluster_api import Api, Follower

BREAKING_OFF = b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 100\r\n\r\n{"a'


class PlainApi(Api):
    """The client without TLS."""

    def _connect(self, timeout: float) -> http.client.HTTPSConnection:
        address = str(self._address.hostname), self._address.port
        return http.client.HTTPConnection(*address, timeout=timeout)  # type: ignore[return-value]  # as good here


@pytest.mark.parametrize("what", ["request", "watch"])
def test_an_answer_that_breaks_off_leaves_no_socket_open(what: str) -> None:
    """As an API server answers that is being ended: with the word that it will close the connection, and then none.

    A socket that nobody closed is a warning in whatever test runs when it is collected.
    """
    with socket.create_server((HOST, 0)) as server:

        def serve() -> None:
            with server.accept()[0] as connection:
                connection.recv(4096)
                connection.sendall(BREAKING_OFF)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset

        serving = threading.Thread(target=serve)
        serving.start()
        api = PlainApi(f"http://{HOST}:{server.getsockname()[1]}", "", "token")
        before = psutil.Process().num_fds()
        with pytest.raises((OSError, ValueError)) as caught:
            api.request("GET", "/version") if what == "request" else list(Follower(api, "/x")._changes("1"))
        serving.join(10)
        assert caught.tb is not None, "it holds whatever was left open"
        assert psutil.Process().num_fds() == before
