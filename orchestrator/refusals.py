"""Who cannot take which spec, and why: an index by spec and by device. Derived from the records, never stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from topics.errors import Reason

Reasons = tuple[Reason, ...]


class Refusals:
    """Per spec the devices that cannot take it. A spec is absent until something asks for its refusals."""

    def __init__(self) -> None:
        self._by_spec: dict[str, dict[str, Reasons]] = {}
        self._by_device: dict[str, set[str]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._by_spec

    def of_spec(self, name: str) -> Mapping[str, Reasons]:
        """Device and reasons; empty also where nothing was derived yet."""
        return self._by_spec.get(name, {})

    def of_device(self, device: str) -> Iterable[str]:
        """The specs that the device cannot take, as far as they were derived."""
        return self._by_device.get(device, ())

    def put_spec(self, name: str, refused: Mapping[str, Reasons]) -> None:
        """All refusals of a spec, in place of what was known."""
        self.drop_spec(name)
        self._by_spec[name] = dict(refused)
        for device in refused:
            self._by_device.setdefault(device, set()).add(name)

    def put(self, name: str, device: str, reasons: Reasons) -> None:
        """What one device says to a spec; without reasons it can take it. Nothing where it is underived."""
        known = self._by_spec.get(name)
        if known is None:
            return
        if reasons:
            known[device] = reasons
            self._by_device.setdefault(device, set()).add(name)
        elif known.pop(device, None) is not None:
            self._by_device[device].discard(name)

    def drop_spec(self, name: str) -> None:
        """Forget a spec."""
        for device in self._by_spec.pop(name, ()):
            self._by_device[device].discard(name)
