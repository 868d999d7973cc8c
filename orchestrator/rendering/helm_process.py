"""Asks a process of its own to render (``helm_worker.py``), and ends it when it does not answer in time."""

from __future__ import annotations

import contextlib
import json
import marshal
import os
import select
import struct
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import Any

_WORKER = Path(__file__).with_name("helm_worker.py")
_CHUNK = 1 << 20

_GO = {"GOGC": "400", "GOMAXPROCS": "1"}
"""Go's collector waits until the heap has grown to five times what is in use. A rendering leaves some hundred kilobytes
behind, and with Go's own rule collecting them takes a quarter of its time; this costs 18 MiB. One processor: it renders
one chart at a time, and threads that collect beside it cost more than they gain."""


class ProcessEndedError(Exception):
    """The process is gone: it ended by itself (``timed_out`` is false), or did not answer in time and was killed."""

    def __init__(self, why: str, *, timed_out: bool) -> None:
        super().__init__(why)
        self.timed_out = timed_out


class HelmProcess:
    """One process, for one caller at a time, on the thread that made it (the process ends with that thread).

    Raises ``ProcessEndedError`` where it cannot be started, and from ``ask``; then it is of no more use.
    """

    def __init__(self, seconds: float) -> None:
        """``seconds``: how long one answer may take."""
        self._seconds = seconds
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            # "-S", "-P": all of the path is given.
            [sys.executable, "-S", "-P", str(_WORKER), str(os.getpid())],
            env=_GO | os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.close = weakref.finalize(self, _end, self._process)
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)
        self.greeting = self._answer()

    def ask(self, request: dict[str, Any], attachment: bytes | None = None) -> dict[str, Any]:
        """The answer to a request, which may be a failure. See ``helm_worker``."""
        try:
            self._send(json.dumps(request).encode())
            if attachment is not None:
                self._send(attachment)
        except OSError:
            raise self._ended() from None
        return self._answer()

    @property
    def _out(self) -> int:
        assert self._process.stdout is not None, "it is a pipe"
        return self._process.stdout.fileno()

    def _send(self, data: bytes) -> None:
        assert self._process.stdin is not None, "it is a pipe"
        self._process.stdin.write(struct.pack(">I", len(data)) + data)
        self._process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        deadline = time.monotonic() + self._seconds
        [size] = struct.unpack(">I", self._take(4, deadline))
        answer = marshal.loads(self._take(size, deadline))  # noqa: S302 - from our own program
        assert isinstance(answer, dict), "the worker answers with objects"
        return answer

    def _take(self, size: int, deadline: float) -> bytes:
        found = bytearray()
        while len(found) < size:
            if not self._poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                self.close()
                raise ProcessEndedError(f"it did not answer within {self._seconds:g} s", timed_out=True)
            data = os.read(self._out, min(_CHUNK, size - len(found)))
            if not data:
                raise self._ended()
            found += data
        return bytes(found)

    def _ended(self) -> ProcessEndedError:
        self.close()
        return ProcessEndedError(f"it ended with status {self._process.returncode}", timed_out=False)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):  # what was not sent yet
                stream.close()
