"""kill -9 of the orchestrator at each of its fail-points, at the first and later visits.

The turn of the deciding thread is: decide, commit, acknowledge, publish. Killed before the commit
nothing was acknowledged and everything comes again; killed after it the outbox is durable.

Each guard was taken out of a copy of the tree, and these tests failed then (on Mosquitto):

- acknowledge before the commit: the command is lost (``before-commit``). Specs and reports are not, because
  retained specs come again with every subscription and missing transitions are asked for;
- rows leave the outbox before their PUBACK: nothing alone, because retained messages are sent again after
  each connect and commands until they are answered; together with the former taken out, the manifest that
  was sent and not acknowledged is lost.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.converged import assert_converged, assert_not_written_again, assert_removed
from tests.faults.relay import Relay
from tests.support.observer import retained
from tests.support.processes import Orchestrator, Site, spec

NAME, DEVICES = "app", ("edge-01", "edge-02")
PLACES = ("before-commit", "after-commit", "after-acknowledge", "after-publish")
VISITS = (1, 3, 6)
_PATIENCE_SECONDS, _MOST_MESSAGES = 1.0, 20


def run_until_killed(site: Site, place: str, visit: int) -> None:
    """Start it with the fail-point, wait for its death, keep it dead.

    A place is visited once for a batch of messages, and a busy machine makes one batch of many: then further
    messages bring the next visits: deletions of what was never there, which change nothing and are not answered
    where the outcomes of commands stand.
    """
    site.orchestrator.start(failpoints=f"orchestrator.{place}=kill:{visit}")
    for number in range(_MOST_MESSAGES):
        if (status := site.orchestrator.status_after(_PATIENCE_SECONDS)) is not None:
            break
        site.delete(f"idle-{number}")
    assert status == -9, site.orchestrator.text


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
    for visit in (1, 2):
        site.publish(spec(NAME, f"before {visit}", devices=DEVICES))
        site.observer.wait_phase(NAME, "Deployed")
        assert site.orchestrator.stop()[0] == 0
        site.delete(NAME)
        run_until_killed(site, place, visit)
        site.start_orchestrator()
        assert_removed(site, NAME, *DEVICES)


def test_reports_sent_while_it_is_dead_are_all_stored(site: Site) -> None:
    """It dies after the manifests went out; the devices finish without it, and their events wait at the broker."""
    for device in DEVICES:
        site.start_agent(device)
    site.publish(spec(NAME, "one", devices=DEVICES))
    for visit in (2, 3, 4, 5, 6, 7):
        site.command(NAME, "retry", f"idle-{visit}")
        run_until_killed(site, "after-publish", visit)
        if all(f"devices/{device}/manifests/{NAME}" in retained(site.url) for device in DEVICES):
            break
    for device in DEVICES:
        site.observer.wait_state(device, NAME, "Deployed", 1)
    site.start_orchestrator()
    assert_converged(site, NAME, 1, "one", *DEVICES)


@pytest.mark.parametrize("place", PLACES)
def test_a_command_survives_the_death_of_the_orchestrator(site: Site, place: str) -> None:
    """Commands are not retained: only its session, its store and its outbox carry one over. Done once."""
    site.start(*DEVICES)
    site.publish(spec(NAME, "one", devices=DEVICES, activation={"mode": "manual"}))
    for device in DEVICES:
        site.observer.wait_state(device, NAME, "Staged", 1)
    site.observer.wait_aggregate(NAME, "both Staged", lambda found: found["counts"] == {"Staged": 2})
    assert site.orchestrator.stop()[0] == 0
    site.command(NAME, "activate", "go")
    for visit in (1, 2):
        run_until_killed(site, place, visit)
    site.start_orchestrator()
    assert_converged(site, NAME, 1, "one", *DEVICES)
    site.observer.wait_aggregate(
        NAME, "both answers",
        lambda found: [item["outcome"] for item in found["commands"] if item["id"] == "go"] == ["done", "done"],
    )  # fmt: skip


def test_a_manifest_that_was_sent_and_not_acknowledged_is_sent_again(site: Site, tmp_path: Path) -> None:
    """Decided, committed and written to a connection from which nothing arrives any more; then the orchestrator
    is killed. Its outbox still has the row, because no PUBACK has come."""
    with Relay(site.broker.port) as relay:
        site.orchestrator = Orchestrator(relay.url, tmp_path / "relayed")
        site.start(*DEVICES)
        site.publish(spec(NAME, "one", devices=DEVICES))
        assert_converged(site, NAME, 1, "one", *DEVICES)
        relay.swallowing = True
        site.publish(spec(NAME, "two", devices=DEVICES))
        wanted = "deployment=app generation=2 devices=2"
        site.observer.wait("the manifests to be handed over", lambda: site.orchestrator.text.count(wanted) == 2)
        site.orchestrator.kill()
        relay.swallowing = False
        site.start_orchestrator()
        assert_converged(site, NAME, 2, "two", *DEVICES)


def test_dying_again_and_again_loses_nothing(site: Site) -> None:
    """Eight deaths in a row at ever other places, one spec, no message twice with effect."""
    for device in DEVICES:
        site.start_agent(device)
    site.publish(spec(NAME, "through it all", devices=DEVICES))
    for visit in (1, 2):
        for place in PLACES:
            site.command(NAME, "retry", f"idle-{visit}-{place}")
            run_until_killed(site, place, visit)
    before = {device: site.agents[device].stamps() for device in DEVICES}
    site.start_orchestrator()
    assert_converged(site, NAME, 1, "through it all", *DEVICES)
    for device in DEVICES:
        assert_not_written_again(before[device], site.agents[device])
        assert site.observer.status(device, NAME)["sequence"] == 5


def reservations(site: Site) -> dict[str, list[int]]:
    """Deployment and what is reserved for it: millicores, memory, storage."""
    rows = site.orchestrator.query("SELECT name, assignment FROM deployments")
    return {name: json.loads(assignment)["reserved"] for name, assignment in rows}


@pytest.mark.parametrize("place", PLACES)
def test_one_reservation_survives_the_death_of_the_orchestrator(site: Site, place: str) -> None:
    """Two specs want more than half of a device's memory each. Killed between commit and publish, and elsewhere:
    one of them has it reserved once, the other one is refused, and after each start it is the same one."""
    device, rivals = DEVICES[0], ("rival-1", "rival-2")
    site.start_agent(device)
    capabilities = f"devices/{device}/capabilities"
    site.observer.wait("the capabilities", lambda: site.observer.last(capabilities) is not None)
    memory = str(int((site.observer.last(capabilities) or {})["memory"] * 0.6))
    for name in rivals:
        site.publish(spec(name, name, devices=(device,), requirements={"memory": memory}))
    holders: set[str] = set()
    for visit in (1, 2, 2):
        site.command(rivals[0], "retry", f"idle-{visit}")  # one more message, for visits that wait for one
        run_until_killed(site, place, visit)
        reserved = reservations(site)
        holders |= reserved.keys()
        assert len(reserved) <= 1, reserved
        assert len(holders) <= 1, f"the reservation went from one to the other: {holders}"
    site.start_orchestrator()
    site.observer.wait(
        "one Deployed, one refused",
        lambda: {site.observer.aggregate(name).get("phase") for name in rivals} == {"Deployed", "NotPlaceable"},
    )
    [winner] = [name for name in rivals if site.observer.aggregate(name)["phase"] == "Deployed"]
    assert holders <= {winner}
    assert reservations(site) == {winner: [0, int(memory), 0]}
    assert_converged(site, winner, 1, winner, device)
    site.delete(winner)
    [loser] = set(rivals) - {winner}
    assert_converged(site, loser, 1, loser, device)
