"""Rendering for a plan: the manifest of each device that would get one, and what each had."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from cli.plan_model import Chart, Make, Rendering
from orchestrator.charts.archive import ChartArchive
from orchestrator.rendering.devices import DeviceManifests, target_of
from orchestrator.rendering.fetching import FetchPackage, fetch_charts
from orchestrator.rendering.manifests import ManifestFactory
from orchestrator.rendering.port import RenderError
from orchestrator.rendering.registry import load_renderers
from topics.codec import MAX_PAYLOAD_BYTES
from topics.documents.device import Capabilities
from topics.documents.manifest import Manifest
from topics.documents.spec import DeploymentSpec, HelmChart


def rendering_with(fetch: Callable[[HelmChart], ChartArchive], fetch_package: FetchPackage | None = None) -> Make:
    """Renders with the installed renderers and these charts (``ChartStore.fetch``) and packages."""
    renderers = load_renderers()

    def make(
        spec: DeploymentSpec, generation: int, content: str, devices: Iterable[str], known: Mapping[str, Capabilities]
    ) -> Rendering:
        archives = fetch_charts(spec, fetch, fetch_package)
        factory = ManifestFactory(spec, generation, content, renderers, archives)
        carried = {part.name for part in spec.spec.components if part.helm is not None and part.helm.archive}
        rendering = Rendering(
            tuple(
                Chart(name, item.name, item.version, len(item.data), name in carried) for name, item in archives.items()
            )
        )
        _render(rendering, DeviceManifests(factory, MAX_PAYLOAD_BYTES), devices, known)
        return rendering

    return make


def _render(
    rendering: Rendering, made: DeviceManifests, devices: Iterable[str], known: Mapping[str, Capabilities]
) -> None:
    shared: Manifest | None = None
    for device in devices:
        target = target_of(device, known)
        restricted = target.capabilities is not None and target.capabilities.policy is not None
        if shared is not None and not restricted:
            rendering.manifests[device] = shared
            continue
        try:
            manifest = made.manifest(target)
            if made.factory.depends_on_device:
                rendering.size = max(rendering.size, len(made.payload(manifest)))
        except RenderError as error:
            rendering.refused[device] = error.reasons
            continue
        rendering.manifests[device] = manifest
        if shared is None and not made.factory.depends_on_device:
            shared = manifest
    if shared is not None:
        longest = max(rendering.manifests, key=len)
        rendering.size = len(made.payload(shared.model_copy(update={"device": longest})))
