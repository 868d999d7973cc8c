"""The CLI as a person runs it, in this process and as one of its own, and a small fleet to run it on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from typer.testing import CliRunner, Result

import cli.main  # noqa: F401 - it adds the commands
from cli.app import app
from cli.embedded_broker import ending_with_parent
from tests.support.brokers import KINDS

WAIT_SECONDS = 30.0


def run(url: str, *arguments: str, stdin: bytes | None = None) -> Result:
    """Run a command against a broker, in this process; anything but an exit is a bug and raised."""
    environment = {"FLEETBUS_BROKER": url, "FLEETBUS_CONFIG": None, "XDG_CONFIG_HOME": "/nonexistent"}
    result = CliRunner().invoke(app, list(arguments), input=stdin, env=environment)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


class Background:
    """A command that runs on as its own process; its lines are kept as they come."""

    def __init__(self, url: str, *arguments: str) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("FLEETBUS_")}
        self.process = subprocess.Popen(
            ending_with_parent([sys.executable, "-u", "-m", "cli", *arguments]),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment | {"FLEETBUS_BROKER": url, "XDG_CONFIG_HOME": "/nonexistent"},
            text=True,
        )
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, text: str) -> str:
        """The first line that holds ``text``; ``TimeoutError`` if none comes."""

        def found() -> str | None:
            return next((line for line in self.lines if text in line), None)

        with self._changed:
            if not self._changed.wait_for(lambda: found() is not None, WAIT_SECONDS):
                raise TimeoutError(f"no line with {text!r} in {self.lines}")
            return found() or ""

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


class FleetProcesses:
    """The real orchestrator and agents on a broker, each with its data below ``folder``."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start_orchestrator(self) -> None:
        self._start("orchestrator", ["-m", "orchestrator", "--data", str(self._folder / "orchestrator")])

    def start_agent(self, device: str, *labels: str) -> None:
        arguments = [part for label in labels for part in ("--label", label)]
        folders = ["--data", str(self._folder / device), "--manifests", str(self._folder / f"{device}-manifests")]
        self._start(device, ["-m", "edge_agent", "--device", device, "--applier", "directory", *folders, *arguments])

    def stop(self, name: str) -> None:
        process = self._running.pop(name)
        process.terminate()
        process.wait(WAIT_SECONDS)

    def close(self) -> None:
        for process in self._running.values():
            process.terminate()
        for name in list(self._running):
            self.stop(name)

    def _start(self, name: str, arguments: list[str]) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("FLEETBUS_")}
        with (self._folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                ending_with_parent([sys.executable, *arguments, "--broker", self.url]),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
            )  # fmt: skip


def repeated_until(command: Callable[[], Result], holds: Callable[[Result], bool], what: str) -> Result:
    """The result of a command that only reads, run again until it shows what it should."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        result = command()
        if holds(result):
            return result
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}; last: {result.output}")


@contextmanager
def running_fleet(kind: str, folder: Path) -> Iterator[FleetProcesses]:
    """An orchestrator and two agents (edge-01 of line press, edge-02 of paint), online, on a broker of this kind.

    Skips the test where that broker is not installed.
    """
    made = KINDS[kind]
    if missing := made.missing():
        pytest.skip(missing)
    with made(folder / "broker") as broker:
        processes = FleetProcesses(broker.url, folder)
        try:
            processes.start_orchestrator()
            processes.start_agent("edge-01", "line=press")
            processes.start_agent("edge-02", "line=paint")
            repeated_until(
                lambda: run(broker.url, "get", "devices", "-o", "json"),
                lambda result: (
                    [row["device"] for row in rows(result) if row["online"] and "capabilities" in row]
                    == ["edge-01", "edge-02"]
                ),
                "both devices online",
            )
            yield processes
        finally:
            processes.close()


def manifest(name: str, *, text: str = "1", activation: str = "immediate", **agents: Any) -> bytes:
    """A spec with one ConfigMap; ``agents`` as in the document."""
    objects = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": text}}]
    return json.dumps(
        {
            "apiVersion": "fleetbus/v1", "kind": "DeploymentSpec", "metadata": {"name": name},
            "spec": {
                "agents": agents or {"selector": {}}, "activation": {"mode": activation},
                "components": [{"name": "settings", "kubernetes": {"objects": objects}}],
            },
        }
    ).encode()  # fmt: skip


def rows(result: Result) -> Iterator[dict[str, Any]]:
    """The entries that a command printed with ``-o json``."""
    yield from json.loads(result.stdout)
