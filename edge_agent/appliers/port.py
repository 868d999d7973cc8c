"""The port between the agent and a runtime: what an applier must do, and how it says that it could not.

Every method blocks, is called from a worker thread, and by one caller at a time per deployment;
different deployments call at the same time. Every method is idempotent per (deployment,
generation, step): the agent may be killed in the middle of any of them and then calls the same
step again with a fresh applier object, so nothing that matters may live in memory only.
``tests/contract/applier_conformance.py`` holds every applier to this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

from topics.documents.manifest import Manifest

GROUP = "fleetbus.appliers"
"""The entry-point group that applier plug-ins register in."""

INITIALIZATION = "(initialization)"
"""Stands where a component's name stands, for the initialization objects; no component can be called so."""

CANCELLED = "cancelled"
"""The code of an ``ApplyError`` that was asked for by the caller's ``cancelled``."""

ProgressReport: TypeAlias = Callable[[str, int, int | None], None]
"""Called with component, bytes so far, bytes in all (``None``: not known)."""

CancelCheck: TypeAlias = Callable[[], bool]
"""Asked between the parts of a step; true means: stop soon, by raising ``Cancelled``."""


class ApplyError(Exception):
    """A step could not be done.

    ``code`` is stable and kebab-case (``disk-full``), ``message`` tells a person what, where and
    what to do. ``retryable`` says that the same step may succeed later without anybody changing
    the manifest or the applier's options. ``component`` is the component it happened in, if one.
    """

    def __init__(self, code: str, message: str, *, retryable: bool, component: str | None = None) -> None:
        self.code = code
        self.message = message
        self.retryable = retryable
        self.component = component
        super().__init__(code, message)

    def __str__(self) -> str:
        where = f"{self.component}: " if self.component else ""
        return f"{where}{self.message} ({self.code})"


class Cancelled(ApplyError):  # noqa: N818 - it is an answer to the caller, not a failure
    """The step stopped because ``cancelled`` said so; what it did so far is continued by a next call."""

    def __init__(self, message: str, *, component: str | None = None) -> None:
        super().__init__(CANCELLED, message, retryable=True, component=component)


class OptionError(ValueError):
    """An applier was configured with an option it does not know, or without one it needs."""


class ComponentHealth(NamedTuple):
    """Whether a component runs as it was applied; ``message`` names every finding and is empty if none."""

    component: str
    healthy: bool
    message: str = ""


@runtime_checkable
class Applier(Protocol):
    """One runtime. The constructor takes ``options: Mapping[str, str]`` and raises ``OptionError``."""

    @property
    def types(self) -> frozenset[str]:
        """The values of ``ManifestComponent.type`` that this applier takes; the same for its whole life."""

    def check(self, manifest: Manifest) -> None:
        """Return if the runtime answers and can take this manifest; changes nothing that runs."""

    def download(self, manifest: Manifest, progress: ProgressReport, cancelled: CancelCheck) -> None:
        """Bring all that the generation needs onto the device; what runs keeps running."""

    def initialize(self, manifest: Manifest, cancelled: CancelCheck) -> None:
        """Apply the initialization objects and return when they are done."""

    def apply(self, manifest: Manifest, component: str, cancelled: CancelCheck) -> None:
        """Apply one component and return when it is healthy."""

    def finish(self, manifest: Manifest) -> None:
        """Prune what other generations had and this one has not; never waits for long."""

    def health(self, manifest: Manifest) -> tuple[ComponentHealth, ...]:
        """One entry per component in the manifest's order, then entries for findings outside of them.

        The extra entries (``INITIALIZATION``, a component that should be gone) are always unhealthy.
        """

    def remove(self, deployment: str, cancelled: CancelCheck) -> None:
        """Take the deployment off the runtime, whatever generations it had; nothing there is fine."""

    def discard(self, deployment: str, generation: int) -> None:
        """Throw away what ``download`` staged for a generation that is not wanted any more."""

    def watch(self, changed: Callable[[str], None]) -> None:
        """From now on call ``changed(deployment)`` when something of it may have changed in the runtime.

        Returns at once; the calls come from any thread, too often rather than too seldom, and the
        caller then asks for the ``health``. A runtime that cannot tell calls nothing: the health is
        asked for now and then in any case.
        """

    def close(self) -> None:
        """Stop watching and let go of connections; what runs goes on."""


class ApplierFactory(Protocol):
    """What an entry point of ``GROUP`` names: usually the applier's class."""

    def __call__(self, options: Mapping[str, str]) -> Applier: ...


def never() -> bool:
    """A ``CancelCheck`` for callers that do not cancel."""
    return False
