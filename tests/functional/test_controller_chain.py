"""The whole chain where a controller in the cluster installs the chart: Flux, k3s, Argo CD; stand-ins play them.

The custom resource lives in the cluster namespace, what it installs in the workload namespace.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.functional.chart_servers import WebServer, index_of
from tests.support.cluster import ControlPlane
from tests.support.cluster_api import Api, wait
from tests.support.cluster_controllers import Controllers
from tests.support.cluster_kubelet import Kubelet
from tests.support.cluster_site import (
    CLUSTER_NAMESPACE,
    GOOD,
    WEB_CHART,
    assert_nothing_left,
    cluster_agent,
    cluster_site,
    cluster_spec,
    text_of,
)
from tests.support.processes import Site
from tests.unit.charts.chart_files import archive
from topics.documents.base import JsonObject

pytestmark = pytest.mark.xdist_group("controllers")  # one worker: what they stand on takes long to set up

DEVICE = "edge-controllers"
BAD = "example/missing:1"
_NUMBERS = itertools.count(1)


class Driver(NamedTuple):
    """A renderer and the object that it makes.

    ``patience`` is the time-out of an update that fails. A failed job of k3s ends it at once; the others only say that
    they are not ready.
    """

    renderer: str
    api_version: str
    kind: str
    patience: str = "4s"

    def object_of(self, api: Api, name: str) -> JsonObject | None:
        """The deployment's one object of this kind."""
        found = api.list(self.api_version, self.kind, CLUSTER_NAMESPACE, selector=f"fleetbus.io/deployment={name}")
        assert len(found) <= 1
        return found[0] if found else None


DRIVERS = (
    Driver("flux", "helm.toolkit.fluxcd.io/v2", "HelmRelease"),
    Driver("k3s", "helm.cattle.io/v1", "HelmChart", patience="40s"),
    Driver("argocd", "argoproj.io/v1alpha1", "Application"),
)


@pytest.fixture(scope="module")
def repository() -> Iterator[str]:
    """An HTTP repository with the chart; its address."""
    with WebServer() as server:
        data = archive(WEB_CHART)
        server.files["/web-1.2.3.tgz"] = data
        server.files["/index.yaml"] = index_of({"web": {"1.2.3": data}})
        yield server.url


@pytest.fixture(scope="module")
def site(cluster: ControlPlane, kubelet: Kubelet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An orchestrator, and one device in whose cluster all three controllers run."""
    with Controllers(cluster.api), cluster_site(cluster, tmp_path_factory.mktemp("controllers")) as started:
        cluster_agent(started, cluster, DEVICE, "--max-attempts", "1")
        yield started


@pytest.fixture
def api(cluster: ControlPlane) -> Api:
    return cluster.api


@pytest.fixture
def name() -> str:
    """A deployment's name for this test alone."""
    return f"driven{next(_NUMBERS)}"


@pytest.fixture(params=DRIVERS, ids=[driver.renderer for driver in DRIVERS])
def driver(request: pytest.FixtureRequest) -> Driver:
    found: Driver = request.param
    return found


def component(driver: Driver, repository: str, text: str, image: str = GOOD, timeout: str = "20s") -> JsonObject:
    chart = {
        "chart": "web", "repository": repository, "version": "1.2.3", "timeout": timeout,
        "values": {"text": text, "image": image},
    }  # fmt: skip
    return {"name": "main", "renderer": driver.renderer, "helm": chart}


def test_a_controller_installs_updates_and_removes_the_chart(
    site: Site, api: Api, repository: str, driver: Driver, name: str
) -> None:
    """Deployed, updated, drift healed, a failed update rolled back, removed with nothing left behind."""
    site.publish(cluster_spec(name, DEVICE, component(driver, repository, "one")))
    site.observer.wait_state(DEVICE, name, "Deployed", 1)
    assert text_of(api, name) == "one"
    assert driver.object_of(api, name)
    assert not api.list(driver.api_version, driver.kind, name)

    site.publish(cluster_spec(name, DEVICE, component(driver, repository, "two")))
    site.observer.wait_state(DEVICE, name, "Deployed", 2)
    assert text_of(api, name) == "two"

    before = driver.object_of(api, name)
    assert before is not None
    api.delete(before)
    wait("the object to come back", lambda: (driver.object_of(api, name) or before)["metadata"]["uid"]
         != before["metadata"]["uid"])  # fmt: skip
    site.observer.wait_state(DEVICE, name, "Deployed", 2)
    wait("its chart to be installed again", lambda: text_of(api, name) == "two")

    site.publish(cluster_spec(name, DEVICE, component(driver, repository, "three", BAD, driver.patience)))
    status = site.observer.wait_status(
        DEVICE, name, "the rollback", lambda found: found["state"] == "Deployed" and found["desiredGeneration"] == 3
    )
    assert (status["generation"], status["failure"]["stage"]) == (2, "Configuration")
    assert name in status["failure"]["message"]
    assert text_of(api, name) == "two"

    site.delete(name)
    assert_nothing_left(site, api, name)
    assert not driver.object_of(api, name)


def test_both_namespaces_are_the_specs_own(site: Site, api: Api, repository: str, driver: Driver, name: str) -> None:
    """The custom resource in a cluster namespace of the spec's choice, the objects in its workload namespace."""
    own, target = f"{name}-drive", f"{name}-work"
    body = {"cluster": {"namespace": own}, "workload": {"namespace": target}}
    site.publish(cluster_spec(name, DEVICE, component(driver, repository, "here"), **body))
    site.observer.wait_state(DEVICE, name, "Deployed", 1)
    assert text_of(api, target) == "here"
    assert api.list(driver.api_version, driver.kind, own)
    assert not api.list(driver.api_version, driver.kind, target)
    assert text_of(api, own) is None
    site.delete(name)
    site.observer.wait("the removal", lambda: not site.observer.status(DEVICE, name))
    assert not api.list(driver.api_version, driver.kind, own)
    assert text_of(api, target) is None


def test_a_controllers_failure_is_told(site: Site, api: Api, repository: str, driver: Driver, name: str) -> None:
    """What the controller says of a chart that it cannot install stands in the device's status."""
    site.publish(cluster_spec(name, DEVICE, component(driver, repository, "x", BAD, driver.patience)))
    failure = site.observer.wait_state(DEVICE, name, "Failed")["failure"]
    assert failure["stage"] == "Configuration"
    said = {"flux": "InstallFailed", "k3s": "BackoffLimitExceeded", "argocd": "Degraded"}
    assert said[driver.renderer] in failure["message"]
