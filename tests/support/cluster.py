"""A real Kubernetes control plane for tests: etcd, kube-apiserver with RBAC, kube-controller-manager.

``tests/setup/kubernetes.sh`` arranges the programs (``make test`` calls it); ``ControlPlane.missing()`` says why there
are none. The session fixture ``cluster`` (tests/conftest.py) is one of them for all tests of a worker: let each test
have namespaces and names of its own. Who stops the API server makes a ``ControlPlane`` of its own.

There is no scheduler and no kubelet: pods stay pending until a ``Kubelet`` (tests/support/cluster_kubelet.py) plays
one. Namespaces terminate, owners take along what they own, Deployments make pods: all of that is real.

    def test_something(cluster: ControlPlane) -> None:
        cluster.api.apply({...}, manager="somebody")     # admin, own client: get, list, merge, delete, wait, ...
        applier = KubernetesApplier({"kubeconfig": str(cluster.kubeconfig)})
        cluster.kubeconfig_of("plain")                   # a user without any rights, until a RoleBinding names it
        cluster.account("fleetbus-system", "agent")      # kubeconfig of a service account, made if need be
        cluster.kubectl("get", "pods", "-A")             # its standard output

Kubernetes is 1.20 where it was built from Debian: no ``batch/v1`` CronJob, ``policy/v1beta1`` disruption budgets.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from cli.embedded_broker import ending_with_parent
from tests.support.brokers import ReservedPort
from tests.support.cluster_api import Api, ApiError, wait
from topics.documents.base import JsonObject

HOST = "127.0.0.1"
READY_SECONDS = 90.0  # 6 s on two free cores
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
_BUILT = "bookworm-1"  # the folder's name says release and recipe, as in tests/setup/kubernetes.sh
USERS = {"admin": "system:masters", "other-admin": "system:masters", "plain": "fleetbus:plain"}
"""Users with a token, each with the group that it is in."""

_CONTROLLER = "system:kube-controller-manager"


def programs() -> Path | None:
    """The folder with all ``PROGRAMS``; ``None`` if there is none."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    named = os.environ.get("KUBEBUILDER_ASSETS")
    folders = ([Path(named)] if named else []) + [cache / "fleetbus" / "kubernetes" / _BUILT]
    complete = (folder for folder in folders if all(os.access(folder / name, os.X_OK) for name in PROGRAMS))
    return next(complete, None)


class ControlPlane:
    """One API server with what it needs, its data in ``folder``, on ports below 32768; for a ``with`` block."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ports = [ReservedPort() for _ in range(3)]
        self._tokens = {user: secrets.token_hex(16) for user in (*USERS, _CONTROLLER)}
        self.server = f"https://{HOST}:{self._ports[0].port}"
        self.ca_file = folder / "certificates" / "apiserver.crt"

    @staticmethod
    def missing() -> str | None:
        """Why there can be no control plane here; ``None`` if there can."""
        if programs() is not None:
            return None
        wanted = ", ".join(PROGRAMS)
        return f"no Kubernetes: run tests/setup/kubernetes.sh, or name a folder with {wanted} by KUBEBUILDER_ASSETS"

    # -- life -------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start everything that does not run, and return when objects can be made in the namespace ``default``."""
        self._make_credentials()
        if "etcd" not in self._processes:
            self._spawn("etcd", *self._etcd_arguments())
        self._start_api_server()
        self._wait_answer("/readyz")
        self.api = Api(self.server, str(self.ca_file), self._tokens["admin"])
        if "kube-controller-manager" not in self._processes:
            self._spawn("kube-controller-manager", *self._controller_arguments())
        wait("the account of the namespace default", self._default_account, READY_SECONDS)
        return self

    def stop(self) -> None:
        """End all of it, at once: nobody needs the data any more."""
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()
        self._processes.clear()

    def close(self) -> None:
        self.stop()
        for port in self._ports:
            port.close()
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def without_api_server(self) -> Iterator[None]:
        """Kill the API server for the time of the block; what it stored stays."""
        process = self._processes.pop("kube-apiserver")
        process.kill()
        process.wait()
        try:
            yield
        finally:
            self._start_api_server()
            self._wait_answer("/readyz")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the API server's process in the middle for the time of the block: it accepts and never answers."""
        process = self._processes["kube-apiserver"]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    # -- users ------------------------------------------------------------------------------------

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.kubeconfig_of("admin")

    def kubeconfig_of(self, user: str) -> Path:
        """The kubeconfig of one of ``USERS``."""
        return self._kubeconfig(user.replace(":", "-"), self._tokens[user])

    def api_of(self, user: str) -> Api:
        """A client with one of ``USERS``' token."""
        return Api(self.server, str(self.ca_file), self._tokens[user])

    def account_token(self, namespace: str, name: str) -> str:
        """A token of a service account; it and its namespace are made if need be."""
        self.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}
        self.api.apply(account)
        path = self.api.path_of(account) + "/token"
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}}
        return str(self.api.request("POST", path, request)["status"]["token"])

    def account(self, namespace: str, name: str) -> Path:
        """The kubeconfig of a service account."""
        return self._kubeconfig(f"account-{namespace}-{name}", self.account_token(namespace, name))

    def kubectl(self, *arguments: str, data: str = "") -> str:
        """What kubectl prints for the administrator. Fails with what it says on an error."""
        command = [str(self.program("kubectl")), "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(
            command, input=data, capture_output=True, text=True, timeout=60, check=False,
            env=os.environ | {"HOME": str(self.folder)},
        )  # fmt: skip
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    # -- parts ------------------------------------------------------------------------------------

    def log_of(self, program: str) -> str:
        """The end of a program's log."""
        return (self.folder / f"{program}.log").read_text(errors="replace")[-3000:]

    @property
    def pids(self) -> dict[str, int]:
        """The processes that run, by their program's name."""
        return {name: process.pid for name, process in self._processes.items()}

    def _make_credentials(self) -> None:
        self._account_key = self.folder / "account.key"
        if self._account_key.exists():
            return
        subprocess.run(["openssl", "genrsa", "-out", self._account_key, "2048"], check=True, capture_output=True)
        rows = [f'{self._tokens[user]},{user},{user},"{group}"' for user, group in USERS.items()]
        rows.append(f"{self._tokens[_CONTROLLER]},{_CONTROLLER},{_CONTROLLER}")
        self._token_file = self._private("tokens.csv", "\n".join(rows) + "\n")

    def _etcd_arguments(self) -> list[str]:
        client, peer = (f"http://{HOST}:{port.port}" for port in self._ports[1:])
        return [
            "--data-dir", str(self.folder / "etcd"), "--log-level", "warn",
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
        ]  # fmt: skip

    def _start_api_server(self) -> None:
        if "kube-apiserver" in self._processes:
            return
        arguments = {
            "etcd-servers": f"http://{HOST}:{self._ports[1].port}",
            "bind-address": HOST,
            "advertise-address": HOST,
            "secure-port": self._ports[0].port,
            "cert-dir": self.ca_file.parent,
            "token-auth-file": self._token_file,
            "authorization-mode": "RBAC",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": self._account_key,
            "service-account-signing-key-file": self._account_key,
            "service-cluster-ip-range": "10.0.0.0/24",
            "endpoint-reconciler-type": "none",
            "allow-privileged": "true",
            "profiling": "false",
        }
        self._spawn("kube-apiserver", *(f"--{name}={value}" for name, value in arguments.items()))

    def _controller_arguments(self) -> list[str]:
        arguments = {
            "kubeconfig": self.kubeconfig_of(_CONTROLLER),
            "leader-elect": "false",
            "secure-port": 0,
            "use-service-account-credentials": "true",
            "service-account-private-key-file": self._account_key,
            "root-ca-file": self.ca_file,
            # Nobody sends heartbeats for the nodes of a stand-in.
            "node-monitor-grace-period": "24h",
            # By default it slows itself down to 20 requests a second, which many tests at once would feel.
            "kube-api-qps": 300,
            "kube-api-burst": 500,
            "concurrent-namespace-syncs": 20,
            "namespace-sync-period": "1m",
        }
        if " v1.20." in subprocess.check_output([self.program("kube-controller-manager"), "--version"], text=True):
            # Newer ones have neither: a port without TLS, and a folder of drivers it would look for on this host.
            arguments |= {"port": 0, "flex-volume-plugin-dir": self.folder / "drivers"}
        return [f"--{name}={value}" for name, value in arguments.items()]

    def _spawn(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                ending_with_parent([str(self.program(name)), *arguments]), cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    @staticmethod
    def program(name: str) -> Path:
        """Where one of ``PROGRAMS`` is."""
        folder = programs()
        assert folder is not None, ControlPlane.missing()
        return folder / name

    def _wait_answer(self, path: str) -> None:
        """Return when the API server says ``ok``; fail at once, with the log, when a program has ended."""

        def ok() -> bool:
            for name, process in self._processes.items():
                assert process.poll() is None, f"{name} ended with {process.returncode}:\n{self.log_of(name)}"
            if not self.ca_file.exists():
                return False
            try:
                Api(self.server, str(self.ca_file), self._tokens["admin"]).request("GET", path)
            except (ApiError, OSError):  # not ready, not listening yet, or its certificate half written
                return False
            return True

        try:
            wait("the API server", ok, READY_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log_of('kube-apiserver')}") from None

    def _default_account(self) -> JsonObject | None:
        return self.api.get("v1", "ServiceAccount", "default", "default")

    def _kubeconfig(self, name: str, token: str) -> Path:
        document = {
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [
                {"name": "test", "cluster": {"server": self.server, "certificate-authority": str(self.ca_file)}}
            ],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
        }  # fmt: skip
        return self._private(f"{name}.kubeconfig", json.dumps(document))

    def _private(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.touch(0o600)
        path.write_text(text)
        return path
