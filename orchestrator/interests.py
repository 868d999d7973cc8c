"""Which specs a device may concern, without looking at all of them: an index by reference. Kept by ``Fleet``."""

from __future__ import annotations

from collections.abc import Iterator

from topics.documents.spec import DeploymentSpec
from topics.eligibility import Subject


class Interests:
    """Specs by the devices that they name; those with a selector may concern any."""

    def __init__(self) -> None:
        self._selecting: dict[str, None] = {}
        self._naming: dict[str, dict[str, None]] = {}

    def put(self, name: str, spec: DeploymentSpec | None, former: DeploymentSpec | None) -> None:
        """A spec as it is now (``None``: deleted), in place of what it was."""
        for reference in former.spec.agents.devices if former is not None else ():
            self._naming[reference].pop(name, None)
        self._selecting.pop(name, None)
        if spec is None:
            return
        if spec.spec.agents.selector is not None:
            self._selecting[name] = None
        for reference in spec.spec.agents.devices:
            self._naming.setdefault(reference, {})[name] = None

    def of(self, subject: Subject) -> Iterator[str]:
        """The specs that name the device in one of the ways in which it can be named, and all with a selector."""
        device, gateway = subject.device, subject.gateway
        yield from self._selecting
        for reference in (device, f"{gateway}/{device}", f"{gateway}/*") if gateway else (device,):
            yield from self._naming.get(reference, ())
