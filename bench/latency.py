"""From the spec's publication to Deployed: one device, the directory applier, real processes.

The path is spec, manifest, status: three hops through the broker; the aggregate is a fourth one. The
baseline is a bare paho round trip (publish with QoS 1 until a subscriber has it) times the hops.

    python -m bench.latency [--broker nats|mosquitto] [--specs 200]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, environment, milliseconds, quantile, show
from bench.programs import ending
from bench.watcher import Watcher
from tests.support.brokers import KINDS
from tests.support.processes import Agent, Orchestrator, spec
from topics import channels
from topics.channels import Topics
from topics.codec import canonical_json

TOPICS = Topics()
DEVICE = "edge-01"
P50_SECONDS, P99_SECONDS = 0.050, 0.200
HOPS = {"status": 3, "aggregate": 4}
FILTERS = [
    TOPICS.filter(channel)
    for channel in (channels.STATUS, channels.AGGREGATE, channels.RESULT, channels.PRESENCE, channels.CAPABILITIES)
]


def measure(broker: str, specs: int = 200) -> Iterator[Figure]:
    with (
        tempfile.TemporaryDirectory() as name,
        KINDS[broker](Path(name) / "broker") as running,
        Watcher(running.port, [*FILTERS, "bench/hop"]) as watcher,
    ):
        folder = Path(name)
        hop = [_hop(watcher, number) for number in range(specs)]
        orchestrator = Orchestrator(running.url, folder / "orchestrator")
        # The tests' agents look at their health every half second; one of a user does every ten.
        agent = Agent(running.url, DEVICE, folder / DEVICE, ("--health-every", "10"))
        with ending(agent, orchestrator):
            orchestrator.start(environment=environment())
            agent.start(environment=environment())
            watcher.wait_for("capabilities", lambda topic, _: topic.endswith("/capabilities"))
            _one(watcher, "warm-up")
            times = [_one(watcher, f"bench-{number}") for number in range(specs)]
    for position, seen_in in enumerate(HOPS):
        values = [pair[position] for pair in times]
        p50, p99 = quantile(values, 0.5), quantile(values, 0.99)
        hops = HOPS[seen_in]
        yield Figure(
            f"latency on {broker}, spec to Deployed in the {seen_in}, {specs} specs",
            f"p50 {milliseconds(p50)}, p99 {milliseconds(p99)}",
            f"{hops} bare hops: p50 {milliseconds(hops * quantile(hop, 0.5))}, "
            f"p99 {milliseconds(hops * quantile(hop, 0.99))}",
            "p50 < 50 ms, p99 < 200 ms",
            p50 < P50_SECONDS and p99 < P99_SECONDS,
        )


def _hop(watcher: Watcher, number: int) -> float:
    payload = str(number).encode()
    began = watcher.publish("bench/hop", payload)
    return watcher.wait_for("bare round trip", lambda _, body: body == payload) - began


def _one(watcher: Watcher, name: str) -> tuple[float, float]:
    """Seconds until Deployed is seen in the status, and in the aggregate; the deployment is removed afterwards."""
    topic = TOPICS.topic(channels.SPEC, deployment=name)
    status = TOPICS.topic(channels.STATUS, device=DEVICE, deployment=name)
    aggregate = TOPICS.topic(channels.AGGREGATE, deployment=name)
    result = TOPICS.topic(channels.RESULT, deployment=name)

    def is_deployed(body: bytes, key: str) -> bool:
        return bool(body) and json.loads(body)[key] == "Deployed"

    watcher.forget()
    began = watcher.publish(topic, canonical_json(spec(name, devices=(DEVICE,))), retain=True)
    in_status = watcher.wait_for(f"{name} Deployed", lambda at, body: at == status and is_deployed(body, "state"))
    in_aggregate = watcher.wait_for(
        f"{name} Deployed in all", lambda at, body: at == aggregate and is_deployed(body, "phase")
    )
    watcher.forget()
    watcher.publish(topic, b"", retain=True)
    for cleared in (result, status):
        watcher.wait_for(f"{cleared} cleared", lambda at, body, cleared=cleared: at == cleared and not body)  # type: ignore[misc]
    return in_status - began, in_aggregate - began


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--broker", choices=sorted(KINDS), default="nats")
    arguments.add_argument("--specs", type=int, default=200)
    options = arguments.parse_args()
    show(measure(options.broker, options.specs))


if __name__ == "__main__":
    main()
