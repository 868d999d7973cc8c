"""What a spec's components are rendered from: charts and packages, fetched, and pinned for a whole generation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from orchestrator.charts.archive import ChartArchive
from orchestrator.charts.errors import ChartFetchError
from orchestrator.rendering.port import RenderError
from topics.documents.spec import Component, ComposePackage, DeploymentSpec, HelmChart

FetchChart: TypeAlias = Callable[[HelmChart], ChartArchive]
FetchPackage: TypeAlias = Callable[[ComposePackage], ChartArchive]


def fetch_charts(
    spec: DeploymentSpec, fetch: FetchChart, fetch_package: FetchPackage | None = None
) -> dict[str, ChartArchive]:
    """The chart of every Helm component and the package of every Compose component with one, by component name.

    Without ``fetch_package`` packages are left out, and their renderer says so. Raises ``RenderError`` with the
    reason of everything that cannot be had; it is retryable if all of them are.
    """
    fetched: dict[str, ChartArchive] = {}
    failures: list[tuple[str, ChartFetchError]] = []
    for index, component in enumerate(spec.spec.components):
        package = component.compose.package if component.compose is not None else None
        path = f"spec.components[{index}].{component.kind}"
        try:
            if component.helm is not None:
                fetched[component.name] = fetch(component.helm)
            elif package is not None and fetch_package is not None:
                path += ".package"
                fetched[component.name] = fetch_package(package)
        except ChartFetchError as error:
            failures.append((path, error))
    if failures:
        raise RenderError(
            (error.reason(path) for path, error in failures), retryable=all(error.retryable for _, error in failures)
        )
    return fetched


def pinned(spec: DeploymentSpec, pins: Mapping[str, str]) -> DeploymentSpec:
    """The spec with the digests of its generation (by component name) filled in where it names none."""

    def pin(component: Component) -> Component:
        digest = pins.get(component.name)
        if digest is None:
            return component
        if component.helm is not None and component.helm.digest is None:
            return component.model_copy(update={"helm": component.helm.model_copy(update={"digest": digest})})
        compose = component.compose
        if compose is not None and compose.package is not None and compose.package.digest is None:
            package = compose.package.model_copy(update={"digest": digest})
            return component.model_copy(update={"compose": compose.model_copy(update={"package": package})})
        return component

    if not pins:
        return spec
    body = spec.spec.model_copy(update={"components": tuple(pin(component) for component in spec.spec.components)})
    return spec.model_copy(update={"spec": body})
