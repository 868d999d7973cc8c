"""Records to rows and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from orchestrator.commands import CommandRecord
from orchestrator.decision import Transition
from orchestrator.model import Assignment, DeploymentRecord, DeviceRecord, Problem, SpecRecord
from topics.allocation import Share
from topics.codec import encode
from topics.documents.device import Capabilities
from topics.documents.spec import DeploymentSpec
from topics.documents.status import ComponentStatus, Failure
from topics.errors import Reason
from topics.lifecycle import State

Row = dict[str, Any]


def spec_row(record: SpecRecord) -> Row:
    problem = record.problem
    return {
        "name": record.name,
        "generation": record.generation,
        "payload_digest": record.payload_digest,
        "content_digest": record.content_digest,
        "document": encode(record.spec).decode() if record.spec else None,
        "paused": record.paused,
        "problem": json.dumps(
            {
                "reasons": _reason_values(problem.reasons),
                "retryable": problem.retryable,
                "attempt": problem.attempt,
            }
        )
        if problem
        else None,
        "pins": json.dumps(record.pins),
        "accepted": record.accepted,
        "warnings": json.dumps(_reason_values(record.warnings)),
        "margo": record.margo,
        "rejected": record.rejected,
    }


def spec_record(row: Mapping[str, Any]) -> SpecRecord:
    problem = json.loads(row["problem"]) if row["problem"] else None
    return SpecRecord(
        name=row["name"],
        generation=row["generation"],
        payload_digest=row["payload_digest"],
        content_digest=row["content_digest"],
        spec=DeploymentSpec.model_validate_json(row["document"]) if row["document"] else None,
        paused=row["paused"],
        problem=Problem(
            tuple(Reason(**reason) for reason in problem["reasons"]), problem["retryable"], problem["attempt"]
        )
        if problem
        else None,
        pins=tuple((component, digest) for component, digest in json.loads(row["pins"])),
        accepted=row["accepted"],
        warnings=tuple(Reason(**reason) for reason in json.loads(row["warnings"])),
        margo=row["margo"],
        rejected=row["rejected"],
    )


def device_row(record: DeviceRecord) -> Row:
    return {
        "device": record.device,
        "online": record.online,
        "epoch": record.epoch,
        "journal": record.journal,
        "agent_version": record.agent_version,
        "heartbeat_seconds": record.heartbeat_seconds,
        "last_seen": record.last_seen,
        "capabilities": encode(record.capabilities).decode() if record.capabilities else None,
        "capabilities_digest": record.capabilities_digest,
        "promised": json.dumps([(name, *_numbers(share)) for name, share in record.promised]),
    }


def device_record(row: Mapping[str, Any]) -> DeviceRecord:
    capabilities = Capabilities.model_validate_json(row["capabilities"]) if row["capabilities"] else None
    promised = tuple((name, Share(*numbers)) for name, *numbers in json.loads(row["promised"]))
    return DeviceRecord(**{**row, "capabilities": capabilities, "promised": promised})


def deployment_row(record: DeploymentRecord) -> Row:
    return {
        "name": record.name,
        "device": record.device,
        "desired_generation": record.desired_generation,
        "desired_digest": record.desired_digest,
        "removing": record.removing,
        "state": record.state,
        "generation": record.generation,
        "deployed_generation": record.deployed_generation,
        "epoch": record.epoch,
        "journal": record.journal,
        "sequence": record.sequence,
        "event_sequence": record.event_sequence,
        "ahead": json.dumps(record.ahead) if record.ahead else "[]",
        "last_target": record.last_target,
        "held": record.held,
        "failure": encode(record.failure).decode() if record.failure else None,
        "anomaly": record.anomaly,
        "components": json.dumps([item.model_dump() for item in record.components]) if record.components else "[]",
        "assignment": assignment_text(record.assignment),
    }


def deployment_record(row: Mapping[str, Any]) -> DeploymentRecord:
    return DeploymentRecord(
        **{
            **row,
            "state": State(row["state"]) if row["state"] else None,
            "last_target": State(row["last_target"]) if row["last_target"] else None,
            "ahead": () if row["ahead"] == "[]" else tuple(json.loads(row["ahead"])),
            "failure": Failure.model_validate_json(row["failure"]) if row["failure"] else None,
            "components": tuple(ComponentStatus(**item) for item in json.loads(row["components"])),
            "assignment": _assignment(row["assignment"]),
        }
    )


def command_row(record: CommandRecord, position: int) -> Row:
    return {
        "id": record.id,
        "device": record.device,
        "position": position,
        "name": record.name,
        "action": str(record.action),
        "generation": record.generation,
        "expiry_seconds": record.expiry_seconds,
        "outcome": record.outcome,
        "message": record.message,
    }


def command_record(row: Mapping[str, Any]) -> CommandRecord:
    return CommandRecord(**{key: value for key, value in row.items() if key != "position"})


def transition_row(transition: Transition) -> Row:
    event = transition.event
    return {
        "name": event.deployment,
        "device": event.device,
        "journal": transition.journal,
        "sequence": event.sequence,
        "generation": event.generation,
        "source": event.source,
        "target": event.target,
        "trigger": event.trigger,
        "code": event.code,
        "message": event.message,
        "attempt": event.attempt,
        "device_time": event.time,
        "received": transition.received,
        "legal": transition.legal,
    }


@lru_cache(maxsize=10_000)
def assignment_text(assignment: Assignment) -> str:
    """An assignment as it is stored, as JSON; the devices of a spec share few different ones."""
    share, reserved = _numbers(assignment.share), _numbers(assignment.reserved)
    return json.dumps(
        {"generation": assignment.generation, "why": assignment.why, "share": share, "reserved": reserved}
    )


def _assignment(text: str) -> Assignment:
    value = json.loads(text)
    return Assignment(value["generation"], value["why"], Share(*value["share"]), Share(*value["reserved"]))


def _numbers(share: Share) -> tuple[int, int, int]:
    return (share.cpu, share.memory, share.storage)


def _reason_values(reasons: Iterable[Reason]) -> list[dict[str, Any]]:
    return [reason.model_dump(exclude_none=True) for reason in reasons]
