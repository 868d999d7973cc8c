"""The Kubernetes applier and an API server that goes away, hangs, forgets, and comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.contract.applier_conformance")
pytest.importorskip("kubernetes", reason="the extra 'kubernetes' is not installed")

from edge_agent.appliers.kubernetes.cluster import Cluster, Listed  # noqa: E402 - the lines above must come first
from edge_agent.appliers.kubernetes.kinds import Kind  # noqa: E402
from edge_agent.appliers.kubernetes.options import KubernetesOptions  # noqa: E402
from edge_agent.appliers.kubernetes.watching import Target, Watches  # noqa: E402
from edge_agent.appliers.port import ApplyError, never  # noqa: E402
from tests.support.cluster import ControlPlane  # noqa: E402
from tests.support.cluster_api import wait  # noqa: E402
from tests.support.kubernetes_applier import (  # noqa: E402
    applier,
    config_map,
    deploy,
    deployment,
    manifest,
    namespace,
    unique,
)
from topics.documents.base import JsonObject  # noqa: E402

pytestmark = pytest.mark.xdist_group("kubernetes-gone")  # one worker: what they stand on takes long to set up


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane that these tests may stop."""
    if missing := ControlPlane.missing():
        pytest.skip(missing)
    with ControlPlane(tmp_path_factory.mktemp("stoppable")) as started:
        yield started


def test_every_step_ends_while_there_is_no_api_server(own: ControlPlane) -> None:
    """At once, retryable; and the same applier goes on when it is back."""
    name = unique("gone")
    wanted = manifest(name, config_map("settings"))
    with applier(own.kubeconfig) as built:
        with own.without_api_server():
            for step in (
                lambda: built.check(wanted),
                lambda: built.initialize(wanted, never),
                lambda: built.apply(wanted, "main", never),
                lambda: built.health(wanted),
                lambda: built.remove(name, never),
            ):
                with pytest.raises(ApplyError) as caught:
                    step()
                assert (caught.value.code, caught.value.retryable) == ("cluster-unreachable", True)
        deploy(built, wanted)
        assert all(entry.healthy for entry in built.health(wanted))


def test_an_api_server_that_hangs_costs_no_more_than_the_time_limit(own: ControlPlane) -> None:
    """It accepts connections and never answers: making an applier does not ask it, a step gives up, closing is quick."""
    with own.frozen():
        began = time.monotonic()
        with applier(own.kubeconfig, request_timeout="0.5") as built:
            built.watch(lambda deployment: None)
            with pytest.raises(ApplyError) as caught:
                built.check(manifest("never", config_map("settings")))
        assert caught.value.code == "cluster-unreachable"
        assert time.monotonic() - began < 8


def test_a_step_that_waits_outlasts_a_restart_of_the_api_server(own: ControlPlane) -> None:
    """What became ready meanwhile is seen afterwards."""
    name = unique("gone")
    wanted = manifest(name, deployment("web", replicas=0), component={"timeout_seconds": 60.0})
    held = manifest(name, deployment("web", "example/web:1"), component={"timeout_seconds": 60.0})
    failures: list[BaseException] = []

    def work() -> None:
        try:
            built.apply(held, "main", never)
        except BaseException as error:
            failures.append(error)

    with applier(own.kubeconfig) as built:
        built.initialize(held, never)
        waiting = threading.Thread(target=work)
        waiting.start()
        wait("the deployment", lambda: own.api.get("apps/v1", "Deployment", "web", name))
        with own.without_api_server():
            pass
        scaled = {"spec": {"replicas": 0}}
        own.api.merge({**wanted.components[0].objects[0], "metadata": {"name": "web", "namespace": name}}, scaled)
        waiting.join(60)
        assert not waiting.is_alive()
        assert failures == []


def test_a_watch_finds_what_happened_while_it_was_cut_off(own: ControlPlane) -> None:
    """After a restart of the API server it lists again, and tells what differs from what it saw."""
    name = unique("gone")
    wanted = manifest(name, config_map("settings"), config_map("lost"))
    heard: list[str] = []
    with applier(own.kubeconfig) as built:
        built.watch(heard.append)
        deploy(built, wanted)
        number = 0

        def told() -> bool:
            nonlocal number
            number += 1
            own.api.merge(config_map("settings", namespace=name), {"data": {"value": str(number)}})
            return name in heard

        wait("the watch to have begun", told)
        with own.without_api_server():
            pass
        heard.clear()
        own.api.delete(config_map("lost", namespace=name))
        wait("the loss", lambda: name in heard)


class _Forgetful(Cluster):
    """A cluster whose first list is from long ago: the server does not remember what came after it."""

    def __init__(self, options: KubernetesOptions) -> None:
        super().__init__(options)
        self.lists = 0

    def list(self, kind: Kind, namespace: str, *, labels: str = "", fields: str = "", most: int = 0) -> Listed:
        listed = super().list(kind, namespace, labels=labels, fields=fields, most=most)
        self.lists += 1
        return listed._replace(version="1") if self.lists == 1 else listed


def test_a_version_that_the_server_has_forgotten_is_listed_anew(own: ControlPlane, tmp_path: Path) -> None:
    """410 Gone ends no watch."""
    with own.without_api_server():  # a server that has run since the first version remembers it
        pass
    name = unique("gone")
    own.api.create(namespace(name))
    cluster = _Forgetful(KubernetesOptions(kubeconfig=own.kubeconfig))
    seen: list[JsonObject] = []
    watches = Watches(cluster, lambda item, gone: seen.append(item), initially=False)
    try:
        watches.set([Target("v1", "ConfigMap", name)])
        wait("the second list", lambda: cluster.lists >= 2)
        own.api.create(config_map("settings", namespace=name))
        wait("the news", lambda: any(item["metadata"]["name"] == "settings" for item in seen))
    finally:
        watches.close()
        cluster.close()
