"""What differs between two manifests."""

from __future__ import annotations

from typing import Any

from cli.manifest_diff import ABSENT, HIDDEN, Difference, difference, images
from topics.documents.manifest import Manifest, ManifestComponent


def workload(image: str, **template: Any) -> dict[str, Any]:
    pod = {"containers": [{"name": "main", "image": image}, {"name": "side", "image": "side:1"}], **template}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app", "namespace": "press"},
        "spec": {"replicas": 1, "template": {"spec": pod}},
    }  # fmt: skip


def config(name: str = "settings", kind: str = "ConfigMap", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "press"}, "data": data}


def manifest(*objects: dict[str, Any], generation: int = 1, name: str = "app", **fields: Any) -> Manifest:
    component = ManifestComponent(name=name, type="kubernetes", objects=objects, source="spec")
    return Manifest(
        action="apply", deployment="press", device="any", generation=generation, components=(component,), **fields
    )


def fields(found: Difference) -> list[tuple[str, Any, Any]]:
    return [
        (change.path, change.old, change.new)
        for part in found.components
        for item in part.objects
        for change in item.fields
    ]


def test_another_generation_alone_is_no_difference() -> None:
    """Nor is another device."""
    assert not difference(manifest(config(a="1")), manifest(config(a="1"), generation=2))


def test_objects_come_and_go_and_change() -> None:
    """Told apart as Kubernetes does, by kind, namespace and name."""
    found = difference(manifest(config("a", x="1"), config("b")), manifest(config("a", x="2"), config("c")))
    [part] = found.components
    assert [(item.action, item.shown) for item in part.objects] == [
        ("changed", "ConfigMap press/a"), ("added", "ConfigMap press/c"), ("removed", "ConfigMap press/b"),
    ]  # fmt: skip
    assert fields(found) == [("data.x", "1", "2")]


def test_list_entries_with_names_are_compared_by_name() -> None:
    """A container in front does not make every other one look changed."""
    before, after = workload("main:1"), workload("main:2")
    after["spec"]["template"]["spec"]["containers"].insert(0, {"name": "new", "image": "new:1"})
    found = difference(manifest(before), manifest(after))
    start = "spec.template.spec.containers"
    assert fields(found) == [
        (f"{start}[main].image", "main:1", "main:2"),
        (f"{start}[new]", ABSENT, {"name": "new", "image": "new:1"}),
    ]


def test_a_changed_pod_template_restarts_and_nothing_else_does() -> None:
    """More replicas, labels of the workload and changed settings restart no pod that runs."""
    scaled = workload("main:1")
    scaled["spec"]["replicas"] = 3
    assert difference(manifest(workload("main:1")), manifest(workload("main:2"))).restarts == (
        "app: Deployment press/app",
    )
    assert not difference(manifest(workload("main:1")), manifest(scaled)).restarts
    assert not difference(manifest(config(a="1")), manifest(config(a="2"))).restarts


def test_what_secrets_hold_is_hidden() -> None:
    """Whatever spells it: data, stringData, and what kubectl copied into an annotation."""
    before, after = config(kind="Secret", password="old"), config(kind="Secret", password="new", more="x")
    after["stringData"] = {"token": "t"}
    after["metadata"] = after["metadata"] | {
        "labels": {"a": "b"}, "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "token t"}
    }  # fmt: skip
    found = difference(manifest(before), manifest(after))
    shown = {path: (old, new) for path, old, new in fields(found)}
    assert shown["data.password"] == (HIDDEN, HIDDEN)
    assert shown["data.more"] == (ABSENT, HIDDEN)
    assert shown["metadata.labels"] == (ABSENT, {"a": "b"})
    assert not any(word in str(found) for word in ("'old'", "'new'", "token t", "'t'"))


def test_components_come_and_go() -> None:
    """With their objects."""
    found = difference(manifest(config("a"), name="one"), manifest(config("b"), name="two"))
    assert [(part.name, part.action) for part in found.components] == [("two", "added"), ("one", "removed")]


def test_the_manifest_itself_is_compared_too() -> None:
    """Activation, namespaces and requirements; initialization as a part of its own."""
    found = difference(
        manifest(config("a")), manifest(config("a"), activation="manual", initialization=(config("first"),))
    )
    assert [(change.path, change.old, change.new) for change in found.fields] == [("activation", ABSENT, "manual")]
    assert [(part.name, part.action) for part in found.components] == [("initialization", "added")]


def test_values_of_other_types_differ() -> None:
    """``1`` and ``true`` are equal in Python and not in Kubernetes."""
    found = difference(manifest(config(a="1") | {"immutable": True}), manifest(config(a="1") | {"immutable": 1}))
    assert fields(found) == [("immutable", True, 1)]


def test_images_are_found_wherever_pods_are_described() -> None:
    """Also in a job's template."""
    job = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "j"},
           "spec": {"jobTemplate": {"spec": {"template": {"spec": {"initContainers": [{"image": "job:1"}]}}}}}}  # fmt: skip
    assert images(manifest(workload("main:1"), job)) == {"main:1", "side:1", "job:1"}
