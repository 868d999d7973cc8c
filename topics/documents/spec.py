"""The deployment spec: what somebody wants, on which devices, in which namespaces.

The field names are the contract; defaults stand here and nowhere else.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, field_validator, model_validator

from topics.documents.base import Document, JsonObject
from topics.identifiers import ComponentName, DeploymentName, DeviceId, LabelKey, LabelValue, Namespace
from topics.quantity import Duration, Quantity

API_VERSION = "fleetbus/v1"
KIND = "DeploymentSpec"
DEFAULT_CLUSTER_NAMESPACE = "fleetbus-system"
DEFAULT_TIMEOUT = "5m"
"""How long one component may take to become healthy; Helm's own default for ``--wait``."""

Architecture = Literal["amd64", "arm64", "arm", "386", "riscv64", "ppc64le", "s390x"]
"""Go's names (GOARCH), as Kubernetes and the OCI image specification use them."""


class Metadata(Document):
    """Name (the deployment's topic level) and labels of a spec."""

    name: DeploymentName
    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    annotations: dict[LabelKey, str] = Field(default_factory=dict)


class Application(Document):
    """Which application this is, for people and inventories."""

    id: Annotated[str, Field(min_length=1, max_length=200)]
    version: Annotated[str, Field(min_length=1, max_length=100)]


class LabelExpression(Document):
    """One requirement on a label, as in a Kubernetes label selector."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _values_fit_operator(self) -> LabelExpression:
        if (self.operator in ("In", "NotIn")) != bool(self.values):
            need = "needs at least one value" if self.operator in ("In", "NotIn") else "takes no values"
            raise ValueError(f"operator {self.operator} {need}")
        return self


class Selector(Document):
    """A label selector; all of it must hold. An empty one selects every device."""

    match_labels: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    match_expressions: tuple[LabelExpression, ...] = ()


def _count(value: object) -> object:
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError("is neither 'all' nor a number of devices from 1")


# Not a plain union: its error paths would name pydantic's own branches.
Count = Annotated[Literal["all"] | int, PlainValidator(_count, json_schema_input_type=Literal["all"] | int)]


class Agents(Document):
    """Agent assignment: ids, or a selector. Several devices, or any ``count`` of those that match."""

    devices: tuple[DeviceId, ...] = ()
    selector: Selector | None = None
    count: Count = "all"

    @model_validator(mode="after")
    def _exactly_one_way(self) -> Agents:
        if bool(self.devices) == (self.selector is not None):
            raise ValueError("name the agents either by 'devices' (at least one id) or by 'selector'")
        if len(set(self.devices)) != len(self.devices):
            raise ValueError("'devices' names a device twice")
        return self


class Cluster(Document):
    """The cluster namespace: where objects live that drive an orchestrator inside the cluster."""

    namespace: Namespace = DEFAULT_CLUSTER_NAMESPACE


class Workload(Document):
    """The workload namespace: where the application's own objects run.

    Default: the deployment's name. ``create`` asks for the namespace object itself.
    """

    namespace: Namespace | None = None
    create: bool = True


class Initialization(Document):
    """Objects applied, and jobs completed, before the first component starts.

    Entries are Kubernetes objects; ``apiVersion`` and ``kind`` may be left out.
    """

    config_maps: tuple[JsonObject, ...] = ()
    secrets: tuple[JsonObject, ...] = ()
    jobs: tuple[JsonObject, ...] = ()


class CpuRequirement(Document):
    """CPU a device must have: cores as a quantity, and one of the architectures if any is named."""

    cores: Quantity | None = None
    architectures: tuple[Architecture, ...] = ()


class Requirements(Document):
    """What a device must have for this deployment."""

    cpu: CpuRequirement = CpuRequirement()
    memory: Quantity | None = None
    storage: Quantity | None = None
    rules: tuple[JsonObject, ...] = ()

    @field_validator("rules")
    @classmethod
    def _no_rules_yet(cls, rules: tuple[JsonObject, ...]) -> tuple[JsonObject, ...]:
        if rules:
            raise ValueError("eligibility rules are not evaluated by this version; select by labels instead")
        return rules


class HelmChart(Document):
    """A Helm chart: a path, ``oci://`` reference, or a name in the HTTP repository ``repository``."""

    chart: Annotated[str, Field(min_length=1, max_length=1000)]
    version: str | None = None
    repository: str | None = None
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    release: ComponentName | None = None
    values: JsonObject = Field(default_factory=dict)
    wait: bool = True
    timeout: Duration = DEFAULT_TIMEOUT


class KubernetesObjects(Document):
    """Plain Kubernetes objects, given in the spec itself."""

    objects: Annotated[tuple[JsonObject, ...], Field(min_length=1)]
    wait: bool = True
    timeout: Duration = DEFAULT_TIMEOUT

    @field_validator("objects")
    @classmethod
    def _are_objects(cls, objects: tuple[JsonObject, ...]) -> tuple[JsonObject, ...]:
        for index, item in enumerate(objects):
            check_kubernetes_object(item, index)
        return objects


class Component(Document):
    """One unit of a spec: its name, and exactly one kind with that kind's fields."""

    name: ComponentName
    helm: HelmChart | None = None
    kubernetes: KubernetesObjects | None = None
    compose: JsonObject | None = None

    @model_validator(mode="after")
    def _exactly_one_kind(self) -> Component:
        if len(self._kinds()) != 1:
            raise ValueError("a component has exactly one of 'helm', 'kubernetes' and 'compose'")
        return self

    def _kinds(self) -> list[str]:
        return [kind for kind in COMPONENT_KINDS if getattr(self, kind) is not None]

    @property
    def kind(self) -> str:
        """``helm``, ``kubernetes`` or ``compose``: the renderer that this component needs."""
        return self._kinds()[0]

    @property
    def timeout(self) -> str:
        """How long the component may take to become healthy."""
        body = self.helm or self.kubernetes
        return body.timeout if body else DEFAULT_TIMEOUT


COMPONENT_KINDS = ("helm", "kubernetes", "compose")


class Activation(Document):
    """When a downloaded generation is configured: at once, or on the ``activate`` command."""

    mode: Literal["immediate", "manual", "window"] = "immediate"

    @field_validator("mode")
    @classmethod
    def _no_window_yet(cls, mode: str) -> str:
        if mode == "window":
            raise ValueError("maintenance windows are not kept by this version; use 'manual' and activate by command")
        return mode


class SpecBody(Document):
    """The part of a spec whose change makes a new generation."""

    application: Application | None = None
    agents: Agents
    cluster: Cluster = Cluster()
    workload: Workload = Workload()
    initialization: Initialization = Initialization()
    requirements: Requirements = Requirements()
    components: Annotated[tuple[Component, ...], Field(min_length=1, max_length=100)]
    activation: Activation = Activation()

    @field_validator("components")
    @classmethod
    def _names_are_unique(cls, components: tuple[Component, ...]) -> tuple[Component, ...]:
        names = [component.name for component in components]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"component names must be unique, used twice: {', '.join(twice)}")
        return components


class DeploymentSpec(Document):
    """A deployment spec as published on ``specs/<deployment>``."""

    api_version: Literal["fleetbus/v1"]
    kind: Literal["DeploymentSpec"]
    metadata: Metadata
    spec: SpecBody

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def workload_namespace(self) -> str:
        """The workload namespace: the one given, or the deployment's name."""
        return self.spec.workload.namespace or self.metadata.name


def check_kubernetes_object(item: dict[str, Any], index: int) -> None:
    """Raise ``ValueError`` unless the entry has ``apiVersion``, ``kind`` and a name."""
    for field in ("apiVersion", "kind"):
        if not isinstance(item.get(field), str) or not item[field]:
            raise ValueError(f"object {index} has no '{field}'")
    metadata = item.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        raise ValueError(f"object {index} ({item['kind']}) has no 'metadata.name'")
