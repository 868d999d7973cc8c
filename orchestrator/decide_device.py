"""What a device's presence, capabilities and promises bring about."""

from __future__ import annotations

from dataclasses import replace

from orchestrator import outbound
from orchestrator.decision import Context, Decision, DeviceSilent
from orchestrator.model import DeploymentRecord, DeviceRecord, Fleet
from topics.allocation import NOTHING, Share, larger_of
from topics.documents.device import Allocatable, Capabilities, Presence


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
    if known.journal and not same_journal and known.promised:
        record = replace(record, promised=())  # a device that was set up anew promised nothing yet
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
    """What a device is: the specs that it may concern are decided one after another (``orchestrator.engine``).

    Whether a device that no longer suits keeps what it runs is the spec's to say (``onMismatch``).
    """
    decision = Decision()
    known = fleet.devices.get(capabilities.device) or DeviceRecord(capabilities.device)
    if known.capabilities_digest == digest:
        return decision
    record = replace(known, capabilities=capabilities, capabilities_digest=digest)
    decision.records.append(record)
    decision.described.append(record.device)
    decision.note("capabilities", device=record.device, labels=dict(capabilities.labels))
    return decision


def decide_allocatable(fleet: Fleet, allocatable: Allocatable, context: Context) -> Decision:
    """What the device says it promised: it counts beside what was reserved here, the larger of each deployment.

    One of an older session than the last birth is ignored. What says nothing new is no decision at all.
    """
    decision = Decision()
    known = fleet.devices.get(allocatable.device) or DeviceRecord(allocatable.device)
    if allocatable.epoch < known.epoch:
        return decision
    said: dict[str, Share] = {}
    for item in allocatable.promised:
        share = Share(max(0, item.cpu), max(0, item.memory), max(0, item.storage))
        said[item.deployment] = larger_of((share, said.get(item.deployment, NOTHING)))
    promised = tuple((name, said[name]) for name in sorted(said))
    if promised == known.promised:
        return decision
    decision.records.append(replace(known, promised=promised))
    before = {name for name, _ in known.promised}
    decision.touched |= {name for name, _ in promised if name not in before and name in fleet.specs}
    return decision


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
        assignment=deployment.assignment,
        journal=journal,
    )


def _send_open_commands(fleet: Fleet, device: DeviceRecord, context: Context, decision: Decision) -> None:
    for command in fleet.commands.open_of(device.device):
        decision.publications.append(outbound.command(context, command))
