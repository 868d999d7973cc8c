"""A client of the Kubernetes API that shares nothing with the programs under test: the standard library alone."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar
from urllib.parse import quote, urlencode, urlsplit

from topics.documents.base import JsonObject

Found = TypeVar("Found")

WAIT_SECONDS = 60.0
_REQUEST_SECONDS = 30.0
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"


class ApiError(Exception):
    """The API server refused; ``code`` is HTTP's, ``reason`` Kubernetes' own word (``NotFound``)."""

    def __init__(self, code: int, answer: JsonObject) -> None:
        self.code = code
        self.reason = str(answer.get("reason", ""))
        self.answer = answer
        super().__init__(f"{code} {self.reason}: {answer.get('message', answer)}")


def wait(what: str, found: Callable[[], Found | None], seconds: float = WAIT_SECONDS) -> Found:
    """What ``found`` gives as soon as that is true. Fails, naming ``what``, after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (result := found()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for: {what}"
        time.sleep(0.05)
    return result


class Api:
    """Requests with one user's token. Threads may share it: every request has a connection of its own."""

    def __init__(self, server: str, ca_file: str, token: str) -> None:
        self.server = server
        self._address = urlsplit(server)
        self._tls = ssl.create_default_context(cafile=ca_file or None)
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._paths: dict[tuple[str, str], tuple[str, bool]] = {}

    # -- objects ----------------------------------------------------------------------------------

    def apply(self, obj: JsonObject, *, manager: str = "somebody", force: bool = False) -> JsonObject:
        """Server-side apply."""
        query = {"fieldManager": manager, "force": str(force).lower()}
        return self.request("PATCH", self.path_of(obj), obj, query=query, content=_APPLY)

    def create(self, obj: JsonObject) -> JsonObject:
        metadata = obj["metadata"]
        return self.request("POST", self.path(obj["apiVersion"], obj["kind"], metadata.get("namespace")), obj)

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> JsonObject | None:
        """The object, or ``None`` if there is none (nor its kind, nor its namespace)."""
        try:
            return self.request("GET", self.path(api_version, kind, namespace, name))
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def list(
        self, api_version: str, kind: str, namespace: str | None = None, *, selector: str = ""
    ) -> list[JsonObject]:
        """The objects of a kind; without a namespace, those of all."""
        query = {"labelSelector": selector} if selector else {}
        found = self.request("GET", self.path(api_version, kind, namespace, everywhere=True), query=query)["items"]
        return [{"apiVersion": api_version, "kind": kind} | item for item in found]

    def merge(self, obj: JsonObject, change: JsonObject, *, status: bool = False) -> JsonObject:
        """Merge ``change`` into the object (RFC 7386), or into its status subresource."""
        path = self.path_of(obj) + ("/status" if status else "")
        return self.request("PATCH", path, change, query={"fieldManager": "somebody"}, content=_MERGE)

    def delete(self, obj: JsonObject) -> None:
        """Ask for the deletion (in the background, with all that it owns); gone already is fine."""
        try:
            self.request("DELETE", self.path_of(obj), {"propagationPolicy": "Background"})
        except ApiError as error:
            if error.code != 404:
                raise

    # -- paths ------------------------------------------------------------------------------------

    def path_of(self, obj: JsonObject) -> str:
        metadata = obj["metadata"]
        return self.path(obj["apiVersion"], obj["kind"], metadata.get("namespace"), metadata["name"])

    def path(
        self, api_version: str, kind: str, namespace: str | None = None, name: str | None = None, *,
        everywhere: bool = False,
    ) -> str:  # fmt: skip
        """The URL path of an object, or of a kind. ``default`` where a namespaced kind is given none."""
        base = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
        if (api_version, kind) not in self._paths:
            for item in self.request("GET", base)["resources"]:
                if "/" not in item["name"]:
                    self._paths[api_version, item["kind"]] = item["name"], item["namespaced"]
        if (api_version, kind) not in self._paths:
            raise ApiError(404, {"reason": "NotFound", "message": f"no kind {kind} in {api_version}"})
        plural, namespaced = self._paths[api_version, kind]
        if namespaced and not (everywhere and namespace is None):
            base += f"/namespaces/{quote(namespace or 'default')}"
        return f"{base}/{plural}" + (f"/{quote(name, safe='')}" if name else "")

    # -- requests ---------------------------------------------------------------------------------

    def request(
        self, method: str, path: str, body: JsonObject | None = None, *, query: dict[str, str] | None = None,
        content: str = "application/json",
    ) -> JsonObject:  # fmt: skip
        """The answer's body. Raises ``ApiError`` for a status of 400 and above, ``OSError`` without an answer."""
        connection = self._connect(_REQUEST_SECONDS)
        try:
            # Closed by itself: a connection lets go of an answer after which the server wants it closed.
            with self._send(connection, method, path, body, query=query or {}, content=content) as answer:
                text = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()
        try:
            document = json.loads(text)
        except ValueError:
            document = {"message": text.decode(errors="replace")}
        if answer.status >= 400:
            raise ApiError(answer.status, document)
        return document if isinstance(document, dict) else {"message": document}

    def _connect(self, timeout: float) -> http.client.HTTPSConnection:
        assert self._address.hostname, self.server
        return http.client.HTTPSConnection(
            self._address.hostname, self._address.port, timeout=timeout, context=self._tls
        )

    def _send(
        self, connection: http.client.HTTPSConnection, method: str, path: str, body: JsonObject | None = None, *,
        query: dict[str, str], content: str = "application/json",
    ) -> http.client.HTTPResponse:  # fmt: skip
        address = path + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        connection.request(method, address, data, self._headers | {"Content-Type": content})
        return connection.getresponse()

    # -- following --------------------------------------------------------------------------------

    def wait_gone(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> None:
        wait(f"{kind} {name} to go", lambda: self.get(api_version, kind, name, namespace) is None)


class Follower:
    """One watch, that another thread may end by ``close``."""

    def __init__(self, api: Api, path: str) -> None:
        self._api = api
        self._path = path
        self._closed = threading.Event()
        self._socket: socket.socket | None = None

    def objects(self) -> Iterator[JsonObject]:
        """Every object as it is now, then every change that is no deletion, until it is closed."""
        while not self._closed.is_set():
            try:
                listed = self._api.request("GET", self._path)
                yield from listed["items"]
                yield from self._changes(str(listed["metadata"]["resourceVersion"]))
            except (OSError, http.client.HTTPException):
                self._closed.wait(0.2)  # the API server is away for a moment: a test may have ended it
            except ApiError as error:
                if error.code not in (403, 410, 429, 500, 503):
                    raise
                self._closed.wait(0.2)

    def _changes(self, version: str) -> Iterator[JsonObject]:
        connection = self._api._connect(300.0)
        try:
            connection.connect()
            self._socket = connection.sock
            query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "200"}
            with self._api._send(connection, "GET", self._path, query=query) as answer:
                if answer.status >= 400:
                    raise ApiError(answer.status, json.loads(answer.read()))
                while not self._closed.is_set() and (line := answer.readline()):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return  # too old: listed anew
                    if event["type"] != "DELETED":
                        yield event["object"]
        finally:
            self._socket = None
            connection.close()

    def close(self) -> None:
        self._closed.set()
        if (current := self._socket) is not None:
            with contextlib.suppress(OSError):
                current.shutdown(socket.SHUT_RDWR)
