"""What a device's presence and capabilities bring about."""

from __future__ import annotations

from collections import ChainMap
from dataclasses import replace

from orchestrator import outbound
from orchestrator.decide_spec import adopt, place_spec
from orchestrator.decision import Context, Decision, DeviceSilent
from orchestrator.model import DeploymentRecord, DeviceRecord, Fleet, SpecRecord
from orchestrator.placement import may_concern, refusal
from topics.documents.device import Capabilities, Presence


def decide_presence(fleet: Fleet, presence: Presence, live: bool, context: Context) -> Decision:
    """A birth, a heartbeat or a will. ``live`` is false for a retained message: no proof of life.

    A will of an older session than the last birth came late and is ignored, and so is one of a
    journal that the device no longer has.
    """
    decision = Decision()
    known = fleet.devices.get(presence.device) or DeviceRecord(presence.device)
    same_journal = presence.journal == known.journal
    if same_journal and presence.epoch < known.epoch:
        decision.note("older session ignored", device=presence.device, epoch=presence.epoch, known=known.epoch)
        return decision
    if not same_journal and not presence.online and known.journal:
        return decision
    record = replace(
        known,
        online=presence.online,
        epoch=presence.epoch,
        journal=presence.journal,
        agent_version=presence.agent_version or known.agent_version,
        heartbeat_seconds=presence.heartbeat_seconds,
        last_seen=context.wall if live else known.last_seen,
    )
    decision.records.append(record)
    if record.online != known.online:
        decision.note("device online" if record.online else "device offline", device=record.device, epoch=record.epoch)
        decision.touched.update(deployment.name for deployment in fleet.of_device(record.device))
    if record.journal != known.journal:
        _start_anew(fleet, record, context, decision)
    if record.online:  # a birth or a heartbeat: whatever was lost on its way is sent again, until it is answered
        _send_open_commands(fleet, record, context, decision)
    return decision


def decide_silence(fleet: Fleet, event: DeviceSilent, context: Context) -> Decision:
    """No heartbeat for too long: offline, whatever the broker says or does not say."""
    decision = Decision()
    known = fleet.devices.get(event.device)
    if known is not None and known.online:
        decision.records.append(replace(known, online=False))
        decision.touched.update(deployment.name for deployment in fleet.of_device(event.device))
        decision.note("device offline", device=event.device, cause="no heartbeat", epoch=known.epoch)
    return decision


def decide_capabilities(fleet: Fleet, capabilities: Capabilities, digest: str, context: Context) -> Decision:
    """What a device is: the specs that may concern it are placed anew.

    A device that runs a deployment keeps it when it no longer fits (only a change of the spec takes a
    deployment off); its status then says what it lacks.
    """
    decision = Decision()
    known = fleet.devices.get(capabilities.device) or DeviceRecord(capabilities.device)
    if known.capabilities_digest == digest:
        return decision
    record = replace(known, capabilities=capabilities, capabilities_digest=digest)
    decision.records.append(record)
    decision.note("capabilities", device=record.device, labels=dict(capabilities.labels))
    for spec in fleet.specs.values():
        if spec.spec is None:
            continue
        if not may_concern(spec.spec, record.device, capabilities.labels):
            if record.device in fleet.refusals.get(spec.name, ()):
                decision.refusals.append((spec.name, record.device, ()))  # it is not even selected any more
                decision.touched.add(spec.name)
            continue
        if spec.spec.spec.agents.count == "all":
            _place_one(fleet, spec, capabilities, decision)
        else:
            devices = ChainMap({record.device: record}, fleet.devices)
            place_spec(fleet, spec, context, decision, changed=False, devices=devices)
    return decision


def _place_one(fleet: Fleet, spec: SpecRecord, capabilities: Capabilities, decision: Decision) -> None:
    """Where every device that fits is taken, one device's change concerns no other."""
    assert spec.spec is not None, "a deleted spec is not placed"
    device = capabilities.device
    reasons = refusal(spec.spec, capabilities)
    decision.refusals.append((spec.name, device, reasons))
    decision.touched.add(spec.name)
    if not reasons:
        adopt(spec, [device], fleet.of_spec(spec.name), decision)


def _start_anew(fleet: Fleet, device: DeviceRecord, context: Context, decision: Decision) -> None:
    """Another journal: what was reported before belongs to the past, and its sequences start again.

    Reports of the new journal may have come before this presence and were ignored: ask for them.
    """
    for deployment in fleet.of_device(device.device):
        if deployment.journal not in ("", device.journal):
            fresh = forget_reports(deployment, device.journal)
            decision.records.append(fresh)
            decision.publications.append(outbound.replay(context, fresh, f"replay-{device.epoch}"))
            decision.touched.add(deployment.name)


def forget_reports(deployment: DeploymentRecord, journal: str) -> DeploymentRecord:
    """The record with everything reported taken out, for reports of another journal."""
    return DeploymentRecord(
        deployment.name,
        deployment.device,
        desired_generation=deployment.desired_generation,
        desired_digest=deployment.desired_digest,
        removing=deployment.removing,
        journal=journal,
    )


def _send_open_commands(fleet: Fleet, device: DeviceRecord, context: Context, decision: Decision) -> None:
    for command in fleet.open_commands(device.device):
        decision.publications.append(outbound.command(context, command))
