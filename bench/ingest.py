"""Orchestrator ingest: status messages parsed, checked, stored and acknowledged, per second.

The baseline is a bare paho consumer with manual acknowledgement. Both drain the same backlog, queued
in two persistent sessions of the same broker, one after the other in the same run.

    python -m bench.ingest [--broker nats|mosquitto] [--messages 50000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from bench.figures import Figure, show
from orchestrator import bootstrap
from orchestrator.adapters.sql_store import SqlStore, sqlite_url
from orchestrator.config import OPTIONS
from orchestrator.inbound import SUBSCRIBED
from orchestrator.model import DeploymentRecord, DeviceRecord, SpecRecord
from orchestrator.ports import Unit
from orchestrator.service import Orchestrator
from tests.support.brokers import KINDS
from topics import channels
from topics.channels import Topics
from topics.codec import encode
from topics.documents.status import DeploymentStatus
from topics.identifiers import client_id
from topics.lifecycle import State
from topics.spec_reader import read_spec

TOPICS = Topics()
RATIO = 0.7
DEVICES = 100
DEPLOYMENTS = 10
CYCLE = (State.CREATED, State.PREPARED, State.DOWNLOADING, State.CONFIGURATION, State.DEPLOYED, State.DEGRADED)
SPEC = """
apiVersion: fleetbus/v1
kind: DeploymentSpec
metadata: {name: NAME}
spec:
  agents: {selector: {matchLabels: {line: press}}}
  components: [{name: a, kubernetes: {objects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}]}}]
"""


def messages(count: int) -> list[tuple[str, bytes]]:
    """Statuses of 100 devices with 10 deployments each, in order per deployment."""
    result = []
    for number in range(count):
        device, deployment = f"edge-{number % DEVICES:03}", f"app-{number // DEVICES % DEPLOYMENTS}"
        sequence = 1 + number // (DEVICES * DEPLOYMENTS)
        status = DeploymentStatus(
            deployment=deployment, device=device, epoch=1, sequence=sequence, state=CYCLE[sequence % len(CYCLE)],
            generation=1, desired_generation=1, manifest_digest="sha256:" + "0" * 64, time="2026-01-01T00:00:00Z",
        )  # fmt: skip
        result.append((TOPICS.topic(channels.STATUS, device=device, deployment=deployment), encode(status)))
    return result


def fill(data: Path) -> None:
    """A store that knows the devices and deployments that the messages speak of."""
    data.mkdir(parents=True)
    store = SqlStore(sqlite_url(data))
    unit = Unit()
    for number in range(DEPLOYMENTS):
        spec = read_spec(SPEC.replace("NAME", f"app-{number}").encode())
        unit.specs[spec.name] = SpecRecord(spec.name, 1, "p", "c", spec)
        for device in range(DEVICES):
            record = DeploymentRecord(spec.name, f"edge-{device:03}", desired_generation=1, event_sequence=10**6)
            unit.deployments[record.key] = record
    for device in range(DEVICES):
        unit.devices[f"edge-{device:03}"] = DeviceRecord(f"edge-{device:03}", online=True, epoch=1)
    store.commit(unit)
    store.close()


def orchestrator_at(port: int, data: Path) -> Orchestrator:
    options = {option.key: option.default for option in OPTIONS}
    return bootstrap.build({**options, "broker": f"mqtt://127.0.0.1:{port}", "data": data})


def bare_client(name: str) -> mqtt.Client:
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, client_id=name, clean_session=False, protocol=mqtt.MQTTv311, manual_ack=True
    )
    client.max_inflight_messages_set(0)  # with a limit paho walks through all that is under way at each PUBACK
    return client


def subscribing(client: mqtt.Client, filters: list[tuple[str, int]]) -> Callable[..., None]:
    def subscribe(*_: object) -> None:
        client.subscribe(filters)

    return subscribe


def make_session(name: str, port: int, filters: list[tuple[str, int]]) -> None:
    """A persistent session at the broker that queues from now on."""
    client, ready = bare_client(name), threading.Event()
    client.on_connect = subscribing(client, filters)
    client.on_subscribe = lambda *_: ready.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert ready.wait(10)
    client.disconnect()
    client.loop_stop()


def publish_all(port: int, items: list[tuple[str, bytes]]) -> None:
    client, left, done = bare_client("bench-publisher"), [len(items)], threading.Event()

    def published(*_: object) -> None:
        left[0] -= 1
        if not left[0]:
            done.set()

    client.on_publish = published
    client.connect("127.0.0.1", port)
    client.loop_start()
    for topic, payload in items:
        client.publish(topic, payload, qos=1)
    assert done.wait(300)
    client.disconnect()
    client.loop_stop()


def drain_bare(name: str, port: int, filters: list[tuple[str, int]], count: int) -> float:
    client, seen, done = bare_client(name), [0], threading.Event()

    def received(_: object, __: object, message: mqtt.MQTTMessage) -> None:
        client.ack(message.mid, message.qos)
        seen[0] += 1
        if seen[0] == count:
            done.set()

    client.on_connect = subscribing(client, filters)
    client.on_message = received
    start = time.perf_counter()
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert done.wait(300), f"only {seen[0]} of {count} came"
    seconds = time.perf_counter() - start
    client.disconnect()
    client.loop_stop()
    return seconds


def drain_orchestrator(orchestrator: Orchestrator, count: int) -> float:
    seen = 0
    start = time.perf_counter()
    orchestrator.start()
    deadline = start + 300
    while seen < count and time.perf_counter() < deadline:
        seen += orchestrator.step(0.5)
    seconds = time.perf_counter() - start
    assert seen >= count, f"only {seen} of {count} came"
    orchestrator.stop()
    orchestrator.run(lambda: None)
    return seconds


def measure(broker: str, count: int = 50_000, rounds: int = 3) -> Iterator[Figure]:
    filters = [(TOPICS.filter(channel), 1) for channel in SUBSCRIBED]
    items = messages(count)
    runs = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder) / "orchestrator")
            with KINDS[broker](Path(folder)) as running:
                make_session("bench-bare", running.port, filters)
                make_session(client_id("orchestrator", "main"), running.port, filters)
                publish_all(running.port, items)
                bare = drain_bare("bench-bare", running.port, filters, count)
                ours = drain_orchestrator(orchestrator_at(running.port, Path(folder) / "orchestrator"), count)
        runs.append((bare / ours, bare, ours))
    ratio, bare, ours = sorted(runs)[len(runs) // 2]
    yield Figure(
        f"ingest on {broker}, {count:,} statuses of a backlog, median of {rounds}",
        f"{count / ours:,.0f}/s, {ratio:.2f} of the baseline ({min(runs)[0]:.2f} to {max(runs)[0]:.2f})",
        f"bare paho {count / bare:,.0f}/s",
        f">= {RATIO:g} of the baseline",
        ratio >= RATIO,
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--broker", choices=sorted(KINDS), default="nats")
    arguments.add_argument("--messages", type=int, default=50_000)
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    show(measure(options.broker, options.messages, options.rounds))


if __name__ == "__main__":
    main()
