"""The fleet's rows as table cells and as plain data, the same facts in both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cli.fleet import NOT_PLACEABLE, DeviceRow, Fleet, Row
from cli.printing import age, span, yes_no
from topics.documents.spec import DeploymentSpec
from topics.quantity import format_bytes, format_cores

SPEC_HEADINGS = ("NAME", "GENERATION", "RESULT", "PHASE", "DEPLOYED", "APPLICATION", "AGE", "MESSAGE")
DEPLOYMENT_HEADINGS = ("DEPLOYMENT", "DEVICE", "STATE", "GENERATION", "ONLINE", "LAST SEEN", "MESSAGE")
DEVICE_HEADINGS = (
    "DEVICE", "ONLINE", "LAST SEEN", "MEASURED", "ARCH", "CORES", "MEMORY", "STORAGE", "FREE", "PROMISED TO",
    "RUNS", "RUNTIMES", "GATEWAY", "DEPLOYMENTS", "AGENT", "LABELS",
)  # fmt: skip

_MOST_IN_CELL = 3


def spec_cells(fleet: Fleet, name: str) -> tuple[str, ...]:
    """The cells under ``SPEC_HEADINGS``."""
    heard, result, status = fleet.specs.get(name), fleet.results.get(name), fleet.aggregates.get(name)
    spec = heard.document if heard is not None and isinstance(heard.document, DeploymentSpec) else None
    application = spec.spec.application if spec else None
    problem = heard.problem if heard is not None and heard.problem else ""
    rejected = result is not None and result.outcome == "rejected"
    reasons = "; ".join(str(reason) for reason in result.reasons) if result is not None and rejected else ""
    return (
        name,
        str(result.generation) if result else "-",
        result.outcome.capitalize() if result else "Unanswered",
        str(status.phase) if status else "-",
        f"{status.counts.get('Deployed', 0)}/{status.total}" if status else "-",
        f"{application.id} {application.version}" if application else "-",
        age(result.time if result else None),
        reasons or (f"undecodable: {problem}" if problem else status.message if status else ""),
    )


def spec_data(fleet: Fleet, name: str) -> dict[str, Any]:
    """One spec with its result and its aggregate; only what there is."""
    heard, result, status = fleet.specs.get(name), fleet.results.get(name), fleet.aggregates.get(name)
    data: dict[str, Any] = {"name": name}
    if heard is not None:
        data["spec"] = heard.shown()
    for key, document in (("result", result), ("status", status)):
        if document is not None:
            data[key] = document.model_dump(mode="json", by_alias=True, exclude_none=True)
    return data


def deployment_cells(row: Row) -> tuple[str, ...]:
    """The cells under ``DEPLOYMENT_HEADINGS``."""
    return (
        row.deployment, row.device, row.state, generations(row), yes_no(row.online), age(row.last_seen), row.message,
    )  # fmt: skip


def deployment_data(row: Row) -> dict[str, Any]:
    """One deployment on one device."""
    return {
        "deployment": row.deployment,
        "device": row.device,
        "state": row.state,
        "generation": row.generation,
        "desiredGeneration": row.desired,
        "deployedGeneration": row.deployed,
        "online": row.online,
        "lastSeen": row.last_seen,
        "message": row.message,
    }


def device_cells(row: DeviceRow) -> tuple[str, ...]:
    """The cells under ``DEVICE_HEADINGS``."""
    known, free = row.capabilities, row.allocatable
    return (
        row.device,
        yes_no(row.online),
        age(row.last_seen),
        span(row.measured),
        ",".join(sorted({cpu.architecture for cpu in known.cpus})) if known else "-",
        str(max((cpu.cores for cpu in known.cpus), default=0)) if known else "-",
        format_bytes(known.memory) if known else "-",
        format_bytes(max((volume.capacity for volume in known.storage), default=0)) if known else "-",
        f"{format_cores_short(free.cpu)} {format_bytes(free.memory)} {format_bytes(free.storage)}" if free else "-",
        _few([item.deployment for item in free.promised]) if free else "-",
        _few(known.deployment_types) if known else "-",
        _few([item.name for item in known.runtimes]) if known else "-",
        known.gateway or "-" if known else "-",
        str(row.deployments),
        row.presence.agent_version if row.presence and row.presence.agent_version else "-",
        ",".join(f"{key}={value}" for key, value in sorted(known.labels.items())) if known else "",
    )


def device_data(row: DeviceRow) -> dict[str, Any]:
    """One device with everything it said of itself."""
    data: dict[str, Any] = {
        "device": row.device,
        "online": row.online,
        "lastSeen": row.last_seen,
        "deployments": row.deployments,
        "capabilitiesAgeSeconds": row.measured,
    }
    for key in ("presence", "capabilities", "allocatable"):
        document = getattr(row, key)
        if document is not None:
            data[key] = document.model_dump(mode="json", by_alias=True, exclude_none=True)
    return data


def _few(names: Sequence[str]) -> str:
    """The first names of a list, for a column."""
    more = f"+{len(names) - _MOST_IN_CELL}" if len(names) > _MOST_IN_CELL else ""
    return ",".join(names[:_MOST_IN_CELL]) + more or "-"


def generations(row: Row) -> str:
    """``2``, or ``1/2`` where the device has not taken up the wanted generation yet."""
    if row.desired == 0 or row.state == NOT_PLACEABLE:
        return "-"
    return str(row.desired) if row.generation == row.desired else f"{row.generation}/{row.desired}"


def format_cores_short(millicores: int) -> str:
    """Millicores as cores, for a column: ``2``, ``500m``."""
    from fractions import Fraction

    return format_cores(Fraction(millicores, 1000))


def problem_lines(problems: dict[str, str]) -> Sequence[str]:
    """One line for each retained message that nobody can read."""
    return [f"undecodable message on {topic}: {problem}" for topic, problem in sorted(problems.items())]
