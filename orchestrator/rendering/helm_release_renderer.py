"""Renders Helm components as Helm releases that the device makes itself: history, rollback, ``helm list``.

The part of the manifest is the exact chart and the merged values (``topics/documents/release.py``); the applier
``helm-release`` does with them what ``helm upgrade --install`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from orchestrator.charts.archive import ChartArchive
from orchestrator.rendering.chart_source import Carried, FromAddress, FromRegistry, FromRepository, source_of
from orchestrator.rendering.driven import chart_of, described
from orchestrator.rendering.helm_renderer import release_name
from orchestrator.rendering.port import RenderContext, RenderError
from topics.documents.manifest import ManifestComponent
from topics.documents.release import RELEASE_TYPE, HelmReleaseConfig
from topics.documents.spec import Component, HelmChart
from topics.errors import Reason
from topics.quantity import parse_duration


class HelmReleaseRenderer:
    """A chart from a registry, repository or address is fetched by the device and compared with its digest.

    One that lies on the orchestrator, or came in an application package, travels in the manifest.
    """

    name: ClassVar[str] = "helm-release"
    kinds: ClassVar[frozenset[str]] = frozenset({"helm"})
    manifest_type: ClassVar[str] = RELEASE_TYPE
    depends_on_device: ClassVar[bool] = False

    def render(
        self, component: Component, context: RenderContext, charts: Mapping[str, ChartArchive]
    ) -> ManifestComponent:
        """See ``Renderer``."""
        body, archive = chart_of(component, charts)
        _refuse_what_it_cannot(component, body)
        config = HelmReleaseConfig(
            **_fetching(body, archive),
            chart_name=archive.name,
            version=archive.version,
            digest=archive.digest,
            size=len(archive.data),
            release=release_name(component, context.deployment),
            namespace=context.workload_namespace,
            create_namespace=context.create_namespace,
            values=body.values,
        )
        return ManifestComponent(
            name=component.name,
            type=RELEASE_TYPE,
            config=config.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"schema_version"}),
            source=f"helm:{described(archive)}",
            wait=body.wait,
            timeout_seconds=parse_duration(body.timeout),
        )


def _refuse_what_it_cannot(component: Component, body: HelmChart) -> None:
    reasons = []
    if component.patches:
        reasons.append(
            Reason(
                path="patches",
                code="patches-unsupported",
                message="the renderer 'helm-release' leaves rendering to Helm on the device, so nothing can be patched",
                hint="change the chart's values, or use the renderer 'helm' or 'flux'",
            )
        )
    if body.pull_secret is not None:
        reasons.append(
            Reason(
                path="helm.pullSecret",
                code="pull-secret-unsupported",
                message="the device fetches the chart itself, with the credentials that its agent was given",
                hint="give the applier its option chart-credentials, and leave 'pullSecret' out",
            )
        )
    if reasons:
        raise RenderError(reasons)


def _fetching(body: HelmChart, archive: ChartArchive) -> dict[str, Any]:
    place = source_of(body, archive)
    match place:
        case FromRegistry():
            return {"chart": f"oci://{place.repository}", "plain_http": place.plain_http}
        case FromRepository():
            return {"chart": place.name, "repository": place.address}
        case FromAddress():
            return {"chart": place.url}
        case Carried():
            return {"chart": body.chart, "archive": place.archive}
