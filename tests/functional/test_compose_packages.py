"""Compose packages from real servers: an OCI registry, and archives behind a URL; pinned, kept, refused with the reason."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from orchestrator.charts.archive import digest_of
from orchestrator.charts.errors import ChartFetchError
from orchestrator.charts.oci import MANIFEST_TYPE
from orchestrator.packages.archive import open_package
from orchestrator.packages.store import PackageStore
from tests.functional.chart_servers import BASIC, PASSWORD, USER, Registry, WebServer, send
from topics.documents.spec import ComposePackage

COMPOSE = b"services: {app: {image: 'example/app:1'}}\n"
_MISSING = Registry.missing()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PackageStore]:
    with PackageStore(tmp_path / "cache") as opened:
        yield opened


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


def archive(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in {"compose.yaml": COMPOSE, **files}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return gzip.compress(out.getvalue(), mtime=0)


def push(registry: Registry, name: str, tag: str, layers: list[tuple[str, bytes, dict[str, str]]]) -> str:
    """Upload an artifact as its parts: media type, bytes and annotations of each layer; the manifest's digest."""
    with httpx.Client(base_url=f"http://{registry.host}/v2/{name}", auth=(USER, PASSWORD)) as client:
        described = []
        for kind, data, annotations in [("application/vnd.oci.empty.v1+json", b"{}", {}), *layers]:
            digest = "sha256:" + hashlib.sha256(data).hexdigest()
            location = client.post("/blobs/uploads/").raise_for_status().headers["location"]
            joint = "&" if "?" in location else "?"
            client.put(f"{location}{joint}digest={digest}", content=data).raise_for_status()
            described.append({"mediaType": kind, "digest": digest, "size": len(data), "annotations": annotations})
        manifest = json.dumps(
            {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": described[0], "layers": described[1:]}
        ).encode()
        client.put(f"/manifests/{tag}", content=manifest, headers={"Content-Type": MANIFEST_TYPE}).raise_for_status()
    return "sha256:" + hashlib.sha256(manifest).hexdigest()


def error_of(store: PackageStore, **package: str) -> ChartFetchError:
    with pytest.raises(ChartFetchError) as caught:
        store.fetch(ComposePackage(**package), timeout=3.0)
    return caught.value


@pytest.mark.skipif(_MISSING is not None, reason=str(_MISSING))
def test_a_package_comes_from_a_registry_in_every_form(store: PackageStore, tmp_path: Path) -> None:
    """One archive; one Compose file as ``docker compose publish`` writes it; several files as ``oras push`` does."""
    title = "org.opencontainers.image.title"
    forms = {
        "archive": [("application/vnd.example.package.v1.tar+gzip", archive(), {})],
        "published": [("application/vnd.docker.compose.file+yaml", COMPOSE, {})],
        "files": [("text/yaml", COMPOSE, {title: "compose.yaml"}), ("text/plain", b"hi", {title: "conf/note.txt"})],
    }
    with Registry(tmp_path / "registry") as registry:
        for tag, layers in forms.items():
            manifest = push(registry, "press/app", tag, layers)
            package = {"repository": f"oci://{registry.host}/press/app"}
            fetched = store.fetch(ComposePackage(**package, revision=tag))
            assert open_package(fetched.data).project == {"services": {"app": {"image": "example/app:1"}}}
            assert store.fetch(ComposePackage(**package, revision=manifest)).digest == fetched.digest
            assert (
                store.fetch(ComposePackage(repository=f"{package['repository']}@{manifest}")).digest == fetched.digest
            )
        assert open_package(fetched.data).files == {"conf/note.txt": "hi"}
        assert error_of(store, **package, revision="none").code == "package-not-found"
        assert error_of(store, **package).code == "package-reference-invalid"
        push(registry, "press/app", "image", [("a", b"x", {}), ("b", b"y", {})])
        assert error_of(store, **package, revision="image").code == "package-invalid"


@pytest.mark.skipif(_MISSING is not None, reason=str(_MISSING))
def test_a_registry_with_a_password_is_logged_in_to(tmp_path: Path) -> None:
    """By the orchestrator's credentials file; without it the refusal says so."""
    with Registry(tmp_path / "registry", htpasswd=True) as registry:
        push(registry, "press/app", "1", [("x", archive(), {})])
        credentials = tmp_path / "config.json"
        credentials.write_text(json.dumps({"auths": {registry.host: {"auth": BASIC.removeprefix("Basic ")}}}))
        place = {"repository": f"oci://{registry.host}/press/app", "revision": "1"}
        with PackageStore(tmp_path / "one", credentials_file=credentials) as store:
            assert store.fetch(ComposePackage(**place)).digest == digest_of(archive())
        with PackageStore(tmp_path / "two") as store:
            refused = error_of(store, **place)
    assert (refused.code, refused.retryable) == ("package-auth-refused", False)
    assert "package" in (refused.hint or "")


def test_a_pinned_package_is_kept_and_another_is_refused(store: PackageStore, web: WebServer, tmp_path: Path) -> None:
    """What was fetched once is not fetched again by its digest, also after the server lost it; damage is noticed."""
    web.files["/app.tgz"] = archive()
    place = f"{web.url}/app.tgz"
    digest = store.fetch(ComposePackage(location=place)).digest
    web.files["/app.tgz"] = archive(other=b"x")
    asked = len(web.requests)
    assert store.fetch(ComposePackage(location=place, digest=digest)).digest == digest
    assert len(web.requests) == asked
    kept = tmp_path / "cache" / "packages" / digest.removeprefix("sha256:")
    kept.write_bytes(b"damaged")
    mismatch = error_of(store, location=place, digest=digest)
    assert (mismatch.code, mismatch.required, mismatch.available) == (
        "package-digest-mismatch", digest, digest_of(archive(other=b"x")),
    )  # fmt: skip
    web.files["/app.tgz"] = archive()
    assert store.fetch(ComposePackage(location=place, digest=digest)).digest == digest


def test_servers_that_fail_are_told_apart(store: PackageStore, web: WebServer) -> None:
    """Codes of packages, retryable where waiting can help."""
    web.files["/page"] = b"<html><body>not here</body></html>"
    web.files["/large"] = b"#" * (5 * 1024 * 1024)
    web.files["/broken"] = archive()[:-30]
    web.files["/busy"] = lambda handler: send(handler, 503, b"")
    found = {
        path: error_of(store, location=f"{web.url}/{path}") for path in ("none", "page", "large", "broken", "busy")
    }
    assert {path: (error.code, error.retryable) for path, error in found.items()} == {
        "none": ("package-not-found", False), "page": ("package-invalid", False), "large": ("package-too-large", False),
        "broken": ("package-truncated", True), "busy": ("package-server-error", True),
    }  # fmt: skip
    gone = error_of(store, location="http://127.0.0.1:9/x")
    assert (gone.code, gone.retryable) == ("package-unreachable", True)
    assert error_of(store, location="/etc/passwd").code == "package-reference-invalid"
    assert error_of(store, repository="oci://registry.example/UPPER", revision="1").code == "package-reference-invalid"
