"""``fleetbus plan``: the work of the command itself on the retained messages of 10,000 devices, held in memory.

Reading the messages (each sealed one with its digest), building the fleet, placing with the orchestrator's rules
over a fleet with reservations, rendering, comparing with the manifest of every device, and the text that is
printed. The broker's transfer is not in it. The baseline is ``json.loads`` of the same messages.

    python -m bench.plan [--devices 10000]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

from bench import matching
from bench.figures import Figure, best, milliseconds, show
from cli.plan_model import Plan
from cli.plan_rendering import rendering_with
from cli.plan_text import plan_lines
from cli.planning import make_plan
from cli.retained import read_state, uncollected
from orchestrator.decide_spec import content_digest
from tests.support.processes import spec
from topics import channels
from topics.channels import Topics
from topics.codec import canonical_json, digest_of, encode, seal
from topics.documents.answer import SpecResult
from topics.documents.device import Allocatable, Presence, Promise
from topics.documents.status import DeploymentStatus
from topics.lifecycle import State
from topics.spec_reader import read_spec

SECONDS = 2.0
NAME = "vision"
_TOPICS = Topics()
_MAKE = rendering_with({}.__getitem__)  # there are no charts


def document(image: str) -> dict[str, Any]:
    """A spec with a workload and its settings, for the devices that ``bench.matching`` matches."""
    value = spec(NAME)
    labels = {"app": "vision"}
    value["spec"]["agents"] = {"selector": matching.SELECTOR}
    value["spec"]["requirements"] = matching.REQUIREMENTS
    value["spec"]["components"] = [
        {"name": "app", "kubernetes": {"objects": [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "vision"}, "data": {"rate": "10"}},
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "vision"}, "spec": {
                "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {
                    "containers": [{"name": "main", "image": image, "env": [
                        {"name": f"SETTING_{index}", "value": str(index)} for index in range(8)]}]}}}},
        ]}},
    ]  # fmt: skip
    return value


def messages(devices: int) -> list[tuple[str, bytes]]:
    """Everything that ``plan`` reads: every second device runs the older generation, two in three another deployment."""
    old = canonical_json(document("registry.example/vision:1"))
    published = read_spec(old)
    running = _MAKE(published, 1, content_digest(published), ["any"], {}).manifests["any"]
    other = running.model_copy(update={"deployment": "other"})
    found = [
        (_TOPICS.topic(channels.SPEC, deployment=NAME), old),
        (
            _TOPICS.topic(channels.RESULT, deployment=NAME),
            encode(SpecResult(deployment=NAME, outcome="accepted", generation=1, spec_digest=digest_of(old))),
        ),
    ]
    for number in range(devices):
        known = matching.device(number).model_copy(update={"appliers": ("kubernetes",)})
        device = known.device
        promised = (Promise(deployment="other", cpu=1500, memory=2 * 2**30, storage=10 * 2**30),) if number % 3 else ()
        left = Allocatable(device=device, epoch=1, cpu=0, memory=0, storage=0, promised=promised)
        for channel, payload in (
            (channels.PRESENCE, encode(Presence(device=device, online=True, epoch=1, journal="j", agent_version="1"))),
            (channels.CAPABILITIES, seal(encode(known))),
            (channels.ALLOCATABLE, encode(left)),
        ):
            found.append((_TOPICS.topic(channel, device=device), payload))
        for name, manifest, holds in ((NAME, running, number % 2), ("other", other, number % 3)):
            if holds:
                topic = _TOPICS.topic(channels.MANIFEST, device=device, deployment=name)
                found.append((topic, seal(encode(manifest.model_copy(update={"device": device})))))
        if number % 2:
            status = DeploymentStatus(
                deployment=NAME, device=device, epoch=1, sequence=5, state=State.DEPLOYED, generation=1,
                desired_generation=1, deployed_generation=1,
            )  # fmt: skip
            found.append((_TOPICS.topic(channels.STATUS, device=device, deployment=NAME), encode(status)))
    return found


def measure(devices: int = 10_000) -> Iterator[Figure]:
    retained = messages(devices)
    payload = canonical_json(document("registry.example/vision:2"))
    made: list[Plan] = []
    printed: list[str] = []

    def plan() -> None:
        made.clear()
        with uncollected():  # as the command does
            state = read_state(_TOPICS, retained)
            made.append(make_plan(state, read_spec(payload), payload, _MAKE))
            printed[:] = plan_lines(made[0])

    taken = best(plan)
    [result] = made
    kinds = {
        kind: sum(item.change == kind for item in result.targets) for kind in ("new", "changed", "kept", "removed")
    }
    assert kinds["new"], kinds
    assert kinds["changed"], kinds
    assert kinds["kept"], kinds
    assert len(result.differences) == 1, "one content differs in one way"
    assert result.refused
    read = sum(len(item) for _, item in retained)
    yield Figure(
        f"plan over {devices:,} devices: {len(retained):,} retained messages ({read / 2**20:.0f} MiB) read, "
        f"{kinds['new']:,} new, {kinds['changed']:,} changed, {len(result.refused):,} refused, {len(printed)} lines",
        milliseconds(taken),
        f"json.loads of the messages {milliseconds(best(lambda: [json.loads(item) for _, item in retained]))}",
        f"< {SECONDS:g} s", taken < SECONDS,
    )  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--devices", type=int, default=10_000)
    show(measure(arguments.parse_args().devices))


if __name__ == "__main__":
    main()
