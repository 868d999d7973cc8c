"""The whole chain with Helm releases: a spec published to the broker, until its release is made and gone again."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.support.cluster import ControlPlane
from tests.support.cluster_api import Api, wait
from tests.support.cluster_kubelet import Kubelet
from tests.support.cluster_site import (
    ENGINES,
    GOOD,
    assert_nothing_left,
    changed_timeout,
    cluster_site,
    cluster_spec,
    image_of,
    left_of,
    text_of,
)
from tests.support.processes import Site
from topics.documents.base import JsonObject
from topics.lifecycle import STAGES

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("helm-release-chain")]

ALONE, BOTH = "edge-helm", "edge-both"
MISSING = "example/missing:1"
_NUMBERS = itertools.count(1)
RELEASE, OBJECTS = ENGINES["helm-release"], ENGINES["kubernetes"]


@pytest.fixture(scope="module")
def site(cluster: ControlPlane, kubelet: Kubelet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An orchestrator; a device that makes releases only, and one that also applies objects."""
    with cluster_site(cluster, tmp_path_factory.mktemp("releases")) as started:
        # Only a watch is as quick as the tests want drift to be noticed.
        common = ("--kubeconfig", str(cluster.kubeconfig), "--health-every", "600", "--max-attempts", "1")
        started.start_agent(ALONE, "--applier", "helm-release", *common)
        started.start_agent(BOTH, "--applier", "kubernetes,helm-release", *common)
        yield started


@pytest.fixture
def api(cluster: ControlPlane) -> Api:
    return cluster.api


@pytest.fixture
def name() -> str:
    """A deployment's name for this test alone."""
    return f"released{next(_NUMBERS)}"


def revisions(api: Api, name: str) -> dict[str, str]:
    """The status of each revision in Helm's history."""
    found = api.list("v1", "Secret", name, selector="owner=helm")
    return {item["metadata"]["labels"]["version"]: item["metadata"]["labels"]["status"] for item in found}


@pytest.mark.parametrize("device", [ALONE, BOTH])
def test_a_release_lives_through_its_whole_life(site: Site, api: Api, device: str, name: str) -> None:
    """Deployed, updated, drift healed, a failed update rolled back, removed with nothing left behind."""
    site.publish(cluster_spec(name, device, RELEASE("one", GOOD)))
    site.observer.wait_state(device, name, "Deployed", 1)
    assert [event["target"] for event in site.observer.transitions(device, name)] == [str(stage) for stage in STAGES]
    assert (text_of(api, name), image_of(api, name), revisions(api, name)) == ("one", GOOD, {"1": "deployed"})

    site.publish(cluster_spec(name, device, RELEASE("two", "example/web:2")))
    site.observer.wait_state(device, name, "Deployed", 2)
    assert (text_of(api, name), image_of(api, name)) == ("two", "example/web:2")
    assert revisions(api, name) == {"1": "superseded", "2": "deployed"}

    settings: JsonObject = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": name},
    }
    api.merge(settings, {"data": {"text": "edited by hand"}})
    wait("the edit to be healed", lambda: text_of(api, name) == "two")
    site.observer.wait_state(device, name, "Deployed", 2)
    api.delete({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": name}})
    wait("the deleted object to be back", lambda: image_of(api, name) == "example/web:2")
    site.observer.wait_state(device, name, "Deployed", 2)
    assert revisions(api, name) == {"1": "superseded", "2": "deployed"}

    site.publish(cluster_spec(name, device, changed_timeout(RELEASE("three", MISSING), "3s")))
    status = site.observer.wait_status(
        device, name, "the rollback", lambda found: found["state"] == "Deployed" and found["desiredGeneration"] == 3
    )
    assert (status["generation"], status["failure"]["stage"]) == (2, "Configuration")
    assert (status["failure"]["code"], status["failure"]["component"]) == ("not-ready-in-time", "main")
    assert (text_of(api, name), image_of(api, name)) == ("two", "example/web:2")

    site.delete(name)
    assert_nothing_left(site, api, name)


def test_drift_that_is_only_to_be_reported_is_said_and_not_touched(site: Site, api: Api, name: str) -> None:
    """Degraded with the object and the field, whoever looks at the status; put back by hand it is Deployed again."""
    site.publish(cluster_spec(name, ALONE, RELEASE("one", GOOD), drift="report"))
    site.observer.wait_state(ALONE, name, "Deployed", 1)
    settings: JsonObject = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": name},
    }
    api.merge(settings, {"data": {"text": "edited by hand"}})
    status = site.observer.wait_state(ALONE, name, "Degraded", 1)
    assert "settings was changed: data.text" in status["components"][0]["message"]
    assert text_of(api, name) == "edited by hand"
    api.merge(settings, {"data": {"text": "one"}})
    site.observer.wait_state(ALONE, name, "Deployed", 1)
    assert text_of(api, name) == "one"
    site.delete(name)


def test_releases_and_objects_of_one_deployment_do_not_prune_each_other(site: Site, api: Api, name: str) -> None:
    """Two appliers in one deployment: each has its components, and an update of one leaves the other's alone."""
    plain = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "plain"}, "data": {"text": "one"}}
    objects = {"name": "objects", "kubernetes": {"objects": [plain]}}
    site.publish(cluster_spec(name, BOTH, objects, RELEASE("one", GOOD)))
    site.observer.wait_state(BOTH, name, "Deployed", 1)
    site.publish(cluster_spec(name, BOTH, objects, RELEASE("two", GOOD)))
    site.observer.wait_state(BOTH, name, "Deployed", 2)
    assert text_of(api, name) == "two"
    assert api.get("v1", "ConfigMap", "plain", name)
    site.publish(cluster_spec(name, BOTH, objects))
    site.observer.wait_state(BOTH, name, "Deployed", 3)
    wait("the release to be gone", lambda: not revisions(api, name))
    assert text_of(api, name) is None
    assert api.get("v1", "ConfigMap", "plain", name)
    site.delete(name)
    assert_nothing_left(site, api, name)


def test_an_agent_killed_in_the_middle_of_an_upgrade_ends_it(
    site: Site, api: Api, kubelet: Kubelet, cluster: ControlPlane, name: str
) -> None:
    """By kill -9, while Helm waits: Helm ends with it, and the agent that is started again repairs and completes.

    What Helm was working in lies in the agent's own folder, and not for ever.
    """
    device = f"edge-killed-{name}"
    options = ("--applier", "helm-release", "--kubeconfig", str(cluster.kubeconfig), "--health-every", "1")
    systems = site.folder / f"{name}-tmp"
    systems.mkdir()
    agent = site.start_agent(device, *options, environment={"TMPDIR": str(systems)})
    site.publish(cluster_spec(name, device, RELEASE("one", GOOD)))
    site.observer.wait_state(device, name, "Deployed", 1)
    site.publish(cluster_spec(name, device, changed_timeout(RELEASE("two", "example/slow:1"), "120s")))
    wait("Helm to be at work", lambda: "pending-upgrade" in revisions(api, name).values())
    agent.kill()
    scratch = agent.data / "scratch"
    assert (list(systems.iterdir()), len(list(scratch.glob("fleetbus-helm-*")))) == ([], 1)
    kubelet.release(name)
    assert "pending-upgrade" in revisions(api, name).values()
    site.start_agent(device, *options)
    site.observer.wait_state(device, name, "Deployed", 2)
    assert text_of(api, name) == "two"
    assert sorted(revisions(api, name).values()) == ["deployed", "failed", "superseded"]
    assert list(scratch.iterdir()) == []
    site.delete(name)
    assert_nothing_left(site, api, name)
    assert not left_of(api, name)
