"""A kill -9 of an agent that deploys to a real cluster: before, in the middle of and after each step.

The next agent on the same data folder finishes what was begun. Applying again has no effect: an object that already
was as it should be keeps its uid and its resource version.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.converged import assert_whole_history
from tests.support.cluster import ControlPlane
from tests.support.cluster_api import Api, Follower, wait
from tests.support.cluster_kubelet import Kubelet
from tests.support.cluster_site import (
    ENGINES,
    GOOD,
    assert_nothing_left,
    changed_timeout,
    cluster_agent,
    cluster_site,
    cluster_spec,
    image_of,
    text_of,
)
from tests.support.processes import Agent, Site
from topics.documents.base import JsonObject

pytestmark = pytest.mark.xdist_group("kubernetes-killed")  # one worker: what they stand on takes long to set up

PLAIN = ENGINES["kubernetes"]
STEPS = [
    f"agent.{when}-{step}=kill" for step in ("check", "download", "initialize", "apply") for when in ("before", "after")
]
_NUMBERS = itertools.count(1)
_OBJECTS = (("v1", "ConfigMap", "settings"), ("apps/v1", "Deployment", "web"), ("v1", "Service", "web"))


@pytest.fixture(scope="module")
def site(cluster: ControlPlane, kubelet: Kubelet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with cluster_site(cluster, tmp_path_factory.mktemp("killed")) as started:
        yield started


@pytest.fixture
def api(cluster: ControlPlane) -> Api:
    return cluster.api


@pytest.fixture
def name() -> str:
    """A deployment's name for this test alone."""
    return f"killed{next(_NUMBERS)}"


@pytest.fixture
def agent(site: Site, cluster: ControlPlane, name: str) -> Iterator[Agent]:
    """An agent for this test alone, online."""
    started = cluster_agent(site, cluster, f"edge-{name}", "--max-attempts", "1")
    yield started
    started.kill()


def deploy(site: Site, agent: Agent, name: str, main: JsonObject, generation: int = 1, **body: Any) -> None:
    site.publish(cluster_spec(name, agent.device, main, **body))
    site.observer.wait_state(agent.device, name, "Deployed", generation)


def identities(api: Api, name: str) -> dict[str, tuple[str, str, object]]:
    """uid, digest of what was asked for and generation of each object."""
    found = {}
    for version, kind, called in _OBJECTS:
        item = api.get(version, kind, called, name)
        assert item is not None, f"{kind} {called} is missing"
        metadata = item["metadata"]
        # A Deployment's resource version changes with its status; its generation only with what was asked for.
        found[kind] = (metadata["uid"], str(item.get("data")), metadata.get("generation", metadata["resourceVersion"]))
    return found


def assert_converged(site: Site, api: Api, agent: Agent, name: str, *, generation: int, text: str, image: str) -> None:
    """The generation is Deployed everywhere it is told, its objects are there, and the history has no gap."""
    site.observer.wait_state(agent.device, name, "Deployed", generation)
    site.observer.wait_phase(name, "Deployed", generation)
    assert (text_of(api, name), image_of(api, name)) == (text, image)
    assert_whole_history(site, name, agent.device)


@pytest.mark.parametrize("place", STEPS)
def test_an_update_survives_the_death_of_the_agent(site: Site, api: Api, agent: Agent, name: str, place: str) -> None:
    """Generation 2 waits at the broker; the agent dies on its way; the next one finishes, and no object is made anew."""
    deploy(site, agent, name, PLAIN("one", GOOD))
    before = {kind: found[0] for kind, found in identities(api, name).items()}
    agent.kill()
    site.publish(cluster_spec(name, agent.device, PLAIN("two", "example/web:2")))
    agent.start(failpoints=place)
    assert agent.wait_ended() == -9, agent.text
    at_death = identities(api, name)
    site.start_agent(agent.device)
    assert_converged(site, api, agent, name, generation=2, text="two", image="example/web:2")
    after = identities(api, name)
    assert {kind: found[0] for kind, found in after.items()} == before
    if place == "agent.after-apply=kill":
        assert after == at_death


@pytest.mark.parametrize("text", ["one", "two"])
def test_the_agent_dies_between_two_objects(site: Site, api: Api, agent: Agent, name: str, text: str) -> None:
    """As soon as the first object is there (in the first generation, or changed by the second), it is killed."""
    if text == "two":
        deploy(site, agent, name, PLAIN("one", GOOD))
    else:
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    follower = Follower(api, api.path("v1", "ConfigMap", name))
    site.publish(cluster_spec(name, agent.device, PLAIN(text, "example/web:2")))
    for item in follower.objects():
        if item["metadata"]["name"] == "settings" and item["data"]["text"] == text:
            agent.kill()
            break
    follower.close()
    site.start_agent(agent.device)
    assert_converged(site, api, agent, name, generation=2 if text == "two" else 1, text=text, image="example/web:2")


def test_the_agent_dies_while_it_waits_for_a_component(
    site: Site, api: Api, kubelet: Kubelet, agent: Agent, name: str
) -> None:
    """The pod starts after the restart only; the Deployment is the same."""
    site.publish(cluster_spec(name, agent.device, PLAIN("one", "example/slow:1")))
    before = wait("the Deployment", lambda: api.get("apps/v1", "Deployment", "web", name))
    agent.kill()
    site.start_agent(agent.device)
    assert site.observer.status(agent.device, name)["state"] == "Configuration"
    kubelet.release(name)
    assert_converged(site, api, agent, name, generation=1, text="one", image="example/slow:1")
    after = api.get("apps/v1", "Deployment", "web", name)
    assert after is not None
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


def test_a_job_of_the_initialization_runs_once(site: Site, api: Api, kubelet: Kubelet, agent: Agent, name: str) -> None:
    """The agent dies while it runs, and once more after it: one Job, one pod."""
    job = {
        "metadata": {"name": "migrate"},
        "spec": {"template": {"spec": {"restartPolicy": "Never",
                                       "containers": [{"name": "main", "image": "example/slow-migrate:1"}]}}},
    }  # fmt: skip
    site.publish(cluster_spec(name, agent.device, PLAIN("one", GOOD), initialization={"jobs": [job]}))
    before = wait("the job", lambda: api.get("batch/v1", "Job", "migrate", name))
    agent.kill()
    kubelet.release(name)
    agent.start(failpoints="agent.after-initialize=kill")
    assert agent.wait_ended() == -9, agent.text
    assert text_of(api, name) is None
    site.start_agent(agent.device)
    assert_converged(site, api, agent, name, generation=1, text="one", image=GOOD)
    after = api.get("batch/v1", "Job", "migrate", name)
    assert after is not None
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert len([pod for pod in api.list("v1", "Pod", name) if "migrate" in pod["metadata"]["name"]]) == 1


@pytest.mark.parametrize("place", [f"agent.state.{state}=kill" for state in ("Failed", "RollingBack", "Deployed")])
def test_a_rollback_survives_the_death_of_the_agent(site: Site, api: Api, agent: Agent, name: str, place: str) -> None:
    """The update's image does not exist; the agent dies while it fails, restores, or has restored."""
    deploy(site, agent, name, PLAIN("good", GOOD))
    agent.kill()
    site.publish(cluster_spec(name, agent.device, changed_timeout(PLAIN("bad", "example/missing:1"), "2s")))
    agent.start(failpoints=place)
    assert agent.wait_ended() == -9, agent.text
    site.start_agent(agent.device)
    status = site.observer.wait_status(
        agent.device, name, "the rollback",
        lambda found: (found["state"], found["generation"], found["desiredGeneration"]) == ("Deployed", 1, 2),
    )  # fmt: skip
    assert status["failure"]["code"] == "not-ready-in-time"
    assert (text_of(api, name), image_of(api, name)) == ("good", GOOD)
    assert_whole_history(site, name, agent.device)


def test_the_agent_dies_while_it_heals_drift(site: Site, api: Api, agent: Agent, name: str) -> None:
    """Edited while no agent runs; the next one dies when it notices, the one after it puts it right."""
    deploy(site, agent, name, PLAIN("one", GOOD))
    agent.kill()
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": name}}
    api.merge(settings, {"data": {"text": "edited"}})
    agent.start(failpoints="agent.state.Degraded=kill")
    assert agent.wait_ended() == -9, agent.text
    site.start_agent(agent.device)
    wait("the edit to be healed", lambda: text_of(api, name) == "one")
    assert_converged(site, api, agent, name, generation=1, text="one", image=GOOD)


@pytest.mark.parametrize("place", ["agent.before-remove=kill", "agent.after-remove=kill"])
def test_a_removal_survives_the_death_of_the_agent(site: Site, api: Api, agent: Agent, name: str, place: str) -> None:
    """Nothing is left on the cluster, nor at the broker."""
    deploy(site, agent, name, PLAIN("one", GOOD))
    agent.kill()
    site.delete(name)
    agent.start(failpoints=place)
    assert agent.wait_ended() == -9, agent.text
    site.start_agent(agent.device)
    assert_nothing_left(site, api, name)


def test_the_agent_dies_in_the_middle_of_a_removal(site: Site, api: Api, agent: Agent, name: str) -> None:
    """One object is held by its finalizer when it dies; the rest of the removal is the next agent's."""
    deploy(site, agent, name, PLAIN("one", GOOD))
    held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": name}}
    api.merge(held, {"metadata": {"finalizers": ["example.com/hold"]}})
    site.delete(name)
    wait(
        "its deletion",
        lambda: "deletionTimestamp" in (api.get("v1", "ConfigMap", "settings", name) or {"metadata": {}})["metadata"],
    )
    agent.kill()
    api.merge(held, {"metadata": {"finalizers": []}})
    site.start_agent(agent.device)
    assert_nothing_left(site, api, name)
