"""Agents for tests: real processes, and light ones that are stepped; with what they talk to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from cli.embedded_broker import ending_with_parent
from edge_agent.adapters.executors import InlineExecutor
from edge_agent.adapters.journal import SqliteJournal, memory_journal
from edge_agent.appliers.port import ApplyError, CancelCheck, ComponentHealth, ProgressReport
from edge_agent.deliberation import Policy
from edge_agent.epochs import Epochs
from edge_agent.ports import Executor
from edge_agent.reports import Reports
from edge_agent.service import AgentService, Item
from edge_agent.settings import AgentSettings
from topics import __version__
from topics.allocation import Share
from topics.channels import Topics
from topics.codec import encode, seal
from topics.documents.device import Capabilities, Cpu, Volume
from topics.documents.manifest import Manifest, ManifestComponent
from topics.documents.query import Answer
from topics.documents.status import DeploymentStatus, TransitionEvent
from topics.errors import ContractError
from topics.lifecycle import State
from topics.program.inbox import Inbox
from topics.transport.port import Connected, Received

DEVICE = "edge-01"
ROOT = Path(__file__).parents[2]


def manifest(
    generation: int, deployment: str = "app", *, device: str = DEVICE, components: Mapping[str, Any] | None = None,
    **fields: Any,
) -> bytes:  # fmt: skip
    """A sealed manifest. ``components`` maps names to the data of a ConfigMap of that name."""
    parts = components if components is not None else {"settings": {"generation": str(generation)}}
    document = Manifest(
        action="apply", deployment=deployment, device=device, generation=generation, workload_namespace="demo",
        components=tuple(
            ManifestComponent(
                name=name, type="kubernetes", source="spec",
                objects=({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data},),
            )
            for name, data in parts.items()
        ),
        **fields,
    )  # fmt: skip
    return seal(encode(document))


def tombstone(generation: int, deployment: str = "app", *, device: str = DEVICE) -> bytes:
    return seal(encode(Manifest(action="remove", deployment=deployment, device=device, generation=generation)))


class FakeApplier:
    """A runtime in memory. ``errors`` maps a method's name to what it raises, as long as it stands there."""

    types: ClassVar[frozenset[str]] = frozenset({"kubernetes"})

    def __init__(self) -> None:
        self.errors: dict[str, Exception] = {}
        self.calls: list[tuple[str, str, int | str]] = []
        self.running: dict[str, int] = {}
        self.ill: set[str] = set()
        self.changed: Callable[[str], None] = lambda deployment: None
        self.closed = False

    def check(self, manifest: Manifest) -> None:
        self._called("check", manifest.deployment, manifest.generation)

    def download(self, manifest: Manifest, progress: ProgressReport, cancelled: CancelCheck) -> None:
        self._called("download", manifest.deployment, manifest.generation)
        for component in manifest.components:
            progress(component.name, 10, 10)

    def initialize(self, manifest: Manifest, cancelled: CancelCheck) -> None:
        self._called("initialize", manifest.deployment, manifest.generation)

    def apply(self, manifest: Manifest, component: str, cancelled: CancelCheck) -> None:
        self._called(f"apply-{manifest.generation}", manifest.deployment, component)
        self._called("apply", manifest.deployment, component)
        self.running[manifest.deployment] = manifest.generation

    def finish(self, manifest: Manifest) -> None:
        self._called("finish", manifest.deployment, manifest.generation)

    def health(self, manifest: Manifest) -> tuple[ComponentHealth, ...]:
        self._called("health", manifest.deployment, manifest.generation)
        return tuple(
            ComponentHealth(component.name, component.name not in self.ill) for component in manifest.components
        )

    def remove(self, deployment: str, cancelled: CancelCheck) -> None:
        self._called("remove", deployment, 0)
        self.running.pop(deployment, None)

    def discard(self, deployment: str, generation: int) -> None:
        self._called("discard", deployment, generation)

    def watch(self, changed: Callable[[str], None]) -> None:
        self.changed = changed

    def close(self) -> None:
        self.closed = True

    def _called(self, method: str, deployment: str, what: int | str) -> None:
        self.calls.append((method, deployment, what))
        if method in self.errors:
            raise self.errors[method]


def apply_error(code: str = "broken", *, retryable: bool = False) -> ApplyError:
    return ApplyError(code, f"{code} happened", retryable=retryable)


class FakeBus:
    """A broker that takes everything and delivers when it is told to."""

    def __init__(self, journal: SqliteJournal) -> None:
        self.connected = False
        self.published: list[tuple[str, bytes, int, bool]] = []
        self.retained: dict[str, bytes] = {}
        self.tokens: list[int] = []
        self.acknowledged: list[Received] = []
        self.farewell: tuple[str, bytes] | None = None
        self.too_large: set[str] = set()
        self.on_acknowledge: Callable[[], None] = lambda: None
        self._journal = journal

    def start(self) -> None:
        """The test connects it."""

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, token: int = 0) -> None:
        if topic in self.too_large:
            raise ContractError.because("oversize", "too large")
        self.published.append((topic, payload, qos, retain))
        if retain:
            self.retained[topic] = payload
        if token:
            self.tokens.append(token)

    def acknowledge(self, message: Received) -> None:
        self.acknowledged.append(message)
        self.on_acknowledge()

    def check(self) -> None:
        """Nothing is owed here."""

    def stop(self, farewell: tuple[str, bytes] | None = None) -> None:
        self.farewell = farewell


class FakeClock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> str:
        return "1970-01-01T00:00:00Z"


class FakeProbe:
    """A device with four cores and 8 GiB."""

    def __init__(self, device: str = DEVICE) -> None:
        self.found = Capabilities(
            device=device, cpus=(Cpu(architecture="amd64", cores=4),), memory=8 * 2**30,
            storage=(Volume(path="/", capacity=64 * 2**30),), appliers=("kubernetes",),
        )  # fmt: skip
        self.unused = Share(memory=6 * 2**30, storage=32 * 2**30)

    def capabilities(self) -> Capabilities:
        return self.found

    def free(self, capabilities: Capabilities) -> Share:
        return self.unused


class LightAgent:
    """An agent without threads and without a network, stepped by the test."""

    def __init__(
        self,
        journal: SqliteJournal | None = None,
        applier: FakeApplier | None = None,
        executor: Executor | None = None,
    ) -> None:
        self.journal = journal or memory_journal()
        self.applier = applier or FakeApplier()
        self.probe = FakeProbe()
        self.bus = FakeBus(self.journal)
        self.clock = FakeClock()
        self.inbox: Inbox[Item] = Inbox()
        self.topics = Topics()
        self.epochs = Epochs(self.journal.boot)
        self._packet = 0
        self.service = AgentService(
            AgentSettings(DEVICE, policy=Policy(health_seconds=10.0)),
            topics=self.topics, bus=self.bus, inbox=self.inbox, journal=self.journal, applier=self.applier,
            probe=self.probe, executor=executor or InlineExecutor(), clock=self.clock, jitter=lambda: 0.0,
            reports=Reports(self.topics, DEVICE, self.journal.id, __version__, 30.0),
        )  # fmt: skip
        self.service.start()
        self.clock.now += 1.0  # the first measurement is long enough ago for a question to start another

    def connect(self) -> Self:
        self.bus.connected = True
        self.inbox.put(Connected(self.epochs.next(), session_present=False))
        return self.settle()

    def receive(self, branch: str, payload: bytes, deployment: str = "app") -> Self:
        self._packet += 1
        topic = f"fleetbus/v1/devices/{DEVICE}/{branch}/{deployment}"
        self.inbox.put(Received(topic, payload, 1, False, self._packet, 1))
        return self.settle()

    def ask(self, payload: bytes, *, retain: bool = False) -> Self:
        """A message on the device's query topic comes in; nothing is stepped."""
        topic = f"fleetbus/v1/devices/{DEVICE}/queries"
        self.inbox.put(Received(topic, payload, 0, retain, 0, 1))
        return self

    def answers(self) -> list[Answer]:
        """Every answer published so far; each with QoS 0 and not retained."""
        found = [message for message in self.bus.published if message[0].endswith("/answers")]
        assert all((qos, retain) == (0, False) for _, _, qos, retain in found)
        return [Answer.model_validate_json(body) for _, body, *_ in found]

    def settle(self, seconds: float = 0.0) -> Self:
        """Let time pass, then step until nothing happens any more."""
        self.clock.now += seconds
        for _ in range(30):
            self.service.step(0.0)
        return self

    def status(self, deployment: str = "app") -> DeploymentStatus:
        return DeploymentStatus.model_validate_json(self.bus.retained[self.topic("status", deployment)])

    def events(self, deployment: str = "app") -> list[TransitionEvent]:
        topic = self.topic("events", deployment)
        return [TransitionEvent.model_validate_json(body) for name, body, *_ in self.bus.published if name == topic]

    @staticmethod
    def topic(branch: str, deployment: str = "app") -> str:
        return f"fleetbus/v1/devices/{DEVICE}/{branch}/{deployment}"


class AgentProcess:
    """``fleetbus-agent`` as a process of its own; ended by its id only."""

    def __init__(self, url: str, folder: Path, *, device: str = DEVICE, options: tuple[str, ...] = ()) -> None:
        self._command = [
            sys.executable, "-m", "edge_agent", "--broker", url, "--device", device, "--data", str(folder / "data"),
            "--manifests", str(folder / "manifests"), "--health-every", "0.5", *options,
        ]  # fmt: skip
        self.manifests = folder / "manifests"
        self.data = folder / "data"
        self.log = folder / "agent.log"
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, *, failpoints: str = "") -> None:
        environment = {**os.environ, "FLEETBUS_FAILPOINTS": failpoints}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ending_with_parent(self._command), cwd=ROOT, env=environment, stdout=log, stderr=log
            )

    def stop(self) -> tuple[int, float]:
        """End it in order; its exit status and the seconds it took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.terminate()
        return self.process.wait(20), time.monotonic() - began

    def kill(self) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def states(events: list[TransitionEvent]) -> list[State]:
    return [event.target for event in events]
