"""One spec onto 1,000 simulated devices: how long until all manifests are out, and all is Deployed.

Orchestrator and broker are real processes; the devices are the agent's core on one connection each, in
one further process, with a journal in memory and a no-op runtime (``bench.devices``). The baseline is
1,000 retained QoS 1 publications by bare paho, each to one of 1,000 connected subscribers.

    python -m bench.fleet [--broker nats|mosquitto] [--devices 1000]
"""

from __future__ import annotations

import argparse
import json
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.devices import bare_topic
from bench.figures import Figure, environment, show
from bench.programs import ending
from bench.watcher import Watcher
from cli.embedded_broker import ending_with_parent
from tests.support.brokers import KINDS
from tests.support.processes import Orchestrator, spec
from topics import channels
from topics.channels import Topics
from topics.codec import canonical_json

TOPICS = Topics()
NAME = "fleet"
MANIFESTS_SECONDS, DEPLOYED_SECONDS = 2.0, 15.0
CONNECT_SECONDS = 120.0
PAYLOAD = 700  # bytes, about what the manifest has


class Simulator:
    """``bench.devices`` as a process; inside its block every device is connected."""

    def __init__(self, port: int, devices: int, *options: str) -> None:
        self._command = [
            sys.executable, "-m", "bench.devices", "--port", str(port), "--devices", str(devices), *options
        ]  # fmt: skip

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ending_with_parent(self._command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        line = self.read(CONNECT_SECONDS)
        assert line == "ready", f"the simulated devices did not connect: {line!r}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def read(self, seconds: float) -> str:
        """The next line that it says."""
        assert self._process.stdout is not None
        found, _, _ = select.select([self._process.stdout], [], [], seconds)
        assert found, f"the simulated devices said nothing for {seconds:g} s"
        return self._process.stdout.readline().strip()


def measure(broker: str, devices: int = 1_000) -> Iterator[Figure]:
    bare = _bare(broker, devices)
    with tempfile.TemporaryDirectory() as name, KINDS[broker](Path(name) / "broker") as running:
        folder, port = Path(name), running.port
        orchestrator = Orchestrator(running.url, folder / "orchestrator", ("--log-level", "warning"))
        filters = [
            TOPICS.filter(channel)
            for channel in (channels.MANIFEST, channels.AGGREGATE, channels.ORCHESTRATOR_PRESENCE)
        ]
        with ending(orchestrator), Watcher(port, filters) as watcher:
            orchestrator.start(environment=environment())
            watcher.wait_for("the orchestrator's presence", lambda topic, _: topic.endswith("/presence"))
            with Simulator(port, devices):
                _all_known(orchestrator, devices)
                manifests, deployed = _deploy(watcher, devices)
    baseline = f"bare paho, {devices:,} retained messages to {devices:,} subscribers: {bare:.2f} s"
    yield Figure(
        f"fleet on {broker}, spec to {devices:,} manifests seen", f"{manifests:.2f} s", baseline,
        f"< {MANIFESTS_SECONDS:g} s", manifests < MANIFESTS_SECONDS,
    )  # fmt: skip
    yield Figure(
        f"fleet on {broker}, spec to {devices:,} Deployed in the aggregate", f"{deployed:.2f} s", baseline,
        f"< {DEPLOYED_SECONDS:g} s", deployed < DEPLOYED_SECONDS,
    )  # fmt: skip


def _deploy(watcher: Watcher, devices: int) -> tuple[float, float]:
    """Seconds from the spec until a subscriber saw every manifest, and the aggregate with all Deployed."""
    aggregate = TOPICS.topic(channels.AGGREGATE, deployment=NAME)

    def is_deployed(topic: str, body: bytes) -> bool:
        if topic != aggregate:
            return False
        status = json.loads(body)
        return bool(status["phase"] == "Deployed" and status["counts"]["Deployed"] == devices)

    began = watcher.publish(TOPICS.topic(channels.SPEC, deployment=NAME), canonical_json(spec(NAME)), retain=True)
    manifests = watcher.wait_for("manifests", lambda topic, _: "/manifests/" in topic, count=devices) - began
    return manifests, watcher.wait_for("Deployed on all", is_deployed) - began


def _bare(broker: str, devices: int) -> float:
    """Seconds from the first publication until the last subscriber has its message; on a broker of its own,
    because the sessions that it leaves behind would slow down the other one."""
    with tempfile.TemporaryDirectory() as folder, KINDS[broker](Path(folder)) as running:
        port = running.port
        with Simulator(port, devices, "--bare") as subscribers, Watcher(port, ["bench/none"]) as publisher:
            began = publisher.publish(bare_topic(0), b"x" * PAYLOAD, retain=True)
            for number in range(1, devices):
                publisher.publish(bare_topic(number), b"x" * PAYLOAD, retain=True)
            return float(subscribers.read(CONNECT_SECONDS)) - began


def _all_known(orchestrator: Orchestrator, devices: int) -> None:
    """Wait until the orchestrator has stored what every device says it is, and is at rest."""
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        rows = orchestrator.query("SELECT count(*) FROM devices WHERE capabilities IS NOT NULL AND online")
        if rows and rows[0][0] == devices:
            return
        assert time.monotonic() < deadline, f"the orchestrator knows {rows} of {devices} devices\n{orchestrator.text}"
        time.sleep(0.2)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--broker", choices=sorted(KINDS), default="nats")
    arguments.add_argument("--devices", type=int, default=1_000)
    options = arguments.parse_args()
    show(measure(options.broker, options.devices))


if __name__ == "__main__":
    main()
