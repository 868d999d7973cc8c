"""Which objects a deployment has on the cluster: the record, and its text in a ConfigMap. Pure.

The inventory is written before what it names is applied and deleted after what it names is gone, so an agent
that was killed at any instant still knows everything that it must take off again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from edge_agent.appliers.kubernetes.objects import Ref
from edge_agent.appliers.port import ApplyError

FORMAT = 1
MAX_BYTES = 900_000
"""A ConfigMap holds 1 MiB in all (``MaxSecretSize`` of the API server)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object: whose part it is, for which generation it was last applied.

    ``done`` is the digest of a job that ran to completion: it is not run again, and may be gone.
    """

    ref: Ref
    part: str
    generation: int
    done: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a deployment has, in the order of application. ``generation`` is the one that was applied last."""

    deployment: str
    device: str
    generation: int
    entries: tuple[Entry, ...] = ()

    def find(self, ref: Ref) -> Entry | None:
        return next((entry for entry in self.entries if entry.ref.key == ref.key), None)

    def of_part(self, part: str) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.part == part)

    @property
    def leftovers(self) -> tuple[Entry, ...]:
        """What only other generations had."""
        return tuple(entry for entry in self.entries if entry.generation != self.generation)

    def without(self, refs: Iterable[Ref]) -> Inventory:
        keys = {ref.key for ref in refs}
        return replace(self, entries=tuple(entry for entry in self.entries if entry.ref.key not in keys))

    def with_done(self, ref: Ref, done: str) -> Inventory:
        return replace(
            self,
            entries=tuple(
                replace(entry, done=done) if entry.ref.key == ref.key else entry for entry in self.entries
            ),
        )  # fmt: skip


def claimed(
    known: Inventory | None, deployment: str, device: str, generation: int, parts: Iterable[tuple[str, Iterable[Ref]]]
) -> Inventory:
    """The inventory with everything of a generation, behind what other generations left.

    Leftovers stand first: removal goes backwards, so the new generation goes before them.
    """
    old = {entry.ref.key: entry for entry in (known.entries if known else ())}
    new = []
    for part, refs in parts:
        for ref in refs:
            before = old.pop(ref.key, None)
            new.append(Entry(ref, part, generation, before.done if before else ""))
    return Inventory(deployment, device, generation, (*old.values(), *new))


def to_text(inventory: Inventory) -> str:
    """The inventory as text. Raises ``ApplyError`` when it does not fit a ConfigMap."""
    text = json.dumps(
        {
            "format": FORMAT,
            "deployment": inventory.deployment,
            "device": inventory.device,
            "generation": inventory.generation,
            "objects": [
                [*entry.ref, entry.part, entry.generation, *([entry.done] if entry.done else [])]
                for entry in inventory.entries
            ],
        },
        separators=(",", ":"),
    )
    if len(text) > MAX_BYTES:
        raise ApplyError(
            "too-many-objects",
            f"the inventory of {inventory.deployment} with its {len(inventory.entries)} objects does not fit a "
            "ConfigMap; divide the spec into several deployments",
            retryable=False,
        )
    return text


def from_text(text: str, where: str) -> Inventory:
    """The inventory of a text. Raises ``ApplyError`` for anything else: it must never silently start empty."""
    try:
        held: dict[str, Any] = json.loads(text)
        if held["format"] != FORMAT:
            raise ApplyError(
                "inventory-format",
                f"{where} has format {held['format']}, this agent knows {FORMAT}; update the agent",
                retryable=False,
            )
        entries = tuple(_entry(item) for item in held["objects"])
        return Inventory(str(held["deployment"]), str(held["device"]), int(held["generation"]), entries)
    except (ValueError, KeyError, TypeError) as error:
        raise ApplyError(
            "inventory-damaged",
            f"{where} is not an inventory ({error}); restore it, or delete it and then, by hand, the objects with "
            "the deployment's label that should go",
            retryable=False,
        ) from error


def _entry(item: list[Any]) -> Entry:
    version, kind, namespace, name, part, generation, *done = item
    ref = Ref(str(version), str(kind), str(namespace), str(name))
    return Entry(ref, str(part), int(generation), str(done[0]) if done else "")
