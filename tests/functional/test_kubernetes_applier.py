"""What the Kubernetes applier does where the suite of every applier has no word for it; on a real API server."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

pytest.register_assert_rewrite("tests.contract.applier_conformance")
pytest.importorskip("kubernetes", reason="the extra 'kubernetes' is not installed")

from edge_agent.appliers.kubernetes import KubernetesApplier  # noqa: E402 - the lines above must come first
from edge_agent.appliers.port import INITIALIZATION, ApplyError, never  # noqa: E402
from tests.support.cluster import ControlPlane  # noqa: E402
from tests.support.cluster_api import Api, wait  # noqa: E402
from tests.support.cluster_kubelet import Kubelet  # noqa: E402
from tests.support.kubernetes_applier import (  # noqa: E402
    applier,
    config_map,
    deploy,
    deployment,
    job,
    manifest,
    namespace,
    remove,
    unique,
)
from topics.documents.base import JsonObject  # noqa: E402

pytestmark = pytest.mark.xdist_group("kubernetes-applier")  # one worker: what they stand on takes long to set up

EXAMPLES = Path(__file__).parents[2] / "examples" / "kubernetes"
_INVENTORIES = "fleetbus.io/inventory"


@pytest.fixture
def api(cluster: ControlPlane) -> Api:
    return cluster.api


@pytest.fixture
def name(api: Api) -> Iterator[str]:
    """A deployment, and so a workload namespace, for one test; nothing of it is left behind."""
    chosen = unique("app")
    yield chosen
    if api.get("v1", "Namespace", chosen):
        api.delete(namespace(chosen))


@pytest.fixture
def ours(cluster: ControlPlane) -> Iterator[KubernetesApplier]:
    with applier(cluster.kubeconfig) as built:
        yield built


def refused(step: object, *arguments: object) -> ApplyError:
    """The error that a step ends with."""
    with pytest.raises(ApplyError) as caught:
        step(*arguments)  # type: ignore[operator]
    return caught.value


def ignore(component: str, done: int, total: int | None) -> None:
    """A progress report that nobody reads."""


def inventory_of(api: Api, name: str, place: str = "fleetbus-system") -> JsonObject | None:
    return api.get("v1", "ConfigMap", f"fleetbus-inventory-{name}", place)


# -- jobs and readiness ------------------------------------------------------------------------------


def test_a_job_runs_once_for_its_content(api: Api, kubelet: Kubelet, ours: KubernetesApplier, name: str) -> None:
    """It has run before components start; the same content does not run again, even when the job is gone since."""
    first = manifest(name, config_map("settings"), initialization=(job("migrate"),))
    deploy(ours, first)
    ran = api.get("batch/v1", "Job", "migrate", name)
    assert ran is not None
    assert ran["status"]["succeeded"] == 1
    deploy(ours, manifest(name, config_map("settings", "two"), initialization=(job("migrate"),), generation=2))
    again = api.get("batch/v1", "Job", "migrate", name)
    assert again is not None
    assert again["metadata"]["uid"] == ran["metadata"]["uid"]
    api.delete(again)
    third = manifest(name, config_map("settings", "three"), initialization=(job("migrate"),), generation=3)
    deploy(ours, third)
    assert api.get("batch/v1", "Job", "migrate", name) is None
    assert all(entry.healthy for entry in ours.health(third))


def test_a_changed_job_runs_anew(api: Api, kubelet: Kubelet, ours: KubernetesApplier, name: str) -> None:
    """Its template cannot be changed in place: it is deleted and made again, and that is seen to be possible before."""
    deploy(ours, manifest(name, config_map("settings"), initialization=(job("migrate"),)))
    before = api.get("batch/v1", "Job", "migrate", name)
    changed = job("migrate", "example/work:2")
    deploy(ours, manifest(name, config_map("settings"), initialization=(changed,), generation=2))
    after = api.get("batch/v1", "Job", "migrate", name)
    assert before is not None
    assert after is not None
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["status"]["succeeded"] == 1


def test_a_failed_job_says_why_and_runs_again_with_the_next_try(
    api: Api, kubelet: Kubelet, ours: KubernetesApplier, name: str
) -> None:
    """The reason has the job's and the pod's words; components have not started."""
    wanted = manifest(name, config_map("settings"), initialization=(job("migrate", "example/failing:1"),))
    ours.check(wanted)
    error = refused(ours.initialize, wanted, never)
    assert (error.code, error.retryable, error.component) == ("job-failed", True, INITIALIZATION)
    assert f"Job.batch {name}/migrate" in error.message
    assert "exit code 1" in error.message
    assert api.get("v1", "ConfigMap", "settings", name) is None
    failed = api.get("batch/v1", "Job", "migrate", name)
    refused(ours.initialize, wanted, never)
    anew = api.get("batch/v1", "Job", "migrate", name)
    assert failed is not None
    assert anew is not None
    assert anew["metadata"]["uid"] != failed["metadata"]["uid"]


def test_a_component_is_waited_for_unless_it_says_no(kubelet: Kubelet, ours: KubernetesApplier, name: str) -> None:
    """The reason names the image that cannot be had; with ``wait: false`` the step is done, and health content."""
    missing = deployment("web", "example/missing:1")
    wanted = manifest(name, missing, component={"timeout_seconds": 1.5})
    ours.initialize(wanted, never)
    error = refused(ours.apply, wanted, "main", never)
    assert (error.code, error.retryable, error.component) == ("not-ready-in-time", True, "main")
    assert "ImagePullBackOff" in error.message
    relaxed = manifest(name, missing, component={"wait": False})
    deploy(ours, relaxed)
    assert all(entry.healthy for entry in ours.health(relaxed))
    remove(ours, name)


def test_a_deployment_becomes_ready_and_goes_with_its_pods(
    api: Api, kubelet: Kubelet, ours: KubernetesApplier, name: str
) -> None:
    """Gone means that nothing of it runs any more."""
    wanted = manifest(name, deployment("web", replicas=2))
    deploy(ours, wanted)
    assert len(api.list("v1", "Pod", name)) == 2
    assert all(entry.healthy for entry in ours.health(wanted))
    remove(ours, name)
    assert api.list("v1", "Pod", name) == []
    assert inventory_of(api, name) is None


# -- kinds -------------------------------------------------------------------------------------------


def definition(group: str, *, scope: str = "Namespaced") -> JsonObject:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    versions = [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]
    names = {"kind": "Press", "plural": "presses", "singular": "press"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"presses.{group}"},
        "spec": {"group": group, "scope": scope, "names": names, "versions": versions},
    }


@pytest.mark.parametrize("scope", ["Namespaced", "Cluster"])
def test_a_definition_and_its_objects_come_in_one_component(
    api: Api, ours: KubernetesApplier, name: str, scope: str
) -> None:
    """In any order in the manifest, and without a namespace in it; the removal takes the objects first."""
    group = f"{name}.example.com"
    press = {"apiVersion": f"{group}/v1", "kind": "Press", "metadata": {"name": "left"}, "spec": {"force": 5}}
    wanted = manifest(name, press, definition(group, scope=scope))
    deploy(ours, wanted)
    deploy(ours, wanted)
    place = name if scope == "Namespaced" else None
    assert api.get(f"{group}/v1", "Press", "left", place)
    assert all(entry.healthy for entry in ours.health(wanted))
    remove(ours, name)
    assert api.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"presses.{group}") is None
    assert inventory_of(api, name) is None


def test_a_kind_that_nothing_brings_is_named_before_anything_changes(
    api: Api, ours: KubernetesApplier, name: str
) -> None:
    """And it is tried again: somebody may install what brings it."""
    strange = {"apiVersion": "nobody.example.com/v1", "kind": "Press", "metadata": {"name": "left"}}
    error = refused(ours.check, manifest(name, strange))
    assert (error.code, error.retryable, error.component) == ("kind-not-known", True, "main")
    assert "Press" in error.message
    assert api.get("v1", "Namespace", name) is None


# -- what the API server refuses -----------------------------------------------------------------------


def test_what_is_invalid_is_known_before_anything_changes(api: Api, ours: KubernetesApplier, name: str) -> None:
    """The dry run of an update names object, field and reason, and the old generation runs on."""
    deploy(ours, manifest(name, config_map("settings")))
    broken = deployment("web")
    broken["spec"]["template"]["metadata"]["labels"] = {"app": "another"}
    error = refused(ours.download, manifest(name, broken, generation=2), ignore, never)
    assert (error.code, error.retryable, error.component) == ("invalid", False, "main")
    assert f"Deployment.apps {name}/web" in error.message
    assert "spec.template.metadata.labels" in error.message
    assert api.get("apps/v1", "Deployment", "web", name) is None


def test_a_full_quota_is_told_from_missing_rights(api: Api, ours: KubernetesApplier, name: str) -> None:
    """Somebody may raise it: it is tried again."""
    api.create(namespace(name))
    quota = {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few", "namespace": name},
        "spec": {"hard": {"count/secrets": "0", "services": "0"}},
    }  # fmt: skip
    api.create(quota)
    wait("the quota", lambda: (api.get("v1", "ResourceQuota", "few", name) or {}).get("status", {}).get("hard"))
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}
    service["spec"]["ports"][0]["protocol"] = "TCP"  # type: ignore[index]
    error = refused(ours.download, manifest(name, service), ignore, never)
    assert (error.code, error.retryable) == ("quota-exceeded", True)


def test_a_missing_namespace_is_named(ours: KubernetesApplier, name: str) -> None:
    """Where the spec does not ask for it."""
    wanted = manifest(name, config_map("settings")).model_copy(update={"initialization": ()})
    error = refused(ours.download, wanted, ignore, never)
    assert (error.code, error.retryable) == ("namespace-missing", True)
    assert repr(name) in error.message


def test_a_terminating_namespace_is_waited_out(api: Api, ours: KubernetesApplier, name: str) -> None:
    """The reason says what holds it; once it is gone, the same steps succeed."""
    api.create(namespace(name))
    held = config_map("held", namespace=name, finalizers=["example.com/hold"])
    api.create(held)
    api.delete(namespace(name))
    wanted = manifest(name, config_map("settings"))
    error = refused(ours.download, wanted, ignore, never)
    assert (error.code, error.retryable) == ("namespace-terminating", True)
    # Without the namespace among its objects the API server is the one that says so.
    error = refused(ours.download, wanted.model_copy(update={"initialization": ()}), ignore, never)
    assert (error.code, error.retryable) == ("namespace-terminating", True)
    api.merge(held, {"metadata": {"finalizers": []}})
    api.wait_gone("v1", "Namespace", name)
    deploy(ours, wanted)
    assert all(entry.healthy for entry in ours.health(wanted))


# -- whose it is ---------------------------------------------------------------------------------------


def test_a_field_of_another_server_side_applier_is_a_conflict(
    cluster: ControlPlane, api: Api, ours: KubernetesApplier, name: str
) -> None:
    """Manager and field are named, whatever the drift policy; it is taken only if the operator's option says so."""
    deploy(ours, manifest(name, config_map("settings")))
    api.apply(config_map("settings", "theirs", namespace=name), manager="gitops", force=True)
    second = manifest(name, config_map("settings", "two"), generation=2)
    error = refused(ours.download, second, ignore, never)
    assert (error.code, error.retryable, error.component) == ("field-conflict", False, "main")
    assert "'gitops' owns data.value" in error.message
    health = ours.health(manifest(name, config_map("settings")))
    assert "'gitops' owns data.value" in health[0].message
    with applier(cluster.kubeconfig, force_conflicts="true") as forcing:
        deploy(forcing, second)
    live = api.get("v1", "ConfigMap", "settings", name)
    assert live is not None
    assert live["data"] == {"value": "two"}


def test_an_edit_is_put_right_where_drift_is_healed_and_reported_where_not(
    api: Api, ours: KubernetesApplier, name: str
) -> None:
    """Who edits without declaring anything is overruled by ``heal`` and not by ``report``."""
    item = config_map("settings", namespace=name)
    reporting = manifest(name, config_map("settings"), drift="report")
    deploy(ours, reporting)
    api.merge(item, {"data": {"value": "edited"}})
    assert "'somebody' owns data.value" in ours.health(reporting)[0].message
    assert refused(ours.download, reporting, ignore, never).code == "field-conflict"
    healing = manifest(name, config_map("settings"))
    deploy(ours, healing)
    assert all(entry.healthy for entry in ours.health(healing))


def test_what_others_add_is_no_drift(api: Api, ours: KubernetesApplier, name: str) -> None:
    """Fields that the spec does not have are nobody's business here."""
    wanted = manifest(name, config_map("settings"))
    deploy(ours, wanted)
    api.merge(config_map("settings", namespace=name), {"data": {"more": "added"}, "metadata": {"labels": {"a": "b"}}})
    assert all(entry.healthy for entry in ours.health(wanted))


def test_objects_of_another_deployment_and_of_a_release_are_named_with_their_owner(
    api: Api, ours: KubernetesApplier, name: str
) -> None:
    """So that a person knows whom to ask."""
    deploy(ours, manifest(name, config_map("settings")))
    other = manifest(name, config_map("settings")).model_copy(update={"deployment": f"{name}-other"})
    error = refused(ours.check, other)
    assert (error.code, error.retryable) == ("foreign-object", False)
    assert f"the Fleetbus deployment '{name}'" in error.message
    api.create(config_map("chart", namespace=name, annotations={"meta.helm.sh/release-name": "tsdb"}))
    error = refused(ours.check, manifest(name, config_map("chart")))
    assert "the Helm release 'tsdb'" in error.message


def test_an_object_that_was_made_anew_by_somebody_else_is_left_alone(
    api: Api, ours: KubernetesApplier, name: str
) -> None:
    """It has the name, and neither the label nor our manager: health says so, the removal leaves it and its namespace."""
    wanted = manifest(name, config_map("settings"))
    deploy(ours, wanted)
    api.delete(config_map("settings", namespace=name))
    api.create(config_map("settings", "theirs", namespace=name))
    assert "was replaced by" in ours.health(wanted)[0].message
    remove(ours, name)
    assert api.get("v1", "ConfigMap", "settings", name)
    assert api.get("v1", "Namespace", name)


def test_a_deployment_of_another_device_is_refused(ours: KubernetesApplier, name: str) -> None:
    """Two agents on one cluster must not take turns with the same objects."""
    wanted = manifest(name, config_map("settings"))
    deploy(ours, wanted)
    error = refused(ours.check, wanted.model_copy(update={"device": "edge-02"}))
    assert (error.code, error.retryable) == ("other-device", False)
    assert "'edge-01'" in error.message


# -- namespaces and removal ----------------------------------------------------------------------------


def test_a_namespace_goes_when_it_was_made_here_and_is_empty(api: Api, ours: KubernetesApplier, name: str) -> None:
    """With everything in it that every namespace has."""
    deploy(ours, manifest(name, config_map("settings")))
    remove(ours, name)
    assert api.get("v1", "Namespace", name) is None


def test_a_namespace_with_something_else_in_it_stays(api: Api, ours: KubernetesApplier, name: str) -> None:
    """Whoever put it there still needs it."""
    deploy(ours, manifest(name, config_map("settings")))
    api.create(config_map("somebody-elses", namespace=name))
    remove(ours, name)
    assert api.get("v1", "ConfigMap", "somebody-elses", name)
    assert api.get("v1", "ConfigMap", "settings", name) is None
    assert inventory_of(api, name) is None


def test_a_namespace_that_was_there_is_used_and_stays_as_it_is(api: Api, ours: KubernetesApplier, name: str) -> None:
    """Neither labelled nor removed."""
    before = api.create(namespace(name))
    wanted = manifest(name, config_map("settings"))
    deploy(ours, wanted)
    assert all(entry.healthy for entry in ours.health(wanted))
    remove(ours, name)
    after = api.get("v1", "Namespace", name)
    assert after is not None
    assert after["metadata"].get("labels") == before["metadata"].get("labels")


def test_the_last_of_two_deployments_takes_their_namespace_along(api: Api, ours: KubernetesApplier, name: str) -> None:
    """The one that made it is removed first; nothing of the other's is lost."""
    deploy(ours, manifest(name, config_map("settings")))
    other = manifest(name, config_map("others")).model_copy(update={"deployment": f"{name}-b"})
    deploy(ours, other)
    remove(ours, name)
    assert all(entry.healthy for entry in ours.health(other))
    remove(ours, f"{name}-b")
    assert api.get("v1", "Namespace", name) is None


def test_a_finalizer_that_hangs_is_named_and_waited_for(
    cluster: ControlPlane, api: Api, ours: KubernetesApplier, name: str
) -> None:
    """The removal fails with its name, is tried again, and ends when it lets go."""
    held = config_map("held", finalizers=["example.com/hold"])
    deploy(ours, manifest(name, config_map("settings"), held))
    with applier(cluster.kubeconfig, removal_timeout="1") as impatient:
        error = refused(impatient.remove, name, never)
    assert (error.code, error.retryable, error.component) == ("removal-blocked", True, "main")
    assert f"ConfigMap {name}/held waits for example.com/hold" in error.message
    assert inventory_of(api, name)
    removal = threading.Thread(target=remove, args=(ours, name))
    removal.start()
    api.merge(config_map("held", namespace=name), {"metadata": {"finalizers": []}})
    removal.join(30)
    assert not removal.is_alive()
    assert api.get("v1", "Namespace", name) is None


def test_a_pruned_object_with_a_finalizer_stays_in_the_inventory(api: Api, ours: KubernetesApplier, name: str) -> None:
    """The update does not wait for it, it is no illness, and the next removal still knows it."""
    deploy(ours, manifest(name, config_map("settings"), config_map("old", finalizers=["example.com/hold"])))
    second = manifest(name, config_map("settings"), generation=2)
    deploy(ours, second)
    assert all(entry.healthy for entry in ours.health(second))
    inventory = inventory_of(api, name)
    assert inventory is not None
    assert '"old"' in inventory["data"]["inventory"]
    api.merge(config_map("old", namespace=name), {"metadata": {"finalizers": []}})
    ours.finish(second)
    inventory = inventory_of(api, name)
    assert inventory is not None
    assert '"old"' not in inventory["data"]["inventory"]


def test_a_spec_may_name_another_cluster_namespace_and_change_it(api: Api, ours: KubernetesApplier, name: str) -> None:
    """The inventory is where the spec says, moves with it, and a removal finds it wherever it is."""
    places = [f"{name}-one", f"{name}-two", "fleetbus-system"]
    for generation, place in enumerate(places, start=1):
        wanted = manifest(name, config_map("settings"), generation=generation, cluster_namespace=place)
        deploy(ours, wanted)
        assert all(entry.healthy for entry in ours.health(wanted))
        for other in places:
            kept = inventory_of(api, name, other)
            assert bool(kept and kept["data"].get("inventory")) == (other == place)
    deploy(ours, manifest(name, config_map("settings"), generation=4, cluster_namespace=places[0]))
    remove(ours, name)
    assert [place for place in places if inventory_of(api, name, place)] == []
    for place in places[:2]:
        api.delete(namespace(place))


def test_a_damaged_inventory_is_never_taken_for_an_empty_one(api: Api, ours: KubernetesApplier, name: str) -> None:
    """The reason says where it is; nothing is changed or removed by guessing."""
    deploy(ours, manifest(name, config_map("settings")))
    inventory = inventory_of(api, name)
    assert inventory is not None
    api.merge(inventory, {"data": {"inventory": "[]"}})
    error = refused(ours.remove, name, never)
    assert (error.code, error.retryable) == ("inventory-damaged", False)
    assert f"fleetbus-system/fleetbus-inventory-{name}" in error.message
    assert api.get("v1", "ConfigMap", "settings", name)
    api.merge(inventory, {"data": inventory["data"]})
    remove(ours, name)


# -- watching ------------------------------------------------------------------------------------------


def test_watching_tells_of_others_changes_and_not_of_looking(api: Api, ours: KubernetesApplier, name: str) -> None:
    """An edit, a lost label and a loss each are told; health checks, which only look, are not."""
    heard: list[str] = []
    ours.watch(heard.append)
    wanted = manifest(name, config_map("settings"))
    beside = manifest(name, config_map("beside")).model_copy(update={"deployment": f"{name}-b"})
    deploy(ours, wanted)
    deploy(ours, beside)
    numbers = itertools.count()

    def caught_up() -> None:
        """Config maps of both deployments come through one watch, in order."""
        heard.clear()

        def told() -> bool:
            api.merge(config_map("beside", namespace=name), {"data": {"value": str(next(numbers))}})
            return beside.deployment in heard

        wait("the other deployment's change", told)

    settings = config_map("settings", namespace=name)
    for change in ({"data": {"value": "edited"}}, {"metadata": {"labels": {"fleetbus.io/deployment": None}}}, None):
        deploy(ours, wanted)
        caught_up()
        assert all(entry.healthy for entry in ours.health(wanted))
        caught_up()
        assert name not in heard
        if change is None:
            api.delete(settings)
        else:
            api.merge(settings, change)
        wait("the change", lambda: name in heard)


def test_watching_begins_with_what_the_cluster_remembers(
    cluster: ControlPlane, api: Api, ours: KubernetesApplier, name: str
) -> None:
    """A fresh agent watches what an older one deployed."""
    deploy(ours, manifest(name, config_map("settings")))
    heard: list[str] = []
    with applier(cluster.kubeconfig) as fresh:
        fresh.watch(heard.append)
        number = 0

        def told() -> bool:
            nonlocal number
            number += 1
            api.merge(config_map("settings", namespace=name), {"data": {"value": str(number)}})
            return name in heard

        wait("the watch to have begun", told)


# -- rights --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def example_account(cluster: ControlPlane) -> Path:
    """The kubeconfig of the example's service account, with the example's rules and no others."""
    documents = yaml.safe_load_all((EXAMPLES / "agent-rbac.yaml").read_text())
    more = yaml.safe_load_all((EXAMPLES / "agent-rbac-controllers.yaml").read_text())
    for item in (*documents, *more):
        cluster.api.apply(item, manager="operator")
    account = cluster.account("fleetbus-system", "fleetbus-agent")

    def aggregated() -> bool:
        role = cluster.api.get("rbac.authorization.k8s.io/v1", "ClusterRole", "fleetbus-agent")
        return role is not None and len(role.get("rules") or ()) > 8

    wait("the roles to be put together", aggregated)
    return account


def test_the_example_account_suffices(
    api: Api, kubelet: Kubelet, example_account: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Install, health, watch, drift, update, prune and removal with its namespace, under RBAC."""
    caplog.set_level("INFO", "edge_agent")  # it says why a namespace is kept
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "stringData": {"word": "x"}}
    with applier(example_account) as built:
        heard: list[str] = []
        built.watch(heard.append)
        init = (secret, job("migrate"))
        first = manifest(name, config_map("settings"), deployment("web"), initialization=init)
        deploy(built, first)
        assert all(entry.healthy for entry in built.health(first))
        api.merge(config_map("settings", namespace=name), {"data": {"value": "edited"}})
        wait("the edit", lambda: name in heard)
        second = manifest(name, config_map("settings"), initialization=init, generation=2)
        deploy(built, second)
        assert all(entry.healthy for entry in built.health(second))
        remove(built, name)
        assert api.get("v1", "Namespace", name) is None


def test_what_the_example_account_may_not_is_named(api: Api, example_account: Path, name: str) -> None:
    """Verb, resource and account, and where the rules are; before anything changes."""
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "all"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    }  # fmt: skip
    with applier(example_account) as built:
        error = refused(built.check, manifest(name, binding))
    assert (error.code, error.retryable, error.component) == ("forbidden", True, "main")
    assert 'cannot get resource "rolebindings"' in error.message
    assert "fleetbus-agent" in error.message
    assert "examples/kubernetes/agent-rbac.yaml" in error.message
    assert api.get("v1", "Namespace", name) is None


def test_an_unknown_token_is_told_from_missing_rights(cluster: ControlPlane, tmp_path: Path, name: str) -> None:
    """It is tried again: credentials are renewed."""
    wrong = tmp_path / "kubeconfig"
    wrong.write_text(cluster.kubeconfig.read_text().replace('"token": "', '"token": "x'))
    with applier(wrong) as built:
        error = refused(built.check, manifest(name, config_map("settings")))
    assert (error.code, error.retryable) == ("unauthorized", True)


def test_renewed_credentials_are_read_again(cluster: ControlPlane, tmp_path: Path, name: str) -> None:
    """Without a restart of the agent."""
    renewed = tmp_path / "kubeconfig"
    renewed.write_text(cluster.kubeconfig.read_text().replace('"token": "', '"token": "x'))
    with applier(renewed) as built:
        refused(built.check, manifest(name, config_map("settings")))
        renewed.write_text(cluster.kubeconfig.read_text())
        built.check(manifest(name, config_map("settings")))


@pytest.mark.parametrize("content", ["", "not: [yaml", '{"kind": "Config"}', "[]", '{"contexts": 1}'])
def test_a_kubeconfig_that_cannot_be_used_is_an_error_of_the_step(tmp_path: Path, content: str, name: str) -> None:
    """And not of the agent: k3s may write it at any time."""
    broken = tmp_path / "kubeconfig"
    for text in (None, content):
        if text is not None:
            broken.write_text(text)
        with applier(broken) as built:
            error = refused(built.check, manifest(name, config_map("settings")))
            assert (error.code, error.retryable) == ("cluster-not-configured", True)
            assert str(broken) in error.message
