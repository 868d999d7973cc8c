"""Makes Compose projects run: pulls through the engine, changes through Compose, looks through the engine again.

It must never touch a container that is neither in its inventory nor labelled as this device's own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import ClassVar

from edge_agent.appliers.compose import checking, command, files
from edge_agent.appliers.compose.engine import Engine, EngineError
from edge_agent.appliers.compose.failures import failure
from edge_agent.appliers.compose.fetching import fetch, fetch_missing
from edge_agent.appliers.compose.health import findings
from edge_agent.appliers.compose.inventory import Entry, Inventory
from edge_agent.appliers.compose.options import ComposeOptions
from edge_agent.appliers.compose.project import Project, project_of, projects_of
from edge_agent.appliers.compose.staging import Staging
from edge_agent.appliers.compose.starting import Starter
from edge_agent.appliers.compose.watching import Watcher
from edge_agent.appliers.port import (
    INITIALIZATION,
    ApplyError,
    CancelCheck,
    Cancelled,
    ComponentHealth,
    ProgressReport,
    never,
)
from topics.documents.compose import TYPE
from topics.documents.manifest import Manifest

_VALIDATE_SECONDS = 60.0
_DOWN_SECONDS = 300.0
"""How long a project may take to end; each container has its own grace period (10 s by default) before it is killed."""


class ComposeApplier:
    """See ``edge_agent.appliers.port.Applier`` for the methods, ``ComposeOptions`` for the options.

    Safe from several threads as long as no two work on the same deployment.
    """

    types: ClassVar[frozenset[str]] = frozenset({TYPE})

    def __init__(self, options: Mapping[str, str]) -> None:
        self._options = ComposeOptions.parse(options)
        self._engine = Engine(self._options.socket)
        self._compose = command.Compose(self._options.engine, self._options.socket)
        self._starter = Starter(self._engine, self._compose, self._options)
        self._watcher: Watcher | None = None

    def check(self, manifest: Manifest) -> None:
        """Engine and Compose answer, nothing of the manifest is for somebody else, and its places are free."""
        checking.check_types(manifest, self.types)
        checking.check_initialization(manifest)
        projects = projects_of(manifest)
        needed = sum(len(project.content) + sum(map(len, project.files.values())) for project in projects)
        with files.apply_errors("to use the folder for projects"):
            files.check_writable(self._options.projects, needed)
        with _engine_errors("to ask the engine"):
            self._engine.version()
            self._compose.check()
            self._refuse_foreign(manifest, projects)

    def download(self, manifest: Manifest, progress: ProgressReport, cancelled: CancelCheck) -> None:
        """Stage the projects, let Compose read them, and fetch the images that are not there."""
        _stop_if(cancelled)
        projects = projects_of(manifest)
        staging = self._staging(manifest.deployment)
        staging.note(manifest.generation, projects)
        for project in projects:
            _stop_if(cancelled, project.component)
            folder = staging.stage(project)
            bounds = command.Bounds(cancelled, _VALIDATE_SECONDS, project.component)
            self._compose.validate(project.name, folder, project.config.environment, bounds)
            with _engine_errors("to fetch images", project.component):
                fetch(self._engine, self._options, project, progress, cancelled)

    def initialize(self, manifest: Manifest, cancelled: CancelCheck) -> None:
        """There is nothing to do before the components: initialization objects are refused by ``check``."""
        _stop_if(cancelled, INITIALIZATION)
        self._claim(manifest)

    def apply(self, manifest: Manifest, component: str, cancelled: CancelCheck) -> None:
        """Bring the project up and wait until its containers are healthy."""
        _stop_if(cancelled, component)
        project = project_of(manifest, component)
        staging = self._staging(manifest.deployment)
        known = self._claim(manifest)
        with (
            _engine_errors("to start the services", component),
            command.alone(staging.path, cancelled, project.timeout) as lock,
        ):
            self._refuse_foreign(manifest, (project,))
            folder = staging.stage(project)
            entry = known.components.get(component)
            if entry is not None and entry.folder == project.folder and not self._differs(project, entry):
                kept = replace(entry, generation=manifest.generation, remove_volumes=project.config.remove_volumes)
                self._keep(staging, known, component, kept)
                return
            fetch_missing(self._engine, self._options, project, cancelled)
            if entry is not None and entry.containers is not None:
                self._starter.remove_changed(entry)
            begun = Entry(project.name, project.folder, manifest.generation, project.config.remove_volumes)
            known = self._keep(staging, known, component, begun)
            containers = self._starter.start(project, folder, lock, cancelled)
            self._keep(staging, known, component, replace(begun, containers=containers))

    def finish(self, manifest: Manifest) -> None:
        """Take down the components that only other generations had, and forget what was staged for older ones."""
        staging = self._staging(manifest.deployment)
        known = staging.inventory()
        if known.generation != manifest.generation:
            # Everything would look left over, and be taken down.
            raise ApplyError(
                "not-applied",
                f"generation {manifest.generation} of {manifest.deployment} cannot be finished, because "
                f"generation {known.generation} was applied last; apply it first",
                retryable=False,
            )
        wanted = {component.name for component in manifest.components}
        for name in [name for name in known.components if name not in wanted]:
            known = self._take_down(staging, known, name, never)
        staging.forget(number for number in staging.staged() if number <= manifest.generation)

    def health(self, manifest: Manifest) -> tuple[ComponentHealth, ...]:
        """Compare every container with what was applied; names each that is missing, changed, ill or too many."""
        known = self._staging(manifest.deployment).inventory()
        if known.generation != manifest.generation:
            present = f"generation {known.generation}" if known.components else "none"
            message = f"generation {manifest.generation} was not applied here; on the device is {present}"
            return tuple(ComponentHealth(component.name, False, message) for component in manifest.components)
        found: list[ComponentHealth] = []
        for project in projects_of(manifest):
            with _engine_errors("to look at the containers", project.component):
                problems = self._problems(project, known.components.get(project.component))
            found.append(ComponentHealth(project.component, not problems, "; ".join(problems)))
        wanted = {entry.component for entry in found}
        gone = [name for name in known.components if name not in wanted]
        return (
            *found,
            *(ComponentHealth(name, False, "is not part of this generation and still there") for name in gone),
        )

    def remove(self, deployment: str, cancelled: CancelCheck) -> None:
        """Take down every project, the last applied first, and forget the deployment.

        Named volumes stay unless the component says ``removeVolumes``.
        """
        _stop_if(cancelled)
        staging = self._staging(deployment)
        known = staging.inventory()
        for name in reversed(list(known.components)):
            known = self._take_down(staging, known, name, cancelled)
        if self._options.device and known.generation < 0:
            # The data folder may be new; what this device started is known by its labels.
            with _engine_errors("to look for what is left"):
                for project in checking.labelled_projects(self._engine, deployment, self._options.device):
                    with files.apply_errors("to lock the deployment"):
                        files.ensure_folder(staging.path)
                    with command.alone(staging.path, cancelled, _DOWN_SECONDS) as lock:
                        self._compose.down(project, None, False, command.Bounds(cancelled, _DOWN_SECONDS, lock=lock))
                        self._starter.remove_rest(project)
        staging.delete()

    def discard(self, deployment: str, generation: int) -> None:
        """Forget what was staged for one generation; images stay, as after any ``docker pull``."""
        self._staging(deployment).forget((generation,))

    def watch(self, changed: Callable[[str], None]) -> None:
        """Follow the engine's events."""
        self._watcher = Watcher(
            self._engine, self._options.device, self._deployments, docker=self._options.engine == "docker"
        )
        self._watcher.start(changed)

    def close(self) -> None:
        """Stop following them."""
        if self._watcher is not None:
            self._watcher.stop()

    def _staging(self, deployment: str) -> Staging:
        return Staging(self._options.projects, deployment)

    def _deployments(self) -> Iterable[str]:
        root = self._options.projects
        return sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else ()

    def _claim(self, manifest: Manifest) -> Inventory:
        """Write ahead which generation is being applied."""
        staging = self._staging(manifest.deployment)
        known = staging.inventory()
        if known.generation != manifest.generation:
            known = replace(known, generation=manifest.generation)
            staging.save(known)
        return known

    @staticmethod
    def _keep(staging: Staging, known: Inventory, component: str, entry: Entry) -> Inventory:
        changed = replace(known, components={**known.components, component: entry})
        if changed != known:
            staging.save(changed)
        return changed

    def _take_down(self, staging: Staging, known: Inventory, component: str, cancelled: CancelCheck) -> Inventory:
        _stop_if(cancelled, component)
        entry = known.components[component]
        folder = staging.path / entry.folder
        with (
            _engine_errors("to take down the project", component),
            command.alone(staging.path, cancelled, _DOWN_SECONDS) as lock,
        ):
            bounds = command.Bounds(cancelled, _DOWN_SECONDS, component, lock)
            self._compose.down(entry.project, folder if folder.is_dir() else None, entry.remove_volumes, bounds)
            self._starter.remove_rest(entry.project)
        left = replace(known, components={name: item for name, item in known.components.items() if name != component})
        staging.save(left)
        return left

    def _refuse_foreign(self, manifest: Manifest, projects: Iterable[Project]) -> None:
        checking.refuse_foreign(self._engine.containers(), manifest.deployment, projects, self._options.device)

    def _differs(self, project: Project, entry: Entry) -> bool:
        return entry.project != project.name or bool(self._problems(project, entry))

    def _problems(self, project: Project, entry: Entry | None) -> list[str]:
        if entry is None or entry.folder != project.folder:
            return ["it was not applied here"]
        if entry.containers is None:
            return ["it was not applied to its end"]
        containers = self._starter.containers(project.name)
        ended = self._starter.ended_by_themselves(containers, entry)
        return findings(project.services, containers, entry.containers, ended)


def _stop_if(cancelled: CancelCheck, component: str | None = None) -> None:
    if cancelled():
        raise Cancelled("the step was cancelled", component=component)


@contextlib.contextmanager
def _engine_errors(what: str, component: str | None = None) -> Iterator[None]:
    """Turn what the engine refuses into ``ApplyError``, and say in which component a step failed."""
    try:
        yield
    except EngineError as error:
        raise failure(str(error), what, component=component) from error
    except OSError as error:
        with files.apply_errors(what, component):
            raise error from None
    except ApplyError as error:
        error.component = error.component or component
        raise
