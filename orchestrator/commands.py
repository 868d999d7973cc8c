"""Operators' commands: the record of one, and all of them with what is looked up of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice

KEPT_PER_DEPLOYMENT = 200
"""How many answered commands of one deployment are remembered: enough to know a duplicate again."""


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """A command for one device; without ``outcome`` it still waits for its answer."""

    id: str
    name: str
    device: str
    action: str
    generation: int
    expiry_seconds: float
    outcome: str = ""
    message: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return (self.id, self.device)


class Commands:
    """All commands by id and device, in the order of their arrival."""

    def __init__(self) -> None:
        self._all: dict[tuple[str, str], CommandRecord] = {}
        self._by_name: dict[str, dict[tuple[str, str], CommandRecord]] = {}
        self._open: dict[str, dict[tuple[str, str], CommandRecord]] = {}
        self._answered: dict[str, dict[tuple[str, str], None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._all

    def get(self, key: tuple[str, str]) -> CommandRecord | None:
        return self._all.get(key)

    def values(self) -> Collection[CommandRecord]:
        return self._all.values()

    def open_of(self, device: str) -> list[CommandRecord]:
        """The commands that wait for the device's answer."""
        return list(self._open.get(device, {}).values())

    def newest(self, name: str, most: int) -> list[CommandRecord]:
        """The newest commands of a deployment, in the order of their arrival."""
        return list(islice(reversed(self._by_name.get(name, {}).values()), most))[::-1]

    def put(self, record: CommandRecord) -> None:
        """Keep a command; the oldest answered ones of its deployment are forgotten."""
        self._all[record.key] = record
        self._by_name.setdefault(record.name, {})[record.key] = record
        if not record.outcome:
            self._open.setdefault(record.device, {})[record.key] = record
            return
        self._open.get(record.device, {}).pop(record.key, None)
        answered = self._answered.setdefault(record.name, {})
        answered[record.key] = None
        if len(answered) > KEPT_PER_DEPLOYMENT:
            oldest = next(iter(answered))
            del answered[oldest], self._all[oldest], self._by_name[record.name][oldest]
