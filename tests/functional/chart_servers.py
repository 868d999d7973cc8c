"""Real servers of charts for tests: an HTTP repository in a thread, and Debian's ``docker-registry``."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import yaml

from orchestrator.charts.oci import CHART_LAYER, MANIFEST_TYPE
from tests.support.brokers import HOST, ReservedPort

PROVENANCE_LAYER = "application/vnd.cncf.helm.chart.provenance.v1.prov"
USER, PASSWORD = "press", "line-7"
# The line htpasswd -B writes for the two above.
HTPASSWD = f"{USER}:$2b$05$bbCrtNwl9vAPiOYtZBL/uOKse5I2TQix0ry3qXDdA825btIiWBGNG\n"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

Answer = Callable[[BaseHTTPRequestHandler], None]


class WebServer:
    """Serves bytes by path, or what a function answers; remembers the paths that were asked for. ``tls``: over TLS.
    Before the ``with`` block nobody listens."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.files: dict[str, bytes | Answer] = {}
        self.requests: list[str] = []
        self.released = threading.Event()
        self._port = ReservedPort()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                outer.requests.append(path)
                answer = outer.files.get(path)
                if answer is None:
                    self.send_error(404)
                elif isinstance(answer, bytes):
                    send(self, 200, answer)
                else:
                    answer(self)

            def log_message(self, format: str, *args: object) -> None:
                """Requests are in ``requests``; nothing goes to standard error."""

        self._server = ThreadingHTTPServer((HOST, self._port.port), Handler, bind_and_activate=False)
        self._scheme = "https" if tls else "http"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._server.daemon_threads = False  # joined in server_close, so none outlives the test
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="chart-server")

    @property
    def url(self) -> str:
        return f"{self._scheme}://{HOST}:{self._port.port}"

    @property
    def host(self) -> str:
        return f"{HOST}:{self._port.port}"

    def __enter__(self) -> Self:
        self._server.server_bind()
        self._server.server_activate()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._port.close()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
    """A whole answer; the connection ends with it, so that no server thread waits for another request."""
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def index_of(charts: Mapping[str, Mapping[str, bytes]], *, digests: bool = True) -> bytes:
    """An ``index.yaml`` for archives by chart name and version, at ``<name>-<version>.tgz``."""
    entries = {
        name: [
            {
                "name": name,
                "version": version,
                "urls": [f"{name}-{version}.tgz"],
                **({"digest": hashlib.sha256(data).hexdigest()} if digests else {}),
            }
            for version, data in versions.items()
        ]
        for name, versions in charts.items()
    }
    return yaml.safe_dump({"apiVersion": "v1", "entries": entries}).encode()


class Registry:
    """A ``docker-registry`` process with its data in ``folder``; with a password if ``htpasswd`` is set, over TLS
    with ``server.crt`` and ``server.key`` of the folder ``tls``, whose ``ca.crt`` made them."""

    def __init__(self, folder: Path, *, htpasswd: bool = False, tls: Path | None = None) -> None:
        self._scheme = "https" if tls else "http"
        self._trust: ssl.SSLContext | bool = ssl.create_default_context(cafile=tls / "ca.crt") if tls else True
        self._port = ReservedPort()
        folder.mkdir(parents=True)
        auth: dict[str, object] = {}
        if htpasswd:
            (folder / "htpasswd").write_text(HTPASSWD)
            auth = {"auth": {"htpasswd": {"realm": "charts", "path": str(folder / "htpasswd")}}}
        configuration = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
            "http": {"addr": self.host, **({"tls": _tls_of(tls)} if tls else {})},
            **auth,
        }
        (folder / "config.yml").write_text(yaml.safe_dump(configuration))
        self._log = folder / "log"
        self._command = ["docker-registry", "serve", str(folder / "config.yml")]
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def missing() -> str | None:
        """Why it cannot run here, or ``None``."""
        return None if shutil.which("docker-registry") else "docker-registry is not installed"

    @property
    def host(self) -> str:
        return f"{HOST}:{self._port.port}"

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        deadline = time.monotonic() + 15.0
        while True:
            try:
                httpx.get(f"{self._scheme}://{self.host}/v2/", timeout=1.0, verify=self._trust)
                return self
            except httpx.TransportError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"docker-registry did not start: {self._log.read_text()}") from error
                threading.Event().wait(0.02)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10.0)
        self._port.close()

    def push(
        self, name: str, tag: str, layer: bytes, *, layer_type: str = CHART_LAYER, provenance: bytes | None = None
    ) -> str:
        """Upload a chart as its parts, with no code of the project; returns the manifest's digest."""
        auth = (USER, PASSWORD)
        base = f"{self._scheme}://{self.host}/v2/{name}"
        with httpx.Client(base_url=base, auth=auth, verify=self._trust) as client:
            described = []
            for data in (b"{}", layer, *([provenance] if provenance else [])):
                digest = "sha256:" + hashlib.sha256(data).hexdigest()
                location = client.post("/blobs/uploads/").raise_for_status().headers["location"]
                joint = "&" if "?" in location else "?"
                client.put(f"{location}{joint}digest={digest}", content=data).raise_for_status()
                described.append({"digest": digest, "size": len(data)})
            manifest = json.dumps(
                {
                    "schemaVersion": 2,
                    "mediaType": MANIFEST_TYPE,
                    "config": {"mediaType": "application/vnd.cncf.helm.config.v1+json", **described[0]},
                    "layers": [
                        {"mediaType": layer_type, **described[1]},
                        *({"mediaType": PROVENANCE_LAYER, **signed} for signed in described[2:]),
                    ],
                }
            ).encode()
            headers = {"Content-Type": MANIFEST_TYPE}
            client.put(f"/manifests/{tag}", content=manifest, headers=headers).raise_for_status()
        return "sha256:" + hashlib.sha256(manifest).hexdigest()


def _tls_of(folder: Path) -> dict[str, str]:
    return {"certificate": str(folder / "server.crt"), "key": str(folder / "server.key")}
