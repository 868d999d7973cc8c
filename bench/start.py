"""How long an orchestrator with 10,000 deployments in its store takes to start.

From the start of the process until a subscriber has seen it online, and until a spec that was waiting
at the broker is answered. All manifests stand in its outbox, and the broker knows none of them. The
baseline is a Python process that only imports what the orchestrator stands on.

    python -m bench.start [--broker nats|mosquitto] [--specs 100] [--devices 100]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, environment, show
from bench.programs import ending
from bench.watcher import Watcher
from orchestrator import outbound
from orchestrator.adapters.sql_store import SqlStore, sqlite_url
from orchestrator.decision import Context
from orchestrator.model import DeploymentRecord, DeviceRecord, SpecRecord
from orchestrator.ports import Unit
from orchestrator.rendering.manifests import ManifestFactory
from orchestrator.rendering.registry import load_renderers
from tests.support.brokers import KINDS
from tests.support.processes import Orchestrator, spec
from topics import channels
from topics.channels import Topics
from topics.codec import canonical_json, digest_of, encode, seal
from topics.documents.device import Capabilities, Cpu
from topics.lifecycle import State
from topics.spec_reader import read_spec

TOPICS = Topics()
START_SECONDS = 3.0
IMPORTS = "import sqlalchemy, paho.mqtt.client, pydantic"


def fill(data: Path, specs: int, devices: int) -> None:
    """A store as a running fleet leaves it behind: everything deployed, every manifest in the outbox."""
    data.mkdir(parents=True)
    store, renderers = SqlStore(sqlite_url(data)), load_renderers()
    context = Context(TOPICS, "2026-01-01T00:00:00.000Z", 1024 * 1024)
    unit = Unit()
    names = [f"edge-{number:03}" for number in range(devices)]
    for name in names:
        what = Capabilities(device=name, labels={"line": "press"}, cpus=(Cpu(architecture="amd64", cores=4),),
                            memory=2**33, appliers=("kubernetes",))  # fmt: skip
        unit.devices[name] = DeviceRecord(
            name, online=True, epoch=1, journal="j", capabilities=what, capabilities_digest=digest_of(encode(what))
        )
    for number in range(specs):
        payload = canonical_json(spec(f"app-{number:03}", labels={"line": "press"}))
        document = read_spec(payload)
        record = SpecRecord(document.name, 1, digest_of(payload), digest_of(payload), document)
        unit.specs[document.name] = record
        factory = ManifestFactory(document, 1, record.content_digest, renderers, {})
        for name in names:
            manifest = outbound.manifest(context, document.name, name, seal(encode(factory.manifest_for(name))))
            unit.publish(manifest)
            deployment = DeploymentRecord(
                document.name, name, desired_generation=1, desired_digest=manifest.digest, state=State.DEPLOYED,
                generation=1, deployed_generation=1, epoch=1, journal="j", sequence=5, event_sequence=5,
                last_target=State.DEPLOYED,
            )  # fmt: skip
            unit.deployments[deployment.key] = deployment
    store.commit(unit)
    store.commit(Unit(delivered=[item.seq for item in store.to_send(0, specs * devices)]))
    store.close()


def measure(broker: str, specs: int = 100, devices: int = 100) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name, KINDS[broker](Path(name) / "broker") as running:
        folder = Path(name)
        orchestrator = Orchestrator(running.url, folder / "orchestrator")
        fill(orchestrator.data, specs, devices)
        bare = _bare()
        topic = TOPICS.topic(channels.SPEC, deployment="first")
        filters = [TOPICS.filter(channel) for channel in (channels.ORCHESTRATOR_PRESENCE, channels.RESULT)]
        with Watcher(running.port, filters) as watcher:
            watcher.publish(topic, canonical_json(spec("first", devices=("edge-000",))), retain=True)
            with ending(orchestrator):
                began = time.monotonic()
                orchestrator.start(environment=environment())
                online = watcher.wait_for(
                    "online", lambda at, body: at.endswith("/presence") and json.loads(body)["online"] is True
                )
                answered = watcher.wait_for("the first answer", lambda at, _: at == f"{topic}/result")
    baseline = f"`{IMPORTS}` in a Python process: {bare:.2f} s"
    for what, at in (("online", online), ("first spec answered", answered)):
        taken = at - began
        yield Figure(
            f"start with {specs * devices:,} deployments on {broker}, {what}", f"{taken:.2f} s", baseline,
            f"< {START_SECONDS:g} s", taken < START_SECONDS,
        )  # fmt: skip


def _bare() -> float:
    taken = []
    for _ in range(3):
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", IMPORTS], check=True, env={**os.environ, **environment()})
        taken.append(time.monotonic() - began)
    return min(taken)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--broker", choices=sorted(KINDS), default="nats")
    arguments.add_argument("--specs", type=int, default=100)
    arguments.add_argument("--devices", type=int, default=100)
    options = arguments.parse_args()
    show(measure(options.broker, options.specs, options.devices))


if __name__ == "__main__":
    main()
