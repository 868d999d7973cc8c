"""Rendering and commands: how a generation reaches its devices, and what operators may do about it."""

from __future__ import annotations

from dataclasses import replace

from orchestrator import outbound
from orchestrator.assignment import request_lacking
from orchestrator.commands import CommandRecord
from orchestrator.decision import (
    CommandExpired,
    Context,
    Decision,
    ExpireCommand,
    Render,
    RenderDue,
    Rendered,
    RenderFailed,
    RetryRender,
)
from orchestrator.model import DeploymentRecord, Fleet, Problem, SpecRecord
from topics.codec import digest_of
from topics.documents.command import DEVICE_ACTIONS, Action, OperatorCommand
from topics.errors import ContractError


def decide_rendered(fleet: Fleet, event: Rendered, context: Context) -> Decision:
    """Manifests are ready: publish those that are still wanted."""
    decision = Decision()
    spec = fleet.specs.get(event.name)
    if spec is None or spec.deleted or spec.generation != event.generation or spec.paused:
        return decision  # overtaken by a newer generation, a deletion or a pause; each asks again itself
    if spec.pins and event.pins != spec.pins:
        # Two renders were under way when a tag moved. Devices of one generation get the same chart.
        again = tuple(sorted({*event.manifests, *event.refused}))
        decision.effects.append(Render(spec.name, spec.generation, again))
        return decision
    share = fleet.matcher(spec).needed
    for device, payload in event.manifests.items():
        deployment = _waiting(fleet, event, device)
        if deployment is None:
            continue
        publication = outbound.manifest(context, event.name, device, payload)
        decision.publications.append(publication)
        decision.records.append(
            deployment._replace(
                desired_generation=event.generation,
                desired_digest=publication.digest,
                assignment=replace(deployment.assignment, share=share),
            )
        )
        decision.rendered.append((event.name, event.generation, device, ()))
    _refuse(fleet, spec, event, decision)
    if spec.problem is not None:
        spec = replace(spec, problem=None, pins=event.pins)
        _answer(spec, decision)
        request_lacking(fleet, spec, decision, but={*event.manifests, *event.refused})
    elif spec.pins != event.pins:
        decision.records.append(replace(spec, pins=event.pins))
    decision.touched.add(event.name)
    decision.note("manifests published", deployment=spec.name, generation=spec.generation, devices=len(event.manifests))
    return decision


def _waiting(fleet: Fleet, event: Rendered, device: str) -> DeploymentRecord | None:
    """The deployment, if it still lacks what was rendered. A device that has this generation keeps it: the same
    rendered later may be other bytes (a label changed), and a generation never stands for two contents."""
    deployment = fleet.deployment(event.name, device)
    if deployment is None or deployment.removing or deployment.assigned != event.generation:
        return None
    return deployment if deployment.desired_generation < event.generation else None


def _refuse(fleet: Fleet, spec: SpecRecord, event: Rendered, decision: Decision) -> None:
    """Devices that this generation cannot be rendered for: said with every reason; they keep what they have. Where
    the spec wants a number of devices, others are chosen in their place."""
    refused = {device: why for device, why in event.refused.items() if _waiting(fleet, event, device) is not None}
    for device, reasons in refused.items():
        decision.rendered.append((event.name, event.generation, device, reasons))
        decision.refusals.append((event.name, device, reasons))
        decision.note(
            "cannot be rendered for device", warning=True, deployment=spec.name, device=device,
            generation=event.generation, reasons=[str(reason) for reason in reasons[:5]],
        )  # fmt: skip
    if refused:
        decision.answered.add(spec.name)
        if fleet.matcher(spec).agents.count != "all":
            decision.replaced.append(spec.name)


def decide_render_failed(fleet: Fleet, event: RenderFailed, context: Context) -> Decision:
    """Say why, in result and aggregate; try again if that can help. What runs keeps running."""
    decision = Decision()
    spec = fleet.specs.get(event.name)
    if spec is None or spec.deleted or spec.generation != event.generation:
        return decision
    attempt = spec.problem.attempt + 1 if spec.problem else 1
    problem = Problem(event.reasons, event.retryable, attempt)
    _answer(replace(spec, problem=problem), decision)
    if problem.pause is not None:
        decision.effects.append(RetryRender(spec.name, problem.pause))
    decision.note(
        "rendering failed", warning=True, deployment=spec.name, generation=spec.generation, attempt=attempt,
        retryable=event.retryable, reasons=[str(reason) for reason in event.reasons[:5]],
    )  # fmt: skip
    return decision


def decide_render_due(fleet: Fleet, event: RenderDue, context: Context) -> Decision:
    """Render what devices still lack: after a back-off, a resume, or a restart."""
    decision = Decision()
    spec = fleet.specs.get(event.name)
    if spec is not None and not spec.deleted:
        request_lacking(fleet, spec, decision)
    return decision


def decide_command(fleet: Fleet, name: str, command: OperatorCommand, context: Context) -> Decision:
    """An operator's command: pause and resume here, the rest on to the devices that are meant."""
    spec = fleet.specs.get(name)
    if spec is None or spec.deleted:
        return _refused(name, command, f"there is no deployment {name!r}")
    known = next((record for record in fleet.commands.values() if record.id == command.id), None)
    if known is not None:
        # Delivered twice; or the id was used before, and two answers could not be told apart.
        return Decision() if known.name == name else _refused(name, command, f"its id was used for {known.name!r}")
    if command.generation is not None and command.generation != spec.generation:
        return _refused(name, command, f"is for generation {command.generation}, wanted is {spec.generation}", fleet)
    if command.action in DEVICE_ACTIONS:
        return _to_devices(fleet, spec, command, context)
    return _pause_or_resume(fleet, spec, command)


def refuse_malformed(fleet: Fleet, name: str, payload: bytes, error: ContractError) -> Decision:
    """A command that cannot be read: refused in the aggregate, under a name made from its bytes."""
    decision = Decision()
    id = f"unreadable-{digest_of(payload)[7:19]}"
    why = "; ".join(str(reason) for reason in error.reasons[:5])
    decision.note("command refused", warning=True, deployment=name, id=id, why=why)
    spec = fleet.specs.get(name)
    if spec is not None and not spec.deleted and (id, "") not in fleet.commands:
        decision.records.append(CommandRecord(id, name, "", "unreadable", 0, 0.0, "refused", why))
        decision.touched.add(name)
    return decision


def decide_command_expired(fleet: Fleet, event: CommandExpired, context: Context) -> Decision:
    """Nobody answered in time: the command is void and is not sent again."""
    decision = Decision()
    record = fleet.commands.get((event.id, event.device))
    if record is not None and not record.outcome:
        why = f"{record.device} did not answer within {record.expiry_seconds:g} s"
        decision.records.append(replace(record, outcome="expired", message=why))
        decision.touched.add(record.name)
        decision.note("command expired", deployment=record.name, device=record.device, id=record.id)
    return decision


def _to_devices(fleet: Fleet, spec: SpecRecord, command: OperatorCommand, context: Context) -> Decision:
    decision = Decision()
    deployments = fleet.of_spec(spec.name)
    meant = command.devices or tuple(sorted(deployments))
    unknown = [device for device in meant if device not in deployments]
    if unknown or not meant:
        why = f"{', '.join(unknown)} does not hold {spec.name}" if unknown else f"no device holds {spec.name}"
        return _refused(spec.name, command, why, fleet)
    for device in meant:
        record = CommandRecord(
            command.id, spec.name, device, command.action, deployments[device].desired_generation,
            command.expiry_seconds,
        )  # fmt: skip
        decision.records.append(record)
        decision.effects.append(ExpireCommand(record.id, device, record.expiry_seconds))
        if device in fleet.devices and fleet.devices[device].online:
            # Not queued for an offline device: it is sent when the device comes back, if it still holds then.
            decision.publications.append(outbound.command(context, record))
    decision.touched.add(spec.name)
    decision.note("command", deployment=spec.name, action=str(command.action), id=command.id, devices=len(meant))
    return decision


def _pause_or_resume(fleet: Fleet, spec: SpecRecord, command: OperatorCommand) -> Decision:
    decision = Decision()
    record = replace(spec, paused=command.action is Action.PAUSE)
    decision.records.append(record)
    decision.records.append(
        _answered(spec.name, command, "done", "rollout " + ("paused" if record.paused else "goes on"))
    )
    if not record.paused:
        request_lacking(fleet, record, decision)
    decision.touched.add(spec.name)
    decision.note("command", deployment=spec.name, action=str(command.action), id=command.id)
    return decision


def _refused(name: str, command: OperatorCommand, why: str, fleet: Fleet | None = None) -> Decision:
    """``fleet`` only where there is an aggregate in which the refusal can be seen."""
    decision = Decision()
    decision.note("command refused", warning=True, deployment=name, id=command.id, why=why)
    if fleet is not None:
        decision.records.append(_answered(name, command, "refused", why))
        decision.touched.add(name)
    return decision


def _answered(name: str, command: OperatorCommand, outcome: str, message: str) -> CommandRecord:
    return CommandRecord(
        command.id, name, "", command.action, command.generation or 0, command.expiry_seconds, outcome, message
    )


def _answer(spec: SpecRecord, decision: Decision) -> None:
    decision.records.append(spec)
    decision.answered.add(spec.name)
    decision.touched.add(spec.name)
