"""``fleetbus demo``: the whole system on this machine, with the examples, in a few seconds.

Broker, orchestrator and agents are the real programs as separate processes; this module only publishes
specs and watches the bus, as any operator's program could.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cli.context import QUIET_SECONDS, Output, Settings
from cli.demo_processes import DEVICES, DemoError, DemoProcesses
from cli.demo_view import DemoView, view_for
from cli.exits import CliError, Exit
from cli.fleet import Fleet
from cli.session import Session
from cli.spec_files import SpecFile, load_specs
from topics import channels
from topics.channels import Topics
from topics.documents.answer import AggregateStatus
from topics.lifecycle import State
from topics.transport.settings import broker_settings

STEP_SECONDS = 60.0
"""How long one step may take before the demo says that something is wrong; it takes about one second."""

_WATCHED = (
    channels.RESULT, channels.AGGREGATE, channels.STATUS, channels.EVENT, channels.PRESENCE, channels.CAPABILITIES,
)  # fmt: skip
_UPDATED, _REMOVED = "line-monitor", "shift-report"
_NEW_VERSION = ("2.1.0", "2.2.0")


def demo(*, keep: bool, examples: Path | None) -> Exit:
    """Run it all; the exit code is that of a failure if a deployment failed or a program ended."""
    folder = examples or _examples()
    specs = load_specs([folder])
    previous = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with (
            tempfile.TemporaryDirectory(prefix="fleetbus-demo-") as data,
            DemoProcesses(Path(data), folder, usual_ports=keep) as processes,
        ):
            return _run(processes, specs, keep=keep)
    except DemoError as error:
        print(f"fleetbus demo: {error}", file=sys.stderr)
        return Exit.FAILED
    except KeyboardInterrupt:
        print("fleetbus demo: interrupted; everything is stopped", file=sys.stderr)
        return Exit.FAILED
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _run(processes: DemoProcesses, specs: Sequence[SpecFile], *, keep: bool) -> Exit:
    topics = Topics()
    settings = Settings(broker_settings(processes.broker.url), topics, Output.TABLE, None, QUIET_SECONDS)
    filters = [topics.filter(channel) for channel in (*_WATCHED, channels.ORCHESTRATOR_PRESENCE)]
    try:
        processes.start_programs()
        with view_for(processes.broker) as view, Session(settings, filters, stays=True) as session:
            stage = _Stage(processes, session, topics, view)
            stage.play(specs)
        view.summary(processes)
        if keep:
            _stay(processes)
    except (DemoError, CliError) as error:
        print(f"\nfleetbus demo: {error}", file=sys.stderr)
        for name, text in processes.logs():
            print(f"\n--- the end of the log of {name}:\n{text}", file=sys.stderr)
        return Exit.FAILED
    return Exit.OK


class _Stage:
    """What happens, step by step; each ends when the bus says that it is so."""

    def __init__(self, processes: DemoProcesses, session: Session, topics: Topics, view: DemoView) -> None:
        self._processes = processes
        self._session = session
        self._topics = topics
        self._view = view
        self._fleet: Fleet = view.fleet

    def play(self, specs: Sequence[SpecFile]) -> None:
        """All of the steps."""
        fleet, names = self._fleet, [item.name for item in specs]
        self._step("starting orchestrator and agents", self._everybody_is_there)
        for item in specs:
            self._publish(item.name, item.payload)
        self._step(f"deploying {', '.join(names)}", lambda: all(self._is_settled(name, 1) for name in names))
        updated = next((item for item in specs if item.name == _UPDATED), None)
        if updated is not None:
            old, new = (version.encode() for version in _NEW_VERSION)
            generation = fleet.aggregates[_UPDATED].generation + 1
            self._publish(_UPDATED, updated.payload.replace(old, new))
            self._step(f"updating {_UPDATED} to {_NEW_VERSION[1]}", lambda: self._is_settled(_UPDATED, generation))
        if _REMOVED in names:
            self._view.remember(_REMOVED)
            self._publish(_REMOVED, b"")
            self._step(f"removing {_REMOVED}", lambda: _REMOVED not in fleet.names())

    def _publish(self, name: str, payload: bytes) -> None:
        self._view.published(name, time.monotonic())
        topic = self._topics.topic(channels.SPEC, deployment=name)
        self._session.publish(topic, payload, retain=True, timeout=STEP_SECONDS)

    def _step(self, title: str, is_done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + STEP_SECONDS
        self._view.step(title)
        while not is_done():
            if time.monotonic() > deadline:
                raise DemoError(f"{title}: not finished within {STEP_SECONDS:g} s")
            self._turn()
        self._view.finished()
        until = time.monotonic() + self._view.pause_seconds
        while time.monotonic() < until:
            self._turn()

    def _turn(self) -> None:
        self._processes.check()
        heard = self._session.next(0.1)
        if heard is not None:
            self._view.take(heard)
        self._view.refresh()

    def _everybody_is_there(self) -> bool:
        fleet = self._fleet
        orchestrator = fleet.orchestrator
        return (
            orchestrator is not None
            and orchestrator.online
            and all(device.id in fleet.capabilities and fleet.online(device.id) for device in DEVICES)
        )

    def _is_settled(self, name: str, generation: int) -> bool:
        """Whether nothing more will happen; raises ``DemoError`` if it was refused or failed."""
        result, status = self._fleet.results.get(name), self._fleet.aggregates.get(name)
        if result is not None and result.outcome == "rejected":
            raise DemoError(f"{name} was rejected: {'; '.join(str(reason) for reason in result.reasons)}")
        if status is None or status.generation < generation:
            return False
        if status.phase == "Failed" and not _tries_again(status):
            raise DemoError(f"{name} failed: {status.message}")
        if status.phase != "Deployed":
            return status.phase == "NotPlaceable"
        # The events travel beside the aggregate; the table shall be complete, too.
        return all(row.settled for row in self._fleet.rows(name) if row.state != "NotPlaceable")


def _tries_again(status: AggregateStatus) -> bool:
    return any(
        item.failure is not None and item.failure.next_retry_seconds is not None
        for item in status.devices
        if item.state is State.FAILED
    )


def _stay(processes: DemoProcesses) -> None:
    """Keep everything up until a signal; a program that ends meanwhile ends the demo, too."""
    broker = processes.broker
    print(
        f"\nEverything stays up until Ctrl-C.\n"
        f"  MQTT       {broker.url}\n"
        f"  WebSocket  {broker.ws_url}\n"
        f"  manifests  {processes.manifests('edge-01').parent}\n\n"
        f"Try in another terminal:\n"
        f"  export FLEETBUS_BROKER={broker.url}\n"
        f"  fleetbus watch\n"
        f"  fleetbus describe deployment edge-historian\n"
        f"  fleetbus apply -f examples/shift-report.yaml --wait\n"
        f"  fleetbus delete {_UPDATED} --wait\n"
        f"  mosquitto_sub -p {broker.port} -v -t 'fleetbus/v1/#'\n",
        flush=True,
    )
    try:
        while True:
            processes.check()
            time.sleep(0.5)
    except KeyboardInterrupt:
        print("stopping")


def _examples() -> Path:
    """The example specs: beside the package in a checkout, in the package in a wheel."""
    here = Path(__file__).resolve().parent
    for folder in (here / "examples", here.parent / "examples"):
        if (folder / "line-monitor.yaml").is_file():
            return folder
    raise CliError(Exit.USAGE, "the example specs are not installed here; name their folder with --examples")


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
