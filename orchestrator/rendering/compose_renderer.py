"""Renders Compose components: a complete project, every variable filled in, every file with it.

What cannot run on a device is refused here, with the place in the project: see ``compose_checks``. The project's name
is the deployment's and the component's (``topics.documents.compose``), whatever the project calls itself: two
deployments of one project must not share containers.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from orchestrator.charts.archive import ChartArchive
from orchestrator.charts.errors import ChartFetchError
from orchestrator.packages.archive import PackageContent, open_package
from orchestrator.packages.errors import as_reason
from orchestrator.rendering.compose_checks import check_project, reserved
from orchestrator.rendering.compose_findings import Findings
from orchestrator.rendering.compose_interpolation import InterpolationError, escape_all, fill_in, read_env_file
from orchestrator.rendering.port import RenderContext, RenderError
from topics.documents.base import JsonObject
from topics.documents.compose import (
    COMPONENT_LABEL,
    DEPLOYMENT_LABEL,
    TYPE,
    ComposeConfig,
    check_file_path,
    project_name,
)
from topics.documents.manifest import ManifestComponent
from topics.documents.spec import Component, ComposeProject
from topics.errors import Reason
from topics.quantity import parse_duration

APPLICATION_LABEL = "fleetbus.io/application"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class ComposeRenderer:
    """See ``Renderer``."""

    name: ClassVar[str] = "compose"
    kinds: ClassVar[frozenset[str]] = frozenset({"compose"})
    manifest_type: ClassVar[str] = TYPE
    depends_on_device: ClassVar[bool] = False

    def render(
        self, component: Component, context: RenderContext, charts: Mapping[str, ChartArchive]
    ) -> ManifestComponent:
        """The component with its project; a package is taken from ``charts``."""
        body = component.compose
        if body is None:
            raise ValueError(f"component {component.name!r} has no Compose project")
        reasons = _own_faults(component, body)
        archive = charts.get(component.name)
        package = None if body.package is None else _opened(archive, component.name)
        project = body.project if package is None else package.project
        files = {**(package.files if package else {}), **body.files}
        binary_files = {
            path: base64.b64encode(data).decode("ascii")
            for path, data in (package.binary_files if package else {}).items()
            if path not in body.files
        }
        assert project is not None, "a Compose component has a project or a package"
        place = "compose.project" if package is None else "compose.package"
        findings = Findings(place, [*files, *binary_files])
        environment = {**_defaults(files, findings), **body.environment}
        filled = _filled(project, environment, findings)
        check_project(filled, environment, findings)
        reasons += findings.reasons
        if reasons:
            raise RenderError(reasons)
        filled["name"] = project_name(context.deployment, component.name)
        filled.pop("version", None)  # obsolete, and newer Compose warns of it
        filled["services"] = {
            name: _marked(service, component.name, context) for name, service in filled["services"].items()
        }
        config = ComposeConfig(
            project_name=filled["name"],
            project=escape_all(filled),
            environment=environment,
            files=files,
            binary_files=binary_files,
            package=_pinned(body, archive) if package else None,
            remove_volumes=body.remove_volumes,
        )
        return ManifestComponent(
            name=component.name,
            type=TYPE,
            config=config.model_dump(by_alias=True, mode="json", exclude={"schema_version"}, exclude_none=True),
            source=f"compose:{config.package}" if config.package else "spec",
            wait=body.wait,
            timeout_seconds=parse_duration(body.timeout),
        )


def _own_faults(component: Component, body: ComposeProject) -> list[Reason]:
    """What is wrong with the component beside its project."""
    found = []
    if component.patches:
        found.append(
            Reason(
                path="patches", code="not-supported", message="patches change Kubernetes objects; this is a Compose project",
                hint="change the project, or use variables",
            )
        )  # fmt: skip
    for name in body.environment:
        if not _VARIABLE.match(name):
            message, hint = "is not a variable's name of A-Z, a-z, 0-9 and '_'", None
        elif reserved(name):
            message, hint = "would change how Compose itself works on the device", "give the variable another name"
        else:
            continue
        found.append(Reason(path=f"compose.environment.{name[:80]}", code="bad-name", message=message, hint=hint))
    for path in body.files:
        try:
            check_file_path(path)
        except ValueError as error:
            found.append(Reason(path="compose.files", code="bad-name", message=str(error)))
    return found


def _opened(archive: ChartArchive | None, name: str) -> PackageContent:
    if archive is None:
        raise RenderError.because(
            "package-missing", f"the package of component {name!r} was not fetched", path="compose.package",
            hint="a package is fetched by the orchestrator; where it renders without one, give 'project' instead",
        )  # fmt: skip
    try:
        return open_package(archive.data)
    except ChartFetchError as error:
        raise RenderError((as_reason(error, "compose.package"),)) from error


def _pinned(body: ComposeProject, archive: ChartArchive | None) -> str:
    assert body.package is not None
    assert archive is not None
    return f"{archive.name}{':' + body.package.revision if body.package.revision else ''}@{archive.digest}"


def _defaults(files: Mapping[str, str], findings: Findings) -> dict[str, str]:
    """The variables in the project's own ``.env`` file, which the component's environment overrides."""
    try:
        return read_env_file(files.get(".env", ""))
    except InterpolationError as error:
        findings.add("", "env-file", f"its .env file: {error}")
        return {}


def _filled(project: JsonObject, environment: Mapping[str, str], findings: Findings) -> dict[str, Any]:
    def report(path: str, error: InterpolationError) -> None:
        findings.add(
            path, "variable-missing" if error.missing else "interpolation", str(error),
            hint=f"add {error.missing} to 'environment', or write ${{{error.missing}:-default}}" if error.missing else None,
        )  # fmt: skip

    found: dict[str, Any] = {}
    for key, value in project.items():
        found[key] = value if key.startswith("x-") else fill_in(value, environment, key, report)
    services = found.get("services")
    if isinstance(services, dict):
        for name, service in services.items():
            if isinstance(service, dict) and "environment" in service:
                path = f"services.{name}.environment"
                service["environment"] = _variables(service["environment"], environment, path, findings)
    return found


def _variables(value: Any, environment: Mapping[str, str], path: str, findings: Findings) -> Any:
    """A service's ``environment`` as a mapping; a name without a value takes that of the component's environment."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        pairs = [item.partition("=") for item in value]
        value = {name: text if equals else None for name, equals, text in pairs}
    if not isinstance(value, dict):
        findings.add(path, "invalid", "is neither a mapping nor a list of NAME=value")
        return value
    for name in [name for name, given in value.items() if given is None and name not in environment]:
        findings.add(
            f"{path}.{name}", "variable-missing", f"has no value, and the variable {name} is not set",
            hint=f"give it a value, or add {name} to 'environment'",
        )  # fmt: skip
    return {name: environment.get(name) if given is None else given for name, given in value.items()}


def _marked(service: Mapping[str, Any], component: str, context: RenderContext) -> dict[str, Any]:
    """The service with the labels that say whose its containers are."""
    labels = service.get("labels")
    if isinstance(labels, list):
        labels = {name: text for name, _, text in (str(item).partition("=") for item in labels)}
    own = {DEPLOYMENT_LABEL: context.deployment, COMPONENT_LABEL: component}
    if context.application is not None:
        own[APPLICATION_LABEL] = context.application.id
    return {**service, "labels": {**(labels if isinstance(labels, dict) else {}), **own}}
