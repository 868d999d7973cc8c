"""A broker that answers as a test says: for what a real one does only in the moment a cluster node dies."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import BinaryIO, Self

CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE = 1, 3, 8, 10
CONNACK = b"\x20\x02\x00\x00"


def granted(packet_id: int, code: int = 1) -> bytes:
    """A SUBACK for one filter; ``code`` 0x80 is a failure."""
    return b"\x90\x03" + struct.pack("!HB", packet_id, code)


def _remaining(stream: BinaryIO) -> int:
    """The length of the rest of a packet, which is written with seven bits in each byte."""
    length, shift = 0, 0
    while byte := stream.read(1):
        length |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            return length
    raise ConnectionResetError("the connection ended within a packet")


def _packet_id(header: int, body: bytes) -> int:
    """That of the packets that a client numbers, else 0."""
    kind = header >> 4
    if kind not in (PUBLISH, SUBSCRIBE, UNSUBSCRIBE) or (kind == PUBLISH and not header & 0x06):
        return 0
    start = 2 + struct.unpack("!H", body[:2])[0] if kind == PUBLISH else 0
    return int(struct.unpack("!H", body[start : start + 2])[0])


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
            try:
                while header := stream.read(1):
                    kind, packet_id = header[0] >> 4, _packet_id(header[0], stream.read(_remaining(stream)))
                    self.seen.append((number, kind))
                    if reply := self._answer(number, kind, packet_id):
                        connection.sendall(reply)
            except ConnectionError:
                return  # the client is gone, and a client may go at any moment

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
