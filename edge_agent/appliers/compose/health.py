"""Compares the containers that are there with those that were applied. Pure: data in, findings out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edge_agent.appliers.compose.inventory import Known
from edge_agent.appliers.compose.project import Service

SERVICE_LABEL = "com.docker.compose.service"
PROJECT_LABEL = "com.docker.compose.project"
ONE_OFF_LABEL = "com.docker.compose.oneoff"


@dataclass(frozen=True, slots=True)
class Container:
    """One container as the engine describes it.

    ``status`` is ``created``, ``running``, ``paused``, ``restarting``, ``exited``, ``removing`` or ``dead``;
    ``health`` is ``starting``, ``healthy``, ``unhealthy``, or empty without a health check. ``fingerprint`` changes
    when somebody changes the container in place. ``started`` and ``finished`` are the engine's times.
    """

    id: str
    name: str
    service: str
    status: str
    exit_code: int
    health: str
    restarts: int
    policy: str
    error: str
    said: str
    started: str
    finished: str
    fingerprint: str

    @property
    def ended_well(self) -> bool:
        return self.status == "exited" and self.exit_code == 0

    @property
    def restarts_by_itself(self) -> bool:
        return self.policy in ("always", "unless-stopped", "on-failure")


def container_of(found: Mapping[str, Any]) -> Container:
    """A container from what the engine's ``inspect`` says."""
    state, config, host = (_mapping(found.get(key)) for key in ("State", "Config", "HostConfig"))
    health = _mapping(state.get("Health"))
    checks = health.get("Log")
    last = checks[-1] if isinstance(checks, list) and checks and isinstance(checks[-1], dict) else {}
    name = str(found.get("Name", "")).lstrip("/")
    networks = sorted(_mapping(_mapping(found.get("NetworkSettings")).get("Networks")))
    marks = json.dumps([name, found.get("Image"), config, host, networks], sort_keys=True)
    status = str(state.get("Status", ""))
    return Container(
        id=str(found.get("Id", "")),
        name=name,
        service=str(_mapping(config.get("Labels")).get(SERVICE_LABEL, "")),
        status="paused" if state.get("Paused") else status,
        exit_code=int(state.get("ExitCode") or 0),
        health="" if health.get("Status") in (None, "none") else str(health["Status"]),
        restarts=int(found.get("RestartCount") or 0),
        policy=str(_mapping(host.get("RestartPolicy")).get("Name") or "no"),
        error=str(state.get("Error") or ""),
        said=" ".join(str(last.get("Output", "")).split())[-300:],
        started=str(state.get("StartedAt", "")),
        finished=str(state.get("FinishedAt", "")),
        fingerprint=hashlib.sha256(marks.encode()).hexdigest()[:20],
    )


def trouble(container: Container, *, one_shot: bool) -> str | None:
    """What is wrong with a container's state; ``None`` if nothing is."""
    match container.status:
        case "running":
            if container.health != "unhealthy":
                return None
            return f"{container.name} is unhealthy{': ' + container.said if container.said else ''}"
        case "restarting":
            return f"{container.name} ends again and again (exit code {container.exit_code})"
        case "exited":
            if container.exit_code == 0 and one_shot and not container.restarts_by_itself:
                return None
            if container.exit_code == 0 and one_shot and container.policy == "on-failure":
                return None
            why = f": {container.error}" if container.error else ""
            return f"{container.name} does not run (exit code {container.exit_code}){why}"
        case other:
            why = f": {container.error}" if container.error else ""
            return f"{container.name} is {other or 'in an unknown state'}{why}"


def findings(
    services: Iterable[Service], containers: Iterable[Container], known: Mapping[str, Known], ended: frozenset[str]
) -> list[str]:
    """Every difference between what was applied (``known``, by container id) and what is there.

    ``ended``: ids of containers of which it is known that they ended by themselves.
    """
    one_shot = {service.name for service in services if service.one_shot}
    present = {container.id: container for container in containers}
    found = [f"{item.name} is gone" for id, item in known.items() if id not in present]
    replaced = {item.name for id, item in known.items() if id not in present}
    for id, container in present.items():
        if id not in known:
            if container.name not in replaced:
                found.append(f"{container.name} was added")
        elif container.fingerprint != known[id].fingerprint:
            found.append(f"{known[id].name} was changed")
        elif problem := trouble(container, one_shot=container.service in one_shot or id in ended):
            found.append(problem)
    return found


def is_ready(container: Container, *, settled: bool) -> bool:
    """Whether a container counts as started: healthy, or running for long enough, or ended well."""
    if container.status == "running":
        return container.health == "healthy" if container.health else settled
    return container.ended_well and container.policy not in ("always", "unless-stopped")


def is_lost(container: Container) -> bool:
    """Whether waiting for a container is in vain: it ended badly and stays so, or its health check said no."""
    if container.status == "exited":
        return container.exit_code != 0 and container.policy == "no"
    return container.status == "dead" or (container.status == "running" and container.health == "unhealthy")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
