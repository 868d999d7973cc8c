"""Rendering on worker threads: charts are fetched and templates run where nobody waits for them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from orchestrator.charts.archive import ChartArchive
from orchestrator.charts.store import ChartStore
from orchestrator.decision import Render, Rendered, RenderFailed
from orchestrator.model import SpecRecord
from orchestrator.rendering.manifests import ManifestFactory, fetch_charts
from orchestrator.rendering.port import RenderError
from orchestrator.rendering.registry import Renderers
from topics.codec import encode, seal
from topics.documents.spec import Component, DeploymentSpec, HelmChart
from topics.errors import Reason
from topics.program.logs import EventLog

_LOG = EventLog("fleetbus.orchestrator.render")


class ThreadedRenderPool:
    """Renders with the installed renderers and a chart store."""

    def __init__(self, renderers: Renderers, charts: ChartStore, max_payload_bytes: int, workers: int = 2) -> None:
        self._renderers = renderers
        self._charts = charts
        self._max_payload_bytes = max_payload_bytes
        self._stopped = Event()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="render")

    def start(self, task: Render, spec: SpecRecord, then: Callable[[Rendered | RenderFailed], None]) -> None:
        self._threads.submit(self._run, task, spec, then)

    def stop(self) -> None:
        self._stopped.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._charts.close()

    def _run(self, task: Render, spec: SpecRecord, then: Callable[[Rendered | RenderFailed], None]) -> None:
        try:
            then(self._render(task, spec))
        except RenderError as error:
            then(RenderFailed(task.name, task.generation, error.reasons, error.retryable))
        except Exception as error:
            # A bug in a renderer (a plug-in, perhaps) must not leave the spec without an answer.
            _LOG.error("renderer failed", trace=True, deployment=task.name, generation=task.generation)
            reason = Reason(path="spec.components", code="renderer-bug", message=f"the renderer failed: {error!r}")
            then(RenderFailed(task.name, task.generation, (reason,), retryable=False))

    def _render(self, task: Render, record: SpecRecord) -> Rendered:
        assert record.spec is not None, "a deleted spec is not rendered"
        charts = fetch_charts(_pinned(record.spec, dict(record.pins)), self._fetch)
        factory = ManifestFactory(record.spec, task.generation, record.content_digest, self._renderers, charts)
        manifests = {}
        for device in task.devices:
            payload = seal(encode(factory.manifest_for(device)))
            if len(payload) > self._max_payload_bytes:
                raise RenderError.because(
                    "oversize",
                    f"the manifest has {len(payload)} bytes, a message may have {self._max_payload_bytes}",
                    path="spec.components",
                    hint="split the spec, or move large data out of the chart",
                )
            manifests[device] = payload
        pins = tuple((name, archive.digest) for name, archive in sorted(charts.items()))
        return Rendered(task.name, task.generation, manifests, pins)

    def _fetch(self, chart: HelmChart) -> ChartArchive:
        return self._charts.fetch(chart, cancelled=self._stopped.is_set)


def _pinned(spec: DeploymentSpec, pins: dict[str, str]) -> DeploymentSpec:
    """The spec with the chart digests of its generation filled in where it names none."""

    def pin(component: Component) -> Component:
        if component.helm is None or component.helm.digest is not None or component.name not in pins:
            return component
        return component.model_copy(update={"helm": component.helm.model_copy(update={"digest": pins[component.name]})})

    if not pins:
        return spec
    body = spec.spec.model_copy(update={"components": tuple(pin(component) for component in spec.spec.components)})
    return spec.model_copy(update={"spec": body})
