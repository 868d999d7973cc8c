"""The port of renderers: one component of a spec in, one part of a manifest out.

A renderer is pure and deterministic: the same component, context and charts give the same bytes, on any
machine and at any time, because the manifest's digest is how a device knows whether anything changed. It
reads no clock, no network and no cluster. It is a plug-in: an entry point in the group
``fleetbus.renderers`` under its name, loading a class without constructor arguments.
``tests/contract/test_renderers.py`` is the suite that every renderer passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from orchestrator.charts.archive import ChartArchive
from topics.documents.device import Capabilities
from topics.documents.manifest import ManifestComponent
from topics.documents.spec import Application, Component, Drift
from topics.errors import Reason


@dataclass(frozen=True, slots=True)
class Target:
    """The device that is rendered for, as far as a component may depend on it.

    ``capabilities`` is ``None`` where nobody knows the device (rendering without a broker).
    """

    device: str
    labels: Mapping[str, str] = field(default_factory=dict)
    capabilities: Capabilities | None = None


@dataclass(frozen=True, slots=True)
class RenderContext:
    """What a component is rendered for: the deployment, the device, and where its objects go.

    The component that a renderer is given is already the device's own: placeholders are filled in and the
    device's values merged. ``target`` is there for what a renderer decides by the device itself; one that
    reads it says so by ``depends_on_device``, else its part is rendered once for all devices.

    ``workload_namespace`` takes the application's objects, ``cluster_namespace`` those that drive an
    orchestrator inside the cluster. ``create_namespace`` and ``drift`` are the spec's, for renderers that hand
    the work to somebody else: the agent itself creates the namespace and watches for drift.
    """

    deployment: str
    generation: int
    cluster_namespace: str
    workload_namespace: str
    application: Application | None
    target: Target | None = None
    create_namespace: bool = True
    drift: Drift = "heal"


class Renderer(Protocol):
    """Renders components of some kinds for one orchestration system."""

    name: ClassVar[str]
    """What a component's ``renderer`` says: ``kubernetes``, ``helm``, ``flux``, …"""

    kinds: ClassVar[frozenset[str]]
    """The component kinds it takes: ``helm`` for all that deliver charts."""

    manifest_type: ClassVar[str]
    """The ``type`` of the parts that it makes: what a device needs an applier for."""

    depends_on_device: ClassVar[bool]
    """Whether ``render`` reads the context's ``target``."""

    def render(
        self, component: Component, context: RenderContext, charts: Mapping[str, ChartArchive]
    ) -> ManifestComponent:
        """The component's part of the manifest.

        ``charts`` holds the fetched chart of each component that has one, by component name. Raises
        ``RenderError`` with every reason; the paths are relative to the component (``helm.values``),
        the caller puts ``spec.components[i].`` before them. The component's ``patches`` are made
        (``patches.patched``), passed on to who can make them, or refused (``patches.refuse``); never
        passed over.
        """
        ...


class RenderError(Exception):
    """Something cannot be rendered; carries every reason at once.

    ``retryable`` is false when only a change of the spec, of a chart or of the installation helps.
    """

    def __init__(self, reasons: Iterable[Reason], *, retryable: bool = False) -> None:
        self.reasons: tuple[Reason, ...] = tuple(reasons)
        self.retryable = retryable
        super().__init__("; ".join(str(reason) for reason in self.reasons))

    @classmethod
    def because(
        cls, code: str, message: str, *, path: str = "", hint: str | None = None, retryable: bool = False
    ) -> RenderError:
        """A render error with a single reason."""
        return cls((Reason(path=path, code=code, message=message, hint=hint),), retryable=retryable)

    def below(self, path: str) -> RenderError:
        """The same error with ``path`` put before the path of every reason."""
        return type(self)(
            (
                reason.model_copy(update={"path": f"{path}.{reason.path}" if reason.path else path})
                for reason in self.reasons
            ),
            retryable=self.retryable,
        )


class RenderAbandoned(RenderError):  # noqa: N818 - it says what was done about it
    """Rendering used up what it may have, and was ended. Another device may take as long: it is not tried for many."""
