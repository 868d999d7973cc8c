"""Real servers on loopback and Unix sockets that answer as recorded: Docker's API, a Kubernetes API with TLS."""

from __future__ import annotations

import json
import shutil
import socket
import socketserver
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

# What Docker 20.10 of Debian 12 and Podman 4.3 answer to GET /version, shortened.
DOCKER = {
    "Platform": {"Name": ""},
    "Components": [
        {"Name": "Engine", "Version": "20.10.24+dfsg1", "Details": {"ApiVersion": "1.41", "Os": "linux"}},
        {"Name": "containerd", "Version": "1.6.20~ds1", "Details": {"GitCommit": "1.6.20~ds1-1+deb12u3"}},
    ],
    "Version": "20.10.24+dfsg1",
    "ApiVersion": "1.41",
}
PODMAN = {
    "Platform": {"Name": "linux/amd64/debian-12"},
    "Components": [{"Name": "Podman Engine", "Version": "4.3.1", "Details": {"APIVersion": "4.3.1"}}],
    "Version": "4.3.1",
    "ApiVersion": "1.41",
}


@dataclass
class Replies:
    """What a server answers by path, and what it was asked."""

    by_path: dict[str, Any] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        replies = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                replies.requests.append((self.path, dict(self.headers.items())))
                answer = replies.by_path.get(self.path, (404, b"404 page not found"))
                if callable(answer):
                    answer(self)
                    return
                status, body = answer if isinstance(answer, tuple) else (200, json.dumps(answer).encode())
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """The requests are in ``requests``."""

        return Handler


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def server_bind(self) -> None:
        super().server_bind()
        self.server_name, self.server_port = "localhost", 0


class _TlsServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not trust the certificate is no error of the server."""


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose paths are short enough for Unix sockets (108 bytes)."""
    with tempfile.TemporaryDirectory(prefix="fb") as name:
        yield Path(name)


@contextmanager
def http_on(path: Path, replies: Replies) -> Iterator[Replies]:
    """An HTTP server behind a Unix socket."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with serving(_UnixServer(str(path), replies.handler())):
        yield replies


@contextmanager
def silent_socket(path: Path, answer: Callable[[socket.socket, threading.Event], None] | None = None) -> Iterator[None]:
    """A Unix socket that takes connections and answers as told, or not at all, until the test ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    over = threading.Event()
    connections: list[socket.socket] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(0.02)

        def accept() -> None:
            while not over.is_set():
                try:
                    connection = listener.accept()[0]
                except TimeoutError:
                    continue
                connections.append(connection)
                if answer is not None:
                    answer(connection, over)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            for connection in connections:
                connection.close()


@dataclass
class Cluster:
    """A Kubernetes API server of the test, with the authority that signed itself."""

    url: str
    port: int
    replies: Replies
    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "server.crt"

    def has_nodes(self, *pages: list[dict[str, Any]]) -> Self:
        """The nodes come in these pages."""
        for number, page in enumerate(pages):
            following = f"page/{number + 1}=" if number + 1 < len(pages) else ""
            path = "/api/v1/nodes?limit=50" + (f"&continue=page%2F{number}%3D" if number else "")
            self.replies.by_path[path] = {
                "kind": "NodeList", "apiVersion": "v1", "metadata": {"continue": following}, "items": page
            }  # fmt: skip
        return self


def node(**allocatable: str) -> dict[str, Any]:
    """A node as the API shows it, shortened."""
    resources = {"cpu": "4", "memory": "8036372Ki", "ephemeral-storage": "49189437441", "pods": "110", **allocatable}
    return {
        "metadata": {"name": "edge", "labels": {"kubernetes.io/arch": "amd64"}},
        "status": {"capacity": {"cpu": "4"}, "allocatable": resources},
    }


@contextmanager
def cluster(folder: Path, *, client: bool = False) -> Iterator[Cluster]:
    """An HTTPS server with a certificate of its own; ``client``: it wants the certificate made as client.crt."""
    certificate(folder, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    if client:
        certificate(folder, "client")
        context.load_verify_locations(folder / "client.crt")
        context.verify_mode = ssl.CERT_REQUIRED
    replies = Replies({"/version": {"major": "1", "minor": "29", "gitVersion": "v1.29.4+k3s1"}})
    server = _TlsServer(("127.0.0.1", 0), replies.handler())
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    port = int(server.server_address[1])
    with serving(server):
        yield Cluster(f"https://127.0.0.1:{port}", port, replies, folder).has_nodes([node()])


def missing_openssl() -> str | None:
    return None if shutil.which("openssl") else "openssl is not installed (tests/setup/debian-packages.sh installs it)"


def certificate(folder: Path, name: str) -> None:
    """A certificate for 127.0.0.1 that signs itself, with its key."""
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt"), "-subj", f"/CN={name}",
            "-addext", "subjectAltName=IP:127.0.0.1",
        ],
        check=True, capture_output=True,
    )  # fmt: skip


def program(folder: Path, name: str, script: str) -> Path:
    """An executable shell script in ``folder``/bin; its folder, for PATH."""
    place = folder / "bin"
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_text(f"#!/bin/sh\n{script}\n")
    (place / name).chmod(0o755)
    return place
