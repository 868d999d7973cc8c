"""Which runtimes are found: real Unix sockets, a real HTTPS server, and programs that are shell scripts."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from edge_agent.probe.http_api import NoAnswerError
from edge_agent.probe.kubeconfig import ClusterConfigError, find_cluster
from edge_agent.probe.runtimes import RuntimeSources, deployment_types, probe_runtimes
from tests.unit.probe.servers import (
    DOCKER,
    PODMAN,
    Cluster,
    Replies,
    certificate,
    cluster,
    http_on,
    missing_openssl,
    node,
    program,
    short_folder,
    silent_socket,
)
from topics.documents.device import Runtime


@pytest.fixture
def root() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Cluster]:
    """A Kubernetes API server with one node."""
    if missing := missing_openssl():
        pytest.skip(missing)
    with cluster(tmp_path) as started:
        yield started


def sources(root: Path, *, seconds: float = 5.0, kubeconfig: Path | None = None, **environment: str) -> RuntimeSources:
    """Programs come from ``root``/bin only, and from the system for their shell."""
    return RuntimeSources(root, {"PATH": f"{root / 'bin'}:/usr/bin-none", **environment}, kubeconfig, seconds)


def found(root: Path, **given: Any) -> dict[str, str]:
    return {runtime.name: runtime.version for runtime in probe_runtimes(sources(root, **given)).runtimes}


def kubeconfig(
    api: Cluster,
    *,
    user: dict[str, Any] | None = None,
    authority: Path | None = None,
    name: str = "config",
    **in_cluster: Any,
) -> Path:
    """A kubeconfig as JSON, with its authority in it."""
    entry = {
        "server": api.url,
        "certificate-authority-data": base64.b64encode((authority or api.authority).read_bytes()).decode(),
        **in_cluster,
    }
    document = {
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "other", "cluster": {}}, {"name": "c", "cluster": entry}],
        "users": [{"name": "u", "user": {"token": "secret"} if user is None else user}],
    }  # fmt: skip
    path = api.folder / name
    path.write_text(json.dumps(document))
    return path


def test_a_machine_without_runtimes_has_none(root: Path) -> None:
    """Nothing is found, nothing is wrong."""
    assert probe_runtimes(sources(root)) == ((), ())


def test_docker_answers_on_its_socket(root: Path) -> None:
    """Its API says the engine's version; Compose comes from the command line."""
    program(root, "docker", 'test "$*" = "compose version --short" && echo v2.26.1')
    with http_on(root / "run/docker.sock", Replies({"/version": DOCKER})):
        assert found(root) == {"docker": "20.10.24+dfsg1", "compose": "2.26.1"}


def test_podman_behind_dockers_socket_is_podman(root: Path) -> None:
    """As the package podman-docker arranges it; and on its own socket beside Docker's."""
    with http_on(root / "run/docker.sock", Replies({"/version": PODMAN})):
        assert found(root) == {"podman": "4.3.1"}
    with http_on(root / "run/podman/podman.sock", Replies({"/version": PODMAN})):
        assert found(root) == {"podman": "4.3.1"}


def test_a_docker_host_is_asked_where_it_is(root: Path) -> None:
    """DOCKER_HOST wins over the usual place, as with Docker's own programs."""
    with http_on(root / "elsewhere.sock", Replies({"/version": DOCKER})):
        assert found(root, DOCKER_HOST=f"unix://{root}/elsewhere.sock") == {"docker": "20.10.24+dfsg1"}
        assert found(root) == {}


def test_programs_speak_for_engines_without_a_socket(root: Path) -> None:
    """An engine in another context, Podman without its service, Helm, the older docker-compose."""
    program(root, "docker", 'test "$1" = version && echo 27.1.0')
    program(root, "podman", 'test "$1" = --version && echo podman version 4.9.3')
    program(root, "helm", 'test "$*" = "version --short" && echo v3.14.2+gc309b6f')
    program(root, "docker-compose", "echo 2.20.0")
    assert found(root) == {"docker": "27.1.0", "podman": "4.9.3", "helm": "v3.14.2+gc309b6f", "compose": "2.20.0"}


def test_a_command_line_without_its_engine_is_no_engine(root: Path) -> None:
    """Docker's client is often installed where no engine runs."""
    program(root, "docker", "echo; exit 1")
    assert found(root) == {}


def test_containerd_counts_when_it_takes_connections(root: Path) -> None:
    """With the version of its program; a socket file that nobody serves is left out."""
    program(root, "containerd", "echo containerd github.com/containerd/containerd v1.7.13 abc")
    with silent_socket(root / "run/k3s/containerd/containerd.sock"):
        assert found(root) == {"containerd": "v1.7.13"}
    assert found(root) == {}


@pytest.mark.timeout(30)
def test_runtimes_that_hang_are_left_out_in_time(root: Path) -> None:
    """All of them at once take no longer than a few answers."""
    for name in ("docker", "docker-compose", "podman", "helm", "containerd"):
        program(root, name, "exec /bin/sleep 600")
    began = time.monotonic()
    with silent_socket(root / "run/docker.sock"), silent_socket(root / "run/podman/podman.sock"):
        assert found(root, seconds=0.5) == {}
    assert time.monotonic() - began < 8


def test_a_configured_engine_that_is_silent_is_a_problem(root: Path) -> None:
    """Once, though it is there under two names; what to do stands with what the agent may not use."""
    (root / "var").mkdir()
    (root / "var/run").symlink_to(root / "run")
    with silent_socket(root / "run/docker.sock"):
        answers = {probe_runtimes(sources(root, seconds=0.3)).problems for _ in range(3)}
        assert answers == {(f"the engine at {root / 'run/docker.sock'} does not answer: no complete answer in time",)}
        if os.geteuid() != 0:
            (root / "run/docker.sock").chmod(0)
            assert "the group docker" in probe_runtimes(sources(root)).problems[0]


def test_a_pipe_in_place_of_a_kubeconfig_is_not_waited_for(root: Path, tmp_path: Path) -> None:
    """It is empty; opening it in the plain way waits until somebody writes."""
    os.mkfifo(tmp_path / "pipe")
    (problem,) = probe_runtimes(sources(root, kubeconfig=tmp_path / "pipe")).problems
    assert "pipe" in problem


def test_a_cluster_whose_answers_come_late_is_one_problem(root: Path, api: Cluster) -> None:
    """The same words every time: they are logged when they are new."""
    api.replies.by_path["/api/v1/nodes?limit=50"] = _hang
    config = kubeconfig(api)
    problems = {probe_runtimes(sources(root, kubeconfig=config, seconds=0.4)).problems for _ in range(3)}
    assert problems == {("the cluster's nodes are not known: no complete answer in time",)}


def test_rubbish_on_the_socket_is_left_out(root: Path) -> None:
    """Something else that speaks HTTP, or says something that is no version."""
    for answer in ([], {"Version": 7}, {}, "x", None):
        with http_on(root / "run/docker.sock", Replies({"/version": answer})):
            assert found(root) == {}
        (root / "run/docker.sock").unlink()


def test_a_cluster_says_its_version_and_what_its_nodes_have(root: Path, api: Cluster) -> None:
    """Summed over every page of nodes; the token goes with each question."""
    api.has_nodes([node(), node(cpu="3500m")], [node(memory="1Gi", **{"ephemeral-storage": "1e9"})])
    answer = probe_runtimes(sources(root, kubeconfig=kubeconfig(api)))
    assert answer.problems == ()
    (runtime,) = answer.runtimes
    assert runtime == Runtime(
        name="kubernetes", version="v1.29.4+k3s1", nodes=3, cpu=11500,
        memory=2 * 8036372 * 1024 + 2**30, storage=2 * 49189437441 + 10**9,
    )  # fmt: skip
    assert {headers.get("Authorization") for _, headers in api.replies.requests} == {"Bearer secret"}
    assert len(api.replies.requests) == 3


def test_a_node_that_does_not_say_leaves_the_sum_unknown(root: Path, api: Cluster) -> None:
    """An unknown part makes no sum; nor does a number that no machine has."""
    strange: list[Any] = [{}, None, {"status": None}, node(cpu="lots", memory="-1"), node(cpu="9e18", memory="9E")]
    api.has_nodes([node(), *strange])
    (runtime,) = probe_runtimes(sources(root, kubeconfig=kubeconfig(api))).runtimes
    assert (runtime.nodes, runtime.cpu, runtime.memory) == (6, None, None)
    api.has_nodes([node(cpu="9e18")])
    (runtime,) = probe_runtimes(sources(root, kubeconfig=kubeconfig(api))).runtimes
    assert (runtime.cpu, runtime.memory) == (None, 8036372 * 1024)


def test_without_the_right_to_list_nodes_there_is_the_version(root: Path, api: Cluster) -> None:
    """And the log says what to grant."""
    api.replies.by_path["/api/v1/nodes?limit=50"] = (403, b"{}")
    answer = probe_runtimes(sources(root, kubeconfig=kubeconfig(api)))
    assert [(runtime.version, runtime.nodes) for runtime in answer.runtimes] == [("v1.29.4+k3s1", None)]
    assert "let the agent's account list nodes" in answer.problems[0]


def test_an_endless_list_of_nodes_is_given_up(root: Path, api: Cluster) -> None:
    """A server that always has another page costs a bounded time."""
    page = {"items": [node()], "metadata": {"continue": "more"}}
    api.replies.by_path |= {"/api/v1/nodes?limit=50": page, "/api/v1/nodes?limit=50&continue=more": page}
    answer = probe_runtimes(sources(root, kubeconfig=kubeconfig(api), seconds=1.0))
    assert answer.runtimes[0].nodes is None
    assert "nodes are not known" in answer.problems[0]


def test_a_server_with_another_certificate_is_not_believed(root: Path, api: Cluster) -> None:
    """Its authority must have signed it; only who asks for it goes without."""
    other = api.folder / "other"
    other.mkdir()
    certificate(other, "server")
    config = kubeconfig(api, authority=other / "server.crt")
    answer = probe_runtimes(sources(root, kubeconfig=config))
    assert answer.runtimes == ()
    assert "does not answer" in answer.problems[0]
    assert "CERTIFICATE_VERIFY_FAILED" in answer.problems[0]
    assert api.replies.requests == []
    config = kubeconfig(api, authority=other / "server.crt", **{"insecure-skip-tls-verify": True})
    assert len(probe_runtimes(sources(root, kubeconfig=config)).runtimes) == 1


def test_a_name_that_is_not_in_the_certificate_is_refused(root: Path, api: Cluster) -> None:
    """The host is checked, too; ``tls-server-name`` says which name to check."""
    config = kubeconfig(api, **{"tls-server-name": "another.example"})
    assert probe_runtimes(sources(root, kubeconfig=config)).runtimes == ()
    config = kubeconfig(api, server=api.url.replace("127.0.0.1", "localhost"), **{"tls-server-name": "127.0.0.1"})
    assert len(probe_runtimes(sources(root, kubeconfig=config)).runtimes) == 1


def test_a_client_certificate_is_shown(root: Path, tmp_path: Path) -> None:
    """From the file itself, as k3s writes it in YAML; without it the server refuses."""
    if missing := missing_openssl():
        pytest.skip(missing)
    with cluster(tmp_path, client=True) as api:
        certificate_data, key_data = (
            base64.b64encode((tmp_path / f"client.{part}").read_bytes()).decode() for part in ("crt", "key")
        )
        place = root / "etc/rancher/k3s/k3s.yaml"
        place.parent.mkdir(parents=True)
        place.write_text(
            "apiVersion: v1\nclusters:\n- cluster:\n"
            f"    certificate-authority-data: {base64.b64encode(api.authority.read_bytes()).decode()}\n"
            f"    server: {api.url}\n  name: default\n"
            "contexts:\n- context:\n    cluster: default\n    user: default\n  name: default\n"
            "current-context: default\nkind: Config\npreferences: {}\nusers:\n- name: default\n  user:\n"
            f"    client-certificate-data: {certificate_data}\n    client-key-data: {key_data}\n"
        )
        assert found(root) == {"kubernetes": "v1.29.4+k3s1"}
        assert probe_runtimes(sources(root, kubeconfig=kubeconfig(api, user={}))).runtimes == ()


def test_files_beside_the_kubeconfig_are_read(root: Path, api: Cluster) -> None:
    """Paths are relative to its folder, as kubectl has it; so is the file of a token."""
    (api.folder / "token").write_text("from-file\n")
    config = kubeconfig(
        api, user={"tokenFile": "token"},
        **{"certificate-authority-data": None, "certificate-authority": "server.crt"},
    )  # fmt: skip
    assert len(probe_runtimes(sources(root, KUBECONFIG=f"/nowhere:{config}")).runtimes) == 1
    assert api.replies.requests[0][1]["Authorization"] == "Bearer from-file"


def test_a_pod_asks_with_its_service_account(root: Path, api: Cluster) -> None:
    """Host and port from the environment, token and authority from the mounted account."""
    account = root / "var/run/secrets/kubernetes.io/serviceaccount"
    account.mkdir(parents=True)
    (account / "token").write_text("pod-token")
    (account / "ca.crt").write_bytes(api.authority.read_bytes())
    given = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(api.port)}
    assert found(root, **given) == {"kubernetes": "v1.29.4+k3s1"}
    assert api.replies.requests[0][1]["Authorization"] == "Bearer pod-token"
    assert api.replies.requests[0][1]["Host"] == f"127.0.0.1:{api.port}"
    with pytest.raises(ClusterConfigError, match="KUBERNETES_SERVICE_PORT"):
        find_cluster(root, {**given, "KUBERNETES_SERVICE_PORT": "https"}, None)


def test_a_prefix_in_the_servers_url_is_kept(root: Path, api: Cluster) -> None:
    """A proxy in front of several clusters tells them apart by it."""
    api.replies.by_path["/k8s/clusters/c-1/version"] = {"gitVersion": "v1.30.0"}
    api.replies.by_path["/k8s/clusters/c-1/api/v1/nodes?limit=50"] = {"items": []}
    config = kubeconfig(api, server=f"{api.url}/k8s/clusters/c-1/")
    (runtime,) = probe_runtimes(sources(root, kubeconfig=config)).runtimes
    assert (runtime.version, runtime.nodes, runtime.cpu) == ("v1.30.0", 0, 0)


def test_a_persons_own_kubeconfig_is_not_taken(root: Path, api: Cluster) -> None:
    """``~/.kube/config`` names clusters elsewhere, which this device is no part of."""
    (root / ".kube").mkdir()
    kubeconfig(api).rename(root / ".kube/config")
    assert found(root, HOME=str(root)) == {}


def test_a_cluster_that_is_not_there_is_a_problem_and_no_error(root: Path, api: Cluster) -> None:
    """It may come later; the device is described without it."""
    config = kubeconfig(api, server="https://127.0.0.1:1")
    answer = probe_runtimes(sources(root, kubeconfig=config))
    assert answer.runtimes == ()
    assert "does not answer" in answer.problems[0]


def _hang(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.recv(1)  # until the client goes away


@pytest.mark.timeout(30)
def test_a_cluster_that_hangs_is_left_out_in_time(root: Path, api: Cluster) -> None:
    """The measurement goes on without it."""
    api.replies.by_path["/version"] = _hang
    began = time.monotonic()
    assert probe_runtimes(sources(root, kubeconfig=kubeconfig(api), seconds=0.5)).runtimes == ()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"current-context": "gone"}, "there is no context 'gone'"),
        ({"current-context": None}, "'current-context' is missing"),
        ({"contexts": None}, "there is no context 'here'"),
        ({"contexts": [7, {"name": "here", "context": 7}]}, "there is no context 'here'"),
        ({"clusters": []}, "there is no cluster 'c'"),
        ({"users": []}, "there is no user 'u'"),
        ({"clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1"}}]}, "not an https:// URL"),
        ({"clusters": [{"name": "c", "cluster": {"server": "https://h:99999"}}]}, "not a URL"),
        ({"clusters": [{"name": "c", "cluster": {"server": "https://[::1"}}]}, "not a URL"),
        ({"clusters": [{"name": "c", "cluster": {"server": "https://h", "proxy-url": "http://p"}}]}, "proxy-url"),
        (
            {"clusters": [{"name": "c", "cluster": {"server": "https://h", "certificate-authority-data": "!"}}]},
            "certificate-authority-data is not a PEM text",
        ),
        (
            {"clusters": [{"name": "c", "cluster": {"server": "https://h", "certificate-authority-data": "eHg="}}]},
            "certificate authority is not usable",
        ),
        (
            {"clusters": [{"name": "c", "cluster": {"server": "https://h", "certificate-authority": "gone.crt"}}]},
            "gone.crt: No such file",
        ),
        ({"users": [{"name": "u", "user": {"exec": {"command": "aws"}}}]}, "'exec' is not supported"),
        ({"users": [{"name": "u", "user": {"token": "a\r\nX: y"}}]}, "characters that no token has"),
        ({"users": [{"name": "u", "user": {"tokenFile": "gone"}}]}, "gone: No such file"),
        (
            {"users": [{"name": "u", "user": {"client-certificate-data": "eHg=", "client-key-data": "eHg="}}]},
            "client certificate and its key are not usable",
        ),
    ],
)
def test_a_wrong_kubeconfig_names_what_is_wrong(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    """The file, the field, and the reason; as a problem and not as an exception of the probe."""
    document = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1"}}],
        "users": [{"name": "u", "user": {"token": "x"}}],
        **change,
    }
    path = tmp_path / "config"
    path.write_text(json.dumps(document))
    with pytest.raises(ClusterConfigError, match=why):
        find_cluster(tmp_path, {}, path)
    answer = probe_runtimes(sources(tmp_path, kubeconfig=path))
    assert (answer.runtimes, len(answer.problems)) == ((), 1)
    assert str(tmp_path) in answer.problems[0]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"a: {b: c}", b"[" * 100_000, b"{" * 100_000, b"- a"])
def test_a_kubeconfig_that_is_none_is_a_problem(tmp_path: Path, content: bytes) -> None:
    """Whatever stands there."""
    path = tmp_path / "config"
    path.write_bytes(content)
    assert len(probe_runtimes(sources(tmp_path, kubeconfig=path)).problems) == 1
    assert len(probe_runtimes(sources(tmp_path, kubeconfig=tmp_path / "none")).problems) == 1


def test_a_bug_of_a_question_is_not_swallowed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs on a thread, and still reaches the caller."""

    def broken(*_: object) -> None:
        raise RuntimeError("no idea")

    monkeypatch.setattr("edge_agent.probe.runtimes.find_cluster", broken)
    with pytest.raises(RuntimeError, match="no idea"):
        probe_runtimes(sources(root))


@pytest.mark.parametrize(
    ("appliers", "runtimes", "expected"),
    [
        (["kubernetes"], [], ("helm", "kubernetes")),
        (["kubernetes"], ["docker", "compose"], ("helm", "kubernetes")),
        ([], ["kubernetes", "helm", "docker", "compose"], ()),
        (["helm"], ["kubernetes"], ("helm",)),
        (["compose"], ["docker", "compose"], ("compose",)),
        (["compose"], ["podman", "compose"], ("compose",)),
        (["compose"], ["compose"], ()),
        (["compose"], ["docker"], ()),
        (["compose", "kubernetes"], ["docker", "compose"], ("compose", "helm", "kubernetes")),
    ],
)
def test_a_device_can_run_what_an_applier_takes_and_a_runtime_runs(
    appliers: list[str], runtimes: list[str], expected: tuple[str, ...]
) -> None:
    """One without the other runs nothing."""
    assert deployment_types(appliers, [Runtime.model_validate({"name": name}) for name in runtimes]) == expected


def test_what_reads_an_unreachable_answer_is_an_error_of_its_own(api: Cluster) -> None:
    """The server's error is told by its status."""
    server = find_cluster(api.folder, {}, kubeconfig(api))
    assert server is not None
    with pytest.raises(NoAnswerError) as refused:
        server.get("/nothing", 5.0)
    assert refused.value.status == 404
