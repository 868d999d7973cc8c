"""Rendering on worker threads: charts are fetched and templates run where nobody waits for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from orchestrator.charts.archive import ChartArchive
from orchestrator.charts.store import ChartStore
from orchestrator.decision import Render, Rendered, RenderFailed
from orchestrator.model import SpecRecord
from orchestrator.packages.store import PackageStore
from orchestrator.rendering.devices import DeviceManifests, target_of
from orchestrator.rendering.fetching import fetch_charts, pinned
from orchestrator.rendering.manifests import ManifestFactory
from orchestrator.rendering.port import RenderAbandoned, RenderError
from orchestrator.rendering.registry import Renderers
from topics.documents.device import Capabilities
from topics.documents.spec import ComposePackage, HelmChart
from topics.errors import Reason
from topics.program.logs import EventLog

_LOG = EventLog("fleetbus.orchestrator.render")

_MOST_ABANDONED = 3
"""Devices whose rendering may take all the time that there is, before the spec is given up for all of them."""

Then = Callable[[Rendered | RenderFailed], None]


class ThreadedRenderPool:
    """Renders with the installed renderers and what the stores fetch. Closes the stores when it stops."""

    def __init__(
        self,
        renderers: Renderers,
        charts: ChartStore,
        packages: PackageStore,
        max_payload_bytes: int,
        workers: int = 2,
    ) -> None:
        self._renderers = renderers
        self._charts = charts
        self._packages = packages
        self._max_payload_bytes = max_payload_bytes
        self._stopped = Event()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="render")

    def start(self, task: Render, spec: SpecRecord, devices: Mapping[str, Capabilities], then: Then) -> None:
        """See ``RenderPool``."""
        self._threads.submit(self._run, task, spec, devices, then)

    def stop(self) -> None:
        """See ``RenderPool``."""
        self._stopped.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._charts.close()
        self._packages.close()

    def _run(self, task: Render, spec: SpecRecord, devices: Mapping[str, Capabilities], then: Then) -> None:
        try:
            then(self._render(task, spec, devices))
        except RenderError as error:
            then(RenderFailed(task.name, task.generation, error.reasons, error.retryable))
        except Exception as error:
            # A bug in a renderer (a plug-in, perhaps) must not leave the spec without an answer.
            _LOG.error("renderer failed", trace=True, deployment=task.name, generation=task.generation)
            reason = Reason(path="spec.components", code="renderer-bug", message=f"the renderer failed: {error!r}")
            then(RenderFailed(task.name, task.generation, (reason,), retryable=False))

    def _render(self, task: Render, record: SpecRecord, devices: Mapping[str, Capabilities]) -> Rendered:
        assert record.spec is not None, "a deleted spec is not rendered"
        charts = fetch_charts(pinned(record.spec, dict(record.pins)), self._chart, self._package)
        factory = ManifestFactory(record.spec, task.generation, record.content_digest, self._renderers, charts)
        made = DeviceManifests(factory, self._max_payload_bytes)
        manifests: dict[str, bytes] = {}
        refused: dict[str, tuple[Reason, ...]] = {}
        abandoned = 0
        for device in task.devices:
            if self._stopped.is_set():
                break  # nobody takes the result any more
            try:
                manifests[device] = made.payload(made.manifest(target_of(device, devices)))
            except RenderAbandoned as error:
                refused[device] = error.reasons
                abandoned += 1
                if abandoned == _MOST_ABANDONED:
                    raise
            except RenderError as error:
                # A renderer is pure: only the spec, the device or the installation can change its mind.
                refused[device] = error.reasons
        _check_common(factory, manifests, refused)
        pins = tuple((name, archive.digest) for name, archive in sorted(charts.items()))
        return Rendered(task.name, task.generation, manifests, pins, refused)

    def _chart(self, chart: HelmChart) -> ChartArchive:
        return self._charts.fetch(chart, cancelled=self._stopped.is_set)

    def _package(self, package: ComposePackage) -> ChartArchive:
        return self._packages.fetch(package, cancelled=self._stopped.is_set)


def _check_common(
    factory: ManifestFactory, manifests: Mapping[str, bytes], refused: Mapping[str, tuple[Reason, ...]]
) -> None:
    """Raise what is no device's own fault (a manifest too large for a message) as the spec's: it is said once."""
    if not manifests and refused and not factory.depends_on_device:
        common = next(iter(refused.values()))
        if all(reason.device is None for reasons in refused.values() for reason in reasons):
            raise RenderError(common)
