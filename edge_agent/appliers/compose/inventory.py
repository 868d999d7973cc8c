"""What the compose applier owns, one inventory per deployment; written before a project is changed.

After a crash a project may stand there that is not on the engine, never the other way round. What the engine has
besides is somebody else's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.appliers.compose import files
from edge_agent.appliers.port import ApplyError

FILE = "inventory.json"
_SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Known:
    """A container as it was when its component was applied; ``ended``: it had done its work by then."""

    name: str
    fingerprint: str
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One component: its project, the folder of its files, the last generation that had it.

    ``containers`` by id, or ``None`` while it is being applied: then nobody knows which are right.
    """

    project: str
    folder: str
    generation: int
    remove_volumes: bool
    containers: Mapping[str, Known] | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """The components by name, in the order in which they were first applied, and the generation applied last."""

    deployment: str
    generation: int
    components: Mapping[str, Entry] = field(default_factory=dict)


def load(folder: Path, deployment: str) -> Inventory:
    """The inventory in ``folder``; one without components and of no generation (-1) if there is none.

    Raises ``ApplyError`` (final) if it is there and not intact, ``OSError`` passes through.
    """
    try:
        raw = (folder / FILE).read_bytes()
    except FileNotFoundError:
        return Inventory(deployment, -1)
    try:
        envelope = json.loads(raw)
        body = envelope["inventory"]
        if envelope["sha256"] != _checksum(body):
            raise ValueError("its checksum does not match")
        return _parse(body, deployment)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ApplyError(
            "inventory-corrupt",
            f"{folder / FILE} is damaged ({error}), so it is not known which projects of {deployment} are Fleetbus's; "
            f"delete this file: the containers carry labels and are found by them",
            retryable=False,
        ) from error


def save(folder: Path, inventory: Inventory) -> None:
    """Write the inventory durably; ``OSError`` passes through and leaves the old one."""
    body = {
        "schemaVersion": _SCHEMA_VERSION,
        "deployment": inventory.deployment,
        "generation": inventory.generation,
        "components": [
            {
                "name": name,
                "project": entry.project,
                "folder": entry.folder,
                "generation": entry.generation,
                "removeVolumes": entry.remove_volumes,
                "containers": None
                if entry.containers is None
                else {id: [item.name, item.fingerprint, item.ended] for id, item in entry.containers.items()},
            }
            for name, entry in inventory.components.items()
        ],
    }
    files.ensure_folder(folder)
    envelope = {"sha256": _checksum(body), "inventory": body}
    files.write_whole(folder, FILE, json.dumps(envelope, indent=1, sort_keys=True).encode() + b"\n")


def _checksum(body: object) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _parse(body: dict[str, Any], deployment: str) -> Inventory:
    if body["schemaVersion"] != _SCHEMA_VERSION:
        raise ValueError(f"its version is {body['schemaVersion']}, this agent knows {_SCHEMA_VERSION}")
    if body["deployment"] != deployment:
        raise ValueError(f"it is that of {body['deployment']}")
    return Inventory(
        deployment,
        int(body["generation"]),
        {
            str(item["name"]): Entry(
                project=str(item["project"]),
                folder=_plain_name(str(item["folder"])),
                generation=int(item["generation"]),
                remove_volumes=bool(item["removeVolumes"]),
                containers=None
                if item["containers"] is None
                else {
                    str(id): Known(str(name), str(mark), bool(ended))
                    for id, (name, mark, ended) in item["containers"].items()
                },
            )
            for item in body["components"]
        },
    )


def _plain_name(name: str) -> str:
    if not name or "/" in name or name.startswith("."):
        raise ValueError(f"it names the folder {name!r}, which this applier never makes")
    return name
