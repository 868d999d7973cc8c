"""Stands between a program and an API server, and kills the program at the nth change that it asks for.

Plain HTTP on this side, so that a kubeconfig needs no certificate; requests go on to the real server with the
administrator's token. A change is any request that writes, but no dry run.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.support.brokers import HOST, ReservedPort
from tests.support.cluster import ControlPlane


class KillProxy:
    """``arm`` says whom to kill and when; ``changes`` counts since then."""

    def __init__(self, cluster: ControlPlane, folder: Path) -> None:
        self._port = ReservedPort()
        self._address = urlsplit(cluster.server)
        self._tls = ssl.create_default_context(cafile=str(cluster.ca_file))
        admin = json.loads(cluster.kubeconfig.read_text())
        self._token = admin["users"][0]["user"]["token"]
        self._lock = threading.Lock()
        self._nth, self._pid = 0, 0
        self.changes = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                outer._pass_on(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - http.server's names

            def log_message(self, format: str, *args: object) -> None:
                """Nothing goes to standard error."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A killed client's connections end in the middle; that is what this is for."""

        self._server = Server((HOST, self._port.port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="kill-proxy")
        self.kubeconfig = folder / "proxied.kubeconfig"
        document = {
            **admin,
            "clusters": [{"name": "test", "cluster": {"server": f"http://{HOST}:{self._port.port}"}}],
            "users": [{"name": admin["users"][0]["name"], "user": {}}],
        }
        self.kubeconfig.write_text(json.dumps(document))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._port.close()

    def arm(self, nth: int) -> None:
        """From now on count anew, and kill at the ``nth`` change whoever ``aim`` names."""
        with self._lock:
            self._nth, self._pid, self.changes = nth, 0, 0

    def aim(self, pid: int) -> None:
        with self._lock:
            self._pid = pid

    def _pass_on(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        if handler.command != "GET" and "dryRun=All" not in handler.path:
            with self._lock:
                self.changes += 1
                if self._pid and self.changes >= self._nth:
                    os.kill(self._pid, signal.SIGKILL)
                    handler.close_connection = True
                    return
        connection = http.client.HTTPSConnection(str(self._address.hostname), self._address.port, context=self._tls)
        try:
            headers = {
                key: value
                for key, value in handler.headers.items()
                if key.lower() not in ("host", "connection", "accept-encoding")
            }
            headers["Authorization"] = f"Bearer {self._token}"
            connection.request(handler.command, handler.path, body or None, headers)
            answer = connection.getresponse()
            handler.send_response(answer.status)
            for key, value in answer.getheaders():
                if key.lower() not in ("transfer-encoding", "connection", "content-length", "date"):
                    handler.send_header(key, value)
            if "watch=" in handler.path:
                handler.send_header("Connection", "close")
                handler.end_headers()
                handler.close_connection = True
                while piece := answer.read1(65536):
                    handler.wfile.write(piece)
                    handler.wfile.flush()
                return
            data = answer.read()
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data)
        finally:
            connection.close()
