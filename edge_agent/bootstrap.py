"""The only wiring: which part stands behind which port."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge_agent.adapters.executors import ThreadExecutor
from edge_agent.adapters.journal import open_journal
from edge_agent.adapters.system import Correction, DeviceProbe, Told, as_measured
from edge_agent.appliers import port
from edge_agent.appliers.registry import load_applier
from edge_agent.appliers.several import SeveralAppliers
from edge_agent.config import Config
from edge_agent.epochs import Epochs
from edge_agent.probe.runtimes import RuntimeSources
from edge_agent.reports import Reports
from edge_agent.service import AgentService, Item
from topics import __version__, channels
from topics.channels import Topics
from topics.identifiers import client_id
from topics.program.clock import SystemClock
from topics.program.inbox import Inbox
from topics.program.lock import DataFolderLock
from topics.program.logs import EventLog
from topics.program.options import OptionError
from topics.program.runner import SignOfLife
from topics.transport.mqtt import SUBSCRIBE_AGAIN_SECONDS, MqttBus
from topics.transport.port import BusEvent, Received
from topics.transport.settings import BrokerSettings


def build(config: Config) -> AgentService:
    """The agent of a configuration, ready to ``start``. It holds the lock of its data folder.

    Raises ``OptionError`` for an option that proves wrong, ``DataFolderInUseError`` and ``JournalError``.
    """
    settings = config.settings
    _make(config.data)
    lock = DataFolderLock(config.data)
    try:
        applier = applier_of(config)
        probe = device_probe(config, applier)
    except port.OptionError as error:
        lock.release()
        raise OptionError(f"--applier {','.join(config.appliers)}: {error}") from error
    except OptionError:
        lock.release()
        raise
    journal = open_journal(config.data)
    reports = Reports(config.topics, settings.device, journal.id, __version__, settings.heartbeat_seconds)
    inbox: Inbox[Item] = Inbox()
    return AgentService(
        settings,
        topics=config.topics,
        bus=mqtt_bus(
            config.broker,
            config.topics,
            settings.device,
            # Only messages wait for room: the deciding thread itself may report a delivery.
            on_event=lambda event: inbox.put(event, bounded=isinstance(event, Received)),
            epochs=Epochs(journal.boot),
            reports=reports,
        ),
        inbox=inbox,
        journal=journal,
        applier=applier,
        probe=probe,
        executor=ThreadExecutor(),
        reports=reports,
        clock=SystemClock(),
        alive=SignOfLife(config.data),
    )


def applier_of(config: Config) -> port.Applier:
    """The applier, or one of all of them if there are several."""
    appliers = {name: load_applier(name, options) for name, options in config.appliers.items()}
    return SeveralAppliers(appliers) if len(appliers) > 1 else next(iter(appliers.values()))


def device_probe(config: Config, applier: port.Applier) -> DeviceProbe:
    """What measures the device. Raises ``OptionError`` for a capabilities file that cannot be used."""
    log = EventLog("edge_agent", device=config.settings.device)
    return DeviceProbe(
        Told(config.settings.device, config.labels, config.gateway),
        config.data,
        applier.types,
        __version__,
        runtimes=RuntimeSources(kubeconfig=config.kubeconfig),
        log=log,
        correct=_correction(config.capabilities, config.settings.device, log) if config.capabilities else as_measured,
    )


def _correction(path: Path, device: str, log: EventLog) -> Correction:
    # Imported only here: most devices have no such file, and its models cost memory.
    from edge_agent.adapters.operators_file import OperatorsFile
    from edge_agent.capabilities_file import CapabilitiesFileError

    try:
        return OperatorsFile(path, device, log).correct
    except CapabilitiesFileError as error:
        raise OptionError(f"--capabilities {error}") from error


def mqtt_bus(
    broker: BrokerSettings,
    topics: Topics,
    device: str,
    *,
    on_event: Callable[[BusEvent], None],
    epochs: Epochs,
    reports: Reports,
) -> MqttBus:
    """The agent's connection: its own manifests and commands, and a will for each session."""
    return MqttBus(
        broker,
        client_id("agent", device),
        on_event=on_event,
        subscriptions=subscriptions(topics, device),
        epoch=epochs.next,
        will=lambda epoch: reports.presence(False, epoch),
        subscribe_again_seconds=SUBSCRIBE_AGAIN_SECONDS,
    )


def subscriptions(topics: Topics, device: str) -> list[tuple[str, int]]:
    """The agent's filters, each with its QoS.

    Questions are the table's QoS 0: who gets no answer asks again.
    Commands come with QoS 0: one that is lost is sent again, because the orchestrator repeats what is
    unanswered with every heartbeat and every new session. A QoS 1 subscription costs a NATS server a consumer,
    and each acknowledgement looks at all of them (measured with 1,000 devices: half the server's time).
    """
    return [
        (topics.filter(channels.MANIFEST, device=device), channels.MANIFEST.qos),
        (topics.filter(channels.COMMAND, device=device), 0),
        (topics.filter(channels.QUERY, device=device), channels.QUERY.qos),
    ]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"--data {folder}: {error.strerror}") from error
