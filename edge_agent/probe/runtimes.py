"""Which runtimes answer on this device: Kubernetes, Docker, Podman, Compose, containerd, Helm.

Each is asked at the same time on a thread of its own, and within a time limit: a runtime that hangs is one
that is not there. What is not installed is left out without a word; what is configured and does not answer
is a problem that the caller logs.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from edge_agent.probe.cluster import probe_cluster
from edge_agent.probe.http_api import NoAnswerError, unix_server
from edge_agent.probe.kubeconfig import ClusterConfigError, find_cluster
from edge_agent.probe.program import first_line
from topics.documents.device import Runtime

ANSWER_SECONDS = 5.0
"""How long one runtime may take for one answer; a slow SD card loads Compose's 60 MB in three."""

_CONTAINERD_SOCKETS = ("run/containerd/containerd.sock", "run/k3s/containerd/containerd.sock")
_DOCKER_SOCKETS = ("run/docker.sock", "var/run/docker.sock")
_PODMAN_SOCKET = "run/podman/podman.sock"


@dataclass(frozen=True, slots=True)
class RuntimeSources:
    """Where runtimes are looked for: sockets and files below ``root``, programs on the environment's PATH."""

    root: Path = Path("/")
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    kubeconfig: Path | None = None
    seconds: float = ANSWER_SECONDS


class Found(NamedTuple):
    """The runtimes that answered, in a stable order, and what was wrong with others that are configured."""

    runtimes: tuple[Runtime, ...]
    problems: tuple[str, ...] = ()


def probe_runtimes(sources: RuntimeSources) -> Found:
    """Ask every runtime; never raises for one that is missing, hangs, or answers rubbish.

    Takes at most about three times the sources' ``seconds``; what has not answered by then is left out.
    """
    questions: tuple[Callable[[RuntimeSources], Found], ...] = (_kubernetes, _helm, _engines, _compose, _containerd)
    answers: list[Found | None] = [None] * len(questions)
    errors: list[BaseException] = []

    def ask(index: int) -> None:
        try:
            answers[index] = questions[index](sources)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=ask, args=(index,), daemon=True) for index in range(len(questions))]
    deadline = time.monotonic() + 3 * sources.seconds + 1.0
    for thread in threads:
        thread.start()
    for thread in threads:
        # Resolving a name cannot be interrupted: the thread is left to end by itself.
        thread.join(max(0.0, deadline - time.monotonic()))
    if errors:
        raise errors[0]
    found = [answer for answer in answers if answer is not None]
    return Found(
        tuple(runtime for answer in found for runtime in answer.runtimes),
        tuple(problem for answer in found for problem in answer.problems),
    )


def deployment_types(appliers: Iterable[str], runtimes: Iterable[Runtime]) -> tuple[str, ...]:
    """The kinds of components that the device can run.

    A Helm component reaches the device as Kubernetes objects, so an applier for those runs both; it need
    not find a cluster here (the directory applier writes for the kubelet). Compose needs its applier, Compose
    itself, and an engine that answers. A runtime without an applier for it runs nothing.
    """
    taken, present = set(appliers), {runtime.name for runtime in runtimes}
    kinds = set()
    if "kubernetes" in taken:
        kinds |= {"helm", "kubernetes"}
    if "helm" in taken:
        kinds.add("helm")
    if "compose" in taken and "compose" in present and present & {"docker", "podman"}:
        kinds.add("compose")
    return tuple(sorted(kinds))


def _kubernetes(sources: RuntimeSources) -> Found:
    try:
        server = find_cluster(sources.root, sources.environment, sources.kubeconfig)
        if server is None:
            return Found(())
        cluster, problem = probe_cluster(server, sources.seconds)
        return Found((cluster,), (problem,) if problem else ())
    except ClusterConfigError as error:
        return Found((), (str(error),))
    except NoAnswerError as error:
        return Found((), (f"the cluster does not answer: {error}",))


def _helm(sources: RuntimeSources) -> Found:
    return _program("helm", sources, ["helm", "version", "--short"])


def _engines(sources: RuntimeSources) -> Found:
    """Docker and Podman. Podman serves Docker's API too, often behind Docker's own socket, and says so."""
    found: dict[str, Runtime] = {}
    problems: list[str] = []
    # /var/run is a link to /run nearly everywhere: one socket is asked once.
    for path in dict.fromkeys(map(os.path.realpath, (*_docker_sockets(sources), str(sources.root / _PODMAN_SOCKET)))):
        try:
            engine = _engine(path, sources.seconds)
        except NoAnswerError as error:
            if Path(path).exists():
                problems.append(f"the engine at {path} does not answer: {error}{_hint(error)}")
            continue
        found.setdefault(engine.name, engine)
        if "docker" in found:
            break
    # An engine elsewhere (a context, a rootless one) is known to its command line only.
    if "docker" not in found and (version := _line(sources, ["docker", "version", "--format", "{{.Server.Version}}"])):
        found["docker"] = Runtime(name="docker", version=version)
    if "podman" not in found and (line := _line(sources, ["podman", "--version"])):
        found["podman"] = Runtime(name="podman", version=line.rpartition(" ")[2])
    return Found(tuple(found[name] for name in sorted(found)), tuple(problems))


def _compose(sources: RuntimeSources) -> Found:
    for command in (["docker", "compose"], ["docker-compose"], ["podman", "compose"]):
        if version := _line(sources, [*command, "version", "--short"]):
            return Found((Runtime(name="compose", version=version.removeprefix("v")),))
    return Found(())


def _containerd(sources: RuntimeSources) -> Found:
    """It speaks gRPC, so it is only seen that it takes connections; its version is its program's."""
    for path in _CONTAINERD_SOCKETS:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(sources.seconds)
            try:
                connection.connect(str(sources.root / path))
            except OSError:
                continue  # none, or not for this user
        words = _line(sources, ["containerd", "--version"]).split()
        return Found((Runtime(name="containerd", version=words[2] if len(words) > 2 else ""),))
    return Found(())


def _docker_sockets(sources: RuntimeSources) -> tuple[str, ...]:
    host = sources.environment.get("DOCKER_HOST", "")
    if host:
        return (host.removeprefix("unix://"),) if host.startswith("unix://") else ()
    return tuple(str(sources.root / path) for path in _DOCKER_SOCKETS)


def _engine(path: str, seconds: float) -> Runtime:
    """The engine behind a socket. Raises ``NoAnswerError``."""
    answer = unix_server(path).get("/version", seconds)
    if not isinstance(answer, dict) or not isinstance(answer.get("Version"), str):
        raise NoAnswerError("it does not say its version")
    is_podman = "podman" in str(answer.get("Components", ""))[:10_000].lower()
    return Runtime(name="podman" if is_podman else "docker", version=answer["Version"][:100])


def _hint(error: NoAnswerError) -> str:
    refused = isinstance(error.__cause__, PermissionError)
    return ": let the agent's user use it (for Docker: the group docker)" if refused else ""


def _program(name: str, sources: RuntimeSources, command: list[str]) -> Found:
    version = _line(sources, command)
    return Found((Runtime.model_validate({"name": name, "version": version}),) if version else ())


def _line(sources: RuntimeSources, command: list[str]) -> str:
    return first_line(command, sources.environment, sources.seconds)
