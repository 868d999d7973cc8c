"""Two specs and room for one, with real processes: who gets it, what the other is told, and when it gets it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import manifest, tombstone
from tests.support.brokers import KINDS
from tests.support.observer import publish
from tests.support.processes import Site, spec
from topics.codec import canonical_json

DEVICE = "edge-01"
RIVALS = ("rival-1", "rival-2")


@pytest.fixture(scope="module", params=list(KINDS))
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An orchestrator and one device on a broker of each kind."""
    kind = KINDS[str(request.param)]
    if missing := kind.missing():
        pytest.skip(missing)
    folder: Path = tmp_path_factory.mktemp("site")
    with kind(folder / "broker") as broker, Site(broker, folder) as started:
        yield started.start(DEVICE)


def large(site: Site, name: str, part: float, **body: Any) -> dict[str, Any]:
    """A spec that needs this part of the device's memory."""
    topic = f"devices/{DEVICE}/capabilities"
    site.observer.wait("the capabilities", lambda: site.observer.last(topic) is not None)
    memory = int((site.observer.last(topic) or {})["memory"] * part)
    return spec(name, devices=(DEVICE,), requirements={"memory": str(memory)}, **body)


def delete(site: Site, name: str) -> None:
    """And wait until the orchestrator has cleared its topics: nothing is reserved for it any more."""
    site.delete(name)
    site.observer.wait("the aggregate to be cleared", lambda: not site.observer.aggregate(name))


def phases(site: Site, *names: str) -> list[str]:
    return sorted(site.observer.aggregate(name).get("phase", "") for name in names)


def test_of_two_specs_for_the_last_memory_one_is_deployed_and_the_other_gets_it_when_that_is_gone(site: Site) -> None:
    """Published at the same moment on one connection each; refused with the name of the winner, and never evicted."""
    wanted = {name: canonical_json(large(site, name, 0.6)) for name in RIVALS}
    with ThreadPoolExecutor(len(RIVALS)) as publishers:
        for name in RIVALS:
            publishers.submit(publish, site.url, f"specs/{name}", wanted[name], retain=True)
    site.observer.wait(
        "one Deployed and one NotPlaceable",
        lambda: phases(site, *RIVALS) == ["Deployed", "NotPlaceable"], partial(phases, site, *RIVALS),
    )  # fmt: skip
    [winner] = [name for name in RIVALS if site.observer.aggregate(name)["phase"] == "Deployed"]
    [loser] = set(RIVALS) - {winner}
    [reason] = site.observer.aggregate(loser)["notPlaceable"][0]["reasons"]
    assert (reason["code"], reason["device"]) == ("memory-left", DEVICE)
    assert f"promised to {winner}" in reason["message"]
    assert site.observer.result(loser)["reasons"] == [reason]
    assert site.agents[DEVICE].data_of(loser) == []
    site.delete(winner)
    site.observer.wait_phase(loser, "Deployed", 1)
    assert site.agents[DEVICE].data_of(loser) == [{"text": "1"}]
    site.observer.wait_result(loser, "no reasons", lambda found: found["reasons"] == [])
    assert [item["device"] for item in site.observer.result(loser)["placed"]] == [DEVICE]
    delete(site, loser)


def test_an_update_that_does_not_fit_leaves_the_old_generation_running(site: Site) -> None:
    """The reason names who has the rest; once that is gone the update is rolled out."""
    for name in ("steady", "grows"):
        site.publish(large(site, name, 0.4))
        site.observer.wait_phase(name, "Deployed", 1)
    site.publish(large(site, "grows", 0.8))
    aggregate = site.observer.wait_phase("grows", "NotPlaceable", 2)
    assert "promised to steady" in aggregate["notPlaceable"][0]["reasons"][0]["message"]
    assert site.observer.status(DEVICE, "grows")["generation"] == 1
    assert site.agents[DEVICE].data_of("grows") == [{"text": "1"}]
    site.delete("steady")
    site.observer.wait_phase("grows", "Deployed", 2)
    site.observer.wait_aggregate("grows", "its promise", lambda found: bool(found["devices"][0]["confirmed"]))
    delete(site, "grows")


def allocatable(site: Site) -> dict[str, Any]:
    return site.observer.last(f"devices/{DEVICE}/allocatable") or {}


def test_images_are_reserved_on_the_disk_confirmed_by_the_device_and_released(site: Site) -> None:
    """Both sides count them beside what is stored; a kill of the agent in between loses no promise."""
    topic = f"devices/{DEVICE}/capabilities"
    site.observer.wait("the capabilities", lambda: site.observer.last(topic) is not None)
    disk = max(volume["capacity"] for volume in (site.observer.last(topic) or {})["storage"])
    site.publish(spec("vision", devices=(DEVICE,), requirements={"storage": "1Mi", "images": str(disk // 2)}))
    site.observer.wait_phase("vision", "Deployed", 1)
    promised = {"deployment": "vision", "storage": disk // 2 + 2**20}

    def is_promised() -> bool:
        found = allocatable(site)
        shown = [{key: item[key] for key in promised} for item in found.get("promised", ())]
        return shown == [promised] and found["storage"] == disk - promised["storage"]

    site.observer.wait("the promise", is_promised, partial(allocatable, site))
    site.observer.wait_aggregate("vision", "confirmed", lambda found: bool(found["devices"][0]["confirmed"]))
    site.publish(spec("second", devices=(DEVICE,), requirements={"images": str(disk // 2)}))
    aggregate = site.observer.wait_phase("second", "NotPlaceable", 1)
    [reason] = aggregate["notPlaceable"][0]["reasons"]
    assert reason["code"] == "storage-left"
    assert "promised to vision" in reason["message"]
    site.publish(spec("third", devices=(DEVICE,), requirements={"storage": "1Gi", "images": str(disk)}))
    aggregate = site.observer.wait_phase("third", "NotPlaceable", 1)
    assert "storage with its images, the device has" in aggregate["notPlaceable"][0]["reasons"][0]["message"]
    epoch = allocatable(site)["epoch"]
    site.agents[DEVICE].kill()
    site.agents[DEVICE].start()
    site.observer.wait("the same after a kill", lambda: is_promised() and allocatable(site)["epoch"] > epoch)
    for name in ("third", "second", "vision"):
        delete(site, name)
    site.observer.wait("the release", lambda: not allocatable(site)["promised"], partial(allocatable, site))
    assert allocatable(site)["storage"] == disk


def test_what_the_device_promised_to_somebody_else_is_not_given_away(site: Site) -> None:
    """Its own word counts beside the orchestrator's books; and it refuses by itself what is too much for it."""
    whole = large(site, "wanted", 0.6)
    memory = whole["spec"]["requirements"]["memory"]
    base = f"devices/{DEVICE}/manifests"
    publish(site.url, f"{base}/stranger", manifest(1, "stranger", requirements={"memory": memory}), retain=True)
    site.observer.wait("the promise", lambda: bool(allocatable(site).get("promised")), partial(allocatable, site))
    site.publish(whole)
    aggregate = site.observer.wait_phase("wanted", "NotPlaceable", 1)
    assert "promised to stranger" in aggregate["notPlaceable"][0]["reasons"][0]["message"]
    publish(site.url, f"{base}/greedy", manifest(1, "greedy", requirements={"memory": memory}), retain=True)
    site.observer.wait("the refusal", lambda: (site.observer.status(DEVICE, "greedy") or {}).get("state") == "Failed")
    failure = site.observer.status(DEVICE, "greedy")["failure"]
    assert (failure["code"], failure["retryable"]) == ("insufficient", True)
    assert "promised to stranger" in failure["message"]
    assert [item["deployment"] for item in allocatable(site)["promised"]] == ["stranger"]
    for name in ("greedy", "stranger"):
        publish(site.url, f"{base}/{name}", tombstone(2, name), retain=True)
    site.observer.wait_phase("wanted", "Deployed", 1)
    delete(site, "wanted")
