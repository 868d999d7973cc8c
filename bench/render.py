"""Pure work of the orchestrator: rendering the manifests of one spec, and the aggregate over its devices.

The baseline is the standard library's ``json.dumps`` of the same documents.

    python -m bench.render [--devices 1000]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator

from bench.figures import Figure, best, milliseconds, show
from orchestrator import outbound
from orchestrator.aggregation import aggregate
from orchestrator.decision import Context
from orchestrator.model import DeploymentRecord, DeviceRecord, Fleet, SpecRecord
from orchestrator.rendering.manifests import ManifestFactory
from orchestrator.rendering.registry import load_renderers
from tests.support.processes import spec
from topics.channels import Topics
from topics.codec import canonical_json, encode, seal
from topics.documents.device import Capabilities
from topics.lifecycle import State
from topics.spec_reader import read_spec


def measure(devices: int = 1_000) -> Iterator[Figure]:
    renderers = load_renderers()
    document = read_spec(canonical_json(spec("fleet")))
    names = [f"sim-{number:04}" for number in range(devices)]
    made: list[bytes] = []

    def render() -> None:
        made.clear()
        factory = ManifestFactory(document, 1, "sha256:0", renderers, {})
        made.extend(seal(encode(factory.manifest_for(name))) for name in names)

    taken = best(render)
    assert len(set(made)) == devices, "each device must have a manifest of its own"
    values = [json.loads(payload) for payload in made]
    bare = best(lambda: [json.dumps(value) for value in values])
    yield Figure(
        f"{devices:,} manifests rendered, sealed and encoded ({len(made[0])} bytes each)", milliseconds(taken),
        f"json.dumps of them {milliseconds(bare)}",
    )  # fmt: skip

    fleet = Fleet()
    fleet.specs["fleet"] = record = SpecRecord("fleet", 1, "p", "c", document)
    for name in names:
        fleet.devices[name] = DeviceRecord(name, online=True, epoch=1, capabilities=Capabilities(device=name))
        fleet.put_deployment(DeploymentRecord("fleet", name, desired_generation=1, state=State.DEPLOYED, generation=1))
    context = Context(Topics(), "2026-01-01T00:00:00.000Z", 1024 * 1024)
    taken = best(lambda: outbound.aggregate(context, aggregate(fleet, record)))
    payload = outbound.aggregate(context, aggregate(fleet, record)).payload
    value = json.loads(payload)
    assert value["counts"]["Deployed"] == devices, value["counts"]
    yield Figure(
        f"aggregate of {devices:,} devices, made and encoded ({len(payload) // 1024} KiB)", milliseconds(taken),
        f"json.dumps of it {milliseconds(best(lambda: json.dumps(value)))}",
    )  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--devices", type=int, default=1_000)
    show(measure(arguments.parse_args().devices))


if __name__ == "__main__":
    main()
