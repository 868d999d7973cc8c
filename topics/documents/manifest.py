"""The manifest: what one device must run for one generation of a spec, complete in itself."""

from __future__ import annotations

from typing import Literal

from topics.documents.base import Int64, JsonObject, Message
from topics.documents.spec import Application, Requirements
from topics.identifiers import ComponentName, DeploymentName, DeviceId


class ManifestComponent(Message):
    """One rendered component.

    ``type`` says which applier can take it (``kubernetes``: ``objects`` are Kubernetes objects in
    the order to apply them), ``source`` where it came from (a chart with its digest, or the spec).
    """

    name: ComponentName
    type: str
    objects: tuple[JsonObject, ...]
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
    requirements: Requirements = Requirements()
    initialization: tuple[JsonObject, ...] = ()
    components: tuple[ManifestComponent, ...] = ()
