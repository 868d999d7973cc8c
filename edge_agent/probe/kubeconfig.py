"""How the cluster of this device is reached: its kubeconfig, or the service account of the agent's own pod."""

from __future__ import annotations

import base64
import binascii
import json
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edge_agent.probe.block_yaml import read_block_yaml
from edge_agent.probe.http_api import Server, tcp_connect
from edge_agent.probe.source import open_file

_ACCOUNT = "var/run/secrets/kubernetes.io/serviceaccount"
_K3S = "etc/rancher/k3s/k3s.yaml"
_LIMIT = 1024 * 1024
_HOW_TO = "write it with: kubectl config view --raw --flatten --minify -o json"


class ClusterConfigError(Exception):
    """The configuration of a cluster cannot be used; the text says which, where and why."""


def find_cluster(root: Path, environment: Mapping[str, str], kubeconfig: Path | None) -> Server | None:
    """The API server of the cluster that this device is part of; ``None`` without any.

    Looked for in this order: ``kubeconfig``, the files of KUBECONFIG, the pod's service account, the file of
    k3s. Not ``~/.kube/config``: that is a person's, and names clusters elsewhere. Raises
    ``ClusterConfigError`` for a configuration that is there and cannot be used, and for a ``kubeconfig``
    that is not there.
    """
    if kubeconfig is not None:
        return _from_file(kubeconfig)
    for name in filter(None, environment.get("KUBECONFIG", "").split(os.pathsep)):
        if Path(name).exists():
            return _from_file(Path(name))
    host = environment.get("KUBERNETES_SERVICE_HOST", "")
    if host and (root / _ACCOUNT / "token").exists():
        return _of_pod(root / _ACCOUNT, host, environment.get("KUBERNETES_SERVICE_PORT", "443"))
    if os.access(root / _K3S, os.R_OK):
        return _from_file(root / _K3S)
    return None


def _of_pod(account: Path, host: str, port: str) -> Server:
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ClusterConfigError(f"KUBERNETES_SERVICE_PORT: {port[:60]!r} is not a port")
    return Server(
        tcp_connect(host, int(port)),
        host=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        headers={"Authorization": f"Bearer {_read(account / 'token').strip()}"},
        tls=_trusting(_read(account / "ca.crt"), str(account)),
        tls_name=host,
    )


def _from_file(path: Path) -> Server:
    text = _read(path)
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else read_block_yaml(text)
    except (ValueError, RecursionError) as error:
        raise ClusterConfigError(f"kubeconfig {path}: {error}; {_HOW_TO}") from error
    return _Kubeconfig(path, document).server()


class _Kubeconfig:
    """One kubeconfig file and its current context."""

    def __init__(self, path: Path, document: Any) -> None:
        self._path = path
        context = self._named(document, "contexts", self._text(document, "current-context"), "context")
        self._cluster = self._named(document, "clusters", self._text(context, "cluster"), "cluster")
        user = self._text(context, "user", required=False)
        self._user = self._named(document, "users", user, "user") if user else {}

    def server(self) -> Server:
        url = self._text(self._cluster, "server")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or 443
        except ValueError as error:
            raise self._wrong(f"the server {url[:200]!r} is not a URL: {error}") from error
        if parts.scheme != "https" or not host:
            raise self._wrong(f"the server {url[:200]!r} is not an https:// URL")
        if self._text(self._cluster, "proxy-url", required=False):
            raise self._wrong("a proxy-url is not supported")
        return Server(
            tcp_connect(host, port),
            host=parts.netloc.rpartition("@")[2],
            prefix=parts.path.rstrip("/"),
            headers=self._headers(),
            tls=self._tls(),
            tls_name=self._text(self._cluster, "tls-server-name", required=False) or host,
        )

    def _headers(self) -> dict[str, str]:
        for key in ("exec", "auth-provider", "username"):
            if self._user.get(key):
                raise self._wrong(f"the user's {key!r} is not supported: give it a token or a client certificate")
        token = self._text(self._user, "token", required=False)
        if not token and (file := self._text(self._user, "tokenFile", required=False)):
            token = _read(self._path.parent / file).strip()
        if not token.isascii() or not token.isprintable():
            raise self._wrong("the user's token has characters that no token has")
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _tls(self) -> ssl.SSLContext:
        if self._text(self._cluster, "insecure-skip-tls-verify", required=False).lower() == "true":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            context = _trusting(self._pem(self._cluster, "certificate-authority"), f"kubeconfig {self._path}")
        certificate, key = self._pem(self._user, "client-certificate"), self._pem(self._user, "client-key")
        if certificate:
            _present(context, certificate, key, f"kubeconfig {self._path}")
        return context

    def _pem(self, section: dict[str, Any], key: str) -> str:
        """A PEM text that stands in the file itself (``…-data``, Base64) or in one beside it."""
        data = self._text(section, f"{key}-data", required=False)
        if data:
            try:
                return base64.b64decode(data, validate=True).decode("ascii")
            except (binascii.Error, UnicodeDecodeError) as error:
                raise self._wrong(f"{key}-data is not a PEM text in Base64") from error
        name = self._text(section, key, required=False)
        return _read(self._path.parent / name) if name else ""

    def _named(self, document: Any, part: str, name: str, kind: str) -> dict[str, Any]:
        """The entry of a list of named entries."""
        entries = document.get(part) if isinstance(document, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and entry.get("name") == name:
                content = entry.get(kind) or {}
                if isinstance(content, dict):
                    return content
        raise self._wrong(f"there is no {kind} {name[:60]!r} in '{part}'")

    def _text(self, section: Any, key: str, *, required: bool = True) -> str:
        value = section.get(key) if isinstance(section, dict) else None
        if isinstance(value, bool):
            value = str(value).lower()
        if value is None and not required:
            return ""
        if not isinstance(value, str) or (required and not value):
            raise self._wrong(f"'{key}' is missing or not a text")
        return value

    def _wrong(self, what: str) -> ClusterConfigError:
        return ClusterConfigError(f"kubeconfig {self._path}: {what}")


def _trusting(authority: str, where: str) -> ssl.SSLContext:
    """TLS that trusts this authority alone, or the system's where none is named."""
    try:
        return ssl.create_default_context(cadata=authority or None)
    except (ssl.SSLError, ValueError) as error:
        raise ClusterConfigError(f"{where}: the certificate authority is not usable PEM: {error}") from error


def _present(context: ssl.SSLContext, certificate: str, key: str, where: str) -> None:
    """Let the context show a client certificate. The module reads files only: the key is in memory, never on a disk."""
    descriptor = os.memfd_create("client")
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(f"{certificate}\n{key}\n".encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    except (ssl.SSLError, OSError) as error:
        raise ClusterConfigError(f"{where}: the client certificate and its key are not usable: {error}") from error
    finally:
        os.close(descriptor)


def _read(path: Path) -> str:
    try:
        with open_file(path) as file:
            return file.read(_LIMIT).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text"
        raise ClusterConfigError(f"{path}: {reason}") from error
