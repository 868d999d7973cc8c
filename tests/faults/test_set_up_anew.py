"""A data folder is lost: the orchestrator's store, or a device's journal. The others help it up again.

Each guard was taken out of a copy of the tree, and these tests failed then (on Mosquitto):

- generations are not raised above those of the devices (``_outgrow``): all four of a new store that deploys;
- no request for missing transitions: the same, and the deletion;
- another manifest under the same generation does not raise it: the changed spec of the same generation;
- an agent that ignores an older generation says nothing: the name that was removed before;
- files that hold exactly what would be written are somebody else's: the device set up anew with its files.
"""

from __future__ import annotations

import shutil

import pytest

from tests.faults.converged import assert_converged, assert_not_written_again, assert_removed
from tests.support.mqtt_client import PlainClient
from tests.support.processes import Site, spec

NAME, DEVICES = "app", ("edge-01", "edge-02")


def at_generation_3(site: Site) -> None:
    site.start(*DEVICES)
    for generation in (1, 2, 3):
        site.publish(spec(NAME, f"text {generation}", devices=DEVICES))
        site.observer.wait_phase(NAME, "Deployed", generation)
    assert_converged(site, NAME, 3, "text 3", *DEVICES)


def lose_store(site: Site) -> None:
    site.orchestrator.kill()
    site.forget(site.orchestrator)


def test_a_new_store_goes_on_above_the_generations_of_the_devices(site: Site) -> None:
    """It starts at 1, hears of 3, and raises the generation to 4; the content is not written again."""
    at_generation_3(site)
    before = site.agents[DEVICES[0]].stamps()
    lose_store(site)
    site.start_orchestrator()
    assert_converged(site, NAME, 4, "text 3", *DEVICES)
    assert_not_written_again(before, site.agents[DEVICES[0]])
    site.publish(spec(NAME, "text 5", devices=DEVICES))
    assert_converged(site, NAME, 5, "text 5", *DEVICES)


def test_a_new_store_with_a_changed_spec_of_the_same_generation(site: Site) -> None:
    """Generation 1 here and generation 1 there are not the same: the devices must get the new content."""
    site.start(*DEVICES)
    site.publish(spec(NAME, "old", devices=DEVICES))
    assert_converged(site, NAME, 1, "old", *DEVICES)
    lose_store(site)
    site.publish(spec(NAME, "new", devices=DEVICES))
    site.start_orchestrator()
    site.observer.wait_aggregate(NAME, "Deployed of a raised generation",
                                 lambda found: found["phase"] == "Deployed" and found["generation"] > 1)  # fmt: skip
    assert_converged(site, NAME, 2, "new", *DEVICES)


def test_a_new_store_finds_a_device_that_returns_later(site: Site) -> None:
    """Nobody could know its generation before; then the spec is raised for all."""
    at_generation_3(site)
    away = site.agents[DEVICES[1]]
    site.agents[DEVICES[0]].kill()
    away.kill()
    lose_store(site)
    site.agents.pop(DEVICES[0])
    site.broker.restart(empty=True)  # nothing retained tells of the device
    site.publish(spec(NAME, "text 3", devices=(away.device,)))
    site.start_orchestrator()
    site.observer.wait_phase(NAME, "Pending", 1)
    site.start_agent(away.device)
    site.observer.wait_aggregate(NAME, "a raised generation",
                                 lambda found: found["phase"] == "Deployed" and found["generation"] > 3)  # fmt: skip
    assert_converged(site, NAME, 4, "text 3", away.device)


def test_a_new_store_can_delete_what_it_never_deployed(site: Site) -> None:
    """The tombstone's generation is above the device's, which is away until after the deletion."""
    at_generation_3(site)
    for device in DEVICES:
        site.agents[device].kill()
    lose_store(site)
    site.start_orchestrator()
    site.observer.wait_aggregate(NAME, "both devices", lambda found: found["total"] == len(DEVICES))
    site.delete(NAME)
    site.observer.wait_phase(NAME, "Removing")
    for device in DEVICES:
        site.start_agent(device)
    assert_removed(site, NAME, *DEVICES)


def test_a_name_that_was_removed_before_the_store_was_lost(site: Site) -> None:
    """The devices remember generation 4 of a removed deployment and ignore 1: the new one must still arrive."""
    at_generation_3(site)
    site.delete(NAME)
    assert_removed(site, NAME, *DEVICES)
    lose_store(site)
    site.start_orchestrator()
    site.publish(spec(NAME, "again", devices=DEVICES))
    site.observer.wait_aggregate(NAME, "Deployed", lambda found: found["phase"] == "Deployed")
    assert_converged(site, NAME, 5, "again", *DEVICES)


@pytest.mark.parametrize("manifests_too", [True, False])
def test_a_device_set_up_anew_gets_everything_again(site: Site, manifests_too: bool) -> None:
    """Same id, new journal, sequences from 1; with or without the files that the old one left."""
    at_generation_3(site)
    agent = site.agents[DEVICES[0]]
    old = site.observer.status(agent.device, NAME)["journal"]
    agent.kill()
    site.forget(agent)
    if manifests_too:
        shutil.rmtree(agent.manifests)
    before = agent.stamps()
    site.start_agent(agent.device)
    site.observer.wait_status(agent.device, NAME, "the new journal", lambda found: found["journal"] != old)
    assert_converged(site, NAME, 3, "text 3", *DEVICES)
    assert_not_written_again(before, agent)
    site.publish(spec(NAME, "text 4", devices=DEVICES))
    assert_converged(site, NAME, 4, "text 4", *DEVICES)
    site.delete(NAME)
    assert_removed(site, NAME, *DEVICES)


def test_a_device_set_up_anew_while_nobody_listened(site: Site) -> None:
    """The orchestrator was down, and its session is gone too: the retained messages tell it."""
    at_generation_3(site)
    agent = site.agents[DEVICES[0]]
    agent.kill()
    site.forget(agent)
    shutil.rmtree(agent.manifests)
    site.orchestrator.kill()
    with PlainClient(site.url, "fleetbus-orchestrator-main", clean_session=True):
        pass
    site.start_agent(agent.device)
    site.observer.wait_state(agent.device, NAME, "Deployed", 3)
    site.start_orchestrator()
    assert_converged(site, NAME, 3, "text 3", *DEVICES)
