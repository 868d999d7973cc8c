"""A broker that answers as a test says: for what a real one does only in the moment a cluster node dies."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE = 1, 3, 8, 10
CONNACK = b"\x20\x02\x00\x00"


def granted(packet_id: int, code: int = 1) -> bytes:
    """A SUBACK for one filter; ``code`` 0x80 is a failure."""
    return b"\x90\x03" + struct.pack("!HB", packet_id, code)


class FakeBroker:
    """Calls ``answer(connection number, packet type, packet id)`` for each packet and sends what it returns.

    ``seen`` lists the (connection number, packet type) that arrived; connections count from 1.
    """

    def __init__(self, answer: Callable[[int, int, int], bytes]) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.seen: list[tuple[int, int]] = []
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed
            self._connections.append(connection)
            self._start(self._serve, connection, len(self._connections))

    def _serve(self, connection: socket.socket, number: int) -> None:
        with connection, connection.makefile("rb") as stream:
            while header := stream.read(1):
                kind, length, shift = header[0] >> 4, 0, 0
                while True:
                    byte = stream.read(1)[0]
                    length |= (byte & 0x7F) << shift
                    shift += 7
                    if byte < 0x80:
                        break
                body = stream.read(length)
                self.seen.append((number, kind))
                numbered = kind in (SUBSCRIBE, UNSUBSCRIBE) or (kind == PUBLISH and header[0] & 0x06)
                start = 2 + struct.unpack("!H", body[:2])[0] if kind == PUBLISH else 0
                packet_id = struct.unpack("!H", body[start : start + 2])[0] if numbered else 0
                if reply := self._answer(number, kind, packet_id):
                    try:
                        connection.sendall(reply)
                    except ConnectionError:
                        return  # the client is gone

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the client closed it
        for thread in self._threads:
            thread.join()
