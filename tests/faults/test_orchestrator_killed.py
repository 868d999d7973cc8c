"""kill -9 of the orchestrator at each of its fail-points, at the first and later visits.

The turn of the deciding thread is: decide, commit, acknowledge, publish. Killed before the commit
nothing was acknowledged and everything comes again; killed after it the outbox is durable.

GUARDS-ORCHESTRATOR
"""

from __future__ import annotations

import pytest

from tests.faults.converged import assert_converged, assert_not_written_again, assert_removed
from tests.support.observer import retained
from tests.support.processes import Site, spec

NAME, DEVICES = "app", ("edge-01", "edge-02")
PLACES = ("before-commit", "after-commit", "after-acknowledge", "after-publish")
VISITS = (1, 2, 3, 5, 8)


def run_until_killed(site: Site, place: str, visit: int) -> None:
    """Start it with the fail-point, wait for its death, keep it dead."""
    site.orchestrator.start(failpoints=f"orchestrator.{place}=kill:{visit}")
    assert site.orchestrator.wait_ended() == -9, site.orchestrator.text


@pytest.mark.parametrize("place", PLACES)
def test_deploying_survives_the_death_of_the_orchestrator(site: Site, place: str) -> None:
    """A new generation each time, published while it is down; it dies at a later visit each time."""
    for device in DEVICES:
        site.start_agent(device)
    for generation, visit in enumerate(VISITS, start=1):
        site.publish(spec(NAME, f"text {generation}", devices=DEVICES))
        site.command(NAME, "retry", f"idle-{generation}")  # one more message, for visits that wait for one
        run_until_killed(site, place, visit)
        before = site.agents[DEVICES[0]].stamps()
        site.start_orchestrator()
        assert_converged(site, NAME, generation, f"text {generation}", *DEVICES)
        assert_not_written_again(before, site.agents[DEVICES[0]])
        site.orchestrator.stop()


@pytest.mark.parametrize("place", PLACES)
def test_deleting_survives_the_death_of_the_orchestrator(site: Site, place: str) -> None:
    """The empty retained payload is gone from the broker at once: only the session still has it."""
    site.start(*DEVICES)
    for visit in (1, 2, 4):
        site.publish(spec(NAME, f"before {visit}", devices=DEVICES))
        site.observer.wait_phase(NAME, "Deployed")
        assert site.orchestrator.stop()[0] == 0
        site.delete(NAME)
        run_until_killed(site, place, visit)
        site.start_orchestrator()
        assert_removed(site, NAME, *DEVICES)


@pytest.mark.parametrize("place", PLACES)
def test_reports_sent_while_it_dies_are_all_stored(site: Site, place: str) -> None:
    """It is alive when the manifest goes out and dies while the devices report."""
    site.start(*DEVICES)
    for visit in (2, 6):
        site.orchestrator.kill()
        site.publish(spec(NAME, f"visit {visit}", devices=DEVICES))
        run_until_killed(site, place, visit)
        for device in DEVICES:  # what can be done without it is done before it returns
            if f"devices/{device}/manifests/{NAME}" in retained(site.url):
                site.observer.wait(
                    "the device to settle", lambda it=device: site.observer.status(it, NAME).get("state") == "Deployed"
                )
        site.start_orchestrator()
        generation = 1 + (visit == 6)
        assert_converged(site, NAME, generation, f"visit {visit}", *DEVICES)


def test_dying_again_and_again_loses_nothing(site: Site) -> None:
    """Twelve deaths in a row at ever other places, one spec, no message twice with effect."""
    for device in DEVICES:
        site.start_agent(device)
    site.publish(spec(NAME, "through it all", devices=DEVICES))
    for visit in (1, 2, 3):
        for place in PLACES:
            site.command(NAME, "retry", f"idle-{visit}-{place}")
            run_until_killed(site, place, visit)
    before = {device: site.agents[device].stamps() for device in DEVICES}
    site.start_orchestrator()
    assert_converged(site, NAME, 1, "through it all", *DEVICES)
    for device in DEVICES:
        assert_not_written_again(before[device], site.agents[device])
        assert site.observer.status(device, NAME)["sequence"] == 5
