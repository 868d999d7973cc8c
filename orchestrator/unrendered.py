"""Which devices a generation could not be rendered for, and why: remembered, never stored.

The reasons hold for one generation and for the device as it describes itself: a label that it lacks, a policy
of its operator. When either changes it is tried again, and after a start of the orchestrator too.
"""

from __future__ import annotations

from collections.abc import Iterable

from topics.errors import Reason

Reasons = tuple[Reason, ...]


class Unrendered:
    """Reasons by spec and device, for one generation of each spec."""

    def __init__(self) -> None:
        self._by_spec: dict[str, tuple[int, dict[str, Reasons]]] = {}
        self._by_device: dict[str, set[str]] = {}

    def of(self, name: str, generation: int, device: str) -> Reasons:
        """Why the device has no manifest of this generation; empty if nothing is known against it."""
        known = self._by_spec.get(name)
        return known[1].get(device, ()) if known is not None and known[0] == generation else ()

    def put(self, name: str, generation: int, device: str, reasons: Reasons) -> None:
        """What came of rendering for the device; without reasons it has its manifest."""
        known = self._by_spec.get(name)
        if known is None or known[0] != generation:
            if not reasons:
                return
            self.drop_spec(name)
            known = self._by_spec[name] = (generation, {})
        if reasons:
            known[1][device] = reasons
            self._by_device.setdefault(device, set()).add(name)
        elif known[1].pop(device, None) is not None:
            self._by_device[device].discard(name)

    def drop_device(self, device: str) -> None:
        """The device is something else now: what it lacked it may have."""
        for name in self._by_device.pop(device, ()):
            self._by_spec[name][1].pop(device, None)

    def drop_spec(self, name: str) -> None:
        """Forget a spec."""
        devices: Iterable[str] = self._by_spec.pop(name, (0, {}))[1]
        for device in devices:
            self._by_device[device].discard(name)
