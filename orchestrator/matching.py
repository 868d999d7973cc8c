"""A spec prepared for matching devices: whom it selects, what keeps a device from taking it. Pure.

Made once for each content of a spec, because a fleet asks for it ten thousand times.
"""

from __future__ import annotations

from orchestrator.ledger import Ledger
from topics.allocation import Share, share_of, shortages
from topics.documents.spec import DeploymentSpec
from topics.eligibility import Subject, compile_references, compile_selector, unselected
from topics.errors import Reason
from topics.requirements import compile_requirements, unsupported

ROOM_CODES = frozenset({"cpu-left", "memory-left", "storage-left"})
"""The codes of ``topics.allocation.shortages``: what is there, but promised to others."""


class Matcher:
    """What one spec asks of devices. ``needed`` is what a device promises it, ``types`` the manifest types that it
    must have appliers for."""

    def __init__(self, spec: DeploymentSpec, types: frozenset[str]) -> None:
        body = spec.spec
        self.spec = spec
        self.agents = body.agents
        self.selects = (
            compile_references(body.agents.devices)
            if body.agents.selector is None
            else compile_selector(body.agents.selector)
        )
        self.needed: Share = share_of(body.requirements)
        self._name = spec.name
        self._types = types
        self._requirements = compile_requirements(body.requirements)
        self._by_appliers: dict[tuple[str, ...], tuple[Reason, ...]] = {}

    def not_selected(self, subject: Subject) -> tuple[Reason, ...]:
        """Why the spec does not select the device; never empty."""
        kept = "it keeps what it has until the spec changes (onMismatch: keep)"
        found = unselected(self.agents.selector, subject) if self.agents.selector is not None else ()
        return found or (
            Reason(path="spec.agents", code="not-selected", message="the spec does not select the device", hint=kept),
        )

    def misfits(self, subject: Subject) -> tuple[Reason, ...]:
        """Every reason why the device itself cannot take the spec, however empty it is. None names its device:
        what is wrong with many is the same object for all of them."""
        if self._requirements.suits(subject):
            reasons: tuple[Reason, ...] = ()
        else:
            reasons = self._requirements.unmet_shared(subject)
        if not self._types.issubset(subject.capabilities.appliers):
            reasons += self._unsupported(subject)
        return reasons

    def _unsupported(self, subject: Subject) -> tuple[Reason, ...]:
        appliers = subject.capabilities.appliers
        known = self._by_appliers.get(appliers)
        if known is None:
            found = unsupported(self._types, subject.capabilities)
            known = tuple(reason.model_copy(update={"device": None}) for reason in found)
            self._by_appliers[appliers] = known
        return known

    def shortages(self, ledger: Ledger, device: str) -> tuple[Reason, ...]:
        """Of what too little is left on the device, and who holds the rest.

        What the deployment holds there already is no new demand: it is never refused for that. Of what the
        device has too little in all, ``misfits`` speaks.
        """
        needed = self.needed
        if not needed:
            return ()
        held, capacity = ledger.held(device, self._name), ledger.capacity(device)
        more = Share(
            needed.cpu if held.cpu < needed.cpu <= capacity.cpu else 0,
            needed.memory if held.memory < needed.memory <= capacity.memory else 0,
            needed.storage if held.storage < needed.storage <= capacity.storage else 0,
        )
        left = ledger.left(device, self._name)
        if more.cpu <= left.cpu and more.memory <= left.memory and more.storage <= left.storage:
            return ()
        return shortages(more, ledger.holdings(device, self._name), device)

    def reasons(self, ledger: Ledger, subject: Subject) -> tuple[Reason, ...]:
        """Every reason why the device cannot take the spec now; empty if it can."""
        return self.misfits(subject) + self.shortages(ledger, subject.device)


def is_for_room(reasons: tuple[Reason, ...]) -> bool:
    """Whether want of room is among the reasons: then they may end when somebody else leaves."""
    return any(reason.code in ROOM_CODES for reason in reasons)


def is_misfit(reasons: tuple[Reason, ...]) -> bool:
    """Whether there is a reason besides want of room."""
    return any(reason.code not in ROOM_CODES for reason in reasons)
