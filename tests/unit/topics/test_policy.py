"""What a device's operator forbids, and what of a manifest breaks it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topics.documents.device import Capabilities, Policy
from topics.documents.manifest import Manifest, ManifestComponent
from topics.policy import full_image, violations


def manifest(*objects: dict[str, Any], type: str = "kubernetes", **fields: Any) -> Manifest:
    """A manifest of one component, ``app``."""
    component = ManifestComponent(name="app", type=type, objects=objects, source="spec", **fields)
    return Manifest(action="apply", deployment="press", device="edge-01", generation=1, components=(component,))


def workload(
    pod: dict[str, Any] | None = None, container: dict[str, Any] | None = None, **fields: Any
) -> dict[str, Any]:
    """A Deployment in namespace ``press``."""
    spec = {
        "containers": [{"name": "main", "image": "registry.example/team/app:1", **(container or {})}],
        **(pod or {}),
    }
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "press"},
        "spec": {"template": {"spec": spec}}, **fields,
    }  # fmt: skip


NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "press"}}
ROLE = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "reader"}}
RELEASE = {
    "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "web", "namespace": "flux"},
}  # fmt: skip
CRON = {
    "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c", "namespace": "press"},
    "spec": {"jobTemplate": {"spec": {"template": {"spec": {"hostPID": True, "containers": []}}}}},
}  # fmt: skip
CUSTOM = {
    "apiVersion": "acme.example/v1", "kind": "Line", "metadata": {"name": "l", "namespace": "press"},
    "spec": {"pods": [{"initContainers": [{"name": "i", "image": "x", "securityContext": {"privileged": True}}]}]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "item", "rule", "says"),
    [
        ({"allowed_namespaces": ("other",)}, workload(), "allowedNamespaces", "namespace 'press'"),
        ({"allowed_namespaces": ("other",)}, NAMESPACE, "allowedNamespaces", "namespace 'press'"),
        ({"forbidden_kinds": ("Deployment",)}, workload(), "forbiddenKinds", "Deployment.apps press/web"),
        ({"forbidden_kinds": ("Deployment.apps",)}, workload(), "forbiddenKinds", "kind that is forbidden"),
        ({"forbid": ("clusterScoped",)}, ROLE, "clusterScoped", "to no namespace"),
        ({"forbid": ("clusterScoped",)}, NAMESPACE, "clusterScoped", "Namespace press"),
        ({"forbid": ("privileged",)}, workload(container={"securityContext": {"privileged": True}}), "privileged", "'main'"),
        ({"forbid": ("privileged",)}, CUSTOM, "privileged", "container 'i'"),
        ({"forbid": ("capabilities",)}, workload(container={"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}),
         "capabilities", "adds capabilities"),
        ({"forbid": ("hostNetwork",)}, workload(pod={"hostNetwork": True}), "hostNetwork", "hostNetwork"),
        ({"forbid": ("hostPid",)}, CRON, "hostPid", "hostPID"),
        ({"forbid": ("hostIpc",)}, workload(pod={"hostIPC": True}), "hostIpc", "hostIPC"),
        ({"forbid": ("hostPath",)}, workload(pod={"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}), "hostPath", "'v'"),
        ({"forbid": ("hostPort",)}, workload(container={"ports": [{"hostPort": 80}]}), "hostPort", "80"),
        ({"allowed_registries": ("registry.example/other",)}, workload(), "allowedRegistries", "registry.example/team/app:1"),
        ({"allowed_registries": ("registry.exam",)}, workload(), "allowedRegistries", "not allowed"),
        ({"forbid": ("hostPath",)}, RELEASE, "allowUnseen", "another program"),
    ],
)  # fmt: skip
def test_what_is_forbidden_is_named_with_its_rule(
    policy: dict[str, Any], item: dict[str, Any], rule: str, says: str
) -> None:
    """Place, rule, object, device."""
    [reason] = violations(Policy(**policy), manifest(item))
    assert (reason.path, reason.code, reason.required, reason.device) == (
        "spec.components[0]",
        "policy",
        rule,
        "edge-01",
    )
    assert says in reason.message
    assert rule in reason.message


@pytest.mark.parametrize(
    ("policy", "item"),
    [
        ({}, workload(pod={"hostNetwork": True}, container={"securityContext": {"privileged": True}})),
        ({}, RELEASE),
        ({"allowed_namespaces": ("press",)}, workload()),
        ({"allowed_namespaces": ("press",)}, ROLE),
        ({"forbidden_kinds": ("Deployment.extensions", "Job")}, workload()),
        ({"forbid": ("privileged", "hostNetwork", "hostPid", "hostIpc", "hostPath", "hostPort", "capabilities")}, workload()),
        ({"forbid": ("privileged",)}, workload(container={"securityContext": {"privileged": False}})),
        ({"allowed_registries": ("registry.example/team", "docker.io")}, workload()),
        ({"forbid": ("hostPath",), "allow_unseen": True}, RELEASE),
        ({"forbid": ("somethingNew",)}, workload(pod={"hostNetwork": True})),
    ],
)  # fmt: skip
def test_what_is_allowed_passes(policy: dict[str, Any], item: dict[str, Any]) -> None:
    """Without a policy that is all of it."""
    assert violations(Policy(**policy), manifest(item)) == ()


def test_every_reason_is_given_at_once() -> None:
    """Of initialization, too, and with the component's place."""
    policy = Policy(forbid=("clusterScoped", "privileged", "hostNetwork"), allowed_registries=("docker.io",))
    item = workload(pod={"hostNetwork": True}, container={"securityContext": {"privileged": True}})
    whole = manifest(item).model_copy(update={"initialization": (NAMESPACE,)})
    reasons = violations(policy, whole)
    assert [(reason.path, reason.required) for reason in reasons] == [
        ("spec.initialization", "clusterScoped"),
        ("spec.components[0]", "hostNetwork"),
        ("spec.components[0]", "privileged"),
        ("spec.components[0]", "allowedRegistries"),
    ]


def test_a_compose_project_is_looked_into() -> None:
    """The same rules, in Compose's words."""
    service = {
        "image": "nginx", "privileged": True, "network_mode": "host", "cap_add": ["SYS_ADMIN"], "ports": ["80:80"],
        "volumes": ["/etc:/x", "data:/d", {"type": "bind", "source": "/var", "target": "/v"}], "devices": ["/dev/ttyS0:/dev/x"],
    }  # fmt: skip
    policy = Policy(
        forbid=("privileged", "hostNetwork", "capabilities", "hostPath", "hostPort"),
        allowed_registries=("registry.example",),
    )
    found = manifest(type="compose", config={"project": {"services": {"web": service}}})
    rules = [reason.required for reason in violations(policy, found)]
    assert sorted(filter(None, rules)) == [
        "allowedRegistries", "capabilities", "hostNetwork", "hostPath", "hostPath", "hostPath", "hostPort", "privileged",
    ]  # fmt: skip


def test_what_nobody_can_look_into_is_refused_under_any_restriction() -> None:
    """A release that Helm renders on the device itself."""
    [reason] = violations(Policy(forbid=("hostPath",)), manifest(type="helm-release", config={"chart": "x"}))
    assert reason.required == "allowUnseen"
    assert violations(Policy(), manifest(type="helm-release")) == ()


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        ("nginx", "docker.io/library/nginx"),
        ("team/app:1", "docker.io/team/app:1"),
        ("localhost/app", "localhost/app"),
        ("host:5000/app@sha256:0", "host:5000/app@sha256:0"),
        ("registry.example/app", "registry.example/app"),
    ],
)
def test_an_image_without_a_registry_is_docker_hubs(image: str, wanted: str) -> None:
    """As Docker and containerd read it."""
    assert full_image(image) == wanted


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["containers", "volumes", "securityContext", "capabilities", "add", "image", "spec", "metadata",
                         "hostPath", "ports", "services", "web", "project"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
EVERYTHING = Policy(
    allowed_namespaces=("a",), forbidden_kinds=("Pod",), allowed_registries=("b",),
    forbid=("clusterScoped", "privileged", "capabilities", "hostNetwork", "hostPid", "hostIpc", "hostPath", "hostPort"),
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["spec", "metadata", "kind", "apiVersion", "services"]), JSON))
def test_any_object_is_judged(item: dict[str, Any]) -> None:
    """Whatever stands in it: a manifest may come from anywhere."""
    violations(EVERYTHING, manifest(item))
    violations(EVERYTHING, manifest(type="compose", config={"project": item}))


def test_a_policy_of_a_newer_device_is_still_read() -> None:
    """An older orchestrator keeps what it knows; the device keeps the rest."""
    text = '{"device": "edge-01", "policy": {"forbid": ["hostPath", "telepathy"], "moon": 1}}'
    policy = Capabilities.model_validate_json(text).policy
    assert policy is not None
    assert violations(policy, manifest(workload(pod={"volumes": [{"name": "v", "hostPath": {}}]})))
