"""What the orchestrator waits for, in monotonic time: heartbeats, gaps, manifests that nobody took up.

Turns records and the time into events and says nothing itself about what to do. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.decision import DeviceSilent, GapDue, NotTakenUp
from orchestrator.model import DeploymentRecord, Fleet
from topics.documents.device import MISSED_HEARTBEATS

GAP_SECONDS = 2.0
"""How long a gap may stay open before it is asked for: brokers do not keep order between topics."""

GAP_REQUESTS = 5
MANIFEST_SECONDS = 30.0
"""After how long an online device that never reported the wanted generation gets its manifest again."""

_Key = tuple[str, str]


@dataclass(slots=True)
class _Waiting:
    since: float
    attempt: int = 0


class Watch:
    """Deadlines of devices and deployments."""

    def __init__(self, fleet: Fleet, now: float) -> None:
        self._fleet = fleet
        # A device that was online when this program stopped has one more deadline to show itself.
        self._heard = {device.device: now for device in fleet.devices.values() if device.online}
        self._gaps: dict[_Key, _Waiting] = {}
        self._lagging: dict[_Key, _Waiting] = {}
        self.look(fleet.deployments(), now)

    def heard(self, device: str, now: float) -> None:
        """A live message of a device arrived."""
        self._heard[device] = now

    def look(self, records: Iterable[DeploymentRecord], now: float) -> None:
        """Take note of changed deployments."""
        for record in records:
            _track(self._gaps, record.key, record.has_gap, now)
            _track(self._lagging, record.key, record.desired_generation > record.generation, now)

    def forget(self, key: _Key) -> None:
        """A deployment is gone."""
        self._gaps.pop(key, None)
        self._lagging.pop(key, None)

    def due(self, now: float) -> tuple[list[DeviceSilent | GapDue | NotTakenUp], list[_Key]]:
        """Events that are due, and the deployments whose manifest is to be published again."""
        events: list[DeviceSilent | GapDue | NotTakenUp] = []
        for device in self._fleet.devices.values():
            heard = self._heard.setdefault(device.device, now)
            if device.online and now - heard > device.heartbeat_seconds * MISSED_HEARTBEATS:
                events.append(DeviceSilent(device.device))
        for key, waiting in self._gaps.items():
            if self._is_due(key, waiting, now, GAP_SECONDS * 2**waiting.attempt):
                events.append(GapDue(*key, attempt=waiting.attempt, give_up=waiting.attempt > GAP_REQUESTS))
        again = []
        for key, waiting in self._lagging.items():
            if self._is_due(key, waiting, now, MANIFEST_SECONDS * 2 ** min(waiting.attempt, 6)):
                events.append(NotTakenUp(*key, attempt=waiting.attempt))
                again.append(key)
        return events, again

    def _is_due(self, key: _Key, waiting: _Waiting, now: float, seconds: float) -> bool:
        """Whether an online device was given so long since the last attempt. While it is offline nothing
        counts: once it is back it has all its time again."""
        device = self._fleet.devices.get(key[1])
        if device is None or not device.online:
            waiting.since, waiting.attempt = now, 0
            return False
        if now - waiting.since <= seconds:
            return False
        waiting.since = now
        waiting.attempt += 1
        return True


def _track(waiting: dict[_Key, _Waiting], key: _Key, open_: bool, now: float) -> None:
    if not open_:
        waiting.pop(key, None)
    elif key not in waiting:
        waiting[key] = _Waiting(now)
