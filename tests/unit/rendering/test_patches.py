"""Kustomize-style patches: what they hit, what they change, and what is refused."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.charts.archive import open_archive
from orchestrator.rendering.helm_renderer import HelmRenderer
from orchestrator.rendering.json_patch import PatchError, apply_operations
from orchestrator.rendering.kubernetes_renderer import KubernetesRenderer
from orchestrator.rendering.merge_patch import MergeError, merge
from orchestrator.rendering.port import RenderContext, RenderError
from tests.unit.charts.chart_files import WEB, archive
from topics.documents.spec import Component
from topics.errors import Reason

CONTEXT = RenderContext("press", 1, "fleetbus-system", "hall-3", None)


def deployment(name: str = "web", **labels: str) -> dict[str, Any]:
    """A Deployment with two containers."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 1,
            "template": {
                "spec": {
                    "containers": [
                        {"name": "main", "image": "a:1", "env": [{"name": "A", "value": "1"}],
                         "ports": [{"containerPort": 80}], "args": ["x", "y"]},
                        {"name": "side", "image": "b:1"},
                    ],
                    "volumes": [{"name": "data", "emptyDir": {}}],
                }
            },
        },
    }  # fmt: skip


def component(*patches: dict[str, Any], objects: list[dict[str, Any]] | None = None) -> Component:
    """A component with these objects and patches."""
    body = {"objects": objects or [deployment(app="web"), deployment("worker", app="worker"), service()]}
    return Component.model_validate({"name": "part", "kubernetes": body, "patches": list(patches)})


def service() -> dict[str, Any]:
    """A Service with two ports."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"ports": [{"port": 80, "name": "http"}, {"port": 443, "name": "https"}]},
    }


def rendered(*patches: dict[str, Any], objects: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """The objects after the patches."""
    return list(KubernetesRenderer().render(component(*patches, objects=objects), CONTEXT, {}).objects)


def refusal(*patches: dict[str, Any]) -> tuple[Reason, ...]:
    """Why the patches cannot be made."""
    with pytest.raises(RenderError) as caught:
        rendered(*patches)
    assert not caught.value.retryable
    return caught.value.reasons


def replicas(objects: list[dict[str, Any]]) -> dict[str, int]:
    """The replicas of each Deployment."""
    return {item["metadata"]["name"]: item["spec"]["replicas"] for item in objects if item["kind"] == "Deployment"}


SCALE = {"spec": {"replicas": 3}}


@pytest.mark.parametrize(
    ("target", "hit"),
    [
        ({"kind": "Deployment"}, {"web", "worker"}),
        ({"kind": "Deployment", "name": "web"}, {"web"}),
        ({"kind": "Deploy.*", "name": "w.*"}, {"web", "worker"}),
        ({"kind": "Deployment", "name": "we"}, set()),
        ({"kind": "ploy"}, set()),
        ({"group": "apps", "version": "v1"}, {"web", "worker"}),
        ({"group": "batch"}, set()),
        ({"kind": "Deployment", "namespace": "hall-3"}, {"web", "worker"}),
        ({"kind": "Deployment", "namespace": "hall"}, set()),
        ({"labelSelector": {"matchLabels": {"app": "worker"}}}, {"worker"}),
        ({"labelSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}}, {"web"}),
        ({"kind": "Deployment", "labelSelector": {"matchExpressions": [{"key": "gone", "operator": "Exists"}]}}, set()),
        ({"kind": "Deployment|Job"}, {"web", "worker"}),
    ],
)
def test_a_target_selects_by_all_that_it_says(target: dict[str, Any], hit: set[str]) -> None:
    """Patterns match the whole, as kustomize's do; a patch that hits nothing says what there is."""
    patch = {"target": target, "patch": SCALE}
    if hit:
        found = replicas(rendered(patch))
        assert {name for name, count in found.items() if count == 3} == hit
        return
    [reason] = refusal(patch)
    assert (reason.path, reason.code) == ("patches[0].target", "patch-hits-nothing")
    assert "Deployment 'web'" in (reason.available or "")


def test_every_patch_that_hits_nothing_is_named() -> None:
    """All at once, by their places."""
    reasons = refusal(
        {"target": {"kind": "Job"}, "patch": SCALE},
        {"target": {"kind": "Deployment"}, "patch": SCALE},
        {"target": {"name": "gone"}, "patch": SCALE},
    )
    assert [reason.path for reason in reasons] == ["patches[0].target", "patches[2].target"]


def test_a_pattern_that_would_hang_does_not() -> None:
    """RE2 matches in linear time; what it cannot do is refused with that reason."""
    [reason] = refusal({"target": {"name": "(a+)+" * 5 + "$"}, "patch": SCALE})
    assert reason.code == "patch-hits-nothing"
    [reason] = refusal({"target": {"name": "(?=w)web"}, "patch": SCALE})
    assert (reason.path, reason.code) == ("patches[0].target.name", "pattern-invalid")


def test_a_merge_patch_merges_lists_by_their_keys() -> None:
    """As ``kubectl patch`` and kustomize do for the kinds that Kubernetes knows."""
    patch = {
        "spec": {
            "replicas": 2,
            "template": {
                "spec": {
                    "containers": [
                        {"name": "main", "image": "a:2", "env": [{"name": "B", "value": "2"}, {"name": "A", "value": "9"}],
                         "args": ["z"]},
                        {"name": "new", "image": "c:1"},
                        {"name": "side", "$patch": "delete"},
                    ],
                    "volumes": [{"name": "data", "emptyDir": None, "hostPath": {"path": "/x"}}],
                }
            },
        },
    }  # fmt: skip
    changed = rendered({"target": {"name": "web", "kind": "Deployment"}, "patch": patch})[0]
    pod = changed["spec"]["template"]["spec"]
    assert changed["spec"]["replicas"] == 2
    assert [item["name"] for item in pod["containers"]] == ["new", "main"]
    main = pod["containers"][1]
    assert main["image"] == "a:2"
    assert main["env"] == [{"name": "B", "value": "2"}, {"name": "A", "value": "9"}]
    assert main["ports"] == [{"containerPort": 80}]
    assert main["args"] == ["z"]
    assert pod["volumes"] == [{"name": "data", "hostPath": {"path": "/x"}}]


def test_ports_of_a_service_are_merged_by_their_port() -> None:
    """Those of a container by ``containerPort``."""
    patch = {"spec": {"ports": [{"port": 80, "nodePort": 30080}]}}
    changed = rendered({"target": {"kind": "Service"}, "patch": patch})[2]
    assert changed["spec"]["ports"] == [{"port": 80, "name": "http", "nodePort": 30080}, {"port": 443, "name": "https"}]


def test_lists_of_a_custom_resource_are_replaced() -> None:
    """Nobody here knows their keys: a JSON merge patch, as kubectl makes it."""
    item = {
        "apiVersion": "acme.example/v1",
        "kind": "Line",
        "metadata": {"name": "l"},
        "spec": {"env": [{"name": "A"}]},
    }
    [changed] = rendered({"target": {}, "patch": {"spec": {"env": [{"name": "B"}]}}}, objects=[item])
    assert changed["spec"]["env"] == [{"name": "B"}]


def test_delete_and_replace_are_for_whole_objects_too() -> None:
    """``$patch: delete`` takes an object out; ``replace`` in a mapping puts the patch in its place."""
    objects = rendered({"target": {"name": "worker"}, "patch": {"$patch": "delete"}})
    assert [item["metadata"]["name"] for item in objects] == ["web", "web"]
    changed = rendered({"target": {"kind": "Service"}, "patch": {"spec": {"$patch": "replace", "type": "NodePort"}}})[2]
    assert changed["spec"] == {"type": "NodePort"}


@pytest.mark.parametrize(
    ("patch", "says"),
    [
        ({"spec": {"template": {"spec": {"containers": [{"image": "x"}]}}}}, "known by its 'name'"),
        ({"spec": {"template": {"spec": {"containers": [{"name": "gone", "$patch": "delete"}]}}}}, "'gone'"),
        ({"spec": {"$retainKeys": ["a"]}}, "$retainKeys"),
        ({"spec": {"$patch": "explode"}}, "explode"),
        ({"kind": "Job"}, "another object"),
        ({"metadata": {"name": "other"}}, "another object"),
        ({"metadata": {"namespace": "kube-system"}}, "another object"),
        ({"metadata": {"name": None}}, "metadata.name"),
        ({"metadata": {"labels": {"$patch": "replace"}, "annotations": "none"}}, "annotations"),
    ],
)
def test_a_merge_that_cannot_be_made_says_why(patch: dict[str, Any], says: str) -> None:
    """With the place in the patch, and the object."""
    [reason] = refusal({"target": {"kind": "Deployment", "name": "web"}, "patch": patch})
    assert reason.path.startswith("patches[0].patch")
    assert says in reason.message


def test_no_patch_takes_the_ownership_off() -> None:
    """Removal and the inventory go by it."""
    patches = [
        {"target": {"name": "web"}, "patch": [{"op": "remove", "path": "/metadata/labels"}]},
        {"target": {"name": "worker"}, "patch": {"metadata": {"labels": {"fleetbus.io/deployment": "mine"}}}},
    ]
    for item in rendered(*patches):
        assert item["metadata"]["labels"]["fleetbus.io/deployment"] == "press"
        assert item["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "fleetbus"
        assert item["metadata"]["namespace"] == "hall-3"


def test_a_patch_sees_what_the_ones_before_it_made() -> None:
    """They are made in order."""
    first = {"target": {"kind": "Deployment", "name": "web"}, "patch": SCALE}
    test = {"op": "test", "path": "/spec/replicas", "value": 3}
    second = {
        "target": {"kind": "Deployment", "name": "web"},
        "patch": [test, {"op": "remove", "path": "/spec/replicas"}],
    }
    assert "replicas" not in rendered(first, second)[0]["spec"]
    [reason] = refusal(second)
    assert (reason.path, reason.code) == ("patches[0].patch[0]", "patch-failed")
    assert "/spec/replicas is 1 and not 3" in reason.message


def test_patches_change_the_objects_of_a_chart() -> None:
    """After rendering, whatever the chart offers in its values; what is not hit stays the same."""
    patch = {"target": {"kind": "Service"}, "patch": [{"op": "add", "path": "/spec/type", "value": "NodePort"}]}
    part = Component.model_validate({"name": "web", "helm": {"chart": "web"}, "patches": [patch]})
    service_, deployment_ = HelmRenderer().render(part, CONTEXT, {"web": open_archive(archive(WEB))}).objects
    assert service_["spec"]["type"] == "NodePort"
    assert "fleetbus.io/chart" in service_["metadata"]["annotations"]
    assert deployment_["kind"] == "Deployment"


# -- JSON patch (RFC 6902): the examples of its appendix, and what is refused ---------------------


@pytest.mark.parametrize(
    ("value", "operations", "wanted"),
    [
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
        ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "qux"}], {"foo": ["bar", "qux", "baz"]}),
        ({"foo": [1]}, [{"op": "add", "path": "/foo/-", "value": [2]}], {"foo": [1, [2]]}),
        ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
        ({"foo": [1, 2, 3]}, [{"op": "remove", "path": "/foo/1"}], {"foo": [1, 3]}),
        ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": None}], {"baz": None}),
        ({"a": {"b": 1}, "c": {}}, [{"op": "move", "from": "/a/b", "path": "/c/d"}], {"a": {}, "c": {"d": 1}}),
        ({"foo": [1, 2, 3]}, [{"op": "move", "from": "/foo/0", "path": "/foo/2"}], {"foo": [2, 3, 1]}),
        ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}, {"op": "add", "path": "/b/-", "value": 2}],
         {"a": [1], "b": [1, 2]}),
        ({"a/b": 1, "m~n": 2}, [{"op": "test", "path": "/a~1b", "value": 1}, {"op": "remove", "path": "/m~0n"}], {"a/b": 1}),
        ({"a": 1}, [{"op": "test", "path": "/a", "value": 1.0}], {"a": 1}),
        ({"": 1}, [{"op": "replace", "path": "/", "value": 2}], {"": 2}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": [1]}], [1]),
        ({"a": 1}, [{"op": "add", "path": "/b", "value": 1, "note": "ignored"}], {"a": 1, "b": 1}),
    ],
)  # fmt: skip
def test_operations_do_what_the_rfc_says(value: Any, operations: list[dict[str, Any]], wanted: Any) -> None:
    """The value that was given stays as it is."""
    before = copy.deepcopy(value)
    assert apply_operations(value, operations) == wanted
    assert value == before


@pytest.mark.parametrize(
    ("value", "operation", "says"),
    [
        ({}, {"op": "remove", "path": "/a"}, "nothing at /a"),
        ({}, {"op": "replace", "path": "/a", "value": 1}, "nothing at /a"),
        ({}, {"op": "add", "path": "/a/b", "value": 1}, "nothing at /a"),
        ({"a": []}, {"op": "add", "path": "/a/1", "value": 1}, "no place in a list of 0"),
        ({"a": [1]}, {"op": "add", "path": "/a/01", "value": 1}, "no place"),
        ({"a": [1]}, {"op": "remove", "path": "/a/-"}, "nothing at /a/-"),
        ({"a": "text"}, {"op": "add", "path": "/a/b", "value": 1}, "neither an object nor a list"),
        ({"a": True}, {"op": "test", "path": "/a", "value": 1}, "true and not 1"),
        ({"a": {"b": 1}}, {"op": "move", "from": "/a", "path": "/a/b/c"}, "into itself"),
        ({}, {"op": "add", "path": "/a"}, "no 'value'"),
        ({}, {"op": "move", "path": "/a"}, "no 'from'"),
        ({}, {"op": "merge", "path": "/a"}, "none of add"),
        ({}, {"path": "/a"}, "none of add"),
        ({}, {"op": "add", "path": "a", "value": 1}, "no JSON pointer"),
        ({}, {"op": "add", "path": "/a~2", "value": 1}, "no JSON pointer"),
        ({"a": [1]}, {"op": "add", "path": "/a/99999999999999999999", "value": 1}, "no place"),
    ],
)
def test_an_operation_that_cannot_be_done_says_where(value: Any, operation: dict[str, Any], says: str) -> None:
    """And which of the operations it is."""
    with pytest.raises(PatchError) as caught:
        apply_operations(value, [{"op": "test", "path": "", "value": value}, operation])
    assert says in str(caught.value)
    assert caught.value.index == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "name", "env", "$patch"]), inner),
    max_leaves=10,
)
MAPPING = st.dictionaries(st.sampled_from(["a", "name", "env", "ports", "$patch", "finalizers"]), JSON, max_size=4)


@given(MAPPING, MAPPING)
def test_any_merge_ends_in_an_object_or_a_reason(value: dict[str, Any], patch: dict[str, Any]) -> None:
    """Whatever is written, and nothing that was given is changed."""
    item = {"apiVersion": "v1", "kind": "Pod", **value}
    before = copy.deepcopy((item, patch))
    with contextlib.suppress(MergeError):
        merge(item, patch)
    assert (item, patch) == before


@given(JSON, st.lists(st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"])},
    optional={"path": st.sampled_from(["", "/a", "/a/0", "/-", "x"]), "from": st.sampled_from(["", "/a"]), "value": JSON},
), max_size=4))  # fmt: skip
def test_any_operations_end_in_a_value_or_a_reason(value: Any, operations: list[dict[str, Any]]) -> None:
    """Whatever is written, and what was given is not changed."""
    before = copy.deepcopy(value)
    with contextlib.suppress(PatchError):
        apply_operations(value, operations)
    assert value == before
