"""The engine's own API (Docker Engine API 1.40 and later, which Podman serves too) over its Unix socket.

Reading through the API costs milliseconds where starting a command line costs tens of them, on every health check; and
only the API's stream tells the bytes of a download. What changes a project goes through Compose.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from edge_agent.appliers.port import ApplyError

_SECONDS = 20.0
"""How long one answer may take; an engine that starts many containers at once needs some."""

_LIMIT_BYTES = 16 * 1024 * 1024
_LINE_BYTES = 1024 * 1024


class EngineError(Exception):
    """The engine answered with an error; the text is its own."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(text)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, seconds: float | None) -> None:
        super().__init__("engine", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(self._path)
        self.sock.settimeout(self.timeout)


class Engine:
    """One engine. Every method raises ``ApplyError`` if it does not answer, and ``EngineError`` for what it refuses."""

    def __init__(self, path: str) -> None:
        self._path = path

    def version(self) -> str:
        """The engine's version."""
        return str(self._json("GET", "/version").get("Version", ""))

    def containers(self, label: str | None = None) -> list[dict[str, Any]]:
        """All containers, also those that do not run, with a label (``name`` or ``name=value``)."""
        query = {"all": "1"} | ({"filters": json.dumps({"label": [label]})} if label else {})
        found = self._json("GET", f"/containers/json?{urlencode(query)}")
        return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []

    def inspect(self, container: str) -> dict[str, Any] | None:
        """All about one container, or ``None`` if it is gone."""
        try:
            found = self._json("GET", f"/containers/{quote(container, safe='')}/json")
        except EngineError as error:
            if error.status == http.HTTPStatus.NOT_FOUND:
                return None
            raise
        assert isinstance(found, dict)
        return found

    def remove(self, container: str) -> None:
        """Stop and remove one container at once; nothing there is fine."""
        try:
            self._request("DELETE", f"/containers/{quote(container, safe='')}?force=1")
        except EngineError as error:
            if error.status != http.HTTPStatus.NOT_FOUND:
                raise

    def has_image(self, image: str) -> bool:
        """Whether the image is on the device."""
        try:
            self._request("GET", f"/images/{quote(image, safe='/:@')}/json")
        except EngineError as error:
            if error.status == http.HTTPStatus.NOT_FOUND:
                return False
            raise
        return True

    def log(self, container: str, lines: int) -> str:
        """The last lines that a container wrote, to both outputs."""
        query = urlencode({"stdout": "1", "stderr": "1", "tail": str(lines)})
        body = self._request("GET", f"/containers/{quote(container, safe='')}/logs?{query}")
        return _plain(body).decode("utf-8", "replace")

    def events(self, filters: Mapping[str, list[str]], since: str, until: str) -> list[dict[str, Any]]:
        """What the engine remembers of a time span (seconds since 1970, as texts)."""
        query = urlencode({"filters": json.dumps(filters), "since": since, "until": until})
        body = self._request("GET", f"/events?{query}")
        return [json.loads(line) for line in body.splitlines() if line.strip()]

    @contextlib.contextmanager
    def stream(self, method: str, path: str, headers: Mapping[str, str], seconds: float | None) -> Iterator[Stream]:
        """A request whose answer comes in lines; ``seconds`` is the longest silence."""
        with self._open(method, path, headers, seconds) as (connection, response):
            yield Stream(connection, response)

    def _json(self, method: str, path: str) -> Any:
        body = self._request(method, path)
        try:
            return json.loads(body)
        except ValueError as error:
            raise EngineError(http.HTTPStatus.OK, f"the engine's answer to {path[:80]} is no JSON: {error}") from error

    def _request(self, method: str, path: str) -> bytes:
        with self._open(method, path, {}, _SECONDS) as (_, response):
            body = response.read(_LIMIT_BYTES + 1)
        if len(body) > _LIMIT_BYTES:
            raise EngineError(
                http.HTTPStatus.OK, f"the engine's answer to {path[:80]} is longer than {_LIMIT_BYTES} bytes"
            )
        return body

    @contextlib.contextmanager
    def _open(
        self, method: str, path: str, headers: Mapping[str, str], seconds: float | None
    ) -> Iterator[tuple[http.client.HTTPConnection, http.client.HTTPResponse]]:
        connection = _UnixConnection(self._path, seconds)
        try:
            connection.request(method, path, headers=dict(headers))
            with contextlib.closing(connection.getresponse()) as response:
                if response.status >= http.HTTPStatus.BAD_REQUEST:
                    raise EngineError(response.status, _message(response.read(_LINE_BYTES)))
                yield connection, response
        except PermissionError as error:
            raise ApplyError(
                "engine-access",
                f"the agent's user may not use {self._path}; add it to the group of that socket and restart the agent",
                retryable=False,
            ) from error
        except (OSError, http.client.HTTPException) as error:
            said = str(error) or type(error).__name__
            raise ApplyError(
                "engine-down",
                f"the engine does not answer at {self._path}: {said}; start it (systemctl start docker, or "
                "systemctl start podman.socket)",
                retryable=True,
            ) from error
        finally:
            connection.close()


class Stream:
    """The lines of an answer. ``cut`` may be called from another thread and ends it."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._socket = connection.sock
        self._response = response

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while line := self._response.readline(_LINE_BYTES):
            if line.strip():
                yield json.loads(line)

    def cut(self) -> None:
        """End the connection, and with it what the engine does for it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def cut_when(asked: Callable[[], bool], stream: Stream, every: float = 0.2) -> Iterator[None]:
    """Cut the stream as soon as ``asked`` says so, which is asked all the time."""
    done = threading.Event()

    def look() -> None:
        while not done.wait(every):
            if asked():
                stream.cut()
                return

    thread = threading.Thread(target=look, name="compose-cancel", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _message(body: bytes) -> str:
    text = body.decode("utf-8", "replace").strip()
    try:
        found = json.loads(text)
    except ValueError:
        return text[:2000]
    return str(found.get("message", text))[:2000] if isinstance(found, dict) else text[:2000]


def _plain(body: bytes) -> bytes:
    """Output without the eight bytes before each piece, which a container without a terminal has."""
    out, at = bytearray(), 0
    while at + 8 <= len(body) and body[at] in (0, 1, 2) and body[at + 1 : at + 4] == b"\0\0\0":
        size = int.from_bytes(body[at + 4 : at + 8], "big")
        out += body[at + 8 : at + 8 + size]
        at += 8 + size
    return bytes(out) if at else body
