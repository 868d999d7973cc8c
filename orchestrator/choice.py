"""Which N of the devices that suit: a deterministic choice that can be said in words. Pure.

The rule: first label values that have the fewest (``spreadBy``), among those the device with the most
left, ties by id. "Most left" is the largest minimum, over processor, memory and storage, of the part of
the capacity that is still free once the deployment is there: the scarcest resource decides.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from topics.allocation import Share

_WHOLE = 1_000_000
"""Parts of the capacity are compared in millionths: whole numbers, the same on every machine."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A device that suits: ``value`` is its label value to spread over ("" without the label), ``free`` the
    free part (in millionths) of its scarcest resource, whose name is ``scarcest``."""

    device: str
    value: str
    free: int
    scarcest: str


def candidate(device: str, value: str, capacity: Share, left: Share, needed: Share) -> Candidate:
    """The device with what would be left on it. ``left`` leaves the deployment itself out."""
    free, scarcest = min(
        (
            (max(0, have - need) * _WHOLE // total, name)
            for name, total, have, need in (
                ("cpu", capacity.cpu, left.cpu, needed.cpu),
                ("memory", capacity.memory, left.memory, needed.memory),
                ("storage", capacity.storage, left.storage, needed.storage),
            )
            if total > 0
        ),
        default=(0, ""),
    )
    return Candidate(device, value, free, scarcest)


def choose(
    candidates: Iterable[Candidate], wanted: int, chosen: Iterable[str], spread_by: str | None
) -> list[tuple[Candidate, str]]:
    """The best ``wanted`` of the candidates, in the order of the choice, each with why.

    ``chosen`` are the label values of the devices that are chosen already.
    """
    groups: dict[str, list[tuple[int, str, Candidate]]] = {}
    for item in candidates:
        groups.setdefault(item.value if spread_by else "", []).append((-item.free, item.device, item))
    taken = Counter(chosen) if spread_by else Counter[str]()
    heads: list[tuple[int, int, str, str]] = []
    for value, group in groups.items():
        heapq.heapify(group)
        heads.append((taken[value], group[0][0], group[0][1], value))
    heapq.heapify(heads)
    found: list[tuple[Candidate, str]] = []
    while heads and len(found) < wanted:
        count, _, _, value = heapq.heappop(heads)
        group = groups[value]
        _, _, best = heapq.heappop(group)
        found.append((best, _why(best, count, spread_by)))
        if group:
            heapq.heappush(heads, (count + 1, group[0][0], group[0][1], value))
    return found


def _why(item: Candidate, count: int, spread_by: str | None) -> str:
    most = f"most left: {item.scarcest} {item.free * 100 // _WHOLE} %" if item.scarcest else "first by its id"
    if not spread_by:
        return most
    return f"{spread_by}={item.value} had {count or 'none'}; {most}"
