"""What must hold after every fault, once things have calmed down: one helper for all fault tests."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import partial
from hashlib import sha256
from typing import Any

from tests.support.observer import retained
from tests.support.processes import Agent, Site, Stamp
from topics.codec import canonical_json, sealed_digest
from topics.lifecycle import State, is_allowed


def assert_converged(
    site: Site, name: str, generation: int, text: str, *devices: str, spec_retained: bool = True
) -> None:
    """Wait until every device runs this generation, and check that nothing was lost, doubled or left behind.

    - Desired generation = reported generation on every device = what is on its disk, by SHA-256 over the
      objects of the manifest and those of the files.
    - The orchestrator's store has every transition of the device's present journal, 1 to n without a gap
      or duplicate, each leaving the state that the one before entered, each allowed by the lifecycle.
    - The broker keeps exactly the deployment's topics (without the spec itself where
      ``spec_retained`` is false: a broker that lost everything does not get it back from us).
    """
    site.observer.wait_phase(name, "Deployed", generation)
    for device in devices:
        site.observer.wait_status(
            device, name, f"generation {generation} all over",
            lambda found: (found["state"], found["generation"], found["desiredGeneration"])
            == (State.DEPLOYED, generation, generation),
        )  # fmt: skip
    site.observer.wait_aggregate(
        name, "every device online and Deployed",
        lambda found: [
            (item["device"], item["online"], item.get("state"), item["generation"], item["desiredGeneration"])
            for item in found["devices"]
        ] == [(device, True, State.DEPLOYED, generation, generation) for device in sorted(devices)],
    )  # fmt: skip
    wanted = expected_topics(name, devices, spec_retained)
    kept: dict[str, bytes] = {}

    def exactly() -> bool:
        nonlocal kept
        kept = retained_of(site, name)
        return kept.keys() == wanted

    site.observer.wait("exactly the deployment's retained topics", exactly, lambda: kept.keys() ^ wanted)
    for device in devices:
        payload = kept[f"devices/{device}/manifests/{name}"]
        status = json.loads(kept[f"devices/{device}/status/{name}"])
        assert status["manifestDigest"] == sealed_digest(payload)
        assert digests(on_disk(site.agents[device], name)) == digests(in_manifest(json.loads(payload)))
        assert site.agents[device].data_of(name) == [{"text": text}]
        assert_whole_history(site, name, device)


def assert_removed(site: Site, name: str, *devices: str) -> None:
    """Nothing is left of a deployment: no file, no retained topic; and its history is whole."""
    for device in devices:  # first the files: a broker that came back empty has no retained topic either
        site.observer.wait(f"no file on {device}", partial(_nothing_on_disk, site, device, name))
    site.observer.wait("no retained topic", lambda: not retained_of(site, name), lambda: set(retained_of(site, name)))
    for device in devices:
        history = stored(site, name, device)
        assert [entry[0] for entry in history] == list(range(1, len(history) + 1))
        assert history[-1][2] == State.REMOVED


def _nothing_on_disk(site: Site, device: str, name: str) -> bool:
    return not list(site.agents[device].manifests.glob(f"*-{name}-*"))


def assert_whole_history(site: Site, name: str, device: str) -> None:
    """Every transition that the device made in its present journal is stored, once and in order."""

    def whole() -> bool:
        last = site.observer.status(device, name)["sequence"]
        return [entry[0] for entry in stored(site, name, device)] == list(range(1, last + 1))

    site.observer.wait(f"every transition of {name} on {device}", whole, lambda: stored(site, name, device))
    before: str | None = None
    for sequence, source, target in stored(site, name, device):
        assert source == before, f"transition {sequence} leaves {source}, the one before entered {before}"
        assert is_allowed(State(source) if source else None, State(target))
        before = target


def assert_not_written_again(before: Mapping[str, Stamp], agent: Agent) -> None:
    """A file whose content is what it was is the very same file: applying again had no effect."""
    after = agent.stamps()
    for file, stamp in before.items():
        if file in after and after[file].sha256 == stamp.sha256:
            assert after[file] == stamp, f"{file} was written again with the same content"


def stored(site: Site, name: str, device: str) -> list[tuple[int, str | None, str]]:
    """The transitions of the device's newest journal in the orchestrator's store."""
    found = site.orchestrator.query("SELECT journal FROM devices WHERE device = ?", device)
    return site.orchestrator.transitions(name, device, found[0][0]) if found else []


def retained_of(site: Site, name: str) -> dict[str, bytes]:
    return {topic: payload for topic, payload in retained(site.url).items() if name in topic.split("/")}


def expected_topics(name: str, devices: Collection[str], spec_retained: bool) -> set[str]:
    return {
        *([f"specs/{name}"] if spec_retained else []), f"specs/{name}/result", f"deployments/{name}/status",
        *(f"devices/{device}/{branch}/{name}" for device in devices for branch in ("manifests", "status")),
    }  # fmt: skip


def on_disk(agent: Agent, name: str) -> list[dict[str, Any]]:
    return [item for item in agent.objects() if item["metadata"]["labels"]["fleetbus.io/deployment"] == name]


def in_manifest(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    return [*manifest["initialization"], *(item for part in manifest["components"] for item in part["objects"])]


def digests(objects: list[dict[str, Any]]) -> list[str]:
    return sorted(sha256(canonical_json(item)).hexdigest() for item in objects)
