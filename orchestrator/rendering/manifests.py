"""The manifests of one generation of a spec: what is the same on all devices is rendered once.

What depends on the device (placeholders, values by device) is rendered once for all devices that agree in it.
The manifest of a generation is what was rendered for it: a label that changes later takes effect with the
next generation, for a generation never stands for other bytes than those that a device has journalled.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from orchestrator.charts.archive import ChartArchive
from orchestrator.rendering.fetching import FetchChart, FetchPackage, fetch_charts
from orchestrator.rendering.helm_renderer import release_name
from orchestrator.rendering.initialization import Placed, duplicates, initialization
from orchestrator.rendering.own import OwnComponent, OwnInitialization
from orchestrator.rendering.payloads import ManifestEncoder
from orchestrator.rendering.port import RenderAbandoned, RenderContext, Renderer, RenderError, Target
from orchestrator.rendering.registry import Renderers, load_renderers
from orchestrator.rendering.scope import Identity, identity_of
from topics.documents.base import JsonObject
from topics.documents.compose import TYPE as COMPOSE_TYPE
from topics.documents.manifest import Manifest, ManifestComponent
from topics.documents.spec import Component, DeploymentSpec
from topics.errors import Reason
from topics.identifiers import check_device_id

ANY_DEVICE = "any"
"""Stands for the device where a spec selects by labels and nobody said which devices there are."""

_MOST_PARTS = 2_000
"""Rendered parts that are kept for devices that agree in them; beyond, most are a single device's own."""

_MOST_IDENTITIES = 20_000

T = TypeVar("T")


class ManifestFactory:
    """Renders a spec and makes manifests of it. Raises ``RenderError`` with every reason, paths from ``spec``.

    ``charts`` holds the fetched chart of each Helm component by component name, ``spec_digest`` the
    digest over the exact bytes of the spec. What no device can change is rendered at once.
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
        self._spec = spec
        self._charts = charts
        self._context = RenderContext(
            deployment=spec.name,
            generation=generation,
            cluster_namespace=body.cluster.namespace,
            workload_namespace=spec.workload_namespace,
            application=body.application,
            create_namespace=body.workload.create,
            drift=body.drift,
        )
        reasons: list[Reason] = []
        self._initialization = OwnInitialization(body.initialization, spec.name)
        reasons += self._initialization.unknown()
        self._units = _units(spec, renderers, reasons)
        self._known: dict[Hashable, object] = {}
        self._identities: dict[int, tuple[JsonObject, Identity]] = {}
        self._encoder = ManifestEncoder()
        self.depends_on_device = self._initialization.depends_on_device or any(
            unit.depends_on_device for unit in self._units
        )
        """Whether any two devices may get different objects."""
        self._template = Manifest(
            action="apply",
            deployment=spec.name,
            device=ANY_DEVICE,
            generation=generation,
            spec_digest=spec_digest,
            application=body.application,
            cluster_namespace=self._context.cluster_namespace,
            workload_namespace=self._context.workload_namespace,
            activation="manual" if body.activation.mode == "manual" else "immediate",
            drift=body.drift,
            requirements=body.requirements,
        )
        self._render_common(reasons)

    def manifest_for(self, device: str | Target) -> Manifest:
        """The manifest of one device; what it shares with others is the same object.

        A device that is only named is one of which nothing is known. Raises ``ValueError`` for what is no device
        id, and ``RenderError`` with reasons of this device.
        """
        target = device if isinstance(device, Target) else Target(device)
        check_device_id(target.device)
        reasons: list[Reason] = []
        first = self._initialization_for(target, reasons)
        parts = [self._part_for(unit, target, reasons) for unit in self._units]
        if not reasons:
            reasons += self._duplicates(first, parts)
        if reasons:
            raise RenderError(_of(target.device, reason) for reason in reasons)
        return self._template.model_copy(
            update={
                "device": target.device,
                "initialization": tuple(item for _, item in first),
                "components": tuple(part for part in parts if part is not None),
            }
        )

    def payload_of(self, manifest: Manifest) -> bytes:
        """The sealed payload of a manifest that was made here."""
        return self._encoder.payload(manifest)

    # -- parts -----------------------------------------------------------------------------------

    def _render_common(self, reasons: list[Reason]) -> None:
        """What is the same for all, so that its faults are told once and not of every device."""
        nobody = Target(ANY_DEVICE)
        first: list[Placed] = []
        if not self._initialization.depends_on_device:
            first = self._initialization_for(nobody, reasons)
        parts = [None if unit.depends_on_device else self._part_for(unit, nobody, reasons) for unit in self._units]
        reasons += self._duplicates(first, parts)
        if reasons:
            raise RenderError(reasons)

    def _initialization_for(self, target: Target, reasons: list[Reason]) -> list[Placed]:
        own, found = self._initialization, list[Reason]()

        def make() -> list[Placed]:
            body = own.for_device(target)
            # A device that runs Compose alone has no namespaces.
            create = self._spec.spec.workload.create and any(
                unit.renderer.manifest_type != COMPOSE_TYPE for unit in self._units
            )
            return initialization(body, self._context, found, create=create)

        try:
            placed = self._once(("initialization", own.key(target)), make)
        except RenderError as error:
            found += error.reasons
            placed = []
        reasons += found
        return placed

    def _part_for(self, unit: _Unit, target: Target, reasons: list[Reason]) -> ManifestComponent | None:
        """The component rendered, ``None`` where it failed; the reasons of its failure are added."""

        def make() -> ManifestComponent:
            context = replace(self._context, target=target) if unit.renderer.depends_on_device else self._context
            return unit.renderer.render(unit.own.for_device(target), context, self._charts)

        device = target.device if unit.renderer.depends_on_device else ""
        try:
            return self._once((unit.path, device, unit.own.key(target)), make)
        except RenderAbandoned as error:
            raise error.below(unit.path) from error
        except RenderError as error:
            reasons += error.below(unit.path).reasons
            return None

    def _once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What was made for this key, or is made now. A failure is not kept: its words may name the device."""
        if key not in self._known:
            if len(self._known) >= _MOST_PARTS:
                self._known.clear()
            self._known[key] = make()
        return self._known[key]  # type: ignore[return-value]  # each key has one kind of value

    def _duplicates(self, first: Iterable[Placed], parts: Sequence[ManifestComponent | None]) -> list[Reason]:
        objects = [item for _, item in first]
        for part in parts:
            if part is not None:
                objects += part.objects
        if len(set(map(self._identity, objects))) == len(objects):
            return []
        return duplicates([*first, *_places(self._units, parts)])

    def _identity(self, item: JsonObject) -> Identity:
        known = self._identities.get(id(item))
        if known is None:
            if len(self._identities) >= _MOST_IDENTITIES:
                self._identities.clear()
            # The object is kept along: its id is only its own as long as it lives.
            known = self._identities[id(item)] = (item, identity_of(item))
        return known[1]


class _Unit:
    """A component with its renderer and its place in the spec."""

    def __init__(self, path: str, own: OwnComponent, renderer: Renderer) -> None:
        self.path = path
        self.own = own
        self.renderer = renderer
        self.depends_on_device = own.depends_on_device or renderer.depends_on_device


def _units(spec: DeploymentSpec, renderers: Renderers, reasons: list[Reason]) -> list[_Unit]:
    """The components that can be rendered; why the others cannot is added to the reasons."""
    units: list[_Unit] = []
    releases: dict[str, str] = {}
    for index, component in enumerate(spec.spec.components):
        path = f"spec.components[{index}]"
        try:
            renderer = renderers.renderer_of(component)
            own = OwnComponent(component, spec.name)
            if unknown := own.unknown():
                raise RenderError(unknown)
            if component.helm is not None:
                _check_release(component, spec.name, path, releases)
        except RenderError as error:
            reasons += error.below(path).reasons
        else:
            units.append(_Unit(path, own, renderer))
    return units


def _check_release(component: Component, deployment: str, path: str, releases: dict[str, str]) -> None:
    release = release_name(component, deployment)
    first = releases.setdefault(release, path)
    if first != path:
        raise RenderError.because(
            "helm-release-name",
            f"release name {release!r} is already that of {first}",
            path="helm.release",
            hint="set 'release'; the default is cut to 53 characters",
        )


def _places(units: Sequence[_Unit], parts: Iterable[ManifestComponent | None]) -> Iterable[Placed]:
    for unit, part in zip(units, parts, strict=True):
        component = unit.own.component
        for position, item in enumerate(part.objects if part else ()):
            inner = f"kubernetes.objects[{position}]" if component.kubernetes else component.kind
            yield f"{unit.path}.{inner}", item


def _of(device: str, reason: Reason) -> Reason:
    return reason if reason.device else reason.model_copy(update={"device": device})


def tombstone(deployment: str, device: str, generation: int) -> Manifest:
    """The manifest that takes a deployment off a device."""
    return Manifest(action="remove", deployment=deployment, device=device, generation=generation)


def render_offline(
    spec: DeploymentSpec,
    fetch: FetchChart,
    *,
    fetch_package: FetchPackage | None = None,
    devices: Sequence[str | Target] = (),
    generation: int = 1,
    spec_digest: str = "",
    renderers: Renderers | None = None,
) -> tuple[Manifest, ...]:
    """What would be published, without a broker: one manifest for each device.

    The devices are those given, else those the spec names, else the placeholder ``any``. ``fetch`` is
    ``ChartStore.fetch``, ``fetch_package`` is ``PackageStore.fetch``. Raises ``RenderError`` with the reasons of every device that cannot have one.
    """
    charts = fetch_charts(spec, fetch, fetch_package)
    factory = ManifestFactory(spec, generation, spec_digest, renderers or load_renderers(), charts)
    manifests: list[Manifest] = []
    reasons: list[Reason] = []
    for device in devices or spec.spec.agents.devices or (ANY_DEVICE,):
        try:
            manifests.append(factory.manifest_for(device))
        except RenderError as error:
            reasons += error.reasons
    if reasons:
        raise RenderError(reasons)
    return tuple(manifests)
