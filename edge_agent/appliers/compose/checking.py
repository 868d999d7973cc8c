"""What has to hold before anything is fetched: the manifest is for this applier, and its places are not taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from edge_agent.appliers.compose.engine import Engine
from edge_agent.appliers.compose.health import ONE_OFF_LABEL, PROJECT_LABEL
from edge_agent.appliers.compose.project import Project
from edge_agent.appliers.port import INITIALIZATION, ApplyError
from topics.documents.compose import COMPONENT_LABEL, DEPLOYMENT_LABEL, DEVICE_LABEL
from topics.documents.manifest import Manifest

_SHOWN = 5


def check_types(manifest: Manifest, types: frozenset[str]) -> None:
    """Raise ``ApplyError`` for a component of another type."""
    for component in manifest.components:
        if component.type not in types:
            raise ApplyError(
                "unsupported-type",
                f"the compose applier takes {', '.join(sorted(types))}, not {component.type}",
                retryable=False,
                component=component.name,
            )


def check_initialization(manifest: Manifest) -> None:
    """Raise ``ApplyError`` for initialization objects, which are Kubernetes objects, by their names.

    The workload namespace itself is none: a spec asks for it by default, and an engine has no namespaces.
    """
    names = [
        f"{item.get('kind')} {_metadata(item).get('name')}"
        for item in manifest.initialization
        if not (item.get("kind") == "Namespace" and _metadata(item).get("name") == manifest.workload_namespace)
    ]
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise ApplyError(
            "unsupported-initialization",
            f"initialization objects are for Kubernetes, and this device has none: {', '.join(names[:_SHOWN])}{more}; "
            "give a Compose project its settings by 'environment' and 'files'",
            retryable=False,
            component=INITIALIZATION,
        )


def refuse_foreign(
    containers: Iterable[Mapping[str, Any]], deployment: str, projects: Iterable[Project], device: str
) -> None:
    """Raise ``ApplyError`` if somebody else's container has a project's name, or a name that a service will need."""
    there = list(containers)
    for project in projects:
        wanted = _names(project)
        for container in there:
            labels = _mapping(container.get("Labels"))
            if _is_own(labels, deployment, project.component, device):
                continue
            names = [str(name).lstrip("/") for name in container.get("Names") or ()]
            shown = names[0] if names else str(container.get("Id", ""))[:12]
            if labels.get(PROJECT_LABEL) == project.name:
                owner = labels.get(DEVICE_LABEL)
                whose = f"of the agent of {owner}" if owner else "was not started by this agent"
                raise ApplyError(
                    "foreign-project",
                    f"the container {shown} of the project {project.name} {whose}; remove it (docker compose -p "
                    f"{project.name} down), or give the deployment another name",
                    retryable=False,
                    component=project.component,
                )
            taken = wanted.intersection(names)
            if taken:
                raise ApplyError(
                    "name-in-use",
                    f"a container called {min(taken)} is there and was not started by this agent for this component; "
                    "remove or rename it",
                    retryable=False,
                    component=project.component,
                )


def labelled_projects(engine: Engine, deployment: str, device: str) -> list[str]:
    """The projects of a deployment that this device's agent started, found by their labels."""
    found = set()
    for container in engine.containers(f"{DEPLOYMENT_LABEL}={deployment}"):
        labels = _mapping(container.get("Labels"))
        if labels.get(DEVICE_LABEL) == device and labels.get(PROJECT_LABEL):
            found.add(str(labels[PROJECT_LABEL]))
    return sorted(found, reverse=True)


def is_one_off(container: Mapping[str, Any]) -> bool:
    """Whether somebody ran the container beside the services (``docker compose run``)."""
    return str(_mapping(container.get("Labels")).get(ONE_OFF_LABEL, "")).lower() == "true"


def _is_own(labels: Mapping[str, Any], deployment: str, component: str, device: str) -> bool:
    mine = not device or labels.get(DEVICE_LABEL) in (device, None)
    return mine and (labels.get(DEPLOYMENT_LABEL), labels.get(COMPONENT_LABEL)) == (deployment, component)


def _names(project: Project) -> set[str]:
    """The names that the project's containers get; Compose 2 joins them by ``-``, podman-compose by ``_``."""
    return {
        name
        for service in project.services
        for name in (
            [service.container_name]
            if service.container_name
            else [
                f"{project.name}{joint}{service.name}{joint}{n + 1}" for n in range(service.replicas) for joint in "-_"
            ]
        )
    }


def _metadata(item: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(item.get("metadata"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
