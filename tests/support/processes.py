"""The project's programs as real processes, and a site of them on one broker.

A program is ready when it has published what it publishes on every start. Processes are ended by
their id only and never outlive the tests; the end of their logs is shown when a test fails, and a
traceback in any log fails the test that caused it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import yaml

from cli.embedded_broker import ending_with_parent
from tests.support.brokers import Broker
from tests.support.observer import WAIT_SECONDS, Observer, publish
from topics.codec import canonical_json

REPOSITORY = Path(__file__).parents[2]
_LOG_SHOWN = 6_000  # characters of each log


class Program:
    """One ``python -m ...`` with its log; started, stopped and killed as often as a test likes."""

    def __init__(self, name: str, arguments: list[str], log: Path) -> None:
        self.name = name
        self.log = log
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._may_end = True

    def start(self, *, failpoints: str = "", environment: dict[str, str] | None = None) -> None:
        """``failpoints`` as in ``topics.program.failpoints``."""
        assert not self.running, f"{self.name} runs already"
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("FLEETBUS_")}
        self._may_end = bool(failpoints)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ending_with_parent([sys.executable, *self._arguments]),
                cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=inherited | {"FLEETBUS_FAILPOINTS": failpoints} | (environment or {}),
            )  # fmt: skip

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self) -> tuple[int, float]:
        """SIGTERM; the exit status, and the seconds until the end."""
        assert self._process is not None
        self._may_end = True
        began = time.monotonic()
        self._process.terminate()
        return self.wait_ended(), time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL, if it still runs."""
        self._may_end = True
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def status_after(self, seconds: float) -> int | None:
        """The exit status as soon as it has ended, ``None`` if it has not by then."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def wait_ended(self, seconds: float = WAIT_SECONDS) -> int:
        """The exit status of a program that ends by itself, or by a fail-point (-9)."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {seconds:g} s; its log:\n{self.text}") from None

    def check_running(self) -> None:
        """Fail if it ended and nobody asked it to."""
        assert self._may_end or self.running, f"{self.name} ended by itself; its log:\n{self.text[-_LOG_SHOWN:]}"

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class Stamp(NamedTuple):
    """What tells whether a file was written again: the content may be the same, these are not."""

    inode: int
    modified_ns: int
    sha256: str


class Agent(Program):
    """One device: its agent, data folder and manifests folder."""

    def __init__(self, url: str, device: str, folder: Path, options: tuple[str, ...]) -> None:
        self.device = device
        self.data = folder / "data"
        self.manifests = folder / "manifests"
        # The folder is an option of the directory applier, which stands where no other is named.
        own = () if "--applier" in options else ("--manifests", str(self.manifests))
        super().__init__(
            device,
            ["-m", "edge_agent", "--broker", url, "--device", device, "--data", str(self.data),
             *own, "--health-every", "0.5", *options],
            folder / "agent.log",
        )  # fmt: skip

    def stamps(self) -> dict[str, Stamp]:
        """The files of the manifests folder, temporary ones included."""
        found = {}
        for path in sorted(self.manifests.glob("*")) if self.manifests.is_dir() else []:
            at = path.stat()
            found[path.name] = Stamp(at.st_ino, at.st_mtime_ns, sha256(path.read_bytes()).hexdigest())
        return found

    def objects(self) -> list[dict[str, Any]]:
        """Every Kubernetes object in the manifests folder, as a runtime would read them."""
        if not self.manifests.is_dir():
            return []
        files = sorted(self.manifests.glob("*.yaml"))
        return [item for path in files for item in yaml.safe_load_all(path.read_text()) if item]

    def data_of(self, deployment: str) -> list[dict[str, str]]:
        """The ``data`` of the ConfigMaps that a deployment put here."""
        own = [item for item in self.objects() if item["metadata"].get("namespace") == deployment]
        return [item["data"] for item in own if "data" in item]


class Orchestrator(Program):
    """The orchestrator with its data folder."""

    def __init__(self, url: str, folder: Path, options: tuple[str, ...] = ()) -> None:
        self.data = folder / "data"
        super().__init__(
            "orchestrator",
            ["-m", "orchestrator", "--broker", url, "--data", str(self.data), *options],
            folder / "orchestrator.log",
        )

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of its store, read beside the running program."""
        store = self.data / "orchestrator.db"
        if not store.exists():
            return []
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=10)) as connection:
            return connection.execute(statement, values).fetchall()

    def knows(self, *devices: str) -> bool:
        """Whether it has the capabilities of these devices."""
        described = self.query("SELECT device FROM devices WHERE online AND capabilities IS NOT NULL")
        return {device for [device] in described} >= set(devices)

    def transitions(self, deployment: str, device: str, journal: str) -> list[tuple[int, str | None, str]]:
        """(sequence, source, target) of every stored transition, in order."""
        return self.query(
            "SELECT sequence, source, target FROM transitions WHERE name = ? AND device = ? AND journal = ? "
            "ORDER BY sequence",
            deployment, device, journal,
        )  # fmt: skip


class Site:
    """A broker (somebody else's), an orchestrator, agents, and an observer of it all.

    Leaving the block ends every process, shows the logs to a failed test, and fails for a traceback
    in any of them.
    """

    def __init__(self, broker: Broker, folder: Path, *, orchestrator_options: tuple[str, ...] = ()) -> None:
        self.broker = broker
        self.url = broker.url
        self.folder = folder
        self.orchestrator = Orchestrator(broker.url, folder / "orchestrator", orchestrator_options)
        self.agents: dict[str, Agent] = {}
        self.observer = Observer(broker.url, self._check_running)

    def __enter__(self) -> Self:
        self.observer.__enter__()
        self.observer.wait_connected()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.observer.__exit__(kind, error, trace)
        programs = [self.orchestrator, *self.agents.values()]
        for program in programs:
            program.kill()
        for program in programs:
            print(f"---- {program.name} ----\n{program.text[-_LOG_SHOWN:]}")  # pytest shows it if the test failed
        wrong = [program.name for program in programs if "Traceback" in program.text]
        assert not wrong or kind is not None, f"a traceback in the log of {', '.join(wrong)}"

    def agent(self, device: str, *options: str) -> Agent:
        """The agent of a device, not started."""
        if device not in self.agents:
            self.agents[device] = Agent(self.url, device, self.folder / device, options)
        return self.agents[device]

    def start_orchestrator(self, failpoints: str = "") -> None:
        mark = self.observer.count
        self.orchestrator.start(failpoints=failpoints)
        self._wait_online(self.orchestrator, "orchestrator/presence", mark)

    def start_agent(
        self, device: str, *options: str, failpoints: str = "", environment: dict[str, str] | None = None
    ) -> Agent:
        agent = self.agent(device, *options)
        mark = self.observer.count
        agent.start(failpoints=failpoints, environment=environment)
        self._wait_online(agent, f"devices/{device}/presence", mark)
        if not failpoints:
            self._wait_described(agent)
        return agent

    def start(self, *devices: str) -> Self:
        """Orchestrator and agents, all at once; returns when all are online and the orchestrator knows it."""
        mark = self.observer.count
        self.orchestrator.start()
        for device in devices:
            self.agent(device).start()
        self._wait_online(self.orchestrator, "orchestrator/presence", mark)
        for device in devices:
            self._wait_online(self.agents[device], f"devices/{device}/presence", mark)
            self._wait_described(self.agents[device])
        self.observer.wait("what the devices are, at the orchestrator", lambda: self.orchestrator.knows(*devices))
        return self

    def publish(self, spec: dict[str, Any] | bytes | str) -> None:
        """Publish a spec under its own name, or raw bytes of one, as ``mosquitto_pub -r -q 1`` would."""
        document = spec if isinstance(spec, dict) else yaml.safe_load(spec)
        payload = canonical_json(spec) if isinstance(spec, dict) else spec
        publish(self.url, f"specs/{document['metadata']['name']}", payload, retain=True)

    def publish_raw(self, name: str, payload: bytes) -> None:
        publish(self.url, f"specs/{name}", payload, retain=True)

    def delete(self, name: str) -> None:
        publish(self.url, f"specs/{name}", b"", retain=True)

    def command(self, deployment: str, action: str, id: str, **fields: Any) -> None:
        publish(self.url, f"deployments/{deployment}/commands", json.dumps({"id": id, "action": action} | fields))

    def forget(self, program: Orchestrator | Agent) -> None:
        """Delete the data folder of a program that does not run."""
        assert not program.running
        shutil.rmtree(program.data)

    def _check_running(self) -> None:
        for program in (self.orchestrator, *self.agents.values()):
            program.check_running()

    def _wait_online(self, program: Program, topic: str, mark: int) -> None:
        def online() -> bool:
            return any(document["online"] for document in self.observer.documents(topic, mark))

        self.observer.wait(f"{program.name} online", online, lambda: program.text[-_LOG_SHOWN:])

    def _wait_described(self, agent: Agent) -> None:
        """A device is online before it has measured itself, and is given nothing until then."""
        topic = f"devices/{agent.device}/capabilities"
        self.observer.wait(f"capabilities of {agent.name}", lambda: self.observer.last(topic) is not None)


def spec(
    name: str,
    text: str = "1",
    *,
    devices: tuple[str, ...] = (),
    labels: dict[str, str] | None = None,
    **body: Any,
) -> dict[str, Any]:
    """A spec with one ConfigMap that holds ``text``; without devices and labels every device takes it."""
    agents: dict[str, Any] = {"devices": list(devices)} if devices else {"selector": {"matchLabels": labels or {}}}
    objects = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"text": text}}]
    return {
        "apiVersion": "fleetbus/v1", "kind": "DeploymentSpec", "metadata": {"name": name},
        "spec": {"agents": agents, "components": [{"name": "settings", "kubernetes": {"objects": objects}}]} | body,
    }  # fmt: skip
