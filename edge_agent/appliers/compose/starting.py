"""Brings a project up and waits for its containers; says with their last lines why one does not come."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from edge_agent.appliers.compose.checking import is_one_off
from edge_agent.appliers.compose.command import Bounds, Compose, TimedOutError
from edge_agent.appliers.compose.engine import Engine, EngineError
from edge_agent.appliers.compose.failures import failure
from edge_agent.appliers.compose.health import PROJECT_LABEL, Container, container_of, is_lost, is_ready, trouble
from edge_agent.appliers.compose.inventory import Entry, Known
from edge_agent.appliers.compose.options import ComposeOptions
from edge_agent.appliers.compose.project import Project
from edge_agent.appliers.port import ApplyError, CancelCheck, Cancelled

_POLL_SECONDS = 0.1
_LOG_LINES = 15
_LOG_LENGTH = 1000  # characters
_ENDING_SIGNALS = frozenset({"2", "3", "9", "15"})


class Starter:
    """Works on the containers of one engine."""

    def __init__(self, engine: Engine, compose: Compose, options: ComposeOptions) -> None:
        self._engine = engine
        self._compose = compose
        self._settle = options.settle

    def containers(self, project: str) -> list[Container]:
        """The containers of a project, without those that somebody runs beside it."""
        listed = self._engine.containers(f"{PROJECT_LABEL}={project}")
        found = [self._engine.inspect(str(item.get("Id"))) for item in listed if not is_one_off(item)]
        return sorted((container_of(item) for item in found if item is not None), key=lambda item: item.name)

    def remove_changed(self, entry: Entry) -> None:
        """Remove the containers that are not as they were applied: Compose itself looks only at their labels."""
        for container in self.containers(entry.project):
            known = (entry.containers or {}).get(container.id)
            if known is None or known.fingerprint != container.fingerprint or container.status in ("paused", "dead"):
                self._engine.remove(container.id)

    def remove_rest(self, project: str) -> None:
        """Remove the containers that Compose left of a project that it took down, those run beside it among them."""
        for item in self._engine.containers(f"{PROJECT_LABEL}={project}"):
            self._engine.remove(str(item.get("Id")))

    def start(self, project: Project, folder: Path, lock: int, cancelled: CancelCheck) -> Mapping[str, Known]:
        """The containers by id, once all of them are there. Raises ``ApplyError``."""
        deadline = time.monotonic() + project.timeout
        for container in self.containers(project.name):
            if container.status in ("paused", "dead"):
                self._engine.remove(container.id)  # Compose can do nothing with it
        try:
            said = self._compose.up(
                project.name,
                folder,
                project.config.environment,
                Bounds(cancelled, project.timeout, project.component, lock),
            )
        except TimedOutError as error:
            raise self._late(project, self.containers(project.name)) from error
        except ApplyError as error:
            if error.code == "unhealthy":
                raise self._with_log(error, project) from error
            raise
        running_since: dict[str, float] = {}
        while True:
            containers = self.containers(project.name)
            waiting = [item for item in containers if not self._is_ready(item, running_since)]
            if not containers and any(service.replicas for service in project.services):
                raise failure(said, "to start anything", component=project.component)
            if not waiting or not project.wait:
                return {item.id: Known(item.name, item.fingerprint, item.ended_well) for item in containers}
            for container in waiting:
                if is_lost(container):
                    raise self._failed(project, container)
            if cancelled():
                raise Cancelled("waiting for the containers was cancelled", component=project.component)
            if time.monotonic() >= deadline:
                raise self._late(project, waiting)
            time.sleep(_POLL_SECONDS)

    def ended_by_themselves(self, containers: Iterable[Container], entry: Entry) -> frozenset[str]:
        """Those that ended well and that nobody stopped.

        A service without a restart policy that ends with 0 may be a job, or a server that somebody stopped. It had
        ended when it was applied, or the engine remembers no signal to it: then it is a job. (An engine remembers its
        last events, some minutes' worth; a watcher asks at once.)
        """
        found = set()
        for container in containers:
            if not container.ended_well or container.restarts_by_itself:
                continue
            known = (entry.containers or {}).get(container.id)
            if (known is not None and known.ended) or not self._was_stopped(container):
                found.add(container.id)
        return frozenset(found)

    def _was_stopped(self, container: Container) -> bool:
        started = _seconds(container.started)
        if started is None:
            return False
        filters = {"container": [container.id], "event": ["kill", "stop"]}
        # Asked for a time to come, the engine would wait for it. Its clock and this one are one clock.
        for event in self._engine.events(filters, f"{int(started)}", f"{time.time():.6f}"):
            marks = event.get("Actor", {}).get("Attributes", {})
            if event.get("Action", event.get("status")) == "stop" or marks.get("signal") in _ENDING_SIGNALS:
                return True
        return False

    def _is_ready(self, container: Container, running_since: dict[str, float]) -> bool:
        now = time.monotonic()
        run = f"{container.id} {container.started}"
        since = running_since.setdefault(run, now) if container.status == "running" else now
        return is_ready(container, settled=now - since >= self._settle)

    def _late(self, project: Project, waiting: Iterable[Container]) -> ApplyError:
        containers = list(waiting)
        state = "; ".join(trouble(item, one_shot=False) or _starting(item) for item in containers)
        log = self._log_of(containers[:1])
        return ApplyError(
            "not-ready-in-time",
            f"the services did not all run within {project.timeout:g} s: {state or 'Compose did not come to an end'}"
            f"{log}; give it a longer 'timeout', or correct the service",
            retryable=True,
            component=project.component,
        )

    def _failed(self, project: Project, container: Container) -> ApplyError:
        code = "unhealthy" if container.status == "running" else "container-exited"
        return ApplyError(
            code,
            f"{trouble(container, one_shot=False)}{self._log_of([container])}; correct the service or its settings",
            retryable=True,
            component=project.component,
        )

    def _with_log(self, error: ApplyError, project: Project) -> ApplyError:
        ill = [item for item in self.containers(project.name) if is_lost(item)]
        return ApplyError(
            error.code, error.message + self._log_of(ill[:1]), retryable=error.retryable, component=error.component
        )

    def _log_of(self, containers: Iterable[Container]) -> str:
        for container in containers:
            try:
                lines = self._engine.log(container.id, _LOG_LINES).strip()
            except EngineError as error:
                return f" (its log cannot be read: {error})"
            return f"; its last lines: {lines[-_LOG_LENGTH:]}" if lines else "; it wrote nothing"
        return ""


def _starting(container: Container) -> str:
    return f"{container.name} is {container.health or container.status}"


def _seconds(time_of_engine: str) -> float | None:
    """Seconds since 1970 of an engine's time (RFC 3339 with nanoseconds)."""
    try:
        return datetime.fromisoformat(time_of_engine[:19]).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
