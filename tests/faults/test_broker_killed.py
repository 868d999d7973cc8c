"""The broker dies, comes back with what it saved, or comes back empty: the journals are the truth.

Each guard was taken out of a copy of the tree, and these tests failed then (on Mosquitto):

- the orchestrator does not send its outbox again after a connect (``Sender.repeat``): all of them;
- the agent does not publish every status again after a connect: all but two (the update and the power
  cut, where new statuses say everything);
- the orchestrator sends nothing again where its session was kept: the one about just that.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.faults.converged import assert_converged, assert_not_written_again, assert_removed
from tests.support.brokers import MosquittoBroker
from tests.support.observer import retained
from tests.support.processes import Site, spec

NAME, DEVICES = "app", ("edge-01", "edge-02")


def deployed(site: Site) -> None:
    site.start(*DEVICES)
    site.publish(spec(NAME, "one", devices=DEVICES))
    assert_converged(site, NAME, 1, "one", *DEVICES)


def test_a_broker_killed_and_restarted(site: Site) -> None:
    """Mosquitto loses what it had not saved; nothing is applied again, and the next update goes through."""
    deployed(site)
    before = site.agents[DEVICES[0]].stamps()
    site.broker.kill()
    site.broker.start()
    publish_spec_again(site, "one")
    assert_converged(site, NAME, 1, "one", *DEVICES)
    site.publish(spec(NAME, "two", devices=DEVICES))
    assert_converged(site, NAME, 2, "two", *DEVICES)
    assert_not_written_again(before, site.agents[DEVICES[0]])


def test_a_broker_that_kept_the_session_and_lost_the_newest_messages(site: Site) -> None:
    """Mosquitto saves every 5 s: killed shortly after a save it knows the orchestrator's session, and has lost the
    manifest that it acknowledged since. (NATS loses nothing.) The device that was away gets it all the same."""
    deployed(site)
    away = site.agents[DEVICES[1]]
    away.kill()
    site.observer.wait_aggregate(NAME, "the will", lambda found: any(not item["online"] for item in found["devices"]))
    if isinstance(site.broker, MosquittoBroker):
        wait_for_save(site, site.broker)
    site.publish(spec(NAME, "two", devices=DEVICES))
    site.observer.wait_state(DEVICES[0], NAME, "Deployed", 2)
    site.broker.kill()
    site.broker.start()
    site.start_agent(away.device)
    publish_spec_again(site, "two")
    assert_converged(site, NAME, 2, "two", *DEVICES)


def test_a_broker_killed_in_the_middle_of_an_update(site: Site) -> None:
    """Whatever was on its way at that moment arrives after all: two updates, killed after each at once."""
    deployed(site)
    for generation in (2, 3):
        site.publish(spec(NAME, f"text {generation}", devices=DEVICES))
        site.observer.wait_result(NAME, "acceptance", partial(is_generation, generation))
        site.broker.kill()
        site.broker.start()
        publish_spec_again(site, f"text {generation}")
        assert_converged(site, NAME, generation, f"text {generation}", *DEVICES)


def test_a_broker_that_comes_back_empty_is_told_everything(site: Site) -> None:
    """All retained topics but the spec are back, with no new generation and no file written again."""
    deployed(site)
    before = {device: site.agents[device].stamps() for device in DEVICES}
    topics = set(retained(site.url)) - {f"specs/{NAME}"}
    mark = site.observer.count
    site.broker.restart(empty=True)
    site.observer.wait(
        "every retained topic", lambda: topics <= site.observer.topics(mark),
        lambda: topics - site.observer.topics(mark),
    )  # fmt: skip
    assert_converged(site, NAME, 1, "one", *DEVICES, spec_retained=False)
    assert set(retained(site.url)) == topics
    for device in DEVICES:
        assert_not_written_again(before[device], site.agents[device])
    site.publish(spec(NAME, "two", devices=DEVICES))
    assert_converged(site, NAME, 2, "two", *DEVICES)


def test_an_update_lost_with_the_broker_is_sent_again(site: Site) -> None:
    """The device was away when the manifest went out, and the broker lost it: the orchestrator's store has it."""
    deployed(site)
    away = site.agents[DEVICES[1]]
    away.kill()
    site.publish(spec(NAME, "two", devices=DEVICES))
    site.observer.wait_state(DEVICES[0], NAME, "Deployed", 2)
    site.broker.restart(empty=True)
    site.start_agent(away.device)
    assert_converged(site, NAME, 2, "two", *DEVICES, spec_retained=False)


def test_a_removal_lost_with_the_broker_is_sent_again(site: Site) -> None:
    """As a tombstone, which is retained like any manifest."""
    deployed(site)
    away = site.agents[DEVICES[1]]
    away.kill()
    site.delete(NAME)
    site.observer.wait_aggregate(NAME, "one left", lambda found: found["phase"] == "Removing" and found["total"] == 1)
    site.broker.restart(empty=True)
    site.start_agent(away.device)
    assert_removed(site, NAME, *DEVICES)


def test_what_happened_without_a_broker_is_reported_afterwards(site: Site) -> None:
    """A repair while it is away: the missing transitions are stored, in sequence."""
    deployed(site)
    agent = site.agents[DEVICES[0]]
    site.broker.kill()
    [settings] = agent.manifests.glob("*-0050-settings-*.yaml")
    settings.unlink()
    site.observer.wait("the repair", settings.exists)
    site.broker.start()
    publish_spec_again(site, "one")
    site.observer.wait_status(DEVICES[0], NAME, "the repair", lambda found: found["sequence"] >= 8)
    assert_converged(site, NAME, 1, "one", *DEVICES)


def test_everything_killed_at_once(site: Site) -> None:
    """A power cut of the whole site in mid-update: broker, orchestrator and both agents."""
    deployed(site)
    site.publish(spec(NAME, "two", devices=DEVICES))
    site.observer.wait_status(DEVICES[0], NAME, "the update", lambda found: found["desiredGeneration"] == 2)
    for program in (site.orchestrator, *site.agents.values()):
        program.kill()
    site.broker.kill()
    site.broker.start()
    site.start(*DEVICES)
    publish_spec_again(site, "two")
    assert_converged(site, NAME, 2, "two", *DEVICES)


def test_an_empty_broker_and_a_killed_orchestrator(site: Site) -> None:
    """Its store is all that is left of the manifests."""
    deployed(site)
    site.orchestrator.kill()
    site.broker.restart(empty=True)
    site.start_orchestrator()
    assert_converged(site, NAME, 1, "one", *DEVICES, spec_retained=False)


def wait_for_save(site: Site, broker: MosquittoBroker) -> None:
    """Wait for the next autosave: what is published after it is lost by a kill before the one that follows."""
    file = broker.data / "mosquitto.db"
    before = file.stat().st_mtime_ns if file.exists() else 0
    site.observer.wait("an autosave", lambda: file.exists() and file.stat().st_mtime_ns > before)


def is_generation(generation: int, result: dict[str, Any]) -> bool:
    return bool(result["generation"] == generation)


def publish_spec_again(site: Site, text: str) -> None:
    """The publisher's own retained spec may be lost with a killed Mosquitto, as every user of it knows: it is
    published again, and is no new generation."""
    site.publish(spec(NAME, text, devices=DEVICES))
