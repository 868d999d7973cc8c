"""What renderer and applier of Helm releases agreed on: the ``config`` of a component of type ``helm-release``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from topics.documents.base import JsonObject, Message
from topics.identifiers import ComponentName, Namespace

RELEASE_TYPE = "helm-release"
"""``ManifestComponent.type`` of a Helm release that the device makes itself."""


class HelmReleaseConfig(Message):
    """A Helm release: the chart, exactly; its values, merged; its name and namespace.

    ``chart`` is an ``oci://`` reference, a name in the HTTP repository ``repository``, or the address of an archive;
    with ``archive`` (base64 of the ``.tgz``) nothing is fetched. ``version`` is exact, ``digest`` is SHA-256 over the
    archive's bytes, ``size`` their number. ``plain_http`` says that the registry speaks no TLS. ``chart_name`` is
    the name in the chart's own ``Chart.yaml``. Whether to wait, and how long, stands in the component.
    """

    chart: Annotated[str, Field(min_length=1)]
    chart_name: Annotated[str, Field(min_length=1)]
    version: Annotated[str, Field(min_length=1)]
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0)] = 0
    repository: str | None = None
    plain_http: bool = False
    archive: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]+={0,2}$")] | None = None
    release: ComponentName
    namespace: Namespace
    create_namespace: bool = True
    values: JsonObject = Field(default_factory=dict)
    atomic: bool = True
