"""What the operator of a device forbids, and what of a manifest breaks it. Pure.

The orchestrator asks before it publishes and says so with every reason; the agent asks again before it applies,
because the device's word counts. Both look at the same objects, so both come to the same answer.

A pod is looked for wherever a list of ``containers`` stands, so that custom resources which carry a pod template
are seen as well. What another program on the device turns into objects (a Helm release installed there, a Flux
``HelmRelease``) nobody can look into beforehand: with any restriction in force it is refused, unless the policy
says ``allowUnseen``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from topics.documents.base import JsonObject
from topics.documents.device import Policy
from topics.documents.manifest import Manifest, ManifestComponent
from topics.errors import Reason

DRIVERS: frozenset[tuple[str, str]] = frozenset(
    {
        ("helm.toolkit.fluxcd.io", "HelmRelease"),
        ("kustomize.toolkit.fluxcd.io", "Kustomization"),
        ("source.toolkit.fluxcd.io", "Bucket"),
        ("source.toolkit.fluxcd.io", "GitRepository"),
        ("source.toolkit.fluxcd.io", "HelmChart"),
        ("source.toolkit.fluxcd.io", "HelmRepository"),
        ("source.toolkit.fluxcd.io", "OCIRepository"),
        ("helm.cattle.io", "HelmChart"),
        ("helm.cattle.io", "HelmChartConfig"),
        ("argoproj.io", "Application"),
        ("argoproj.io", "ApplicationSet"),
        ("argoproj.io", "AppProject"),
    }
)
"""Objects (group, kind) that drive an orchestrator inside the cluster, which makes other objects of them."""

CODE = "policy"
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_HOST_FIELDS = {"hostNetwork": "hostNetwork", "hostPID": "hostPid", "hostIPC": "hostIpc"}
_COMPOSE_HOST = {"network_mode": "hostNetwork", "pid": "hostPid", "ipc": "hostIpc"}

Found: TypeAlias = tuple[str, str, str]
"""What the policy has against something: the rule that it breaks, words, what there is."""


def violations(policy: Policy, manifest: Manifest) -> tuple[Reason, ...]:
    """Every reason why the policy forbids the manifest, with paths from ``spec``; empty if it does not."""
    return PolicyCheck(policy).violations(manifest)


class PolicyCheck:
    """One policy, for many manifests that share objects: each object is looked at once."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._restricts = policy != Policy(allow_unseen=policy.allow_unseen)
        self._seen: dict[int, tuple[object, tuple[Found, ...]]] = {}

    def violations(self, manifest: Manifest) -> tuple[Reason, ...]:
        """See ``violations``."""
        if not self._restricts:
            return ()
        reasons: list[Reason] = []
        for item in manifest.initialization:
            reasons += _reasons("spec.initialization", self._known(item), manifest.device)
        for index, component in enumerate(manifest.components):
            path = f"spec.components[{index}]"
            for item in component.objects:
                reasons += _reasons(path, self._known(item), manifest.device)
            if component.type != "kubernetes":
                reasons += _reasons(path, _of_component(self._policy, component), manifest.device)
        return tuple(reasons)

    def _known(self, item: JsonObject) -> tuple[Found, ...]:
        known = self._seen.get(id(item))
        if known is None:
            # The object is kept along: its id is only its own as long as it lives.
            known = self._seen[id(item)] = (item, tuple(_of_object(self._policy, item)))
        return known[1]


def _of_component(policy: Policy, component: ManifestComponent) -> Iterable[Found]:
    if component.type == "compose" and isinstance(component.config.get("project"), dict):
        return _of_project(policy, component.config["project"])
    return () if policy.allow_unseen else (_unseen(f"component {component.name!r} ({component.type})"),)


def _of_object(policy: Policy, item: JsonObject) -> Iterator[Found]:
    shown = _shown(item)
    group, kind = str(item.get("apiVersion", "")).rpartition("/")[0], str(item.get("kind", ""))
    metadata = item.get("metadata") if isinstance(item.get("metadata"), dict) else {}
    assert isinstance(metadata, dict)
    namespace = metadata.get("namespace")
    if kind in policy.forbidden_kinds or f"{kind}.{group}" in policy.forbidden_kinds:
        yield "forbiddenKinds", f"{shown} is of a kind that is forbidden", kind
    where = metadata.get("name") if (group, kind) == ("", "Namespace") else namespace
    if policy.allowed_namespaces is not None and where is not None and where not in policy.allowed_namespaces:
        yield "allowedNamespaces", f"{shown} is in namespace {where!r}, which is not allowed", str(where)
    if namespace is None and "clusterScoped" in policy.forbid:
        yield "clusterScoped", f"{shown} belongs to the whole cluster and to no namespace", "no namespace"
    if (group, kind) in DRIVERS and not policy.allow_unseen:
        yield _unseen(shown)
    for pod in _pods(item):
        yield from _of_pod(policy, pod, shown)


def _pods(value: JsonObject) -> Iterator[Mapping[str, Any]]:
    """Every mapping with a list of containers, wherever it stands."""
    waiting: list[Any] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if any(isinstance(item.get(name), list) for name in _CONTAINERS):
                yield item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _of_pod(policy: Policy, pod: Mapping[str, Any], shown: str) -> Iterator[Found]:
    for field, rule in _HOST_FIELDS.items():
        if rule in policy.forbid and pod.get(field) not in (None, False):
            yield rule, f"{shown} uses {field}", f"{field}: {pod[field]}"
    if "hostPath" in policy.forbid:
        for volume in _mappings(pod.get("volumes")):
            if volume.get("hostPath") is not None:
                yield "hostPath", f"{shown}: volume {volume.get('name')!r} is a folder of the host", "hostPath"
    for field in _CONTAINERS:
        for container in _mappings(pod.get(field)):
            yield from _of_container(policy, container, f"{shown}: container {container.get('name')!r}")


def _of_container(policy: Policy, container: Mapping[str, Any], shown: str) -> Iterator[Found]:
    security = container.get("securityContext")
    security = security if isinstance(security, dict) else {}
    if "privileged" in policy.forbid and security.get("privileged") not in (None, False):
        yield "privileged", f"{shown} is privileged", "privileged: true"
    added = security.get("capabilities")
    added = added.get("add") if isinstance(added, dict) else None
    if "capabilities" in policy.forbid and added:
        yield "capabilities", f"{shown} adds capabilities", ", ".join(map(str, added))
    if "hostPort" in policy.forbid:
        for port in _mappings(container.get("ports")):
            if port.get("hostPort"):
                yield "hostPort", f"{shown} takes port {port['hostPort']} of the host", str(port["hostPort"])
    yield from _of_image(policy, container.get("image"), shown)


def _of_project(policy: Policy, project: Mapping[str, Any]) -> Iterator[Found]:
    """The same of the services of a Compose project."""
    services = project.get("services")
    for name, service in services.items() if isinstance(services, dict) else ():
        if not isinstance(service, dict):
            continue
        shown = f"service {name!r}"
        if "privileged" in policy.forbid and service.get("privileged") not in (None, False):
            yield "privileged", f"{shown} is privileged", "privileged: true"
        for field, rule in _COMPOSE_HOST.items():
            if rule in policy.forbid and service.get(field) == "host":
                yield rule, f"{shown} uses {field}: host", f"{field}: host"
        if "capabilities" in policy.forbid and service.get("cap_add"):
            yield "capabilities", f"{shown} adds capabilities", ", ".join(map(str, service["cap_add"]))
        if "hostPath" in policy.forbid:
            for source in _host_paths(service):
                yield "hostPath", f"{shown} mounts {source!r} of the host", source
        if "hostPort" in policy.forbid and service.get("ports"):
            yield "hostPort", f"{shown} takes ports of the host", ", ".join(map(str, service["ports"]))
        yield from _of_image(policy, service.get("image"), shown)


def _host_paths(service: Mapping[str, Any]) -> Iterator[str]:
    volumes = service.get("volumes")
    for volume in volumes if isinstance(volumes, list) else ():
        if isinstance(volume, dict):
            if volume.get("type") == "bind":
                yield str(volume.get("source"))
        elif isinstance(volume, str) and volume.startswith(("/", "~")) and ":" in volume:
            yield volume.partition(":")[0]
    devices = service.get("devices")
    for device in devices if isinstance(devices, list) else ():
        yield str(device.get("source") if isinstance(device, dict) else device).partition(":")[0]


def _of_image(policy: Policy, image: object, shown: str) -> Iterator[Found]:
    if policy.allowed_registries is None or not isinstance(image, str) or not image:
        return
    full = full_image(image)
    if not any(full.startswith(f"{prefix.rstrip('/')}/") for prefix in policy.allowed_registries):
        yield "allowedRegistries", f"{shown} has the image {image!r}, whose registry is not allowed", full


def full_image(image: str) -> str:
    """The image with its registry, by the rules of Docker and containerd: ``nginx`` is
    ``docker.io/library/nginx``."""
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return image
    return f"docker.io/{image}" if slash else f"docker.io/library/{image}"


def _unseen(what: str) -> Found:
    return (
        "allowUnseen",
        f"{what} is turned into objects by another program on the device, where this policy cannot be kept",
        "unseen",
    )


def _reasons(path: str, found: Iterable[Found], device: str) -> Iterator[Reason]:
    for rule, message, available in found:
        yield Reason(
            path=path, code=CODE, message=f"the device's policy forbids it ({rule}): {message}", required=rule,
            available=available, device=device,
            hint="choose other devices, or ask the device's operator to change its policy",
        )  # fmt: skip


def _mappings(value: object) -> Iterator[Mapping[str, Any]]:
    for item in value if isinstance(value, list) else ():
        if isinstance(item, dict):
            yield item


def _shown(item: JsonObject) -> str:
    metadata = item.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    group = str(item.get("apiVersion", "")).rpartition("/")[0]
    namespace = metadata.get("namespace")
    prefix = f"{namespace}/" if namespace else ""
    return f"{item.get('kind')}{'.' + group if group else ''} {prefix}{metadata.get('name')}"
