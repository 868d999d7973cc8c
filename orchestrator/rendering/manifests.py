"""The manifests of one generation of a spec: rendered once, addressed to each device.

Nothing that is rendered depends on the device yet, so the factory renders in its constructor and
``manifest_for`` only writes the device's id into a copy. Once values may differ by device, that is the
seam: ``manifest_for`` then picks the rendered parts by what the device's parameters are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from orchestrator.charts.archive import ChartArchive
from orchestrator.charts.errors import ChartFetchError
from orchestrator.rendering.helm_renderer import release_name
from orchestrator.rendering.ownership import owned
from orchestrator.rendering.port import RenderContext, RenderError
from orchestrator.rendering.registry import Renderers, load_renderers
from orchestrator.rendering.scope import Identity, identity_of, shown
from topics.documents.base import JsonObject
from topics.documents.manifest import Manifest, ManifestComponent
from topics.documents.spec import DeploymentSpec, HelmChart
from topics.errors import Reason
from topics.identifiers import check_device_id

ANY_DEVICE = "any"
"""Stands for the device where a spec selects by labels and nobody said which devices there are."""

_BUILT_IN_NAMESPACES = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})
"""They are always there and are nobody's to create, label or remove."""


class ManifestFactory:
    """Renders a spec and makes manifests of it. Raises ``RenderError`` with every reason, paths from ``spec``.

    ``charts`` holds the fetched chart of each Helm component by component name, ``spec_digest`` the
    digest over the exact bytes of the spec.
    """

    def __init__(
        self,
        spec: DeploymentSpec,
        generation: int,
        spec_digest: str,
        renderers: Renderers,
        charts: Mapping[str, ChartArchive],
    ) -> None:
        body = spec.spec
        context = RenderContext(
            deployment=spec.name,
            generation=generation,
            cluster_namespace=body.cluster.namespace,
            workload_namespace=spec.workload_namespace,
            application=body.application,
        )
        reasons: list[Reason] = []
        initialization = _initialization(spec, context, reasons)
        components = _components(spec, context, renderers, charts, reasons)
        reasons += _duplicates([*initialization, *_places(spec, components)])
        if reasons:
            raise RenderError(reasons)
        self._template = Manifest(
            action="apply",
            deployment=spec.name,
            device=ANY_DEVICE,
            generation=generation,
            spec_digest=spec_digest,
            application=body.application,
            cluster_namespace=context.cluster_namespace,
            workload_namespace=context.workload_namespace,
            activation="manual" if body.activation.mode == "manual" else "immediate",
            requirements=body.requirements,
            initialization=tuple(item for _, item in initialization),
            components=tuple(component for component in components if component is not None),
        )

    def manifest_for(self, device: str) -> Manifest:
        """The manifest of one device; a shallow copy. Raises ``ValueError`` for what is no device id."""
        return self._template.model_copy(update={"device": check_device_id(device)})


def tombstone(deployment: str, device: str, generation: int) -> Manifest:
    """The manifest that takes a deployment off a device."""
    return Manifest(action="remove", deployment=deployment, device=device, generation=generation)


def fetch_charts(spec: DeploymentSpec, fetch: Callable[[HelmChart], ChartArchive]) -> dict[str, ChartArchive]:
    """The chart of every Helm component, by component name.

    Raises ``RenderError`` with the reason of every chart that cannot be had; it is retryable if all are.
    """
    charts: dict[str, ChartArchive] = {}
    failures: list[tuple[str, ChartFetchError]] = []
    for index, component in enumerate(spec.spec.components):
        if component.helm is None:
            continue
        try:
            charts[component.name] = fetch(component.helm)
        except ChartFetchError as error:
            failures.append((f"spec.components[{index}].helm", error))
    if failures:
        raise RenderError(
            (error.reason(path) for path, error in failures), retryable=all(error.retryable for _, error in failures)
        )
    return charts


def render_offline(
    spec: DeploymentSpec,
    fetch: Callable[[HelmChart], ChartArchive],
    *,
    devices: Sequence[str] = (),
    generation: int = 1,
    spec_digest: str = "",
    renderers: Renderers | None = None,
) -> tuple[Manifest, ...]:
    """What would be published, without a broker: one manifest for each device.

    The devices are those given, else those the spec names, else the placeholder ``any``. ``fetch`` is
    ``ChartStore.fetch``. Raises ``RenderError``.
    """
    factory = ManifestFactory(spec, generation, spec_digest, renderers or load_renderers(), fetch_charts(spec, fetch))
    return tuple(factory.manifest_for(device) for device in devices or spec.spec.agents.devices or (ANY_DEVICE,))


_Placed = tuple[str, JsonObject]
"""An object and the place in the spec that it comes from."""


def _initialization(spec: DeploymentSpec, context: RenderContext, reasons: list[Reason]) -> list[_Placed]:
    """The namespace first, then config maps, secrets and jobs."""
    placed: list[_Placed] = []
    workload = spec.spec.workload
    if workload.create and context.workload_namespace not in _BUILT_IN_NAMESPACES:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": context.workload_namespace}}
        placed.append(("spec.workload.create", owned(namespace, context, component=None, path="spec.workload")))
    body = spec.spec.initialization
    for field, version, kind, items in (
        ("configMaps", "v1", "ConfigMap", body.config_maps),
        ("secrets", "v1", "Secret", body.secrets),
        ("jobs", "batch/v1", "Job", body.jobs),
    ):
        for index, item in enumerate(items):
            path = f"spec.initialization.{field}[{index}]"
            whole = {"apiVersion": version, "kind": kind, **item}
            try:
                if (whole["apiVersion"], whole["kind"]) != (version, kind):
                    raise RenderError.because(
                        "object-invalid", f"is not a {version} {kind}", path=path, hint="put it into a component"
                    )
                placed.append((path, owned(whole, context, component=None, path=path)))
            except RenderError as error:
                reasons += error.reasons
    return placed


def _components(
    spec: DeploymentSpec,
    context: RenderContext,
    renderers: Renderers,
    charts: Mapping[str, ChartArchive],
    reasons: list[Reason],
) -> list[ManifestComponent | None]:
    """Each component rendered, ``None`` where it failed; the reasons of all failures are added."""
    rendered: list[ManifestComponent | None] = []
    releases: dict[str, str] = {}
    for index, component in enumerate(spec.spec.components):
        path = f"spec.components[{index}]"
        part = None
        try:
            part = renderers.renderer_of(component).render(component, context, charts)
            if component.helm is not None:
                _check_release(release_name(component, context.deployment), path, releases)
        except RenderError as error:
            reasons += error.below(path).reasons
        rendered.append(part)
    return rendered


def _check_release(release: str, path: str, releases: dict[str, str]) -> None:
    first = releases.setdefault(release, path)
    if first != path:
        raise RenderError.because(
            "helm-release-name",
            f"release name {release!r} is already that of {first}",
            path="helm.release",
            hint="set 'release'; the default is cut to 53 characters",
        )


def _places(spec: DeploymentSpec, components: Iterable[ManifestComponent | None]) -> Iterable[_Placed]:
    for index, (component, part) in enumerate(zip(spec.spec.components, components, strict=True)):
        for position, item in enumerate(part.objects if part else ()):
            inner = f"kubernetes.objects[{position}]" if component.kubernetes else component.kind
            yield f"spec.components[{index}].{inner}", item


def _duplicates(places: Iterable[_Placed]) -> list[Reason]:
    """A reason for each object whose identity an earlier one has already."""
    first: dict[Identity, str] = {}
    reasons = []
    for path, item in places:
        identity = identity_of(item)
        other = first.get(identity)
        if other is None:
            first[identity] = path
        else:
            created = "spec.workload.create" in (other, path)
            reasons.append(
                Reason(
                    path=path,
                    code="duplicate-object",
                    message=f"{shown(identity)} is also given by {other}",
                    hint="set spec.workload.create to false, or leave this object out"
                    if created
                    else "give one of them another name, or leave it out",
                )
            )
    return reasons
