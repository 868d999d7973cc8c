"""Records to rows and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from orchestrator.decision import Transition
from orchestrator.model import CommandRecord, DeploymentRecord, DeviceRecord, Problem, SpecRecord
from topics.codec import encode
from topics.documents.device import Capabilities
from topics.documents.spec import DeploymentSpec
from topics.documents.status import Failure
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
                "reasons": [reason.model_dump(exclude_none=True) for reason in problem.reasons],
                "retryable": problem.retryable,
                "attempt": problem.attempt,
            }
        )
        if problem
        else None,
        "pins": json.dumps(record.pins),
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
    }


def device_record(row: Mapping[str, Any]) -> DeviceRecord:
    capabilities = Capabilities.model_validate_json(row["capabilities"]) if row["capabilities"] else None
    return DeviceRecord(**{**row, "capabilities": capabilities})


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
    }


def deployment_record(row: Mapping[str, Any]) -> DeploymentRecord:
    return DeploymentRecord(
        **{
            **row,
            "state": State(row["state"]) if row["state"] else None,
            "last_target": State(row["last_target"]) if row["last_target"] else None,
            "ahead": () if row["ahead"] == "[]" else tuple(json.loads(row["ahead"])),
            "failure": Failure.model_validate_json(row["failure"]) if row["failure"] else None,
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
