"""What is promised on each device, and what is left: by this orchestrator's records and by the device itself.

Of each deployment the larger of both counts. An index over the records, kept by ``Fleet``; no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from topics.allocation import NOTHING, Holdings, Share, larger_of, left_of

Promises = Mapping[str, Share]
"""Deployment and what it is promised."""


@dataclass(slots=True)
class _Account:
    """One device. ``taken`` is the sum of what each deployment holds; ``None`` until it is needed."""

    capacity: Share = NOTHING
    reserved: dict[str, Share] = field(default_factory=dict)
    promised: Promises = field(default_factory=dict)
    taken: Share | None = None

    def held(self, name: str) -> Share:
        """What one deployment holds."""
        return _larger(self.reserved.get(name, NOTHING), self.promised.get(name, NOTHING))

    def holdings(self, without: str = "") -> dict[str, Share]:
        """Every deployment and what it holds."""
        return {name: self.held(name) for name in self.reserved.keys() | self.promised.keys() if name != without}

    def sum(self) -> Share:
        """What all of them hold."""
        if self.taken is None:
            shares = self.holdings().values()
            self.taken = Share(
                sum(share.cpu for share in shares),
                sum(share.memory for share in shares),
                sum(share.storage for share in shares),
            )
        return self.taken


class Ledger:
    """The accounts of all devices."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}

    def describe(self, device: str, capacity: Share, promised: Promises) -> None:
        """What the device has, and what it says it promised."""
        account = self._account(device)
        account.capacity, account.promised, account.taken = capacity, promised, None

    def reserve(self, device: str, name: str, share: Share) -> None:
        """What this orchestrator reserved for one deployment, in place of what it had; nothing releases it."""
        account = self._account(device)
        if share:
            account.reserved[name] = share
        else:
            account.reserved.pop(name, None)
        account.taken = None

    def capacity(self, device: str) -> Share:
        """What can be promised on the device in all."""
        return self._account(device).capacity

    def held(self, device: str, name: str) -> Share:
        """What one deployment holds on the device."""
        return self._account(device).held(name)

    def left(self, device: str, without: str = "") -> Share:
        """What is left on the device, as if the deployment ``without`` were not there; never below zero."""
        account = self._account(device)
        taken, own = account.sum(), account.held(without)
        others = Share(taken.cpu - own.cpu, taken.memory - own.memory, taken.storage - own.storage)
        return left_of(account.capacity, (others,))

    def holdings(self, device: str, without: str = "") -> Holdings:
        """Who holds what on the device, for explanations."""
        account = self._account(device)
        return Holdings(account.capacity, account.holdings(without))

    def is_confirmed(self, device: str, name: str) -> bool:
        """Whether the device itself says that it promised something to the deployment."""
        account = self._accounts.get(device)
        return account is not None and name in account.promised

    def _account(self, device: str) -> _Account:
        account = self._accounts.get(device)
        if account is None:
            account = self._accounts[device] = _Account()
        return account


def has_more(before: Share, after: Share) -> bool:
    """Whether there is more of anything."""
    return after.cpu > before.cpu or after.memory > before.memory or after.storage > before.storage


def _larger(one: Share, other: Share) -> Share:
    if not other:
        return one
    return larger_of((one, other)) if one else other
