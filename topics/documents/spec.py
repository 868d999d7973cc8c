"""The deployment spec: what somebody wants, on which devices, in which namespaces.

The field names are the contract; defaults stand here and nowhere else.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, field_validator, model_validator

from topics.documents.base import Document, JsonObject
from topics.documents.device import InterfaceType, PeripheralType
from topics.documents.selection import Rule, Selector
from topics.identifiers import ComponentName, DeploymentName, DeviceRef, LabelKey, LabelValue, Namespace
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


def _count(value: object) -> object:
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError("is neither 'all' nor a number of devices from 1")


# Not a plain union: its error paths would name pydantic's own branches.
Count = Annotated[Literal["all"] | int, PlainValidator(_count, json_schema_input_type=Literal["all"] | int)]


class Agents(Document):
    """Agent assignment: ids, or a selector. Several devices, or any ``count`` of those that match.

    A device behind a gateway may be named by its path (``gateway/device``), and all of a gateway's by
    ``gateway/*``. With a ``count``, devices that have it keep it; further ones are those with the most
    left, with ``spreadBy`` first of those label values that have the fewest. ``onMismatch`` says what
    becomes of a deployment whose device is no longer selected or no longer suits: it is kept and the
    status says so, or it is removed.
    """

    devices: tuple[DeviceRef, ...] = ()
    selector: Selector | None = None
    count: Count = "all"
    spread_by: LabelKey | None = None
    on_mismatch: Literal["keep", "remove"] = "keep"

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


class PeripheralRequirement(Document):
    """A peripheral that the device must have; what is not given may be anything."""

    type: PeripheralType
    manufacturer: str | None = None
    model: str | None = None


class InterfaceRequirement(Document):
    """A communication interface that the device must have."""

    type: InterfaceType


MAX_RULES = 100


class Requirements(Document):
    """What a device must have for this deployment: all of it, and one of the ``rules`` if there are any.

    ``storage`` is what the application itself stores. ``images`` is what its images take on the device's disk,
    where their author knows; it is needed, reserved and promised in addition.
    """

    cpu: CpuRequirement = CpuRequirement()
    memory: Quantity | None = None
    storage: Quantity | None = None
    images: Quantity | None = None
    peripherals: tuple[PeripheralRequirement, ...] = ()
    interfaces: tuple[InterfaceRequirement, ...] = ()
    rules: Annotated[tuple[Rule, ...], Field(max_length=MAX_RULES)] = ()


class DeviceValues(Document):
    """Values for some of the devices: those named, or those selected."""

    devices: tuple[DeviceRef, ...] = ()
    selector: Selector | None = None
    values: JsonObject

    @model_validator(mode="after")
    def _exactly_one_way(self) -> DeviceValues:
        if bool(self.devices) == (self.selector is not None):
            raise ValueError("say for which devices either by 'devices' (at least one id) or by 'selector'")
        return self


class HelmChart(Document):
    """A Helm chart: a path, ``oci://`` reference, or a name in the HTTP repository ``repository``.

    ``version`` is a version or a range, ``digest`` pins the archive's bytes, ``release`` is the release's name
    (default: deployment and component), ``values`` are what the chart is rendered with. ``wait`` and ``timeout``
    say whether and how long the device waits for its objects to be ready.

    ``device_values`` are merged over ``values``, in order, on the devices that they name or select.

    ``archive`` is the chart itself, the base64 of its ``.tgz``, for one that lies in an application package:
    nothing is fetched then, and ``chart`` says where it came from.

    ``pull_secret`` names a Secret in the cluster namespace with which a controller in the cluster fetches the chart;
    the other renderers fetch with the credentials of the orchestrator or of the device.
    """

    chart: Annotated[str, Field(min_length=1, max_length=1000)]
    version: str | None = None
    repository: str | None = None
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    archive: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]+={0,2}$")] | None = None
    pull_secret: ComponentName | None = None
    release: ComponentName | None = None
    values: JsonObject = Field(default_factory=dict)
    device_values: Annotated[tuple[DeviceValues, ...], Field(max_length=1000)] = ()
    wait: bool = True
    timeout: Duration = DEFAULT_TIMEOUT


class KubernetesObjects(Document):
    """Plain Kubernetes objects, given in the spec itself.

    ``wait`` and ``timeout`` say whether and how long the device waits for them to be ready.
    """

    objects: Annotated[tuple[JsonObject, ...], Field(min_length=1)]
    wait: bool = True
    timeout: Duration = DEFAULT_TIMEOUT

    @field_validator("objects")
    @classmethod
    def _are_objects(cls, objects: tuple[JsonObject, ...]) -> tuple[JsonObject, ...]:
        for index, item in enumerate(objects):
            check_kubernetes_object(item, index)
        return objects


class ComposePackage(Document):
    """A Compose project that is fetched: from an OCI repository at a revision, or an archive behind a URL.

    ``digest`` pins the bytes of the archive (of the OCI artifact's layer). Margo does not say where the signature is
    that the key at ``key_location`` belongs to, so nothing is verified with it: pin the digest.
    """

    repository: str | None = None
    revision: str | None = None
    location: str | None = None
    key_location: str | None = None
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None

    @model_validator(mode="after")
    def _exactly_one_place(self) -> ComposePackage:
        if (self.repository is None) == (self.location is None):
            raise ValueError("a Compose package is fetched either from a 'repository' or from a 'location'")
        return self


class ComposeProject(Document):
    """A Compose project: given in the spec (``project``), or as a ``package`` to fetch.

    ``environment`` is what ``${NAME}`` in the project stands for; ``files`` are written beside it. ``wait`` and
    ``timeout`` say whether and how long the device waits for its services to run. ``remove_volumes`` lets a
    removal take the named volumes along, with what is in them.
    """

    project: JsonObject | None = None
    package: ComposePackage | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)
    remove_volumes: bool = False
    wait: bool = True
    timeout: Duration = DEFAULT_TIMEOUT

    @model_validator(mode="after")
    def _exactly_one_source(self) -> ComposeProject:
        if (self.project is None) == (self.package is None):
            raise ValueError("a Compose component has either a 'project' or a 'package'")
        return self


class CustomComponent(Document):
    """A component for a renderer that is not part of Fleetbus: ``config`` is the renderer's own."""

    config: JsonObject = Field(default_factory=dict)
    wait: bool = True
    timeout: Duration = DEFAULT_TIMEOUT


class PatchTarget(Document):
    """Which rendered objects a patch changes: those that have all that is given here."""

    group: str | None = None
    version: str | None = None
    kind: str | None = None
    name: str | None = None
    namespace: str | None = None
    label_selector: Selector | None = None


class Patch(Document):
    """A change to rendered objects: a JSON patch (RFC 6902) if it is a list, else a merge into the object."""

    target: PatchTarget
    patch: JsonObject | Annotated[tuple[JsonObject, ...], Field(min_length=1)]


class Component(Document):
    """One unit of a spec: its name, and exactly one kind with that kind's fields.

    ``renderer`` says what turns it into a part of the manifest; without it, the renderer called as the kind.
    ``patches`` are made to the rendered objects, in order.
    """

    name: ComponentName
    renderer: ComponentName | None = None
    helm: HelmChart | None = None
    kubernetes: KubernetesObjects | None = None
    compose: ComposeProject | None = None
    custom: CustomComponent | None = None
    patches: Annotated[tuple[Patch, ...], Field(max_length=100)] = ()

    @model_validator(mode="after")
    def _exactly_one_kind(self) -> Component:
        if len(self._kinds()) != 1:
            raise ValueError("a component has exactly one of 'helm', 'kubernetes', 'compose' and 'custom'")
        if self.custom is not None and self.renderer is None:
            raise ValueError("a 'custom' component names its 'renderer'")
        return self

    def _kinds(self) -> list[str]:
        return [kind for kind in COMPONENT_KINDS if getattr(self, kind) is not None]

    @property
    def kind(self) -> str:
        """``helm``, ``kubernetes``, ``compose`` or ``custom``."""
        return self._kinds()[0]

    @property
    def renderer_name(self) -> str:
        """The renderer that this component needs."""
        return self.renderer or self.kind

    @property
    def timeout(self) -> str:
        """How long the component may take to become healthy."""
        body = self.helm or self.kubernetes or self.compose or self.custom
        assert body is not None, "a component has exactly one kind"
        return body.timeout


COMPONENT_KINDS = ("helm", "kubernetes", "compose", "custom")


class Activation(Document):
    """When a downloaded generation is configured: at once, or on the ``activate`` command."""

    mode: Literal["immediate", "manual", "window"] = "immediate"

    @field_validator("mode")
    @classmethod
    def _no_window_yet(cls, mode: str) -> str:
        if mode == "window":
            raise ValueError("maintenance windows are not kept by this version; use 'manual' and activate by command")
        return mode


Drift = Literal["heal", "report"]
"""What a device does when somebody else changed what it applied: put it right, or only say so."""


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
    drift: Drift = "heal"

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
