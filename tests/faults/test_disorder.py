"""Duplicates, stale messages, messages in another order, late wills: they change nothing.

Each guard was taken out of a copy of the tree, and these tests failed then (on Mosquitto):

- no check of a will's epoch: the late will;
- no request for missing transitions: the lost transitions (and the new stores of ``test_set_up_anew``);
- events that are here already are taken again, or older statuses are: the reports in any order;
- the agent takes a manifest of an older generation: both tests of old manifests.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest

from tests.faults.converged import assert_converged, assert_not_written_again, retained_of
from tests.support.mqtt_client import PlainClient
from tests.support.observer import ROOT, retained
from tests.support.processes import Site, spec

NAME, DEVICES = "app", ("edge-01", "edge-02")


@pytest.fixture
def recorded(site: Site) -> Iterator[tuple[Site, list[tuple[str, bytes, bool]]]]:
    """A site that has deployed three generations, and every message of it with its retain flag."""
    with PlainClient(site.url) as client:
        client.subscribe(f"{ROOT}/#")
        site.start(*DEVICES)
        for generation in (1, 2, 3):
            site.publish(spec(NAME, f"text {generation}", devices=DEVICES))
            assert_converged(site, NAME, generation, f"text {generation}", *DEVICES)
        kept = set(retained(site.url))
        yield (
            site,
            [(topic, payload, topic.removeprefix(ROOT + "/") in kept) for topic, payload, _ in list(client.messages)],
        )


def send(site: Site, messages: list[tuple[str, bytes, bool]], *, retain: bool = True) -> None:
    """Publish them as a rogue client."""
    with PlainClient(site.url) as client:
        for topic, payload, kept in messages:
            client.publish(topic, payload, retain=kept and retain)


def of_agents(messages: list[tuple[str, bytes, bool]]) -> list[tuple[str, bytes, bool]]:
    return [item for item in messages if "/events/" in item[0] or "/status/" in item[0]]


def settled(site: Site) -> None:
    """Both sides have dealt with everything before this: they answer a new generation of another deployment."""
    site.publish(spec("probe", devices=DEVICES))
    site.observer.wait_phase("probe", "Deployed")


def test_reports_delivered_again_in_any_order_change_nothing(
    recorded: tuple[Site, list[tuple[str, bytes, bool]]],
) -> None:
    """All events and statuses of three generations, backwards, then shuffled, each twice."""
    site, messages = recorded
    reports = of_agents(messages)
    before = {device: site.observer.status(device, NAME) for device in DEVICES}
    send(site, reports[::-1], retain=False)
    shuffled = reports * 2
    random.Random(7).shuffle(shuffled)
    send(site, shuffled, retain=False)
    settled(site)
    for device in DEVICES:
        assert_whole_history_of(site, device, before[device]["sequence"])
    rows = site.orchestrator.query(
        "SELECT device, generation, state, sequence, event_sequence, ahead FROM deployments WHERE name = ?", NAME
    )
    ends = {device: before[device]["sequence"] for device in DEVICES}
    assert sorted(rows) == [(device, 3, "Deployed", ends[device], ends[device], "[]") for device in DEVICES]


def test_old_manifests_delivered_again_change_nothing(recorded: tuple[Site, list[tuple[str, bytes, bool]]]) -> None:
    """Generations 2, 1, 3, 1: the device stays at 3, writes nothing and makes no transition."""
    site, messages = recorded
    device = DEVICES[0]
    topic = f"{ROOT}/devices/{device}/manifests/{NAME}"
    manifests = {json.loads(payload)["generation"]: payload for name, payload, _ in messages if name == topic}
    before, sequence = site.agents[device].stamps(), site.observer.status(device, NAME)["sequence"]
    send(site, [(topic, manifests[generation], False) for generation in (2, 1, 3, 1)])
    settled(site)
    assert site.observer.status(device, NAME)["sequence"] == sequence
    assert_not_written_again(before, site.agents[device])
    assert site.agents[device].data_of(NAME) == [{"text": "text 3"}]


def test_a_retained_old_manifest_is_replaced(recorded: tuple[Site, list[tuple[str, bytes, bool]]]) -> None:
    """A rogue leaves generation 1 retained; the next start of the device ignores it, the next update replaces it."""
    site, messages = recorded
    device = DEVICES[0]
    topic = f"{ROOT}/devices/{device}/manifests/{NAME}"
    first = next(payload for name, payload, _ in messages if name == topic)
    send(site, [(topic, first, True)])
    site.agents[device].kill()
    site.start_agent(device)
    settled(site)
    assert site.agents[device].data_of(NAME) == [{"text": "text 3"}]
    site.publish(spec(NAME, "text 4", devices=DEVICES))
    assert_converged(site, NAME, 4, "text 4", *DEVICES)


def test_transitions_that_were_lost_are_asked_for(site: Site) -> None:
    """The orchestrator's session is taken away with the events queued in it; the journals have them all."""
    site.start(*DEVICES)
    site.publish(spec(NAME, "one", devices=DEVICES))
    assert_converged(site, NAME, 1, "one", *DEVICES)
    site.orchestrator.kill()
    [settings] = site.agents[DEVICES[0]].manifests.glob("*-0050-settings-*.yaml")
    settings.unlink()
    site.observer.wait_status(
        DEVICES[0], NAME, "the repair", lambda found: (found["sequence"], found["state"]) == (8, "Deployed")
    )
    with PlainClient(site.url, "fleetbus-orchestrator-main", clean_session=True):
        pass  # a clean session with the orchestrator's own id: the broker drops what it kept for it
    site.start_orchestrator()
    assert_converged(site, NAME, 1, "one", *DEVICES)


def test_a_late_will_of_an_older_session_is_ignored(site: Site) -> None:
    """A will with the epoch of the session before arrives after the new birth: the device stays online."""
    site.start(*DEVICES)
    site.publish(spec(NAME, "one", devices=DEVICES))
    site.observer.wait_phase(NAME, "Deployed", 1)
    old = site.observer.last(f"devices/{DEVICES[0]}/presence")
    assert old is not None
    site.agents[DEVICES[0]].kill()
    site.observer.wait_aggregate(NAME, "the will", lambda found: any(not item["online"] for item in found["devices"]))
    site.start_agent(DEVICES[0])
    site.observer.wait_aggregate(NAME, "its return", lambda found: all(item["online"] for item in found["devices"]))
    mark = site.observer.count
    send(site, [(f"{ROOT}/devices/{DEVICES[0]}/presence", json.dumps(old | {"online": False}).encode(), False)])
    settled(site)
    [newest] = site.observer.documents("deployments/probe/status", mark)[-1:]
    assert all(item["online"] for item in newest["devices"])
    assert all(item["online"] for item in site.observer.aggregate(NAME)["devices"])
    site.publish(spec(NAME, "two", devices=DEVICES))
    assert_converged(site, NAME, 2, "two", *DEVICES)


def test_a_stale_report_after_a_removal_brings_nothing_back(
    recorded: tuple[Site, list[tuple[str, bytes, bool]]],
) -> None:
    """Old statuses and events of a deployment that is gone: no aggregate, no manifest appears."""
    site, messages = recorded
    site.delete(NAME)
    site.observer.wait("no retained topic", lambda: not retained_of(site, NAME), lambda: set(retained_of(site, NAME)))
    send(site, of_agents(messages), retain=False)
    settled(site)
    assert not retained_of(site, NAME)


def assert_whole_history_of(site: Site, device: str, sequence: int) -> None:
    """Nothing was added: the history still ends where the device's own status said."""
    rows = site.orchestrator.query(
        "SELECT sequence FROM transitions WHERE name = ? AND device = ? ORDER BY sequence", NAME, device
    )
    assert [row[0] for row in rows] == list(range(1, sequence + 1))
