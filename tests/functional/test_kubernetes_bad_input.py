"""What a cluster can refuse: each ends in a status with stage, code, message and what to do, and is tried again where
that can help. On a real API server, with a real agent and orchestrator.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.cluster import ControlPlane
from tests.support.cluster_api import Api, wait
from tests.support.cluster_kubelet import Kubelet
from tests.support.cluster_site import (
    ENGINES,
    GOOD,
    assert_nothing_left,
    cluster_agent,
    cluster_site,
    cluster_spec,
    left_of,
    text_of,
)
from tests.support.processes import Site
from topics.documents.base import JsonObject

DEVICE = "edge-k8s"
PLAIN = ENGINES["kubernetes"]
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def site(cluster: ControlPlane, kubelet: Kubelet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An orchestrator and one device, which tries again as often as it does by default."""
    with cluster_site(cluster, tmp_path_factory.mktemp("bad")) as started:
        cluster_agent(started, cluster, DEVICE)
        yield started


@pytest.fixture
def api(cluster: ControlPlane) -> Api:
    return cluster.api


@pytest.fixture
def name() -> str:
    """A deployment's name for this test alone."""
    return f"bad{next(_NUMBERS)}"


def component(*objects: JsonObject, timeout: str = "20s") -> JsonObject:
    return {"name": "main", "kubernetes": {"objects": list(objects), "timeout": timeout}}


def settings(text: str = "one", **metadata: Any) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings"} | metadata,
        "data": {"text": text},
    }


def refused(site: Site, name: str, main: JsonObject, code: str, *, generation: int = 1, **body: Any) -> JsonObject:
    """Publish a spec, and wait for its failure with this code."""
    site.publish(cluster_spec(name, DEVICE, main, **body))
    status = site.observer.wait_status(
        DEVICE, name, f"failure {code}", lambda found: (found.get("failure") or {}).get("code") == code
    )
    failure: JsonObject = status["failure"]
    assert failure["generation"] == generation
    assert failure.get("component") in ("main", "(initialization)", None)
    aggregate = site.observer.wait_aggregate(
        name, "the same in the aggregate",
        lambda found: bool(found["devices"]) and (found["devices"][0].get("failure") or {}).get("code") == code,
    )  # fmt: skip
    assert aggregate["devices"][0]["failure"]["message"] == failure["message"]
    return failure


def test_an_object_that_the_api_refuses_is_named_with_its_field(site: Site, api: Api, name: str) -> None:
    """Found while Downloading, by a dry run: nothing was changed, and trying again is no use."""
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 70000}]}}
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    failure = refused(site, name, component(settings(), service), "invalid")
    assert (failure["stage"], failure["retryable"]) == ("Downloading", False)
    assert "spec.ports[0].port" in failure["message"]
    assert "Service" in failure["message"]
    assert text_of(api, name) is None


def test_a_refused_update_leaves_the_old_generation_as_it_is(site: Site, api: Api, name: str) -> None:
    """Generation 1 runs on, untouched to the last field."""
    site.publish(cluster_spec(name, DEVICE, component(settings())))
    site.observer.wait_state(DEVICE, name, "Deployed", 1)
    before = api.get("v1", "ConfigMap", "settings", name)
    broken = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "Not A Name"}}
    refused(site, name, component(settings("two"), broken), "invalid", generation=2)
    status = site.observer.wait_state(DEVICE, name, "Deployed", 1)
    assert (status["desiredGeneration"], status["deployedGeneration"]) == (2, 1)
    assert api.get("v1", "ConfigMap", "settings", name) == before


def widgets(group: str) -> JsonObject:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }  # fmt: skip


def test_a_kind_that_is_not_there_yet_is_waited_for(site: Site, api: Api, name: str) -> None:
    """Named, retryable, with the time of the next try; deployed once somebody installs its definition."""
    group = f"{name}.example.com"
    widget = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "one"}, "spec": {"size": 1}}
    failure = refused(site, name, component(widget), "kind-not-known")
    assert failure["retryable"]
    assert "Widget" in failure["message"]
    assert group in failure["message"]
    assert failure["nextRetrySeconds"] > 0
    api.apply(widgets(group))
    site.observer.wait_state(DEVICE, name, "Deployed", 1)
    assert api.get(f"{group}/v1", "Widget", "one", name)
    api.delete(widgets(group))


def test_a_definition_and_its_objects_may_come_together(site: Site, api: Api, name: str) -> None:
    """In one component, the objects first: the definition is applied before them all the same; both go again."""
    group = f"{name}.example.com"
    widget = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "one"}, "spec": {"size": 1}}
    site.publish(cluster_spec(name, DEVICE, component(widget, widgets(group))))
    site.observer.wait_state(DEVICE, name, "Deployed", 1)
    assert api.get(f"{group}/v1", "Widget", "one", name)
    site.delete(name)
    assert_nothing_left(site, api, name)
    assert not api.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"widgets.{group}")


def test_a_namespace_that_is_terminating_is_waited_for(site: Site, api: Api, name: str) -> None:
    """The namespace of a former application hangs in a finalizer: said so, and deployed when it is gone."""
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    held = settings(name="held", namespace=name, finalizers=["example.com/hold"])
    api.apply(held)
    api.delete({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    wait("its termination", lambda: "deletionTimestamp" in (api.get("v1", "Namespace", name) or {})["metadata"])
    failure = refused(site, name, component(settings()), "namespace-terminating")
    assert failure["retryable"]
    assert name in failure["message"]
    api.merge(held, {"metadata": {"finalizers": []}})
    site.observer.wait_state(DEVICE, name, "Deployed", 1)
    assert text_of(api, name) == "one"


def test_a_missing_namespace_is_named_where_none_is_to_be_made(site: Site, api: Api, name: str) -> None:
    """Deployed when somebody has made it."""
    failure = refused(site, name, component(settings()), "namespace-missing", workload={"create": False})
    assert failure["retryable"]
    assert "spec.workload.create" in failure["message"]
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    site.observer.wait_state(DEVICE, name, "Deployed", 1)


def test_an_api_server_that_is_away_is_waited_for(
    site: Site, cluster: ControlPlane, kubelet: Kubelet, api: Api, name: str
) -> None:
    """Killed before the deployment comes: retryable, and Deployed soon after it is back."""
    with cluster.without_api_server():
        failure = refused(site, name, component(settings()), "cluster-unreachable")
        assert failure["retryable"]
        assert failure["stage"] in ("Created", "Prepared")  # the first try, or one after it
    site.observer.wait("Deployed", lambda: site.observer.status(DEVICE, name)["state"] == "Deployed", seconds=60)
    assert text_of(api, name) == "one"


def test_an_exceeded_quota_is_named(site: Site, api: Api, name: str) -> None:
    """With what the quota says; deployed when it is raised."""
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    quota = {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tight", "namespace": name},
        "spec": {"hard": {"count/configmaps": "0"}},
    }  # fmt: skip
    api.apply(quota)
    wait("the quota", lambda: (api.get("v1", "ResourceQuota", "tight", name) or {}).get("status", {}).get("hard"))
    failure = refused(site, name, component(settings()), "quota-exceeded")
    assert failure["retryable"]
    assert "tight" in failure["message"]
    api.apply(quota | {"spec": {"hard": {"count/configmaps": "9"}}})
    site.observer.wait_state(DEVICE, name, "Deployed", 1)


def test_somebody_elses_object_is_never_taken(site: Site, api: Api, name: str) -> None:
    """A config map of the same name that a person made: it stays, and the status names its owner."""
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    api.apply(settings("theirs", namespace=name), manager="line-builder")
    failure = refused(site, name, component(settings()), "foreign-object")
    assert not failure["retryable"]
    assert "line-builder" in failure["message"]
    assert text_of(api, name) == "theirs"
    site.delete(name)
    site.observer.wait("the removal", lambda: not site.observer.status(DEVICE, name))
    assert text_of(api, name) == "theirs"


def test_a_field_that_another_manager_declares_is_a_conflict(site: Site, api: Api, name: str) -> None:
    """An update of it is refused with the manager's name and the field; what the manager wrote stays."""
    site.publish(cluster_spec(name, DEVICE, component(settings())))
    site.observer.wait_state(DEVICE, name, "Deployed", 1)
    shared = {"metadata": {"name": "settings", "namespace": name}, "data": {"text": "one"}}
    api.apply({"apiVersion": "v1", "kind": "ConfigMap"} | shared, manager="line-builder")
    failure = refused(site, name, component(settings("two")), "field-conflict", generation=2)
    assert "line-builder" in failure["message"]
    assert "data.text" in failure["message"]
    assert text_of(api, name) == "one"


def test_an_image_that_does_not_exist_is_named(site: Site, api: Api, name: str) -> None:
    """After the component's time, with what the kubelet says of the pod."""
    failure = refused(site, name, PLAIN("one", "example/missing:1") | _timeout("3s"), "not-ready-in-time")
    assert (failure["stage"], failure["retryable"]) == ("Configuration", True)
    assert "ImagePullBackOff" in failure["message"]
    assert "example/missing:1" in failure["message"]


def _timeout(timeout: str) -> JsonObject:
    return {"kubernetes": PLAIN("one", "example/missing:1")["kubernetes"] | {"timeout": timeout}}


def test_a_removal_waits_for_a_finalizer_and_says_so(site: Site, api: Api, name: str) -> None:
    """The object stays until its finalizer is done; then nothing is left."""
    site.publish(cluster_spec(name, DEVICE, component(settings())))
    site.observer.wait_state(DEVICE, name, "Deployed", 1)
    held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": name}}
    api.merge(held, {"metadata": {"finalizers": ["example.com/hold"]}})
    site.delete(name)
    wait(
        "the deletion",
        lambda: "deletionTimestamp" in (api.get("v1", "ConfigMap", "settings", name) or held)["metadata"],
    )
    assert site.observer.status(DEVICE, name)["state"] == "Removing"
    api.merge(held, {"metadata": {"finalizers": []}})
    assert_nothing_left(site, api, name)


@pytest.fixture(scope="module")
def powerless(site: Site, cluster: ControlPlane) -> str:
    """A device whose account may nothing."""
    device = "edge-powerless"
    cluster_agent(site, cluster, device, "--kubeconfig", str(cluster.kubeconfig_of("plain")))
    return device


def test_missing_rights_are_named_with_verb_and_resource(
    site: Site, cluster: ControlPlane, powerless: str, name: str
) -> None:
    """And where rules that suffice can be found."""
    site.publish(cluster_spec(name, powerless, component(settings())))
    failure = site.observer.wait_status(
        powerless, name, "the refusal", lambda found: (found.get("failure") or {}).get("code") == "forbidden"
    )["failure"]
    assert "examples/kubernetes" in failure["message"]
    assert '"plain"' in failure["message"]
    assert failure["retryable"]


def test_a_chart_that_cannot_be_rendered_is_explained(site: Site, name: str) -> None:
    """A version that the chart does not have, and one that is no chart: the orchestrator says which and where."""
    wrong = {"name": "main", "helm": {"chart": "./web", "version": "9.9.9"}}
    site.publish(cluster_spec(name, DEVICE, wrong))
    result = site.observer.wait_result(name, "the reasons", lambda found: bool(found["reasons"]))
    assert result["reasons"][0]["path"].startswith("spec.components[0].helm")
    assert "9.9.9" in str(result["reasons"][0])
    absent = {"name": "main", "helm": {"chart": "./absent"}}
    site.publish(cluster_spec(name, DEVICE, absent))
    site.observer.wait_result(name, "the chart's name", lambda found: "absent" in str(found["reasons"]))
    site.publish(cluster_spec(name, DEVICE, ENGINES["helm"]("one", GOOD)))
    site.observer.wait_phase(name, "Deployed")


def test_nothing_of_a_deployment_that_failed_is_left_when_it_goes(site: Site, api: Api, name: str) -> None:
    """It never became ready; its removal takes all of it off again."""
    refused(site, name, PLAIN("one", "example/missing:1") | _timeout("2s"), "not-ready-in-time")
    assert left_of(api, name)
    site.delete(name)
    assert_nothing_left(site, api, name)
