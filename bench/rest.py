"""The agent at rest: memory and processor time with one deployment that is Deployed.

A real agent with the directory applier and everything else at its defaults (a look at the health every
10 s, a heartbeat every 30 s) on a real broker. The baseline is a process that holds one bare paho
connection, over the same time. Linux only (``/proc``).

    python -m bench.rest [--broker nats|mosquitto] [--seconds 60]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, environment, show
from bench.programs import ending
from bench.watcher import Watcher
from tests.support.agents import manifest
from tests.support.brokers import KINDS
from tests.support.processes import Program
from topics import channels
from topics.channels import Topics

TOPICS = Topics()
DEVICE, NAME = "edge-01", "app"
RSS_MIB, CPU_PERCENT = 45.0, 0.5
BARE = """
import sys, threading
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="bare")
client.on_connect = lambda *_: client.subscribe("bench/bare", 1)
client.connect("127.0.0.1", int(sys.argv[1]), keepalive=30)
client.loop_start()
threading.Event().wait()
"""


def measure(broker: str, seconds: float = 60.0) -> Iterator[Figure]:
    with (
        tempfile.TemporaryDirectory() as name,
        KINDS[broker](Path(name) / "broker") as running,
        Watcher(running.port, [TOPICS.filter(channels.STATUS)]) as watcher,
    ):
        folder = Path(name)
        agent = Program(
            "agent",
            ["-m", "edge_agent", "--broker", running.url, "--device", DEVICE, "--data", str(folder / "data")],
            folder / "agent.log",
        )
        bare = Program("bare", ["-c", BARE, str(running.port)], folder / "bare.log")
        with ending(agent, bare):
            bare.start(environment=environment())
            agent.start(environment=environment())
            watcher.publish(
                TOPICS.topic(channels.MANIFEST, device=DEVICE, deployment=NAME), manifest(1, NAME), retain=True
            )
            watcher.wait_for("Deployed", lambda _, body: bool(body) and json.loads(body)["state"] == "Deployed")
            time.sleep(3.0)  # what was under way settles
            before, bare_before, began = processor_seconds(agent.pid), processor_seconds(bare.pid), time.monotonic()
            time.sleep(seconds)
            taken = time.monotonic() - began
            share = 100 * (processor_seconds(agent.pid) - before) / taken
            bare_share = 100 * (processor_seconds(bare.pid) - bare_before) / taken
            memory, bare_memory = resident_mib(agent.pid), resident_mib(bare.pid)
            assert agent.running, "the agent ended"
            assert bare.running, "the bare client ended"
    yield Figure(
        f"agent at rest on {broker}, resident memory", f"{memory:.1f} MiB",
        f"bare paho process {bare_memory:.1f} MiB", f"< {RSS_MIB:g} MiB", memory < RSS_MIB,
    )  # fmt: skip
    yield Figure(
        f"agent at rest on {broker}, processor over {seconds:g} s", f"{share:.2f} % of a core",
        f"bare paho process {bare_share:.2f} %", f"< {CPU_PERCENT:g} %", share < CPU_PERCENT,
    )  # fmt: skip


def processor_seconds(pid: int) -> float:
    """What all threads of a process have taken so far (nanosecond counters; ``stat`` counts in 10 ms)."""
    tasks = Path(f"/proc/{pid}/task")
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9


def resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Rss:")) / 1024


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--broker", choices=sorted(KINDS), default="nats")
    arguments.add_argument("--seconds", type=float, default=60.0)
    options = arguments.parse_args()
    show(measure(options.broker, options.seconds))


if __name__ == "__main__":
    main()
