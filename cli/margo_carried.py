"""What lies in an application package itself and travels in the spec: charts, and Compose projects.

So the orchestrator needs no copy of the package, and a package works where no registry can be reached.
"""

from __future__ import annotations

import base64
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cli.exits import CliError, Exit
from cli.margo_files import SUFFIXES, files_below, read_file, read_text, resource, unpack
from orchestrator.charts.archive import open_archive
from orchestrator.charts.errors import ChartFetchError
from orchestrator.charts.packaging import package_folder
from topics.errors import ContractError
from topics.margo.package import ProfileComponent
from topics.yaml_loader import load_yaml

MAX_CARRIED_BYTES = 700 * 1024
"""Largest chart archive that a spec carries: as base64 it is a third larger, and a payload ends at 1 MiB."""

_MAX_CHART_BYTES = 20 * 1024 * 1024
_MAX_FILES_BYTES = 256 * 1024
_COMPOSE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")


def carried(kind: str, component: ProfileComponent, folder: Path | None, stack: ExitStack) -> dict[str, Any]:
    """The members of a component that carry its chart or project in the spec."""
    if folder is None:
        raise CliError(
            Exit.USAGE,
            f"component {component.name!r} is {component.source!r}, a path in a package, and there is no package",
            ["give the folder or archive of the package instead of its margo.yaml alone"],
        )
    place = resource(folder, component.source)
    return _chart(place, component) if kind == "helm" else _project(place, component, stack)


def _chart(place: Path, component: ProfileComponent) -> dict[str, Any]:
    try:
        data = package_folder(place) if place.is_dir() else read_file(place, _MAX_CHART_BYTES)
        archive = open_archive(data)
    except ChartFetchError as error:
        hint = [error.hint] if error.hint else []
        raise CliError(Exit.USAGE, f"component {component.name!r}: {error.message}", hint) from error
    if len(data) > MAX_CARRIED_BYTES:
        raise CliError(
            Exit.USAGE,
            f"the chart of component {component.name!r} has {len(data)} bytes; a spec carries {MAX_CARRIED_BYTES}",
            ["push it to a registry (helm push) and name it with oci://…, or pack it (helm package)"],
        )
    return {"archive": base64.b64encode(data).decode("ascii"), "digest": archive.digest}


def _project(place: Path, component: ProfileComponent, stack: ExitStack) -> dict[str, Any]:
    """A Compose file, a folder with one, or an archive of such a folder."""
    if place.is_file() and place.name.lower().endswith(SUFFIXES):
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="fleetbus-compose-")))
        unpack(place, folder)
        place = folder
    if place.is_file():
        return {"project": _project_in(place, component)}
    files = dict(files_below(place))
    found = [name for name in _COMPOSE_NAMES if name in files]
    if len(found) != 1:
        raise CliError(
            Exit.USAGE,
            f"component {component.name!r}: {component.source!r} holds "
            + (f"both {' and '.join(found)}" if found else f"no {_COMPOSE_NAMES[0]}"),
        )
    project = _project_in(files.pop(found[0]), component)
    texts: dict[str, str] = {}
    left = _MAX_FILES_BYTES
    for name, path in files.items():
        texts[name] = read_text(path, _MAX_FILES_BYTES)
        left -= len(texts[name].encode())
        if left < 0:
            raise CliError(
                Exit.USAGE, f"component {component.name!r} has more than {_MAX_FILES_BYTES} bytes of files beside it"
            )
    return {"project": project} | ({"files": texts} if texts else {})


def _project_in(path: Path, component: ProfileComponent) -> dict[str, Any]:
    try:
        project = load_yaml(read_text(path))
    except ContractError as error:
        raise CliError(Exit.USAGE, f"component {component.name!r}: {path.name}: {error}") from error
    if not isinstance(project, dict):
        raise CliError(Exit.USAGE, f"component {component.name!r}: {path.name} is not a Compose project")
    return project
