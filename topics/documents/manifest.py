"""The manifest: what one device must run for one generation of a spec, complete in itself."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from topics.documents.base import Int64, JsonObject, Message
from topics.documents.spec import Application, Drift, Requirements
from topics.identifiers import ComponentName, DeploymentName, DeviceId


class ManifestComponent(Message):
    """One rendered component.

    ``type`` says which applier can take it: for ``kubernetes``, ``objects`` are Kubernetes objects in
    the order to apply them; for every other type, ``config`` is what renderer and applier agreed on.
    ``source`` says where it came from (a chart with its digest, or the spec).
    """

    name: ComponentName
    type: str
    objects: tuple[JsonObject, ...] = ()
    config: JsonObject = Field(default_factory=dict)
    source: str
    wait: bool = True
    timeout_seconds: float = 300.0


class Manifest(Message):
    """What a device must run; ``action: remove`` is a tombstone and carries no components."""

    kind: Literal["Manifest"] = "Manifest"
    action: Literal["apply", "remove"]
    deployment: DeploymentName
    device: DeviceId
    generation: Int64
    spec_digest: str = ""
    application: Application | None = None
    cluster_namespace: str = ""
    workload_namespace: str = ""
    activation: Literal["immediate", "manual"] = "immediate"
    drift: Drift = "heal"
    requirements: Requirements = Requirements()
    initialization: tuple[JsonObject, ...] = ()
    components: tuple[ManifestComponent, ...] = ()
