"""What the manifest says of one component: its project, the services that run, and the digest that it is known by. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_agent.appliers.port import ApplyError
from topics.documents.compose import DEVICE_LABEL, ComposeConfig, compose_config
from topics.documents.manifest import Manifest, ManifestComponent
from topics.errors import ContractError

_DIGEST_LENGTH = 20


@dataclass(frozen=True, slots=True)
class Service:
    """One service that runs: ``pull`` is its pull policy, ``one_shot`` that it may end by itself."""

    name: str
    image: str
    platform: str | None
    pull: str
    replicas: int
    one_shot: bool
    container_name: str | None


@dataclass(frozen=True, slots=True)
class Project:
    """A component as it is applied. ``folder`` is the name of the folder with its files.

    The folder is named after the content: a component that an update does not change keeps its folder, so its
    containers keep their mounts and go on running.
    """

    component: str
    name: str
    folder: str
    services: tuple[Service, ...]
    config: ComposeConfig
    content: bytes
    wait: bool
    timeout: float

    @property
    def files(self) -> dict[str, bytes]:
        """The files beside the project, by path."""
        texts = {path: text.encode() for path, text in self.config.files.items()}
        return texts | {path: base64.b64decode(text) for path, text in self.config.binary_files.items()}


def project_of(manifest: Manifest, component: str) -> Project:
    """The project of a component. Raises ``ApplyError`` for one that is not there or cannot be read."""
    found = next((item for item in manifest.components if item.name == component), None)
    if found is None:
        raise ApplyError(
            "unknown-component",
            f"generation {manifest.generation} of {manifest.deployment} has no component {component!r}",
            retryable=False,
            component=component,
        )
    return _project(manifest, found)


def projects_of(manifest: Manifest) -> tuple[Project, ...]:
    """Those of all components, in order."""
    return tuple(_project(manifest, component) for component in manifest.components)


def _project(manifest: Manifest, component: ManifestComponent) -> Project:
    try:
        config = compose_config(component)
        document = _marked(config.project, manifest.device)
        services = _services(document)
    except (ContractError, ValueError) as error:
        raise ApplyError(
            "invalid-project",
            f"the manifest holds no Compose project that this agent can read: {error}; look at the orchestrator's "
            "version, and at its compose renderer",
            retryable=False,
            component=component.name,
        ) from error
    content = json.dumps(document, sort_keys=True, indent=1).encode()
    digest = hashlib.sha256(content)
    for part in (config.environment, config.files, config.binary_files):
        digest.update(json.dumps(part, sort_keys=True).encode())
    return Project(
        component=component.name,
        name=config.project_name,
        folder=f"{component.name}-{digest.hexdigest()[:_DIGEST_LENGTH]}",
        services=services,
        config=config,
        content=content,
        wait=component.wait,
        timeout=component.timeout_seconds,
    )


def _marked(project: Mapping[str, Any], device: str) -> dict[str, Any]:
    """The project with the device's label on every service: another agent's containers are not this one's."""
    services = project.get("services")
    if not isinstance(services, dict) or not all(isinstance(service, dict) for service in services.values()):
        raise ValueError("'services' is not a mapping of mappings")
    marked = {
        name: {**service, "labels": {**_mapping(service.get("labels")), DEVICE_LABEL: device}}
        for name, service in services.items()
    }
    return {**project, "services": marked}


def _services(project: Mapping[str, Any]) -> tuple[Service, ...]:
    """The services that are started: those without a profile."""
    services = {name: service for name, service in project["services"].items() if not service.get("profiles")}
    awaited = {
        other
        for service in services.values()
        for other, how in _mapping(service.get("depends_on")).items()
        if _mapping(how).get("condition") == "service_completed_successfully"
    }
    return tuple(_service(name, service, name in awaited) for name, service in sorted(services.items()))


def _service(name: str, service: Mapping[str, Any], awaited: bool) -> Service:
    image = service.get("image")
    if not isinstance(image, str) or not image:
        raise ValueError(f"the service {name!r} has no image")
    policy = service.get("pull_policy") or "missing"
    container_name = service.get("container_name")
    return Service(
        name=name,
        image=image.replace("$$", "$"),
        platform=str(service["platform"]) if service.get("platform") else None,
        pull="missing" if policy == "if_not_present" else str(policy),
        replicas=_replicas(service),
        one_shot=awaited or _ends(service),
        container_name=str(container_name) if container_name else None,
    )


def _replicas(service: Mapping[str, Any]) -> int:
    value = service.get("scale", _mapping(service.get("deploy")).get("replicas", 1))
    return int(value) if isinstance(value, int | str) and str(value).isdecimal() else 1


def _ends(service: Mapping[str, Any]) -> bool:
    """Whether the project says by itself that the service may end: a restart policy of ``no`` or ``on-failure``.

    A service that says nothing is not meant: most of those run for ever.
    """
    restart = service.get("restart")
    if restart is not None:
        return restart is False or str(restart).partition(":")[0] in ("no", "on-failure")
    condition = _mapping(_mapping(service.get("deploy")).get("restart_policy")).get("condition")
    return condition in ("none", "on-failure")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
