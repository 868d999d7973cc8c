"""Checks a Compose project as a whole, after its variables were filled in.

There is no well-kept Python package that carries the specification's JSON schema, and the schema would not say what
matters here: that devices do not build, that files come along, that references lead somewhere, that two services do not
want the same port. So this checks that, and the device's own Compose checks the rest before it pulls anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.rendering.compose_findings import Findings
from orchestrator.rendering.compose_services import check_services

MAX_SERVICES = 200
_TOP = frozenset({"name", "version", "services", "networks", "volumes", "configs", "secrets", "include", "models"})
_RESERVED = ("COMPOSE_", "DOCKER_", "CONTAINER_", "PODMAN_", "LD_", "XDG_")
RESERVED_NAMES = frozenset({"PATH", "HOME", "TMPDIR"})


def check_project(project: Mapping[str, Any], environment: Mapping[str, str], findings: Findings) -> None:
    """Report every fault of a project whose variables are filled in."""
    findings.unknown(project, _TOP, "")
    for field in ("include", "models"):
        if project.get(field) is not None:
            findings.add(
                field,
                "not-supported",
                "is not resolved here",
                hint="write out the project, as 'docker compose config' does",
            )
    names = {kind: _declared(project, kind, findings) for kind in ("networks", "volumes", "configs", "secrets")}
    names["networks"] |= {"default"}
    for kind in ("configs", "secrets"):
        _check_sources(project, kind, environment, findings)
    services = project.get("services")
    if not isinstance(services, dict) or not services:
        findings.add("services", "missing", "must be a mapping with at least one service")
        return
    if len(services) > MAX_SERVICES:
        findings.add("services", "too-many", f"has {len(services)} entries; at most {MAX_SERVICES} are taken")
        return
    check_services(services, names, findings)


def reserved(name: str) -> bool:
    """Whether a variable of this name would change how the device's Compose works, instead of the project."""
    return name.upper() in RESERVED_NAMES or name.upper().startswith(_RESERVED) or name.upper().endswith("_PROXY")


def _declared(project: Mapping[str, Any], kind: str, findings: Findings) -> frozenset[str]:
    value = project.get(kind)
    if value is None:
        return frozenset()
    if not isinstance(value, dict):
        findings.add(kind, "invalid", "is not a mapping")
        return frozenset()
    for name, body in value.items():
        if body is not None and not isinstance(body, dict):
            findings.add(f"{kind}.{name}", "invalid", "is not a mapping")
    return frozenset(value)


def _check_sources(project: Mapping[str, Any], kind: str, environment: Mapping[str, str], findings: Findings) -> None:
    value = project.get(kind)
    for name, body in value.items() if isinstance(value, dict) else ():
        path = f"{kind}.{name}"
        if not isinstance(body, dict):
            findings.add(path, "missing", "has no 'file', 'content' or 'environment'")
            continue
        ways = [way for way in ("file", "content", "environment") if body.get(way) is not None]
        if body.get("external"):
            findings.add(
                f"{path}.external", "not-supported", "lies outside of the project, and engines without swarm have none",
                hint="give it with 'file' or 'content'",
            )  # fmt: skip
        elif len(ways) != 1:
            findings.add(path, "invalid", f"has {' and '.join(ways) or 'none'} of 'file', 'content' and 'environment'")
        elif ways == ["file"] and not (
            isinstance(body["file"], str) and (body["file"].startswith("/") or findings.has_file(body["file"]))
        ):
            findings.add(
                f"{path}.file", "file-missing", f"{body['file']!r:.100} is not among the component's files",
                hint="add it to 'files'",
            )  # fmt: skip
        elif ways == ["environment"] and body["environment"] not in environment:
            findings.add(
                f"{path}.environment", "variable-missing", f"the variable {body['environment']!r:.80} is not set",
                hint="add it to 'environment'",
            )  # fmt: skip
