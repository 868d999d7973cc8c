"""Compose packages in OCI registries: what ``docker compose publish`` and ``oras push`` write, and single archives.

One layer is the package itself, whatever it says of its type. Of several, each is a file: Docker's type for Compose
files, or the title that ``oras`` gives (``org.opencontainers.image.title``). They are put into one archive, always the
same for the same artifact, so that its digest pins it.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from typing import Any

from orchestrator.charts.archive import digest_of
from orchestrator.charts.errors import ChartFetchError
from orchestrator.charts.oci import MANIFEST_TYPE, OciPuller
from orchestrator.packages.archive import COMPOSE_NAMES, MAX_PACKAGE_BYTES, too_large
from orchestrator.packages.errors import invalid

_COMPOSE_LAYER = "application/vnd.docker.compose.file+yaml"
_ENV_LAYER = "application/vnd.docker.compose.envfile"
_EMPTY_LAYER = "application/vnd.oci.empty.v1+json"
_TITLE = "org.opencontainers.image.title"
_MAX_DOCUMENT_BYTES = 1024 * 1024
_MAX_LAYERS = 100


class PackagePuller(OciPuller):
    """Pulls one package; speaks to the registry as for a chart."""

    def pull_package(self, revision: str) -> bytes:
        """The package's archive at a tag or digest. Raises ``ChartFetchError``."""
        reference = self._reference.digest or self._reference.tag or revision.replace("+", "_")
        if not reference:
            raise ChartFetchError(
                "package-reference-invalid", "the package has no revision", hint="write its tag or digest in 'revision'"
            )
        raw = self._get(f"/manifests/{reference}", _MAX_DOCUMENT_BYTES, MANIFEST_TYPE)[0]
        if reference.startswith("sha256:") and digest_of(raw) != reference:
            raise ChartFetchError(
                "package-digest-mismatch", "the registry sent another manifest than the reference names",
                required=reference, available=digest_of(raw),
            )  # fmt: skip
        layers = _layers(raw)
        if len(layers) == 1:
            return self._blob(layers[0])
        return _packed({_name(layer, len(layers)): self._blob(layer) for layer in layers}, len(layers))

    def _blob(self, layer: dict[str, Any]) -> bytes:
        digest, size = layer.get("digest"), layer.get("size")
        if not (isinstance(digest, str) and re.fullmatch(r"sha256:[0-9a-f]{64}", digest) and isinstance(size, int)):
            raise invalid("a layer of its manifest has no digest or no size")
        if size > MAX_PACKAGE_BYTES:
            raise too_large(size)
        data = self._get(f"/blobs/{digest}", MAX_PACKAGE_BYTES)[0]
        if digest_of(data) != digest:
            raise ChartFetchError(
                "package-digest-mismatch", "the registry sent another layer than its manifest names", retryable=True,
                required=digest, available=digest_of(data),
            )  # fmt: skip
        return data


def _layers(raw: bytes) -> list[dict[str, Any]]:
    try:
        layers = json.loads(raw)["layers"]
    except (ValueError, KeyError, TypeError) as error:
        raise invalid("the registry's answer is no manifest with layers", "the reference may name an index") from error
    found = [layer for layer in layers if isinstance(layer, dict) and layer.get("mediaType") != _EMPTY_LAYER]
    if not 1 <= len(found) <= _MAX_LAYERS:
        raise invalid(f"its manifest has {len(found)} layers")
    return found


def _name(layer: dict[str, Any], count: int) -> str:
    annotations = layer.get("annotations")
    title = annotations.get(_TITLE) if isinstance(annotations, dict) else None
    if isinstance(title, str):
        return title
    kind = layer.get("mediaType")
    if kind == _COMPOSE_LAYER:
        return COMPOSE_NAMES[0]
    if kind == _ENV_LAYER:
        return ".env"
    raise invalid(
        f"it has {count} layers, and one of them ({str(kind)[:80]!r}) has no title", "the reference may name an image"
    )


def _packed(files: dict[str, bytes], count: int) -> bytes:
    if len(files) != count:
        raise invalid("two of its layers are the same file; write out the project as one file")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in sorted(files.items()):
            try:
                entry = tarfile.TarInfo(name)  # time, owner and mode are the same for everybody
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
            except ValueError as error:
                raise invalid(f"{name[:80]!r}: {error}") from error
    return out.getvalue()
