"""What is published with patience: aggregates, results that say something else now, Margo's statuses.

One device sees every step; a thousand see a summary. Called from the deciding thread only.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

from orchestrator import aggregation, margo_status, outbound
from orchestrator.answers import accepted
from orchestrator.decision import Context, Decision, Publication
from orchestrator.model import DeploymentRecord, Fleet, SpecRecord
from orchestrator.ports import Unit

SHARE = 0.1
"""The share of its time that the deciding thread may spend on this: after a round that took d seconds the next
one comes d / share later."""

ROUND_SECONDS = 0.02
"""A round ends after this time and goes on with the next one."""


class Summaries:
    """What may have to be published, in the order in which it changed."""

    def __init__(self, fleet: Fleet, monotonic: Callable[[], float]) -> None:
        self._fleet = fleet
        self._monotonic = monotonic
        # Taken from the front: a plain dict looks at all that was taken before.
        self._waiting: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self._waiting.update({("aggregate", name, ""): None for name in fleet.specs})
        self._next = 0.0
        self.look(fleet.deployments())

    def note(self, decision: Decision) -> None:
        """Take note of what a decision changed."""
        for name in decision.touched:
            self._waiting[("aggregate", name, "")] = None
        for name in decision.restated:
            self._waiting[("result", name, "")] = None
        specs = self._fleet.specs
        for name in decision.restated | decision.answered:
            if (spec := specs.get(name)) is not None and spec.margo:
                self._waiting[("refused", name, "")] = None
                if name in decision.answered:
                    self.look(self._fleet.of_spec(name).values())
        for name, device, _ in decision.refusals:
            if (spec := specs.get(name)) is not None and spec.margo:
                self._waiting[("margo", name, device)] = None

    def look(self, records: Iterable[DeploymentRecord]) -> None:
        """Take note of changed deployments."""
        specs = self._fleet.specs
        for record in records:
            spec = specs.get(record.name)
            if spec is not None and spec.margo:
                self._waiting[("margo", record.name, record.device)] = None

    def wait(self, now: float) -> float | None:
        """Seconds until the next round; ``None`` if there is nothing to publish."""
        return max(0.0, self._next - now) if self._waiting else None

    def add_to(self, unit: Unit, context: Context) -> None:
        """One round, if it is time for one."""
        start = now = self._monotonic()
        if not self._waiting or start < self._next:
            return
        while self._waiting and now - start < ROUND_SECONDS:
            (what, name, device), _ = self._waiting.popitem(last=False)
            if what == "refused":
                self._waiting.update({("margo", name, refused): None for refused in self._fleet.refusals.of_spec(name)})
                continue
            spec = self._fleet.specs.get(name)
            publication = self._publication(what, spec, device, context) if spec is not None else None
            if publication is not None:
                unit.publish(publication)
            now = self._monotonic()
        self._next = now + (now - start) / SHARE

    def _publication(self, what: str, spec: SpecRecord, device: str, context: Context) -> Publication | None:
        fleet = self._fleet
        if what == "margo":
            return margo_status.publication(context, fleet, spec, device)
        if what == "result":
            return None if spec.deleted or spec.rejected else accepted(fleet, spec, context)
        if spec.deleted and not fleet.of_spec(spec.name):
            return None  # its topics were cleared
        return outbound.aggregate(context, aggregation.aggregate(fleet, spec))
