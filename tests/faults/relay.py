"""A relay between a program and its broker that can swallow what the program sends.

It makes the instant last in which a message has been handed over and nobody has it: the program
believes that it is on its way, and no PUBACK will ever come.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

from tests.support.brokers import HOST, ReservedPort

_CHUNK = 65_536


class Relay:
    """Listens on ``url`` and passes everything on to the broker at ``port``, and back."""

    def __init__(self, port: int) -> None:
        self._broker_port = port
        self._port = ReservedPort()
        self._listener = socket.create_server((HOST, self._port.port))
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name="relay")]
        self.swallowing = False

    @property
    def url(self) -> str:
        return f"mqtt://{HOST}:{self._port.port}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for opened in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):  # closed by its peer already
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()
        for thread in list(self._threads):
            thread.join()
        self._port.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed: that is the end
            while True:
                program, _ = self._listener.accept()
                broker = socket.create_connection((HOST, self._broker_port))
                self._sockets += [program, broker]
                for source, target, swallowed in ((program, broker, True), (broker, program, False)):
                    thread = threading.Thread(target=self._pass_on, args=(source, target, swallowed), name="relay")
                    self._threads.append(thread)
                    thread.start()

    def _pass_on(self, source: socket.socket, target: socket.socket, swallowed: bool) -> None:
        with contextlib.suppress(OSError):  # one side is gone, and so is the other one then
            while data := source.recv(_CHUNK):
                if not (swallowed and self.swallowing):
                    target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
