"""Checks the services of a Compose project: what the engine would refuse, or the device could not have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from orchestrator.rendering.compose_findings import Findings
from orchestrator.rendering.compose_values import (
    Published,
    duration_problem,
    image_problem,
    mount,
    published,
    restart_problem,
)

_SERVICE_NAME = re.compile(r"[A-Za-z0-9._-]{1,63}\Z")
_CONTAINER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,254}\Z")
_CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")
_PULL_POLICIES = ("always", "never", "missing", "if_not_present")
_RESTART_CONDITIONS = ("none", "on-failure", "any", "unless-stopped")

_ATTRIBUTES = """
annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs container_name cpu_count
cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset credential_spec depends_on deploy
develop device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint env_file environment expose extends
external_links extra_hosts gpus group_add healthcheck hostname image init ipc isolation label_file labels links logging
mac_address mem_limit mem_reservation mem_swappiness memswap_limit models network_mode networks oom_kill_disable
oom_score_adj pid pids_limit platform ports post_start pre_stop privileged profiles provider pull_policy read_only restart
runtime scale secrets security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits
use_api_socket user userns_mode uts volumes volumes_from working_dir
"""
KNOWN = frozenset(_ATTRIBUTES.split())
"""The attributes of a service in the Compose specification of 2025."""


def check_services(services: Mapping[str, Any], names: Mapping[str, frozenset[str]], findings: Findings) -> None:
    """Report every fault. ``names`` are the declared ``networks``, ``volumes``, ``configs`` and ``secrets``."""
    for name, service in services.items():
        path = f"services.{name}"
        if not _SERVICE_NAME.match(name):
            findings.add(path, "bad-name", f"{name[:80]!r} is not a name of 1 to 63 of A-Z, a-z, 0-9, '.', '_' and '-'")
        if not isinstance(service, dict):
            findings.add(path, "invalid", "is not a mapping with 'image' in it")
            continue
        _Service(path, service, services, names, findings).check()
    _check_names(services, findings)
    _check_ports(services, findings)
    _check_cycles(services, findings)


class _Service:
    """The checks of one service."""

    def __init__(
        self, path: str, service: dict[str, Any], services: Mapping[str, Any], names: Mapping[str, frozenset[str]],
        findings: Findings,
    ) -> None:  # fmt: skip
        self._path = path
        self._service = service
        self._services = services
        self._names = names
        self._findings = findings

    def check(self) -> None:
        self._findings.unknown(self._service, KNOWN, self._path)
        self._image()
        self._labels()
        self._restart()
        self._network()
        self._volumes()
        self._depends_on()
        self._env_file()
        self._healthcheck()
        for kind in ("configs", "secrets"):
            for at, entry in self._entries(kind):
                source = entry.get("source") if isinstance(entry, dict) else entry
                self._declared(at, kind, source)

    def _add(self, field: str, code: str, message: str, hint: str | None = None) -> None:
        self._findings.add(f"{self._path}.{field}", code, message, hint=hint)

    def _image(self) -> None:
        if self._service.get("build") is not None:
            self._add("build", "build-refused", "devices do not build images", "push the image and name it in 'image'")
        if self._service.get("extends") is not None:
            self._add(
                "extends",
                "not-supported",
                "is not resolved here",
                "write out the service, as 'docker compose config' does",
            )
        if self._service.get("provider") is not None:
            self._add("provider", "not-supported", "runs a program on the device, which is not allowed")
        if self._service.get("image") is None:
            if self._service.get("build") is None and self._service.get("extends") is None:
                self._add("image", "missing", "is required and missing")
        elif problem := image_problem(self._service["image"]):
            self._add("image", "invalid", problem)
        policy = self._service.get("pull_policy")
        if policy is not None and policy not in _PULL_POLICIES:
            self._add("pull_policy", "not-allowed", f"{policy!r:.40} is not one of {', '.join(_PULL_POLICIES)}")

    def _labels(self) -> None:
        labels = self._service.get("labels")
        if labels is not None and not isinstance(labels, list | dict):
            self._add("labels", "invalid", "is neither a mapping nor a list of name=value")

    def _restart(self) -> None:
        if "restart" in self._service and (problem := restart_problem(self._service["restart"])):
            self._add("restart", "invalid", problem)
        deploy = self._service.get("deploy")
        if isinstance(deploy, dict) and isinstance(deploy.get("restart_policy"), dict):
            condition = deploy["restart_policy"].get("condition")
            if condition is not None and condition not in _RESTART_CONDITIONS:
                self._add(
                    "deploy.restart_policy.condition", "not-allowed",
                    f"{condition!r:.40} is not one of {', '.join(_RESTART_CONDITIONS)}",
                )  # fmt: skip
        grace = self._service.get("stop_grace_period")
        if grace is not None and (problem := duration_problem(grace)):
            self._add("stop_grace_period", "invalid", problem)

    def _network(self) -> None:
        mode, networks = self._service.get("network_mode"), self._service.get("networks")
        if mode is not None and networks:
            self._add("network_mode", "conflict", "stands beside 'networks'; a service has one of them")
        if isinstance(mode, str) and mode.startswith("service:"):
            self._known_service("network_mode", mode.removeprefix("service:"))
        for name in networks if isinstance(networks, list | dict) else ():
            self._declared(f"{self._path}.networks", "networks", name)
        for at, entry in self._entries("ports"):
            try:
                published(entry)
            except ValueError as error:
                self._findings.add(at, "invalid", str(error))

    def _volumes(self) -> None:
        for at, entry in self._entries("volumes"):
            try:
                found = mount(entry)
            except ValueError as error:
                self._findings.add(at, "invalid", str(error))
                continue
            if found.kind == "named":
                self._declared(at, "volumes", found.source)
            elif found.kind == "file" and not self._findings.has_file(found.source):
                self._findings.add(
                    at, "file-missing", f"{found.source[:100]!r} is not among the component's files",
                    hint="add it to 'files'; for data that stays use a named volume or a path from '/'",
                )  # fmt: skip

    def _depends_on(self) -> None:
        for name, condition in depends_on(self._service):
            self._known_service("depends_on", name)
            if condition not in _CONDITIONS:
                self._add(
                    f"depends_on.{name}", "not-allowed", f"{condition!r:.60} is not one of {', '.join(_CONDITIONS)}"
                )

    def _env_file(self) -> None:
        value = self._service.get("env_file")
        for index, entry in enumerate(value if isinstance(value, list) else [] if value is None else [value]):
            path = entry.get("path") if isinstance(entry, dict) else entry
            required = not isinstance(entry, dict) or entry.get("required", True)
            if not isinstance(path, str):
                self._add(f"env_file[{index}]", "invalid", "is no path of a file")
            elif required and not self._findings.has_file(path):
                self._add(
                    f"env_file[{index}]", "file-missing", f"{path[:100]!r} is not among the component's files",
                    "add it to 'files'",
                )  # fmt: skip

    def _healthcheck(self) -> None:
        check = self._service.get("healthcheck")
        if check is None:
            return
        if not isinstance(check, dict):
            self._add("healthcheck", "invalid", "is not a mapping with 'test' in it")
            return
        test = check.get("test")
        if isinstance(test, list) and (not test or test[0] not in ("NONE", "CMD", "CMD-SHELL")):
            self._add("healthcheck.test", "invalid", "as a list starts with NONE, CMD or CMD-SHELL")
        elif test is not None and not isinstance(test, list | str):
            self._add("healthcheck.test", "invalid", "is neither a text nor a list")
        for field in ("interval", "timeout", "start_period", "start_interval"):
            if field in check and (problem := duration_problem(check[field])):
                self._add(f"healthcheck.{field}", "invalid", problem)

    def _entries(self, field: str) -> Iterator[tuple[str, Any]]:
        value = self._service.get(field)
        if value is None:
            return
        if not isinstance(value, list):
            self._add(field, "invalid", "is not a list")
            return
        for index, entry in enumerate(value):
            yield f"{self._path}.{field}[{index}]", entry

    def _known_service(self, field: str, name: object) -> None:
        if name not in self._services:
            self._add(field, "unknown-service", f"there is no service {name!r:.80}")

    def _declared(self, path: str, kind: str, name: object) -> None:
        if not (isinstance(name, str) and name in self._names[kind]):
            self._findings.add(
                path, "undeclared", f"{name!r:.80} is not declared under the project's '{kind}'",
                hint=f"add it under '{kind}' at the top of the project",
            )  # fmt: skip


def depends_on(service: Mapping[str, Any]) -> list[tuple[str, object]]:
    """The services that a service waits for, each with its condition."""
    value = service.get("depends_on")
    if isinstance(value, list):
        return [(str(name), "service_started") for name in value]
    if isinstance(value, dict):
        return [
            (str(name), body.get("condition", "service_started") if isinstance(body, dict) else "service_started")
            for name, body in value.items()
        ]
    return []


def _check_names(services: Mapping[str, Any], findings: Findings) -> None:
    first: dict[str, str] = {}
    for name, service in services.items():
        given = service.get("container_name") if isinstance(service, dict) else None
        if given is None:
            continue
        path = f"services.{name}.container_name"
        if not isinstance(given, str) or not _CONTAINER_NAME.match(given):
            findings.add(path, "bad-name", f"{given!r:.80} is not a container's name")
        elif (other := first.setdefault(given, name)) != name:
            findings.add(path, "duplicate", f"{given!r} is also the name of {other}'s container")


def _check_ports(services: Mapping[str, Any], findings: Findings) -> None:
    taken: dict[tuple[int, str], list[tuple[Published, str]]] = {}
    for name, service in services.items():
        entries = service.get("ports") if isinstance(service, dict) else None
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            try:
                ports = published(entry)
            except ValueError:
                continue  # reported with its service
            for port in ports:
                others = taken.setdefault((port.port, port.protocol), [])
                meeting = next((other for seen, other in others if seen.meets(port)), None)
                if meeting is not None:
                    findings.add(
                        f"services.{name}.ports[{index}]", "port-conflict", f"{port} is also taken by {meeting}"
                    )
                    break
                others.append((port, name))


def _check_cycles(services: Mapping[str, Any], findings: Findings) -> None:
    """Report one cycle of ``depends_on``, if there is any. No recursion: the depth is the document's."""
    waits = {
        name: {other for other, _ in depends_on(service) if other in services} if isinstance(service, dict) else set()
        for name, service in services.items()
    }
    while ready := [name for name, others in waits.items() if not others]:
        for name in ready:
            del waits[name]
        for others in waits.values():
            others.difference_update(ready)
    if waits:
        cycle = _one_cycle(waits)
        findings.add(f"services.{cycle[0]}.depends_on", "cycle", f"they wait for each other: {' -> '.join(cycle)}")


def _one_cycle(waits: Mapping[str, Iterable[str]]) -> list[str]:
    path: list[str] = []
    name = min(waits)
    while name not in path:
        path.append(name)
        name = min(waits[name])
    return [*path[path.index(name) :], name]
