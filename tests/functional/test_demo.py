"""``fleetbus demo``, for real: everything deploys, and nothing is left of it however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from cli.exits import Exit
from cli.nats_server import BrokerError, mqtt_answers, server_binary

_WAIT_SECONDS = 60.0


@pytest.fixture(autouse=True)
def _needs_the_embedded_broker() -> None:
    try:
        server_binary()
    except BrokerError as error:
        pytest.skip(str(error))


class Demo:
    """A demo as its own process, with its temporary files in ``folder``."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("FLEETBUS_", "KEEP"))}
        self._folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "cli", "demo", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=environment | {"TMPDIR": str(folder), "FLEETBUS_BROKER": "mqtt://elsewhere"},
        )  # fmt: skip
        self.lines: list[str] = []

    def read_until(self, text: str) -> str:
        """Read on to a line that holds ``text``; fails if the output ends first."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if text in line:
                return line
        raise AssertionError(f"no line with {text!r} in:\n" + "\n".join(self.lines))

    def rest(self) -> str:
        output, _ = self.process.communicate(timeout=_WAIT_SECONDS)
        self.lines += output.splitlines()
        return "\n".join(self.lines)

    def programs(self) -> list[psutil.Process]:
        """Broker, orchestrator and agents: whatever runs on files of this demo."""
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if process.pid != self.process.pid and str(self._folder) in " ".join(process.info["cmdline"] or ())
        ]

    def wait_programs(self, count: int) -> None:
        """Fails if there are not so many of them in time: a command line may read as empty for a moment."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while len(found := self.programs()) != count:
            assert time.monotonic() < deadline, found
            time.sleep(0.1)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.communicate(timeout=_WAIT_SECONDS)


@pytest.fixture
def folder() -> Path:
    """A short temporary folder of its own."""
    with tempfile.TemporaryDirectory(prefix="fb-demo-test-") as path:
        yield Path(path)


def test_the_demo_deploys_updates_and_removes(folder: Path) -> None:
    """Every placeable spec is deployed, the other is shown with its reasons; status 0, nothing left."""
    demo = Demo(folder)
    try:
        text = demo.rest()
    finally:
        demo.close()
    assert demo.process.returncode == Exit.OK, text
    for device in ("edge-01", "edge-02", "edge-03"):
        assert re.search(rf"line-monitor +{device} +Deployed +2 ", text), text
        assert re.search(rf"edge-historian +{device} +NotPlaceable", text), text
    assert re.search(r"vision-inspect +edge-02 +Deployed +1 ", text)
    assert not re.search(r"vision-inspect +edge-0[13]", text)
    assert re.search(r"shift-report +edge-01 +Removed", text)
    assert "edge-historian on edge-01, edge-02, edge-03: needs 512 cores" in text
    assert "undecodable" not in text
    assert float(re.search(r"done in ([\d.]+) s", text)[1]) < 30  # type: ignore[index]
    assert demo.programs() == []
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_kept_ends_with_the_signal(number: signal.Signals, folder: Path) -> None:
    """``--keep`` says where the broker is; Ctrl-C ends everything with status 0."""
    demo = Demo(folder, "--keep")
    try:
        port = int(demo.read_until("  MQTT ").rsplit(":", 1)[1])
        assert mqtt_answers("127.0.0.1", port)
        demo.wait_programs(5)
        demo.process.send_signal(number)
        demo.rest()
    finally:
        demo.close()
    assert demo.process.returncode == Exit.OK
    assert demo.programs() == []  # the port itself may be another test's by now
    assert list(folder.iterdir()) == []


def test_an_interrupted_demo_leaves_nothing(folder: Path) -> None:
    """Also in the middle of its first step; the status says that it did not finish."""
    demo = Demo(folder)
    try:
        demo.read_until("starting orchestrator and agents")
        demo.process.send_signal(signal.SIGTERM)
        demo.rest()
    finally:
        demo.close()
    assert demo.process.returncode == Exit.FAILED
    assert demo.programs() == []
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_killed_demo_leaves_no_process(folder: Path) -> None:
    """Nobody cleans up after SIGKILL; the programs end by themselves."""
    demo = Demo(folder, "--keep")
    try:
        demo.read_until("  MQTT ")
        running = demo.programs()
        demo.process.kill()
        _, alive = psutil.wait_procs(running, timeout=15)
    finally:
        demo.close()
    assert alive == []


def test_a_program_that_ends_fails_the_demo_with_its_log(folder: Path) -> None:
    """Status 1, and the last lines of every log."""
    demo = Demo(folder, "--keep")
    try:
        demo.read_until("  MQTT ")
        [orchestrator] = [item for item in demo.programs() if "orchestrator" in item.cmdline()[2:4]]
        orchestrator.kill()
        text = demo.rest()
    finally:
        demo.close()
    assert demo.process.returncode == Exit.FAILED
    assert "orchestrator ended with status -9" in text
    assert "--- the end of the log of edge-02:" in text
    assert demo.programs() == []


def test_a_spec_that_is_refused_fails_the_demo(folder: Path) -> None:
    """A demo of broken specs says so instead of waiting."""
    with tempfile.TemporaryDirectory() as examples:
        spec = (Path(__file__).resolve().parents[2] / "examples" / "shift-report.yaml").read_text()
        (Path(examples) / "report.yaml").write_text(spec)  # its chart is not there
        demo = Demo(folder, "--examples", examples)
        try:
            text = demo.rest()
        finally:
            demo.close()
    assert demo.process.returncode == Exit.FAILED
    assert "shift-report failed" in text
    assert demo.programs() == []
