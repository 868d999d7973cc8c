"""The whole chain on a real cluster: a spec published to the broker, until its objects run and are gone again.

One orchestrator and two agents for the module; each test has a deployment, and so a workload namespace, of its
own. The regular look at the health comes every two minutes only: drift is seen by watching. The second agent installs
Helm releases, too, and looks often: what a release has made is not watched.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support.cluster import ControlPlane
from tests.support.cluster_api import Api, wait
from tests.support.cluster_kubelet import Kubelet
from tests.support.cluster_site import (
    ENGINES,
    GOOD,
    Engine,
    assert_nothing_left,
    changed_timeout,
    cluster_agent,
    cluster_site,
    cluster_spec,
    image_of,
    left_of,
    text_of,
)
from tests.support.processes import Site
from topics.documents.base import JsonObject
from topics.lifecycle import STAGES

pytestmark = pytest.mark.xdist_group("kubernetes-chain")  # one worker: what they stand on takes long to set up

DEVICE, HELM_DEVICE = "edge-k8s", "edge-helm"
MISSING = "example/missing:1"
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def site(cluster: ControlPlane, kubelet: Kubelet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An orchestrator, and two devices whose cluster is the tests'."""
    with cluster_site(cluster, tmp_path_factory.mktemp("chain")) as started:
        cluster_agent(started, cluster, DEVICE, "--max-attempts", "1")
        releases = ("--applier", "helm-release", "--max-attempts", "1", "--health-every", "2")
        cluster_agent(started, cluster, HELM_DEVICE, *releases)
        yield started


@pytest.fixture
def api(cluster: ControlPlane) -> Api:
    return cluster.api


class Chain(NamedTuple):
    """An engine, and the device that is asked to use it."""

    component: Engine
    device: str


@pytest.fixture(params=list(ENGINES))
def chain(request: pytest.FixtureRequest) -> Chain:
    """Each engine after which the chart's objects run in the workload namespace."""
    engine = str(request.param)
    return Chain(ENGINES[engine], HELM_DEVICE if engine == "helm-release" else DEVICE)


@pytest.fixture
def name() -> str:
    """A deployment's name for this test alone; without hyphens, so that it can be told in other names."""
    return f"chain{next(_NUMBERS)}"


def deploy(
    site: Site, name: str, component: JsonObject, *more: JsonObject, generation: int = 1, device: str = DEVICE
) -> None:
    """Publish a spec and wait until it is Deployed."""
    site.publish(cluster_spec(name, device, component, *more))
    site.observer.wait_state(device, name, "Deployed", generation)
    site.observer.wait_phase(name, "Deployed", generation)


def test_a_deployment_lives_through_its_whole_life(site: Site, api: Api, chain: Chain, name: str) -> None:
    """Deployed, updated, drift healed, a failed update rolled back, removed with nothing left behind."""
    engine, device = chain
    deploy(site, name, engine("one", GOOD), device=device)
    assert [event["target"] for event in site.observer.transitions(device, name)] == [str(stage) for stage in STAGES]
    assert (text_of(api, name), image_of(api, name)) == ("one", GOOD)

    deploy(site, name, engine("two", "example/web:2"), generation=2, device=device)
    assert (text_of(api, name), image_of(api, name)) == ("two", "example/web:2")

    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": name}}
    if device == DEVICE:
        api.merge(settings, {"data": {"text": "edited by hand"}})
    else:  # Helm knows whether the objects of a release are there, not what was edited in them
        api.delete(settings)
    wait("the drift to be healed", lambda: text_of(api, name) == "two")
    site.observer.wait_state(device, name, "Deployed", 2)

    site.publish(cluster_spec(name, device, changed_timeout(engine("three", MISSING), "3s")))
    status = site.observer.wait_status(
        device, name, "the rollback", lambda found: found["state"] == "Deployed" and found["desiredGeneration"] == 3
    )
    assert (status["generation"], status["failure"]["stage"]) == (2, "Configuration")
    assert (status["failure"]["code"], status["failure"]["component"]) == ("not-ready-in-time", "main")
    assert "Deployment" in status["failure"]["message"]
    if device == DEVICE:
        assert "ImagePullBackOff" in status["failure"]["message"]
    assert (text_of(api, name), image_of(api, name)) == ("two", "example/web:2")

    site.delete(name)
    assert_nothing_left(site, api, name)


def test_deleted_objects_come_back(site: Site, api: Api, chain: Chain, name: str) -> None:
    """Somebody deletes Deployment and Service; the device notices by itself and both run again."""
    deploy(site, name, chain.component("one", GOOD), device=chain.device)
    before = api.get("apps/v1", "Deployment", "web", name)
    assert before is not None
    for version, kind in (("apps/v1", "Deployment"), ("v1", "Service")):
        api.delete({"apiVersion": version, "kind": kind, "metadata": {"name": "web", "namespace": name}})
    wait("the Service", lambda: api.get("v1", "Service", "web", name))
    after = wait("the Deployment", lambda: api.get("apps/v1", "Deployment", "web", name))
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    site.observer.wait_state(chain.device, name, "Deployed", 1)


def test_drift_is_only_reported_where_the_spec_says_so(site: Site, api: Api, name: str) -> None:
    """Degraded with what was changed, and the change stays."""
    site.publish(cluster_spec(name, DEVICE, ENGINES["kubernetes"]("one", GOOD), drift="report"))
    site.observer.wait_state(DEVICE, name, "Deployed", 1)
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": name}}
    api.merge(settings, {"data": {"text": "edited by hand"}})
    status = site.observer.wait_state(DEVICE, name, "Degraded", 1)
    assert "settings" in str(status["components"])
    assert text_of(api, name) == "edited by hand"
    api.merge(settings, {"data": {"text": "one"}})
    site.observer.wait_state(DEVICE, name, "Deployed", 1)


def test_what_a_new_generation_no_longer_has_is_pruned(site: Site, api: Api, name: str) -> None:
    """A second component is left out: its object goes, after the new generation is there."""
    engine = ENGINES["kubernetes"]
    more = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more"}, "data": {}}
    deploy(site, name, engine("one", GOOD), {"name": "more", "kubernetes": {"objects": [more]}})
    assert api.get("v1", "ConfigMap", "more", name)
    deploy(site, name, engine("two", GOOD), generation=2)
    assert not api.get("v1", "ConfigMap", "more", name)
    assert text_of(api, name) == "two"


def test_an_update_is_not_deployed_before_its_pods_are_ready(
    site: Site, api: Api, kubelet: Kubelet, chain: Chain, name: str
) -> None:
    """It stays in Configuration while its pod starts."""
    site.publish(cluster_spec(name, chain.device, chain.component("one", "example/slow:1")))
    site.observer.wait_state(chain.device, name, "Configuration", 1)
    wait("its pod", lambda: api.list("v1", "Pod", name))
    assert site.observer.status(chain.device, name)["state"] == "Configuration"
    kubelet.release(name)
    site.observer.wait_state(chain.device, name, "Deployed", 1)


def test_initialization_runs_before_the_components(site: Site, api: Api, name: str) -> None:
    """Config map, secret and a job that has completed are there before the first component is applied."""
    job = {
        "metadata": {"name": "migrate"},
        "spec": {"template": {"spec": {"restartPolicy": "Never",
                                       "containers": [{"name": "main", "image": "example/migrate:1"}]}}},
    }  # fmt: skip
    first = {
        "configMaps": [{"metadata": {"name": "first"}, "data": {"a": "b"}}],
        "secrets": [{"metadata": {"name": "hidden"}, "stringData": {"password": "x"}}],
        "jobs": [job],
    }
    site.publish(cluster_spec(name, DEVICE, ENGINES["kubernetes"]("one", GOOD), initialization=first))
    site.observer.wait_state(DEVICE, name, "Deployed", 1)
    done = api.get("batch/v1", "Job", "migrate", name)
    web = api.get("apps/v1", "Deployment", "web", name)
    assert done is not None
    assert web is not None
    assert done["status"]["completionTime"] <= web["metadata"]["creationTimestamp"]
    assert api.get("v1", "Secret", "hidden", name)
    site.delete(name)
    assert_nothing_left(site, api, name)


def test_a_failed_job_of_the_initialization_is_named(site: Site, api: Api, name: str) -> None:
    """No component is applied; stage, code and the job's own message stand in the status."""
    job = {
        "metadata": {"name": "migrate"},
        "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never",
                                       "containers": [{"name": "main", "image": "example/failing:1"}]}}},
    }  # fmt: skip
    body = {"initialization": {"jobs": [job]}}
    site.publish(cluster_spec(name, DEVICE, ENGINES["kubernetes"]("one", GOOD), **body))
    failure = site.observer.wait_state(DEVICE, name, "Failed")["failure"]
    assert failure["stage"] == "Configuration"
    assert "migrate" in failure["message"]
    assert "BackoffLimitExceeded" in failure["message"]
    assert text_of(api, name) is None


def test_a_namespace_that_exists_already_stays_when_the_deployment_goes(site: Site, api: Api, name: str) -> None:
    """Somebody else's object in it is untouched, and everything of ours is gone."""
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    foreign = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs", "namespace": name}}
    api.apply(foreign)
    site.publish(cluster_spec(name, DEVICE, ENGINES["kubernetes"]("one", GOOD), workload={"create": False}))
    site.observer.wait_state(DEVICE, name, "Deployed", 1)
    site.delete(name)
    wait("all of ours to go", lambda: left_of(api, name) == [f"Namespace {name}"])
    assert api.get("v1", "ConfigMap", "theirs", name)
