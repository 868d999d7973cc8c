"""The connection to the API server, through the ``kubernetes`` package's dynamic client.

With ``package`` and ``credentials`` the only module that imports that package. Every request has a time limit; every way it can end is an answer or an
``ApiError``. The package's own discovery is not used: it asks for every group when it is made, without a time
limit, and keeps what it hears in a file of the shared temporary folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import urllib3

from edge_agent.appliers.kubernetes.options import KubernetesOptions
from edge_agent.appliers.kubernetes.package import import_light
from edge_agent.appliers.kubernetes.problems import ApiError, problem_of, unreachable
from topics.documents.base import JsonObject

import_light()

from kubernetes.client import ApiClient, Configuration  # noqa: E402 - the line above must come first
from kubernetes.client.exceptions import ApiException  # noqa: E402
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config  # noqa: E402
from kubernetes.dynamic import DynamicClient  # noqa: E402
from kubernetes.dynamic.exceptions import DynamicApiError  # noqa: E402

from edge_agent.appliers.kubernetes.credentials import PluginError, use_bounded_plugins  # noqa: E402

use_bounded_plugins()

APPLY = "application/apply-patch+yaml"
_CONNECT_SECONDS = 5.0
_POOL = 32
"""Connections kept: the watches have one each."""
_K3S = Path("/etc/rancher/k3s/k3s.yaml")
_WATCH_SECONDS = 300
"""How long the server lets one watch last; the read limit lies beyond it, so that a dead connection shows."""


class Session:
    """Requests to one API server. Safe from several threads.

    The configuration is read when it is first needed, and again after a 401: k3s writes its kubeconfig only when
    it starts, and credentials are renewed.
    """

    def __init__(self, options: KubernetesOptions, environment: Mapping[str, str] = os.environ) -> None:
        self._options = options
        self._environment = environment
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._client: DynamicClient | None = None

    def request(
        self,
        method: str,
        path: str,
        what: str,
        *,
        query: Mapping[str, str] | None = None,
        body: JsonObject | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        seconds: float | None = None,
    ) -> JsonObject:
        """The answer's JSON. Raises ``ApiError``; ``what`` says what was asked, for its message."""
        read = seconds if seconds is not None else self._options.request_timeout
        response = self._send(
            method, path, what, query=query, body=body, content_type=content_type, accept=accept, read=read
        )
        try:
            answer = json.loads(response.data)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise unreachable(what, error) from error
        except ValueError as error:
            raise ApiError(
                "not-kubernetes",
                f"{what}: the answer is not JSON: is {self._host()} a Kubernetes API server?",
                retryable=True,
            ) from error
        finally:
            response.release_conn()
        if not isinstance(answer, dict):
            raise ApiError("not-kubernetes", f"{what}: the answer is no object", retryable=True)
        return answer

    def stream(self, path: str, what: str, query: Mapping[str, str]) -> Stream:
        """The events of a watch; its server ends it after some minutes. Raises ``ApiError``."""
        query = {**query, "watch": "true", "timeoutSeconds": str(_WATCH_SECONDS)}
        read = _WATCH_SECONDS + self._options.request_timeout
        return Stream(self._send("GET", path, what, query=query, read=read), what)

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.client.rest_client.pool_manager.clear()
            client.client.close()

    def _send(
        self,
        method: str,
        path: str,
        what: str,
        *,
        query: Mapping[str, str] | None,
        body: JsonObject | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        read: float,
    ) -> urllib3.HTTPResponse:
        for again in (True, False):
            client = self._connect(what)
            try:
                response: urllib3.HTTPResponse = client.request(
                    method, path, body=body, content_type=content_type, query_params=list((query or {}).items()),
                    header_params={"Accept": accept}, serialize=False, _request_timeout=(min(_CONNECT_SECONDS, read), read),
                )  # fmt: skip
            except DynamicApiError as error:
                if error.status == 401 and again:
                    self._reconnect(client)
                    continue
                raise _of_answer(error, what) from error
            except (urllib3.exceptions.ProtocolError, ConnectionError) as error:
                # The server closed a connection that was kept. All requests made here may be made twice.
                if again:
                    continue
                raise unreachable(what, error) from error
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise unreachable(what, error) from error
            except (ConfigException, PluginError) as error:
                raise self._bad_configuration(error) from error
            return response
        raise AssertionError("the second try returns or raises")

    def _host(self) -> str:
        with self._lock:
            return str(self._client.configuration.host) if self._client is not None else "it"

    def _connect(self, what: str) -> DynamicClient:
        with self._making:
            with self._lock:
                if self._client is not None:
                    return self._client
            # Without the lock, which who closes the session waits for: a credential plug-in may take its time.
            made = DynamicClient(ApiClient(self._configuration()), discoverer=_NoDiscovery)
            with self._lock:
                self._client = made
            return made

    def _reconnect(self, stale: DynamicClient) -> None:
        with self._lock:
            if self._client is stale:
                self._client = None

    def _configuration(self) -> Configuration:
        configuration = Configuration()
        configuration.retries = False
        configuration.connection_pool_maxsize = _POOL
        options = self._options
        try:
            file = options.kubeconfig or self._found()
            if file is not None:
                if not file.is_file():
                    raise ConfigException(f"{file} is not there")
                load_kube_config(str(file), context=options.context, client_configuration=configuration)
            else:
                load_incluster_config(client_configuration=configuration)
        except (ConfigException, PluginError) as error:
            raise self._bad_configuration(error) from error
        except Exception as error:
            # The loader lets through whatever a malformed file makes it stumble over.
            raise self._bad_configuration(f"{type(error).__name__}: {error}") from error
        return configuration

    def _found(self) -> Path | None:
        """The kubeconfig that nobody named: KUBECONFIG's first, or k3s's; ``None`` in a pod. Never a person's."""
        for name in filter(None, self._environment.get("KUBECONFIG", "").split(os.pathsep)):
            return Path(name)
        if self._environment.get("KUBERNETES_SERVICE_HOST"):
            return None
        return _K3S if _K3S.exists() else None

    def _bad_configuration(self, error: object) -> ApiError:
        where = self._options.kubeconfig or "KUBECONFIG, the pod's account, or k3s"
        return ApiError(
            "cluster-not-configured",
            f"the cluster's configuration ({where}) cannot be used: {str(error)[:300]}; correct it, or name another "
            "with --kubeconfig; it is read again",
            retryable=True,
        )


class Stream:
    """The lines of one watch. ``close`` may be called from another thread and ends the iteration."""

    def __init__(self, response: urllib3.HTTPResponse, what: str) -> None:
        self._response = response
        self._what = what
        self._closed = False

    def __iter__(self) -> Iterator[JsonObject]:
        """Each event: ``type`` and ``object``. Raises ``ApiError`` when the connection breaks or answers rubbish."""
        rest = b""
        try:
            for chunk in self._response.stream(64 * 1024, decode_content=True):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, lines):
                    yield _event(line)
        except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as error:
            # AttributeError: urllib3 stumbles over its own closed file when the stream is closed under it.
            if not self._closed:
                raise unreachable(self._what, error) from error
        finally:
            self._response.close()

    def close(self) -> None:
        """End the iteration, which may be waiting for a line in another thread."""
        self._closed = True
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # it has ended by itself
            self._response.shutdown()


def _event(line: bytes) -> JsonObject:
    event = json.loads(line)
    if not isinstance(event, dict) or not isinstance(event.get("object"), dict):
        raise ValueError(f"not an event of a watch: {line[:100]!r}")  # noqa: TRY004 - it is content, not a type
    return event


def _of_answer(error: ApiException, what: str) -> ApiError:
    if not error.status:
        return unreachable(what, error.reason)
    body = error.body or b""
    return problem_of(int(error.status), body.encode() if isinstance(body, str) else body, what)


class _NoDiscovery:
    """Stands where the dynamic client keeps its discovery; see ``kinds``."""

    def __init__(self, client: Any, cache_file: str | None) -> None:
        """Nothing to ask and nothing to keep."""
