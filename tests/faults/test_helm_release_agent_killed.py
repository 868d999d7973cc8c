"""A kill -9 of an agent that makes Helm releases on a real cluster, at the points where Helm's own record is at odds
with the cluster: the next agent on the same data folder finishes what was begun.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

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
    cluster_site,
    cluster_spec,
    image_of,
    text_of,
)
from tests.support.processes import Agent, Site

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("helm-release-killed")]

RELEASE = ENGINES["helm-release"]
SLOW = "example/slow:1"
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def site(cluster: ControlPlane, kubelet: Kubelet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with cluster_site(cluster, tmp_path_factory.mktemp("killed-releases")) as started:
        yield started


@pytest.fixture
def api(cluster: ControlPlane) -> Api:
    return cluster.api


@pytest.fixture
def name() -> str:
    """A deployment's name for this test alone."""
    return f"helmkilled{next(_NUMBERS)}"


@pytest.fixture
def agent(site: Site, cluster: ControlPlane, name: str) -> Iterator[Agent]:
    """An agent for this test alone, online."""
    options = ("--applier", "helm-release", "--kubeconfig", str(cluster.kubeconfig), "--health-every", "120")
    started = site.start_agent(f"edge-{name}", *options)
    yield started
    started.kill()


def statuses(api: Api, name: str) -> list[str]:
    """Of every revision in Helm's history, oldest first."""
    found = [item["metadata"]["labels"] for item in api.list("v1", "Secret", name, selector="owner=helm")]
    return [labels["status"] for labels in sorted(found, key=lambda labels: int(labels["version"]))]


def assert_converged(site: Site, api: Api, agent: Agent, name: str, *, generation: int, text: str) -> None:
    """Deployed everywhere it is told, one revision is in force, and the history has no gap."""
    site.observer.wait_state(agent.device, name, "Deployed", generation)
    site.observer.wait_phase(name, "Deployed", generation)
    assert text_of(api, name) == text
    assert (statuses(api, name)[-1], statuses(api, name).count("deployed")) == ("deployed", 1)
    assert_whole_history(site, name, agent.device)


def test_killed_while_helm_waits_in_the_first_installation(
    site: Site, api: Api, kubelet: Kubelet, agent: Agent, name: str
) -> None:
    """Helm's record says pending-install for ever, and Helm itself would touch it no more."""
    site.publish(cluster_spec(name, agent.device, changed_timeout(RELEASE("one", SLOW), "120s")))
    wait("Helm to wait", lambda: image_of(api, name) == SLOW)
    agent.kill()
    assert statuses(api, name) == ["pending-install"]
    kubelet.release(name)
    site.start_agent(agent.device)
    assert_converged(site, api, agent, name, generation=1, text="one")
    site.delete(name)
    assert_nothing_left(site, api, name)


@pytest.mark.parametrize("generation", [1, 2])
def test_killed_between_two_objects(site: Site, api: Api, agent: Agent, name: str, generation: int) -> None:
    """As soon as the first object is there, or changed: the others are not yet."""
    text = "one"
    if generation == 2:
        site.publish(cluster_spec(name, agent.device, RELEASE("one", GOOD)))
        site.observer.wait_state(agent.device, name, "Deployed", 1)
        text = "two"
    else:
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    follower = Follower(api, api.path("v1", "ConfigMap", name))
    site.publish(cluster_spec(name, agent.device, RELEASE(text, GOOD)))
    for item in follower.objects():
        if item["metadata"]["name"] == "settings" and item["data"]["text"] == text:
            agent.kill()
            break
    follower.close()
    site.start_agent(agent.device)
    assert_converged(site, api, agent, name, generation=generation, text=text)


def test_killed_after_the_upgrade_and_before_it_is_written_down(site: Site, api: Api, agent: Agent, name: str) -> None:
    """The release is done and the journal does not know: no second upgrade is made of it."""
    site.publish(cluster_spec(name, agent.device, RELEASE("one", GOOD)))
    site.observer.wait_state(agent.device, name, "Deployed", 1)
    agent.kill()
    site.publish(cluster_spec(name, agent.device, RELEASE("two", GOOD)))
    agent.start(failpoints="agent.after-apply=kill")
    assert agent.wait_ended(120) == -9, agent.text
    assert statuses(api, name) == ["superseded", "deployed"]
    site.start_agent(agent.device)
    assert_converged(site, api, agent, name, generation=2, text="two")
    assert statuses(api, name) == ["superseded", "deployed"]


def test_killed_in_the_removal(site: Site, api: Api, agent: Agent, name: str) -> None:
    """Half of the objects are gone and the record may be: the next agent takes off the rest."""
    site.publish(cluster_spec(name, agent.device, RELEASE("one", GOOD)))
    site.observer.wait_state(agent.device, name, "Deployed", 1)
    held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": name}}
    api.merge(held, {"metadata": {"finalizers": ["example.com/hold"]}})
    site.observer.wait_state(agent.device, name, "Deployed", 1)
    site.delete(name)
    wait("Helm to remove", lambda: image_of(api, name) is None)
    agent.kill()
    api.merge(held, {"metadata": {"finalizers": []}})
    site.start_agent(agent.device)
    assert_nothing_left(site, api, name)
