"""kill -9 of an agent: on entering every state, and at each of its fail-points, with the real orchestrator.

Each guard was taken out of a copy of the tree, and these tests failed then (on Mosquitto):

- files are written again although they hold what they should: every update killed after a write;
- a started agent does not go on with the step that its journal names: every update killed before Deployed.

An outbox that is emptied at every start fails nothing here, because two other guards stand behind it:
every status is published again on connect, and the orchestrator asks for missing transitions.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.converged import assert_converged, assert_not_written_again, assert_removed
from tests.support.processes import Agent, Site, spec

PLACES = [
    *(f"agent.{place}=kill:{visit}" for place in ("before-commit", "after-commit") for visit in (1, 3, 5)),
    "agent.after-acknowledge=kill",  # all that waits may come in one batch, so there may be no second round
    *(f"agent.after-publish=kill:{visit}" for visit in (1, 2)),
    *(f"agent.{when}-{step}=kill" for step in ("check", "download", "apply") for when in ("before", "after")),
    *(f"agent.{when}-initialize=kill" for when in ("before", "after")),
    *(f"agent.state.{state}=kill" for state in ("Created", "Prepared", "Downloading", "Configuration", "Deployed")),
]
"""Where an update kills the agent."""


@pytest.fixture
def device(request: pytest.FixtureRequest, shared_site: Site) -> Iterator[Agent]:
    """An agent of this test alone, online, with its deployment in generation 1."""
    agent = shared_site.start_agent(f"edge-{len(shared_site.agents)}")
    name = name_for(agent)
    shared_site.publish(spec(name, "one", devices=(agent.device,)))
    shared_site.observer.wait_state(agent.device, name, "Deployed", 1)
    yield agent
    agent.kill()


def name_for(agent: Agent) -> str:
    """The deployment of the test's device."""
    return f"app-{agent.device}"


@pytest.mark.parametrize("place", PLACES)
def test_an_update_survives_the_death_of_the_agent(shared_site: Site, device: Agent, place: str) -> None:
    """Generation 2 waits at the broker; the agent dies on its way; the next one finishes, nothing twice."""
    name = name_for(device)
    device.kill()
    shared_site.publish(spec(name, "two", devices=(device.device,)))
    device.start(failpoints=place)
    assert device.wait_ended() == -9, device.text
    before = device.stamps()
    shared_site.start_agent(device.device)
    assert_converged(shared_site, name, 2, "two", device.device)
    assert_not_written_again(before, device)


def test_death_while_staged_keeps_the_generation_waiting(shared_site: Site, device: Agent) -> None:
    """It is still held after the restart, the old generation runs, and the command activates it."""
    name = name_for(device)
    device.kill()
    shared_site.publish(spec(name, "two", devices=(device.device,), activation={"mode": "manual"}))
    device.start(failpoints="agent.state.Staged=kill")
    assert device.wait_ended() == -9
    shared_site.start_agent(device.device)
    shared_site.observer.wait_state(device.device, name, "Staged", 2)
    assert device.data_of(name) == [{"text": "one"}]
    shared_site.command(name, "activate", f"go-{name}")
    assert_converged(shared_site, name, 2, "two", device.device)


@pytest.mark.parametrize(
    "place", [f"agent.{place}-commit=kill:{visit}" for place in ("before", "after") for visit in (1, 2, 3)]
)
def test_a_command_survives_the_death_of_the_agent(shared_site: Site, device: Agent, place: str) -> None:
    """It is sent to each new session of the device until that has answered; it is done once."""
    name = name_for(device)
    shared_site.publish(spec(name, "two", devices=(device.device,), activation={"mode": "manual"}))
    shared_site.observer.wait_state(device.device, name, "Staged", 2)
    device.kill()
    shared_site.observer.wait_aggregate(name, "the will", lambda found: not found["devices"][0]["online"])
    shared_site.command(name, "activate", f"go-{name}")
    device.start(failpoints=place)
    assert device.wait_ended() == -9, device.text
    shared_site.start_agent(device.device)
    assert_converged(shared_site, name, 2, "two", device.device)
    answers = shared_site.observer.status(device.device, name)["commands"]
    answered = [(item["id"], item["outcome"]) for item in answers if item["action"] == "activate"]
    assert answered == [(f"go-{name}", "done")]


@pytest.mark.parametrize("place", [f"agent.state.{state}=kill" for state in ("Failed", "RollingBack", "Deployed")])
def test_a_rollback_survives_the_death_of_the_agent(shared_site: Site, device: Agent, place: str) -> None:
    """The update cannot be written; the agent dies while it fails, restores, or has restored."""
    name = name_for(device)
    device.kill()
    [settings] = device.manifests.glob("*-0050-settings-*.yaml")
    blocked = spec(name, "two", devices=(device.device,))
    blocked["spec"]["requirements"] = {"storage": "1Mi"}
    objects = [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "Not A Name"}}]
    blocked["spec"]["components"].append({"name": "impossible", "kubernetes": {"objects": objects}})
    before = device.stamps()
    shared_site.publish(blocked)
    device.start(failpoints=place)
    assert device.wait_ended() == -9, device.text
    shared_site.start_agent(device.device)
    status = shared_site.observer.wait_status(
        device.device, name, "the restored generation",
        lambda found: (found["state"], found["generation"], found["desiredGeneration"]) == ("Deployed", 1, 2),
    )  # fmt: skip
    assert status["failure"]["generation"] == 2
    assert device.data_of(name) == [{"text": "one"}]
    assert settings.exists()
    assert_not_written_again(before, device)
    shared_site.publish(spec(name, "three", devices=(device.device,)))
    assert_converged(shared_site, name, 3, "three", device.device)


@pytest.mark.parametrize("place", ["agent.state.Degraded=kill", "agent.state.Configuration=kill"])
def test_a_repair_survives_the_death_of_the_agent(shared_site: Site, device: Agent, place: str) -> None:
    """A file is taken away; the agent dies when it notices, or while it repairs."""
    name = name_for(device)
    device.kill()
    [settings] = device.manifests.glob("*-0050-settings-*.yaml")
    settings.unlink()
    device.start(failpoints=place)
    assert device.wait_ended() == -9, device.text
    shared_site.start_agent(device.device)
    shared_site.observer.wait("the file", settings.exists)
    assert_converged(shared_site, name, 1, "one", device.device)


@pytest.mark.parametrize(
    "place",
    [
        "agent.state.Removing=kill", "agent.state.Removed=kill", "agent.before-remove=kill", "agent.after-remove=kill",
        "agent.before-commit=kill:3", "agent.after-commit=kill:3", "agent.after-publish=kill:3",
        "agent.after-acknowledge=kill:2",
    ],
)  # fmt: skip
def test_a_removal_survives_the_death_of_the_agent(shared_site: Site, device: Agent, place: str) -> None:
    """Nothing is left at the end, neither files nor retained topics, and the history is whole."""
    name = name_for(device)
    device.kill()
    shared_site.delete(name)
    device.start(failpoints=place)
    assert device.wait_ended() == -9, device.text
    shared_site.start_agent(device.device)
    assert_removed(shared_site, name, device.device)
