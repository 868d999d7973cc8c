"""Charts in OCI registries, over the distribution API (https://github.com/opencontainers/distribution-spec).

A chart is a manifest with a config of Helm's media type and one layer that is the ``.tgz``. Its tags are its
versions, with ``_`` for ``+``. Registries that want a token get it the way their 401 asks for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from orchestrator.charts.archive import MAX_ARCHIVE_BYTES, digest_of, too_large
from orchestrator.charts.credentials import Credentials
from orchestrator.charts.download import Downloader, Limits, read
from orchestrator.charts.errors import ChartFetchError
from orchestrator.charts.provenance import LAYER, MAX_PROVENANCE_BYTES
from orchestrator.charts.repository import choose
from orchestrator.charts.versions import Version

CHART_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
LEGACY_CHART_LAYER = "application/tar+gzip"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
_MAX_TAG_PAGES = 100
_REFERENCE = re.compile(
    r"oci://(?P<host>[A-Za-z0-9.-]+(?::\d{1,5})?|\[[0-9a-fA-F:]+\](?::\d{1,5})?)"
    r"/(?P<name>[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?\Z"
)
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_LINK = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')


@dataclass(frozen=True, slots=True)
class OciReference:
    """A parsed ``oci://host[:port]/name[:tag][@digest]``."""

    host: str
    name: str
    tag: str | None
    digest: str | None

    @classmethod
    def parse(cls, text: str) -> OciReference:
        """Raises ``ChartFetchError`` for anything else."""
        match = _REFERENCE.match(text)
        if match is None:
            raise ChartFetchError(
                "chart-reference-invalid",
                f"{text[:200]!r} is not an OCI reference",
                hint="write oci://host[:port]/path/name, all lower case, and the version in 'version'",
            )
        return cls(**match.groupdict())

    @property
    def repository(self) -> str:
        """``host[:port]/name``: where the chart is, whatever its version."""
        return f"{self.host}/{self.name}"

    @property
    def plain_http(self) -> bool:
        """Plain HTTP for this machine only, as Helm and Docker do."""
        host = self.host.rpartition(":")[0] if re.search(r":\d+\Z", self.host) else self.host
        return host in ("localhost", "[::1]") or host.startswith("127.")

    @property
    def base(self) -> str:
        """The address of the repository."""
        return f"{'http' if self.plain_http else 'https'}://{self.host}/v2/{self.name}"


@dataclass(frozen=True, slots=True)
class OciChart:
    """What was pulled: the layer's bytes and digest, the digest of the manifest that named it, and the provenance
    file if one was asked for and is there."""

    data: bytes
    digest: str
    manifest_digest: str
    provenance: bytes | None = None


class OciPuller:
    """Pulls one chart; remembers the registry's token between the requests of that pull."""

    def __init__(
        self, reference: OciReference, downloader: Downloader, credentials: Credentials, limits: Limits
    ) -> None:
        self._reference = reference
        self._downloader = downloader
        self._limits = limits
        self._login = credentials.of(reference.host)
        self._headers: dict[str, str] = {}
        self._basic: tuple[str, str] | None = None

    def pull(self, wanted: str, *, provenance: bool = False) -> OciChart:
        """The chart in the version that ``wanted`` asks for. Raises ``ChartFetchError``."""
        raw = self._get(f"/manifests/{self._manifest_reference(wanted)}", _MAX_DOCUMENT_BYTES, MANIFEST_TYPE)[0]
        manifest_digest = digest_of(raw)
        if self._reference.digest and manifest_digest != self._reference.digest:
            raise ChartFetchError(
                "chart-digest-mismatch",
                "the registry sent another manifest than the reference names",
                required=self._reference.digest,
                available=manifest_digest,
            )
        manifest = _document(raw)
        digest, size = _chart_layer(manifest)
        if size > MAX_ARCHIVE_BYTES:
            raise too_large(size)
        data = self._get(f"/blobs/{digest}", MAX_ARCHIVE_BYTES)[0]
        if digest_of(data) != digest:
            raise ChartFetchError(
                "chart-digest-mismatch",
                "the registry sent another chart than its manifest names",
                retryable=True,
                required=digest,
                available=digest_of(data),
            )
        signed = self._provenance(manifest) if provenance else None
        return OciChart(data, digest, manifest_digest, signed)

    def _provenance(self, manifest: Mapping[str, Any]) -> bytes | None:
        found = _layer(manifest, (LAYER,))
        if found is None:
            return None
        return self._get(f"/blobs/{found[0]}", MAX_PROVENANCE_BYTES)[0]

    def _manifest_reference(self, wanted: str) -> str:
        reference = self._reference
        if reference.digest:
            return reference.digest
        if reference.tag and wanted and wanted.replace("+", "_") != reference.tag:
            raise ChartFetchError(
                "chart-reference-invalid",
                "the reference has a tag and 'version' says something else",
                required=wanted,
                available=reference.tag,
                hint="write the version in 'version' only",
            )
        if reference.tag:
            return reference.tag
        if _is_exact(wanted):
            return wanted.replace("+", "_")
        return choose(wanted, [tag.replace("_", "+") for tag in self._tags()], reference.name).replace("+", "_")

    def _tags(self) -> list[str]:
        tags: list[str] = []
        path = "/tags/list"
        for _ in range(_MAX_TAG_PAGES):
            raw, headers, url = self._get(path, _MAX_DOCUMENT_BYTES)
            page = _document(raw).get("tags") or []
            tags += [tag for tag in page if isinstance(tag, str)]
            following = _LINK.search(headers.get("link", ""))
            if following is None:
                break
            path = _same_origin(url, following.group(1))
        return tags

    def _get(self, path: str, max_bytes: int, accept: str = "*/*") -> tuple[bytes, Mapping[str, str], str]:
        url = path if "://" in path else self._reference.base + path
        for attempt in ("first", "with token"):
            headers = {"Accept": accept, **self._headers}
            first = attempt == "first"
            with self._downloader.open(
                url, self._limits, auth=self._basic, headers=headers, expect_unauthorized=first
            ) as response:
                if response.status_code == 200:
                    return read(response, self._limits, max_bytes), response.headers, url
                challenge = response.headers.get("www-authenticate", "")
            self._authorize(challenge)
        raise AssertionError("the second answer is read or refused")

    def _authorize(self, challenge: str) -> None:
        scheme, _, rest = challenge.partition(" ")
        values = dict(_CHALLENGE.findall(rest))
        if scheme.lower() == "bearer" and values.get("realm", "").startswith(("https://", self._token_origin())):
            query = urlencode({key: values[key] for key in ("service", "scope") if key in values})
            joint = "&" if "?" in values["realm"] else "?"
            raw = self._downloader.get(values["realm"] + joint + query, self._limits, 1024 * 1024, auth=self._login)
            answer = _document(raw)
            token = answer.get("token") or answer.get("access_token")
            if isinstance(token, str):
                self._headers = {"Authorization": f"Bearer {token}"}
                return
        elif scheme.lower() == "basic" and self._login:
            self._basic = self._login
            return
        raise ChartFetchError(
            "chart-auth-refused",
            f"the registry {self._reference.host} refuses access to {self._reference.name}",
            hint="give the orchestrator credentials for this host, or make the chart readable",
        )

    def _token_origin(self) -> str:
        """Tokens are asked for over plain HTTP only where the registry itself is spoken to so."""
        return "http://" if self._reference.base.startswith("http://") else "https://"


def _is_exact(wanted: str) -> bool:
    try:
        version = Version.parse(wanted)
    except ValueError:
        return False
    return wanted.removeprefix("v").startswith(f"{version.major}.{version.minor}.{version.patch}")


def _same_origin(url: str, link: str) -> str:
    target = urljoin(url, link)
    if urlsplit(target)[:2] != urlsplit(url)[:2]:
        raise ChartFetchError("chart-invalid", "the registry's list of tags leads to another host")
    return target


def _document(raw: bytes) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except ValueError as error:
        raise ChartFetchError("chart-invalid", f"the registry's answer is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ChartFetchError("chart-invalid", "the registry's answer is not a JSON object")
    return document


def _chart_layer(manifest: Mapping[str, Any]) -> tuple[str, int]:
    found = _layer(manifest, (CHART_LAYER, LEGACY_CHART_LAYER))
    if found is not None:
        return found
    raise ChartFetchError(
        "chart-invalid",
        "this is not a Helm chart: its manifest has no chart layer",
        hint="the reference may name a container image",
    )


def _layer(manifest: Mapping[str, Any], types: tuple[str, ...]) -> tuple[str, int] | None:
    """Digest and size of the first layer of one of these types."""
    layers = manifest.get("layers")
    for layer in layers if isinstance(layers, list) else []:
        if isinstance(layer, dict) and layer.get("mediaType") in types:
            digest, size = layer.get("digest"), layer.get("size")
            if isinstance(digest, str) and re.fullmatch(r"sha256:[0-9a-f]{64}", digest) and isinstance(size, int):
                return digest, size
    return None
