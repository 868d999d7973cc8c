"""Charts from every kind of source, on real servers, and what happens when those fail."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from orchestrator.charts.archive import MAX_ARCHIVE_BYTES, digest_of
from orchestrator.charts.errors import ChartFetchError
from orchestrator.charts.store import ChartStore
from orchestrator.charts.versions import newest_match
from tests.functional.chart_servers import BASIC, PASSWORD, USER, Answer, Registry, WebServer, index_of, send
from tests.support.brokers import HOST, ReservedPort
from tests.unit.charts.chart_files import WEB, archive, chart, write
from topics.documents.spec import HelmChart

VERSIONS = ["0.9.0", "1.0.0", "1.2.0", "1.2.3", "2.0.0-rc.1"]
ARCHIVES = {version: archive(chart(version)) for version in VERSIONS}


@pytest.fixture
def web() -> Iterator[WebServer]:
    """An HTTP server with a chart repository under ``/charts``."""
    with WebServer() as server:
        server.files["/charts/index.yaml"] = index_of({"web": ARCHIVES})
        for version, data in ARCHIVES.items():
            server.files[f"/charts/web-{version}.tgz"] = data
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ChartStore]:
    """A store with an empty cache."""
    with ChartStore(tmp_path / "cache") as opened:
        yield opened


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A running registry without password."""
    if missing := Registry.missing():
        pytest.skip(missing)
    with Registry(tmp_path / "registry") as started:
        yield started


def refusal(store: ChartStore, chart: HelmChart, **options: float) -> ChartFetchError:
    """The error with which a fetch ends."""
    with pytest.raises(ChartFetchError) as caught:
        store.fetch(chart, **options)  # type: ignore[arg-type]
    return caught.value


def cached_files(folder: Path) -> list[Path]:
    """Every file in the cache."""
    return [path for path in folder.rglob("*") if path.is_file()]


# ---- local paths


def test_folder_and_its_archive_are_taken(store: ChartStore, tmp_path: Path) -> None:
    """A folder is packed, an archive taken as it is; the same folder has the same digest later."""
    folder = write(tmp_path / "web", WEB)
    first = store.fetch(HelmChart(chart=str(folder)))
    (tmp_path / "web.tgz").write_bytes(first.data)
    assert store.fetch(HelmChart(chart=str(tmp_path / "web.tgz"))) == first
    assert store.fetch(HelmChart(chart=str(folder), version="^1", digest=first.digest)) == first


def test_path_that_leads_out_of_the_local_root_is_refused(tmp_path: Path) -> None:
    """With a root, no spec reads other folders of the orchestrator, whether by ``..``, absolutely or by a link."""
    write(tmp_path / "charts" / "web", WEB)
    write(tmp_path / "other", WEB)
    (tmp_path / "charts" / "link").symlink_to(tmp_path / "other")
    with ChartStore(tmp_path / "cache", local_root=tmp_path / "charts") as store:
        assert store.fetch(HelmChart(chart="web")).name == "web"
        for path in ("../other", str(tmp_path / "other"), "link"):
            assert refusal(store, HelmChart(chart=path)).code == "chart-reference-invalid"
        assert refusal(store, HelmChart(chart="missing")).code == "chart-not-found"


# ---- HTTP repositories


@pytest.mark.parametrize(
    ("wanted", "version"), [("1.0.0", "1.0.0"), ("", "1.2.3"), ("^1", "1.2.3"), ("~1.2.0", "1.2.3"), ("<1", "0.9.0")]
)
def test_repository_gives_the_version_that_is_asked_for(
    store: ChartStore, web: WebServer, wanted: str, version: str
) -> None:
    """Exact, newest stable, or a range; pinned by the digest over the archive's bytes."""
    fetched = store.fetch(HelmChart(chart="web", repository=f"{web.url}/charts/", version=wanted or None))
    assert (fetched.name, fetched.version) == ("web", version)
    assert fetched.digest == digest_of(ARCHIVES[version])
    assert fetched.data == ARCHIVES[version]


def test_known_digest_needs_no_server(store: ChartStore, web: WebServer) -> None:
    """A pinned chart is taken from the cache, so a device's manifest can be rendered while the server is down."""
    spec = HelmChart(chart="web", repository=f"{web.url}/charts", version="1.2.3")
    fetched = store.fetch(spec)
    asked = len(web.requests)
    assert store.fetch(spec.model_copy(update={"digest": fetched.digest})) == fetched
    assert len(web.requests) == asked


def test_known_archive_is_not_downloaded_again(store: ChartStore, web: WebServer) -> None:
    """Where the index names the digest, only the index is asked for."""
    spec = HelmChart(chart="web", repository=f"{web.url}/charts", version="1.2.3")
    assert store.fetch(spec) == store.fetch(spec)
    assert web.requests.count("/charts/web-1.2.3.tgz") == 1


def test_damaged_cache_entry_is_fetched_again(store: ChartStore, web: WebServer, tmp_path: Path) -> None:
    """Half a file on the disk, as after a power cut, is noticed and replaced."""
    spec = HelmChart(chart="web", repository=f"{web.url}/charts", version="1.2.3")
    fetched = store.fetch(spec)
    [file] = cached_files(tmp_path / "cache")
    file.write_bytes(fetched.data[: len(fetched.data) // 2])
    assert store.fetch(spec.model_copy(update={"digest": fetched.digest})) == fetched
    assert file.read_bytes() == fetched.data


def test_wrong_digest_in_the_spec_is_refused_with_both(store: ChartStore, web: WebServer, tmp_path: Path) -> None:
    """The refusal shows what was required and what there is, and the chart is not kept."""
    wanted = "sha256:" + "0" * 64
    error = refusal(store, HelmChart(chart="web", repository=f"{web.url}/charts", version="1.2.3", digest=wanted))
    assert (error.code, error.retryable) == ("chart-digest-mismatch", False)
    assert (error.required, error.available) == (wanted, digest_of(ARCHIVES["1.2.3"]))
    assert cached_files(tmp_path / "cache") == []
    reason = error.reason("spec.components[0].helm")
    assert (reason.path, reason.required) == ("spec.components[0].helm", wanted)


def test_exchanged_archive_is_refused(store: ChartStore, web: WebServer) -> None:
    """What the index names and what the server sends must be the same."""
    web.files["/charts/web-1.2.3.tgz"] = ARCHIVES["1.0.0"]
    error = refusal(store, HelmChart(chart="web", repository=f"{web.url}/charts", version="1.2.3"))
    assert error.code == "chart-digest-mismatch"


def test_truncated_archive_is_refused(store: ChartStore, web: WebServer) -> None:
    """Both kinds: cut by the connection, and cut on the server's disk."""

    def half(handler: BaseHTTPRequestHandler) -> None:
        data = ARCHIVES["1.2.3"]
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[: len(data) // 2])

    spec = HelmChart(chart="web", repository=f"{web.url}/charts", version="1.2.3")
    for answer in (half, ARCHIVES["1.2.3"][:200]):
        web.files["/charts/web-1.2.3.tgz"] = answer
        error = refusal(store, spec)
        assert (error.code, error.retryable) == ("chart-truncated", True)


def test_missing_chart_and_version_say_what_there_is(store: ChartStore, web: WebServer) -> None:
    """A version that is not there shows the newest that are."""
    repository = f"{web.url}/charts"
    assert refusal(store, HelmChart(chart="gone", repository=repository)).code == "chart-not-found"
    error = refusal(store, HelmChart(chart="web", repository=repository, version="^9"))
    assert error.code == "chart-not-found"
    assert error.available is not None
    assert "1.2.3" in error.available
    assert refusal(store, HelmChart(chart="web", repository=f"{web.url}/nothing")).code == "chart-not-found"
    error = refusal(store, HelmChart(chart="web", repository=repository, version="not a version"))
    assert error.code == "chart-reference-invalid"


@pytest.mark.parametrize(
    "index", [b"<html></html>", b"entries: [", b"\x1f\x8bxx", b"[" * 100_000, b"entries: {web: 3}"]
)
def test_what_is_no_index_is_refused(store: ChartStore, web: WebServer, index: bytes) -> None:
    """No answer of a server is anything but a fetch error."""
    web.files["/charts/index.yaml"] = index
    assert not refusal(store, HelmChart(chart="web", repository=f"{web.url}/charts")).retryable


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (401, "chart-auth-refused", False),
        (403, "chart-auth-refused", False),
        (404, "chart-not-found", False),
        (429, "chart-server-error", True),
        (503, "chart-server-error", True),
    ],
)
def test_refusals_of_the_server_have_their_codes(
    store: ChartStore, web: WebServer, status: int, code: str, retryable: bool
) -> None:
    """The code says what happened, and whether trying again can help."""
    web.files["/charts/index.yaml"] = lambda handler: send(handler, status, b"")
    error = refusal(store, HelmChart(chart="web", repository=f"{web.url}/charts"))
    assert (error.code, error.retryable) == (code, retryable)


def test_unreachable_server_is_retryable(store: ChartStore) -> None:
    """Connection refused."""
    port = ReservedPort()
    try:
        error = refusal(store, HelmChart(chart="web", repository=f"http://{HOST}:{port.port}/"))
    finally:
        port.close()
    assert (error.code, error.retryable) == ("chart-unreachable", True)


def test_silent_server_times_out(store: ChartStore, web: WebServer) -> None:
    """A server that never answers."""

    def silent(handler: BaseHTTPRequestHandler) -> None:
        web.released.wait(30)

    web.files["/charts/index.yaml"] = silent
    error = refusal(store, HelmChart(chart="web", repository=f"{web.url}/charts"), timeout=0.3)
    web.released.set()
    assert (error.code, error.retryable) == ("chart-timed-out", True)


def test_dripping_server_times_out_in_all(store: ChartStore, web: WebServer) -> None:
    """A server that always sends one more byte stays below every single timeout, but not below the whole."""

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while not web.released.wait(0.02):
                handler.wfile.write(b"#")
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client gave up, as it should

    web.files["/charts/index.yaml"] = drip
    error = refusal(store, HelmChart(chart="web", repository=f"{web.url}/charts"), timeout=0.4)
    assert (error.code, error.retryable) == ("chart-timed-out", True)


def test_fetch_can_be_cancelled(store: ChartStore, web: WebServer) -> None:
    """A newer generation does not wait for the download of an older one."""
    with pytest.raises(ChartFetchError) as caught:
        store.fetch(HelmChart(chart="web", repository=f"{web.url}/charts"), cancelled=lambda: bool(web.requests))
    assert caught.value.code == "chart-cancelled"


def test_endless_archive_is_cut_off_at_the_limit(store: ChartStore, web: WebServer) -> None:
    """Without a length, the limit is kept while reading."""

    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(2 * MAX_ARCHIVE_BYTES // 65536):
                handler.wfile.write(bytes(65536))
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client gave up, as it should

    web.files["/web.tgz"] = flood
    assert refusal(store, HelmChart(chart=f"{web.url}/web.tgz")).code == "chart-too-large"


def test_address_of_an_archive_is_taken_directly(store: ChartStore, web: WebServer) -> None:
    """With ``version`` it must hold that version; a page in its place is no chart."""
    url = f"{web.url}/charts/web-1.2.3.tgz"
    assert store.fetch(HelmChart(chart=url)).version == "1.2.3"
    error = refusal(store, HelmChart(chart=url, version="^2"))
    assert (error.code, error.required, error.available) == ("chart-version-mismatch", "^2", "1.2.3")
    web.files["/charts/web-1.2.3.tgz"] = b"<html>moved</html>"
    assert refusal(store, HelmChart(chart=url)).code == "chart-invalid"


def test_credentials_are_sent_to_their_host_and_never_shown(web: WebServer, tmp_path: Path) -> None:
    """User and password come from a file; messages carry neither them nor those of an address."""
    seen: list[str | None] = []

    def guarded(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers["Authorization"])
        send(handler, 200 if seen[-1] == BASIC else 401, ARCHIVES["1.2.3"])

    web.files["/private.tgz"] = guarded
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"auths": {web.host: {"auth": BASIC.removeprefix("Basic ")}}}))
    with ChartStore(tmp_path / "cache", credentials_file=file) as store:
        assert store.fetch(HelmChart(chart=f"{web.url}/private.tgz")).version == "1.2.3"
    wrong = base64.b64encode(b"press:wrong-password").decode()
    file.write_text(json.dumps({"auths": {web.host: {"auth": wrong}}}))
    with ChartStore(tmp_path / "cache", credentials_file=file) as store:
        error = refusal(store, HelmChart(chart=f"http://press:wrong-password@{web.host}/private.tgz?token=abc"))
    assert error.code == "chart-auth-refused"
    assert "wrong-password" not in str(error)
    assert "abc" not in str(error)


# ---- OCI registries


def test_oci_chart_is_pinned_by_its_layer(store: ChartStore, registry: Registry) -> None:
    """The digest is that of the archive, the same as from any other source."""
    registry.push("charts/web", "1.2.3", ARCHIVES["1.2.3"])
    fetched = store.fetch(HelmChart(chart=f"oci://{registry.host}/charts/web", version="1.2.3"))
    assert (fetched.version, fetched.digest) == ("1.2.3", digest_of(ARCHIVES["1.2.3"]))


def test_oci_tags_are_versions(store: ChartStore, registry: Registry) -> None:
    """Newest stable, a range, and ``_`` in a tag for ``+``, over several pages of tags."""
    build = archive(chart("1.9.0+build.7"))
    for version, data in {**ARCHIVES, "1.9.0_build.7": build}.items():
        registry.push("charts/web", version, data)
    reference = f"oci://{registry.host}/charts/web"
    assert store.fetch(HelmChart(chart=reference, version="~1.2")).version == "1.2.3"
    assert store.fetch(HelmChart(chart=reference)).version == "1.9.0+build.7"
    assert store.fetch(HelmChart(chart=reference, version="1.9.0+build.7")).version == "1.9.0+build.7"
    error = refusal(store, HelmChart(chart=reference, version="^7"))
    assert error.code == "chart-not-found"


def test_oci_manifest_digest_pins_too(store: ChartStore, registry: Registry) -> None:
    """``@sha256:…`` in the reference names the manifest; in ``digest`` it is refused with a hint."""
    manifest = registry.push("charts/web", "1.2.3", ARCHIVES["1.2.3"])
    reference = f"oci://{registry.host}/charts/web"
    assert store.fetch(HelmChart(chart=f"{reference}@{manifest}")).version == "1.2.3"
    error = refusal(store, HelmChart(chart=reference, version="1.2.3", digest=manifest))
    assert error.code == "chart-digest-mismatch"
    assert error.hint is not None
    assert "manifest" in error.hint


def test_oci_chart_is_known_by_its_manifest_also_from_the_cache(store: ChartStore, registry: Registry) -> None:
    """So that a spec is rendered to the same whether its chart was just pulled or not: a controller pins by it."""
    manifest = registry.push("charts/web", "1.2.3", ARCHIVES["1.2.3"])
    spec = HelmChart(chart=f"oci://{registry.host}/charts/web", version="1.2.3")
    pulled = store.fetch(spec)
    assert pulled.artifact == manifest
    pinned = spec.model_copy(update={"digest": pulled.digest})
    registry.__exit__(None, None, None)
    assert store.fetch(pinned) == pulled


def test_chart_from_the_cache_is_known_by_no_other_registrys_manifest(
    store: ChartStore, registry: Registry, web: WebServer
) -> None:
    """Two registries may hold the same archive under two manifests; a file has none."""
    registry.push("charts/web", "1.2.3", ARCHIVES["1.2.3"])
    other = registry.push("mirror/web", "1.2.3", ARCHIVES["1.2.3"], layer_type="application/tar+gzip")
    first = store.fetch(HelmChart(chart=f"oci://{registry.host}/charts/web", version="1.2.3"))
    mirrored = store.fetch(HelmChart(chart=f"oci://{registry.host}/mirror/web", digest=first.digest))
    assert (mirrored.digest, mirrored.artifact) == (first.digest, other)
    assert first.artifact != other
    carried = base64.b64encode(ARCHIVES["1.2.3"]).decode()
    assert store.fetch(HelmChart(chart="oci://gone.example/web", archive=carried, digest=first.digest)).artifact is None


def test_oci_refusals_have_their_codes(store: ChartStore, registry: Registry) -> None:
    """Nothing there, a container image in place of a chart, and a reference that is none."""
    registry.push("images/web", "1.0.0", b"layer", layer_type="application/vnd.oci.image.layer.v1.tar+gzip")
    base = f"oci://{registry.host}"
    assert refusal(store, HelmChart(chart=f"{base}/charts/gone", version="1.0.0")).code == "chart-not-found"
    assert refusal(store, HelmChart(chart=f"{base}/charts/gone")).code == "chart-not-found"
    assert refusal(store, HelmChart(chart=f"{base}/images/web", version="1.0.0")).code == "chart-invalid"
    assert refusal(store, HelmChart(chart=f"{base}/Charts/../x")).code == "chart-reference-invalid"
    error = refusal(store, HelmChart(chart=f"{base}/charts/web:1.0.0", version="2.0.0"))
    assert error.code == "chart-reference-invalid"


def test_oci_registry_with_password(tmp_path: Path) -> None:
    """Refused without credentials, served with them."""
    if missing := Registry.missing():
        pytest.skip(missing)
    with Registry(tmp_path / "registry", htpasswd=True) as registry:
        registry.push("charts/web", "1.2.3", ARCHIVES["1.2.3"])
        spec = HelmChart(chart=f"oci://{registry.host}/charts/web", version="1.2.3")
        with ChartStore(tmp_path / "a") as store:
            assert refusal(store, spec).code == "chart-auth-refused"
        file = tmp_path / "config.json"
        file.write_text(json.dumps({"auths": {registry.host: {"auth": BASIC.removeprefix("Basic ")}}}))
        with ChartStore(tmp_path / "b", credentials_file=file) as store:
            assert store.fetch(spec).version == "1.2.3"


def test_oci_token_is_fetched_where_the_registry_asks(store: ChartStore, web: WebServer) -> None:
    """The anonymous token of public registries: 401 with a realm, a token, and the request again."""
    layer = ARCHIVES["1.2.3"]
    manifest = json.dumps(
        {"layers": [{"mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
                     "digest": digest_of(layer), "size": len(layer)}]}
    ).encode()  # fmt: skip

    def guarded(body: bytes) -> Answer:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            if handler.headers["Authorization"] == "Bearer let-me-in":
                send(handler, 200, body)
            else:
                challenge = f'Bearer realm="{web.url}/token",service="charts",scope="repository:charts/web:pull"'
                send(handler, 401, b"", {"WWW-Authenticate": challenge})

        return answer

    web.files["/token"] = json.dumps({"token": "let-me-in"}).encode()
    web.files["/v2/charts/web/manifests/1.2.3"] = guarded(manifest)
    web.files[f"/v2/charts/web/blobs/{digest_of(layer)}"] = guarded(layer)
    spec = HelmChart(chart=f"oci://{web.host}/charts/web", version="1.2.3")
    assert store.fetch(spec).digest == digest_of(layer)
    assert web.requests.count("/token") == 1
    web.files["/token"] = b'{"token": "expired"}'
    assert refusal(store, spec.model_copy(update={"version": "1.2.3"})).code == "chart-auth-refused"


# ---- Helm itself as the judge

_HELM = """
import json, sys, tempfile, pathlib, helm_python
repository, wanted = sys.argv[1], json.loads(sys.argv[2])
found = {}
for version in wanted:
    with tempfile.TemporaryDirectory() as folder:
        try:
            helm_python.pull("web", repo_url=repository, version=version or None, destination=folder)
        except helm_python.HelmError:
            found[version] = None
        else:
            [file] = pathlib.Path(folder).glob("*.tgz")
            found[version] = file.name.removeprefix("web-").removesuffix(".tgz")
print(json.dumps(found))
"""
_PUSH = """
import sys, helm_python
with helm_python.RegistryClient(plain_http=True, credentials_file=sys.argv[1]) as client:
    client.push(sys.argv[2], sys.argv[3], plain_http=True)
"""


def helm(script: str, home: Path, *arguments: str) -> str:
    """Run a script with the Helm SDK in a home of its own; its standard output."""
    if importlib.util.find_spec("helm_python") is None:
        pytest.skip("helm-python-sdk is not installed")
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout


def test_ranges_choose_what_helm_chooses(web: WebServer, tmp_path: Path) -> None:
    """Helm pulls the same version from the same repository for every range."""
    versions = ["0.2.3", "0.2.9", "0.3.0", "1.0.0", "1.2.0", "1.2.5", "1.4.1", "2.0.0-rc.1", "2.0.0", "2.1.0-beta"]
    archives = {version: archive(chart(version)) for version in versions}
    web.files["/many/index.yaml"] = index_of({"web": archives})
    web.files.update({f"/many/web-{version}.tgz": data for version, data in archives.items()})
    wanted = ["", "*", "1.2.0", "v1.2.0", "1.2", "1", "1.x", "1.2.x", "^1.0.0", "^0.2.3", "^0.2", "^0", "^0.0", "~1.2.0",
              "~1", "~0.2", "~>1.2", ">=1.2 <2", ">=1.2, <1.4", ">1.2", ">1", "<=1.2", "<=1", "<1.2", "!=2.0.0", "!=2",
              "1.0 - 1.3", "1 - 1.2", "^0.2.0 || ^1.0.0", ">=2.0.0-0", "2.0.0-rc.1", "^2.0.0-rc.0", "=1.4", "=>1 =<1.3",
              "^3", "latest"]  # fmt: skip
    helms = json.loads(helm(_HELM, tmp_path, f"{web.url}/many", json.dumps(wanted)))

    def ours(text: str) -> str | None:
        try:
            return newest_match(text, versions)
        except ValueError:
            return None

    assert {text: ours(text) for text in wanted} == helms


def test_chart_pushed_by_helm_is_taken(store: ChartStore, registry: Registry, tmp_path: Path) -> None:
    """What ``helm push`` stores is what is fetched."""
    file = tmp_path / "web-1.2.3.tgz"
    file.write_bytes(ARCHIVES["1.2.3"])
    helm(_PUSH, tmp_path, str(tmp_path / "credentials.json"), str(file), f"oci://{registry.host}/charts")
    fetched = store.fetch(HelmChart(chart=f"oci://{registry.host}/charts/web", version="1.2.3"))
    assert fetched.digest == digest_of(ARCHIVES["1.2.3"])
    assert USER not in repr(fetched)
    assert PASSWORD not in repr(fetched)
