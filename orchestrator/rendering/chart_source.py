"""Where somebody else fetches a component's chart from: the cluster's own controllers, or the device.

The orchestrator has fetched the chart already and knows its exact version and digests, so what is handed on is
pinned as far as the other side can pin: never a range, never "newest". A chart that only the orchestrator
can reach (a path on its disk, an application package) is carried in the manifest, or refused.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TypeAlias

from orchestrator.charts.archive import ChartArchive
from orchestrator.charts.oci import OciReference
from orchestrator.rendering.port import RenderContext, RenderError
from topics.documents.spec import HelmChart

MAX_CARRIED_BYTES = 512 * 1024
"""Largest archive that a manifest carries: in base64 it takes two thirds of the largest payload (1 MiB), and the
values must fit beside it. etcd's limit for an object is 1.5 MiB."""

_MAX_DRIVER_NAME = 53
"""Short enough for a label value (63) with what controllers put before or after it."""


@dataclass(frozen=True, slots=True)
class FromRegistry:
    """An OCI registry: ``host[:port]/path/name``, the tag, and the digest of the manifest (not of the archive)."""

    repository: str
    tag: str
    digest: str | None
    plain_http: bool


@dataclass(frozen=True, slots=True)
class FromRepository:
    """An HTTP chart repository: its address, the chart's name in it, the exact version."""

    address: str
    name: str
    version: str


@dataclass(frozen=True, slots=True)
class FromAddress:
    """A chart archive behind a URL."""

    url: str


@dataclass(frozen=True, slots=True)
class Carried:
    """The archive itself, in base64."""

    archive: str


ChartSource: TypeAlias = FromRegistry | FromRepository | FromAddress | Carried


def source_of(chart: HelmChart, archive: ChartArchive) -> ChartSource:
    """Where to fetch the chart from that ``archive`` was fetched from.

    Raises ``RenderError`` (``chart-too-large``) for one that would have to be carried and is too large for it.
    """
    if chart.archive is None and chart.chart.startswith("oci://"):
        reference = OciReference.parse(chart.chart)
        tag = reference.tag or archive.version.replace("+", "_")
        return FromRegistry(reference.repository, tag, archive.artifact or reference.digest, reference.plain_http)
    if chart.archive is None and chart.repository is not None:
        return FromRepository(chart.repository.rstrip("/"), chart.chart, archive.version)
    if chart.archive is None and chart.chart.startswith(("http://", "https://")):
        return FromAddress(chart.chart)
    if len(archive.data) > MAX_CARRIED_BYTES:
        raise RenderError.because(
            "chart-too-large",
            f"the chart lies on the orchestrator, so that the manifest must carry it, and has {len(archive.data)} "
            f"bytes; at most {MAX_CARRIED_BYTES} are carried",
            path="helm.chart",
            hint="push it to a registry or repository that the device can reach, or use the renderer 'helm'",
        )
    return Carried(base64.b64encode(archive.data).decode("ascii"))


def driver_name(context: RenderContext, component: str) -> str:
    """The name of the objects that drive a controller for a component: ``<deployment>.<component>``.

    The dot keeps ``a``/``b-c`` and ``a-b``/``c`` apart: all deployments share the cluster namespace. Longer names end
    in a hash of the whole.
    """
    name = f"{context.deployment}.{component}"
    if len(name) <= _MAX_DRIVER_NAME:
        return name
    return f"{name[: _MAX_DRIVER_NAME - 9].rstrip('.-')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def not_deliverable(renderer: str, why: str, hint: str) -> RenderError:
    """The refusal of a chart source that a controller cannot use."""
    return RenderError.because(
        "chart-not-deliverable", f"the renderer {renderer!r} {why}", path="helm.chart", hint=hint
    )
