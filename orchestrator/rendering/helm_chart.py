"""What a Helm engine is given and gives, and what is checked of a chart whatever renders it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

from orchestrator.rendering.helm_errors import chart_error
from orchestrator.rendering.helm_schemas import foreign_references
from orchestrator.rendering.port import RenderError
from topics.documents.base import JsonObject

KUBERNETES_VERSION = "v1.36.0"
"""What ``.Capabilities.KubeVersion`` says in both engines; the one built into Helm SDK 4.2."""

RENDER_SECONDS = 30.0
"""How long one rendering may take. The largest public charts take half a second."""


class RenderedFile(NamedTuple):
    """Rendered YAML, of one document or several, and the file of the chart it comes from."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class RenderedChart:
    """CRDs as they stand in the chart, and rendered templates; neither is in install order yet."""

    crds: tuple[RenderedFile, ...]
    templates: tuple[RenderedFile, ...]


class HelmEngine(Protocol):
    """Renders a chart archive. Raises ``RenderError`` with paths relative to the component.

    An engine may remember files that nothing has changed for; with ``anew`` it renders all of them.
    """

    name: ClassVar[str]

    def render(
        self, archive: bytes, values: JsonObject, release: str, namespace: str, *, anew: bool = False
    ) -> RenderedChart: ...


def check_schemas(archive: bytes) -> None:
    """Raise ``RenderError`` for schemas that lead out of the chart."""
    foreign = foreign_references(archive)
    if foreign:
        raise RenderError.because(
            "helm-chart",
            f"a schema of the chart leads out of the chart, which rendering does not follow: {'; '.join(foreign[:5])}",
            path="helm.chart",
            hint="put what it refers to into the schema itself, under 'definitions'",
        )


def check_installable(metadata: Mapping[str, Any], loaded: Collection[str]) -> None:
    """What ``helm install`` checks before it renders and the SDK's bare render does not."""
    if metadata.get("type") == "library":
        raise chart_error(f"chart {metadata.get('name')!r} is a library chart and installs nothing", {})
    wanted = {item["name"] for item in metadata.get("dependencies") or ()}
    missing = sorted(wanted.difference(loaded))
    if missing:
        raise RenderError.because(
            "helm-chart",
            f"the chart declares dependencies that are not in its charts/ folder: {', '.join(missing)}",
            path="helm.chart",
            hint="run 'helm dependency build' before the chart is packaged",
        )
