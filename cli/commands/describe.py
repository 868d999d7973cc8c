"""``fleetbus describe``: everything known of one spec, deployment or device, with every reason in full."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cli.commands.get import read_fleet
from cli.context import Output, Settings
from cli.device_text import allocatable_lines, capability_lines
from cli.exits import Exit, not_found
from cli.fleet import DeviceRow, Fleet, Row, failure_text
from cli.printing import age, as_text, span, visible, yes_no
from cli.tables import (
    deployment_data,
    device_data,
    generations,
    spec_data,
)
from topics import channels
from topics.documents.answer import AggregateStatus, SpecResult
from topics.documents.spec import Component, DeploymentSpec, SpecBody
from topics.errors import Reason

_EVERYTHING = (
    channels.SPEC, channels.RESULT, channels.AGGREGATE, channels.STATUS, channels.PRESENCE,
)  # fmt: skip
_OF_DEVICES = (channels.AGGREGATE, channels.STATUS, channels.PRESENCE, channels.CAPABILITIES, channels.ALLOCATABLE)


def describe_spec(settings: Settings, name: str) -> Exit:
    """A spec as it was published, and what was made of it."""
    fleet = read_fleet(settings, _EVERYTHING, deployment=name)
    _require(name in fleet.names(), "spec", name)
    return _print(settings, lambda: spec_data(fleet, name), lambda: spec_lines(fleet, name))


def describe_deployment(settings: Settings, name: str) -> Exit:
    """A deployment on all of its devices."""
    fleet = read_fleet(settings, _EVERYTHING, deployment=name)
    _require(name in fleet.names(), "deployment", name)

    def data() -> dict[str, Any]:
        return spec_data(fleet, name) | {"devices": [deployment_data(row) for row in fleet.rows(name)]}

    return _print(settings, data, lambda: deployment_lines(fleet, name))


def describe_device(settings: Settings, name: str) -> Exit:
    """A device: what it is, what it has left, what runs on it."""
    fleet = read_fleet(settings, _OF_DEVICES, device=name)
    row = next((row for row in fleet.devices() if row.device == name), None)
    if row is None:
        raise not_found("device", name)
    runs = [item for item in fleet.rows() if item.device == name]
    return _print(
        settings,
        lambda: device_data(row) | {"runs": [deployment_data(item) for item in runs]},
        lambda: device_lines(row, runs),
    )


def spec_lines(fleet: Fleet, name: str) -> list[str]:
    """A spec in lines."""
    heard = fleet.specs.get(name)
    lines = [f"Name:         {name}"]
    if heard is None:
        lines.append("Spec:         not on the broker (deleted)")
    elif isinstance(heard.document, DeploymentSpec):
        lines += _body_lines(heard.document)
    else:
        lines.append(f"Spec:         cannot be read: {heard.problem}")
    lines += _result_lines(fleet.results.get(name))
    status = fleet.aggregates.get(name)
    if status is not None:
        lines += [f"Phase:        {status.phase}" + (f" ({status.message})" if status.message else "")]
    return lines


def deployment_lines(fleet: Fleet, name: str) -> list[str]:
    """A deployment in lines: the phase, each device, each refusal, the newest commands."""
    status = fleet.aggregates.get(name)
    lines = [f"Name:         {name}"]
    if status is not None:
        lines += _phase_lines(status)
    lines += _result_lines(fleet.results.get(name), reasons=status is None)
    rows = [row for row in fleet.rows(name) if row.device != "-" and row.state != "NotPlaceable"]
    lines.append("Devices:" if rows else "Devices:      none")
    for row in rows:
        lines += _device_part(fleet, row)
    if status is not None and status.truncated:
        lines.append(f"  … and {status.truncated} more devices")
    if status is not None and status.not_placeable:
        lines.append("Not placeable:")
        for refusal in status.not_placeable:
            lines.append(f"  {refusal.device}:")
            lines += _reasons(refusal.reasons, "    ")
    if status is not None and status.waiting_for:
        lines.append(f"Waiting for:  {', '.join(status.waiting_for)} (named in the spec, never heard of)")
    if status is not None and status.commands:
        lines.append("Commands:")
        lines += [
            f"  {item.action} {item.outcome}" + (f": {item.message}" if item.message else "") + f"  [{item.id}]"
            for item in status.commands
        ]
    return lines


def device_lines(row: DeviceRow, runs: Sequence[Row]) -> list[str]:
    """A device in lines."""
    presence = row.presence
    lines = [
        f"Name:         {row.device}",
        f"Online:       {yes_no(row.online)}",
        f"Last seen:    {_seen(row.last_seen)}",
    ]
    if row.measured is not None:
        lines.append(f"Measured:     {span(row.measured)} before it last spoke, by its own clock")
    if presence is not None:
        lines.append(f"Agent:        {presence.agent_version or 'unknown version'}, session epoch {presence.epoch}")
    if row.capabilities is not None:
        lines += capability_lines(row.capabilities)
    if row.allocatable is not None:
        lines += allocatable_lines(row.allocatable)
    lines.append("Deployments:" if runs else "Deployments:  none")
    lines += [
        f"  {item.deployment}  {item.state}  generation {generations(item)}"
        + (f"  {item.message}" if item.message else "")
        for item in runs
    ]
    return lines


def _body_lines(spec: DeploymentSpec) -> list[str]:
    body = spec.spec
    application = f"{body.application.id} {body.application.version}" if body.application else "-"
    created = "" if body.workload.create else " (not created)"
    lines = [
        f"Application:  {application}",
        f"Agents:       {_agents(body)}",
        f"Namespaces:   workload {spec.workload_namespace}{created}, cluster {body.cluster.namespace}",
        f"Requirements: {_requirements(body)}",
        f"Activation:   {body.activation.mode}",
        "Components:",
    ]
    lines += [f"  {item.name}: {_component(item)}" for item in body.components]
    labels = ", ".join(f"{key}={value}" for key, value in sorted(spec.metadata.labels.items()))
    return [f"Labels:       {labels}", *lines] if labels else lines


def _agents(body: SpecBody) -> str:
    agents = body.agents
    if agents.selector is None:
        return ", ".join(agents.devices)
    parts = [f"{key}={value}" for key, value in sorted(agents.selector.match_labels.items())]
    parts += [
        f"{item.key} {item.operator} {','.join(map(str, item.values))}".rstrip()
        for item in agents.selector.match_expressions
    ]
    count = "all" if agents.count == "all" else f"any {agents.count}"
    return f"{count} with {' and '.join(parts)}" if parts else f"{count} devices"


def _requirements(body: SpecBody) -> str:
    wanted = body.requirements
    parts = [f"{wanted.cpu.cores} cores"] if wanted.cpu.cores else []
    parts += [" or ".join(wanted.cpu.architectures)] if wanted.cpu.architectures else []
    parts += [f"{wanted.memory} memory"] if wanted.memory else []
    parts += [f"{wanted.storage} storage"] if wanted.storage else []
    return ", ".join(parts) or "none"


def _component(item: Component) -> str:
    if item.helm is not None:
        version = f" {item.helm.version}" if item.helm.version else ""
        return f"Helm chart {item.helm.chart}{version}"
    if item.kubernetes is not None:
        kinds = [f"{entry['kind']}/{entry['metadata']['name']}" for entry in item.kubernetes.objects]
        return "Kubernetes objects " + ", ".join(kinds)
    return "Compose project"


def _result_lines(result: SpecResult | None, *, reasons: bool = True) -> list[str]:
    if result is None:
        return ["Result:       none: no orchestrator has answered"]
    when = f", {age(result.time)} ago" if result.time else ""
    lines = [f"Result:       {result.outcome}, generation {result.generation}{when}"]
    return lines + (_reasons(result.reasons, "  ") if reasons or result.outcome == "rejected" else [])


def _phase_lines(status: AggregateStatus) -> list[str]:
    counts = ", ".join(f"{count} {state}" for state, count in sorted(status.counts.items()) if count)
    return [
        f"Phase:        {status.phase}" + (f" ({status.message})" if status.message else ""),
        f"Generation:   {status.generation}",
        f"Counts:       {counts or 'none'} of {status.total}",
    ]


def _device_part(fleet: Fleet, row: Row) -> list[str]:
    online = {True: "online", False: "offline", None: "presence unknown"}[row.online]
    lines = [f"  {row.device}: {row.state}, generation {generations(row)}, {online}, last seen {_seen(row.last_seen)}"]
    status = fleet.statuses.get((row.deployment, row.device))
    if row.deployed is not None and row.deployed != row.generation:
        lines.append(f"    runs generation {row.deployed}")
    if status is None:
        return lines + ([f"    {row.message}"] if row.message else [])
    if status.held:
        lines.append(f"    held: {status.held}")
    if status.failure is not None:
        lines.append(f"    {failure_text(status.failure)}")
    lines += [
        f"    {item.name}: {item.state}" + (f": {item.message}" if item.message else "") for item in status.components
    ]
    return lines


def _reasons(reasons: Sequence[Reason], indent: str) -> list[str]:
    lines = []
    for reason in reasons:
        lines.append(f"{indent}{reason}")
        if reason.required is not None and reason.available is not None:
            lines.append(f"{indent}  required {reason.required}, available {reason.available}")
    return lines


def _seen(time: str | None) -> str:
    return f"{age(time)} ago" if time else "unknown"


def _print(settings: Settings, data: Callable[[], Any], lines: Callable[[], list[str]]) -> Exit:
    if settings.output is Output.TABLE:
        for line in lines():
            print(visible(line))
    else:
        print(as_text(settings.output, data()), end="")
    return Exit.OK


def _require(found: bool, kind: str, name: str) -> None:
    if not found:
        raise not_found(kind, name)
