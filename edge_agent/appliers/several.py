"""One applier of several: a device that has a cluster and a Docker engine takes components for both.

Each component goes to the applier that takes its type, in the manifest's order. Initialization objects are Kubernetes
objects and go to the one that takes ``kubernetes``, or else to the one for Helm releases. An applier that has no part
in a generation must have nothing of the deployment when it is finished: what it had is removed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edge_agent.appliers.port import (
    Applier,
    ApplyError,
    CancelCheck,
    ComponentHealth,
    OptionError,
    ProgressReport,
    never,
)
from topics.documents.manifest import Manifest

_INITIALIZES = ("kubernetes", "helm-release")
"""The types whose appliers take initialization objects; the first that the device has does."""


class SeveralAppliers:
    """See ``edge_agent.appliers.port.Applier``. ``appliers`` by the names that they are configured with."""

    def __init__(self, appliers: Mapping[str, Applier]) -> None:
        """Raises ``OptionError`` if two take the same type."""
        self._by_type: dict[str, Applier] = {}
        self._appliers = tuple(appliers.values())
        takers: dict[str, str] = {}
        for name, applier in appliers.items():
            for type in sorted(applier.types):
                other = takers.setdefault(type, name)
                if other != name:
                    raise OptionError(
                        f"the appliers {other!r} and {name!r} both take components of type {type!r}; choose one"
                    )
                self._by_type[type] = applier
        self.types = frozenset(self._by_type)
        # Where none takes Kubernetes objects, the first one says that they cannot be taken.
        taking = (self._by_type[type] for type in _INITIALIZES if type in self._by_type)
        self._initializer = next(taking, self._appliers[0])

    def check(self, manifest: Manifest) -> None:
        """All of them can take their parts."""
        for component in manifest.components:
            if component.type not in self.types:
                raise ApplyError(
                    "unsupported-type",
                    f"the appliers of this device take {', '.join(sorted(self.types))}, not {component.type}",
                    retryable=False,
                    component=component.name,
                )
        for applier in self._taking_part(manifest):
            applier.check(self._part(manifest, applier))

    def download(self, manifest: Manifest, progress: ProgressReport, cancelled: CancelCheck) -> None:
        """One after the other: a device's network is one."""
        for applier in self._taking_part(manifest):
            applier.download(self._part(manifest, applier), progress, cancelled)

    def initialize(self, manifest: Manifest, cancelled: CancelCheck) -> None:
        """The initialization objects by the one for Kubernetes; the others note the generation."""
        for applier in self._taking_part(manifest):
            applier.initialize(self._part(manifest, applier), cancelled)

    def apply(self, manifest: Manifest, component: str, cancelled: CancelCheck) -> None:
        """By the applier that takes the component's type."""
        type = next((item.type for item in manifest.components if item.name == component), None)
        applier = self._by_type.get(type or "", self._appliers[0])  # which refuses a component that is not there
        applier.apply(self._part(manifest, applier), component, cancelled)

    def finish(self, manifest: Manifest) -> None:
        """Each prunes; one without a part removes all that it had."""
        taking_part = self._taking_part(manifest)
        for applier in self._appliers:
            if applier in taking_part:
                applier.finish(self._part(manifest, applier))
            else:
                applier.remove(manifest.deployment, never)

    def health(self, manifest: Manifest) -> tuple[ComponentHealth, ...]:
        """The components' in the manifest's order, then what the appliers found besides."""
        found: dict[str, ComponentHealth] = {}
        besides: list[ComponentHealth] = []
        names = {component.name for component in manifest.components}
        for applier in self._taking_part(manifest):
            for entry in applier.health(self._part(manifest, applier)):
                if entry.component in names:
                    found[entry.component] = entry
                else:
                    besides.append(entry)
        return (*(found[component.name] for component in manifest.components if component.name in found), *besides)

    def remove(self, deployment: str, cancelled: CancelCheck) -> None:
        """All of them, the last one first; one that cannot does not keep the others from it. Raises the first error."""
        errors: list[ApplyError] = []
        for applier in reversed(self._appliers):
            try:
                applier.remove(deployment, cancelled)
            except ApplyError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def discard(self, deployment: str, generation: int) -> None:
        """Each throws away what it staged."""
        for applier in self._appliers:
            applier.discard(deployment, generation)

    def watch(self, changed: Callable[[str], None]) -> None:
        """All of them call ``changed``."""
        for applier in self._appliers:
            applier.watch(changed)

    def close(self) -> None:
        """All of them."""
        for applier in self._appliers:
            applier.close()

    def _taking_part(self, manifest: Manifest) -> tuple[Applier, ...]:
        """Those with a component or the initialization of this generation, in the order of configuration."""
        taking = [self._by_type[item.type] for item in manifest.components if item.type in self._by_type]
        if manifest.initialization:
            taking.append(self._initializer)
        return tuple(applier for applier in self._appliers if any(applier is other for other in taking))

    def _part(self, manifest: Manifest, applier: Applier) -> Manifest:
        """What one applier gets of a manifest."""
        own = tuple(item for item in manifest.components if self._by_type.get(item.type) is applier)
        initialization = manifest.initialization if applier is self._initializer else ()
        return manifest.model_copy(update={"components": own, "initialization": initialization})
