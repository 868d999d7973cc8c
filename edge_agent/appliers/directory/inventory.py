"""What the directory applier owns in the watched folder, one inventory per deployment.

It is written *before* the files it names: after a crash a name may be there without its file, never
a file without its name. So whatever is not in an inventory is somebody else's, and stays untouched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.appliers.directory.files import ensure_folder, sync_folder, temporary_name, unlink_if_there, write_whole
from edge_agent.appliers.directory.plan import is_own_name
from edge_agent.appliers.port import ApplyError

FILE = "inventory.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One owned file: whose it is, the hash of what it shall hold, the last generation that had it."""

    part: str
    sha256: str
    generation: int
    emptied: bool = False
    """It holds no objects any more and only waits to be unlinked."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """The owned files by name, the generation that was claimed last, and the ranks of the components."""

    deployment: str
    generation: int
    files: Mapping[str, Entry] = field(default_factory=dict)
    ranks: Mapping[str, int] = field(default_factory=dict)


def load(folder: Path, deployment: str) -> Inventory | None:
    """The inventory in ``folder``, or ``None`` if there is none.

    Raises ``ApplyError`` (final) if it is there and not intact: guessing what is owned could delete
    somebody else's file. ``OSError`` passes through.
    """
    try:
        raw = (folder / FILE).read_bytes()
    except FileNotFoundError:
        return None
    try:
        envelope = json.loads(raw)
        body = envelope["inventory"]
        if envelope["sha256"] != _checksum(body):
            raise ValueError("its checksum does not match")
        return _parse(body, deployment)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ApplyError(
            "inventory-corrupt",
            f"{folder / FILE} is damaged ({error}), so it is not known which files of {deployment} are Fleetbus's; "
            f"delete this file, and in the manifest folder the files whose first line names {deployment}",
            retryable=False,
        ) from error


def save(folder: Path, inventory: Inventory) -> None:
    """Write the inventory durably; ``OSError`` passes through and leaves the old one."""
    ensure_folder(folder)
    body = {
        "schemaVersion": SCHEMA_VERSION,
        "deployment": inventory.deployment,
        "generation": inventory.generation,
        "ranks": dict(inventory.ranks),
        "files": {
            name: {
                "part": entry.part,
                "sha256": entry.sha256,
                "generation": entry.generation,
                "emptied": entry.emptied,
            }
            for name, entry in inventory.files.items()
        },
    }
    envelope = {"sha256": _checksum(body), "inventory": body}
    write_whole(folder, FILE, json.dumps(envelope, indent=1, sort_keys=True).encode() + b"\n")
    sync_folder(folder)


def tidy(folder: Path) -> None:
    """Remove what a crash left of saving the inventory; the next save would, but there may be none."""
    unlink_if_there(folder, temporary_name(FILE))


def delete(folder: Path) -> None:
    """Forget the deployment; nothing happens if there is no inventory."""
    if folder.is_dir() and unlink_if_there(folder, FILE):
        sync_folder(folder)


def _checksum(body: object) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _parse(body: dict[str, Any], deployment: str) -> Inventory:
    if body["schemaVersion"] != SCHEMA_VERSION:
        raise ValueError(f"its version is {body['schemaVersion']}, this agent knows {SCHEMA_VERSION}")
    if body["deployment"] != deployment:
        raise ValueError(f"it is that of {body['deployment']}")
    strange = [name for name in body["files"] if not is_own_name(name)]
    if strange:
        raise ValueError(f"it names {strange[0]!r}, which this applier never writes")
    return Inventory(
        deployment=deployment,
        generation=int(body["generation"]),
        ranks={str(name): int(rank) for name, rank in body["ranks"].items()},
        files={
            name: Entry(
                part=str(entry["part"]),
                sha256=str(entry["sha256"]),
                generation=int(entry["generation"]),
                emptied=bool(entry["emptied"]),
            )
            for name, entry in body["files"].items()
        },
    )
