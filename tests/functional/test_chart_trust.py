"""Which charts are taken at all: signed ones where a keyring is configured, and over TLS from whom we trust."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.charts.errors import ChartFetchError
from orchestrator.charts.store import ChartStore
from tests.functional.chart_servers import BASIC, PASSWORD, USER, Registry, WebServer, index_of, send
from tests.support.brokers import HOST
from tests.unit.charts.chart_files import WEB, archive, chart, write
from topics.documents.spec import HelmChart

helm_python = pytest.importorskip("helm_python", reason="helm-python-sdk is not installed")

DATA = archive(WEB)
OTHER = archive(chart("1.2.3", port="x"))
NAME = "web-1.2.3.tgz"


class Author:
    """Somebody with a key of their own, made for the test."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.keyring = folder / "public.gpg"
        self._secret = folder / "secret.gpg"
        folder.mkdir()
        home = folder / "h"  # the agent's socket path must stay short
        home.mkdir(mode=0o700)
        environment = {**os.environ, "GNUPGHOME": str(home)}

        def gpg(*arguments: str) -> bytes:
            command = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "", *arguments]
            return subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60).stdout

        try:
            gpg("--quick-generate-key", f"{name} <{name}@plant.example>", "rsa2048", "sign", "never")
            self.keyring.write_bytes(gpg("--export"))
            self._secret.write_bytes(gpg("--export-secret-keys"))
        finally:
            subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=False, capture_output=True, timeout=20)

    def sign(self, folder: Path, data: bytes = DATA) -> bytes:
        """The provenance file of an archive, made by Helm."""
        folder.mkdir(exist_ok=True)
        (folder / NAME).write_bytes(data)
        helm_python.sign(folder / NAME, key=self.name, keyring=self._secret)
        return (folder / f"{NAME}.prov").read_bytes()


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory) -> Author:
    if shutil.which("gpg") is None:
        pytest.skip("gpg is not installed")
    return Author(tmp_path_factory.mktemp("a") / "k", "charts")


@pytest.fixture
def store(tmp_path: Path, author: Author) -> Iterator[ChartStore]:
    """A store that takes this author's charts only."""
    with ChartStore(tmp_path / "cache", keyring=author.keyring) as opened:
        yield opened


@pytest.fixture
def web() -> Iterator[WebServer]:
    """A chart repository."""
    with WebServer() as server:
        server.files["/charts/index.yaml"] = index_of({"web": {"1.2.3": DATA}})
        server.files[f"/charts/{NAME}"] = DATA
        yield server


def refusal(store: ChartStore, chart: HelmChart) -> ChartFetchError:
    with pytest.raises(ChartFetchError) as caught:
        store.fetch(chart)
    assert not caught.value.retryable
    assert caught.value.hint
    return caught.value


def test_a_signed_chart_is_taken_from_every_source(
    store: ChartStore, web: WebServer, author: Author, tmp_path: Path
) -> None:
    """A repository, an address, a file; and from the cache without asking anybody again."""
    web.files[f"/charts/{NAME}.prov"] = author.sign(tmp_path / "files")
    for source in (
        HelmChart(chart="web", repository=f"{web.url}/charts"),
        HelmChart(chart=f"{web.url}/charts/{NAME}"),
        HelmChart(chart=str(tmp_path / "files" / NAME)),
    ):
        fetched = store.fetch(source)
        assert fetched.data == DATA
    asked = len(web.requests)
    pinned = HelmChart(chart="web", repository=f"{web.url}/charts", digest=fetched.digest)
    assert store.fetch(pinned).data == DATA
    assert len(web.requests) == asked


def test_a_chart_without_signature_is_refused(store: ChartStore, web: WebServer, tmp_path: Path) -> None:
    """Leaving the file out must not be a way around it; nor is a cache that another setting filled."""
    source = HelmChart(chart="web", repository=f"{web.url}/charts")
    assert refusal(store, source).code == "chart-provenance-missing"
    with ChartStore(tmp_path / "cache") as trusting:
        digest = trusting.fetch(source).digest
    assert refusal(store, source.model_copy(update={"digest": digest})).code == "chart-provenance-missing"


def test_an_exchanged_archive_does_not_verify(
    store: ChartStore, web: WebServer, author: Author, tmp_path: Path
) -> None:
    """The signature is of other bytes."""
    web.files[f"/charts/{NAME}.prov"] = author.sign(tmp_path / "files")
    web.files[f"/charts/{NAME}"] = OTHER
    error = refusal(store, HelmChart(chart=f"{web.url}/charts/{NAME}"))
    assert error.code == "chart-provenance-invalid"
    assert "sha256 sum does not match" in error.message


def test_somebody_elses_signature_does_not_verify(store: ChartStore, web: WebServer, tmp_path: Path) -> None:
    """A valid signature by a key that is not in the keyring, and what is no signature at all."""
    web.files[f"/charts/{NAME}.prov"] = Author(tmp_path / "m", "mallory").sign(tmp_path / "files")
    source = HelmChart(chart=f"{web.url}/charts/{NAME}")
    assert refusal(store, source).code == "chart-provenance-invalid"
    web.files[f"/charts/{NAME}.prov"] = b"\x00 rubbish"
    assert refusal(store, source).code == "chart-provenance-invalid"


def test_a_keyring_that_is_not_there_refuses(web: WebServer, author: Author, tmp_path: Path) -> None:
    """It never means that nothing is checked."""
    web.files[f"/charts/{NAME}.prov"] = author.sign(tmp_path / "files")
    with ChartStore(tmp_path / "cache", keyring=tmp_path / "gone.gpg") as store:
        error = refusal(store, HelmChart(chart=f"{web.url}/charts/{NAME}"))
    assert error.code == "chart-provenance-unverifiable"
    assert "gone.gpg" in error.message


def test_a_folder_of_the_operator_needs_no_signature(store: ChartStore, tmp_path: Path) -> None:
    """It is on the orchestrator's own machine, and no archive yet."""
    assert store.fetch(HelmChart(chart=str(write(tmp_path / "web", WEB)))).name == "web"


def test_a_registry_keeps_the_signature_beside_the_chart(store: ChartStore, author: Author, tmp_path: Path) -> None:
    """As ``helm push`` stores it: a layer of its own."""
    if missing := Registry.missing():
        pytest.skip(missing)
    with Registry(tmp_path / "registry") as registry:
        registry.push("charts/web", "1.2.3", DATA)
        source = HelmChart(chart=f"oci://{registry.host}/charts/web", version="1.2.3")
        assert refusal(store, source).code == "chart-provenance-missing"
        registry.push("charts/web", "1.2.3", DATA, provenance=author.sign(tmp_path / "files"))
        assert store.fetch(source).data == DATA


# -- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``ca.crt`` and a server's ``server.crt`` and ``server.key`` for this machine's names."""
    folder = tmp_path_factory.mktemp("authority")
    names = f"subjectAltName=IP:{HOST},DNS:localhost,DNS:{socket.gethostname()}"

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=Plant CA",
            "-addext", "keyUsage=critical,keyCertSign", "-keyout", "ca.key", "-out", "ca.crt")  # fmt: skip
    openssl(
        "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={HOST}", "-keyout", "server.key", "-out", "server.csr"
    )
    (folder / "names").write_text(names + "\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "names", "-out", "server.crt")  # fmt: skip
    return folder


def test_a_repository_over_tls_with_password(authority: Path, tmp_path: Path) -> None:
    """With the authority's certificate and the credentials of the host; neither is in a message."""
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(authority / "server.crt", authority / "server.key")
    with WebServer(trust) as web:

        def guarded(content: bytes) -> object:
            return lambda request: send(
                request, *((200, content) if request.headers.get("Authorization") == BASIC else (401, b""))
            )

        web.files["/charts/index.yaml"] = guarded(index_of({"web": {"1.2.3": DATA}}))  # type: ignore[assignment]
        web.files[f"/charts/{NAME}"] = guarded(DATA)  # type: ignore[assignment]
        credentials = tmp_path / "config.json"
        host = web.url.partition("://")[2]
        credentials.write_text(f'{{"auths": {{"{host}": {{"auth": "{BASIC.removeprefix("Basic ")}"}}}}}}')
        source = HelmChart(chart="web", repository=f"{web.url}/charts")
        with ChartStore(tmp_path / "a", ca_file=authority / "ca.crt", credentials_file=credentials) as store:
            assert store.fetch(source).data == DATA
        with ChartStore(tmp_path / "b", ca_file=authority / "ca.crt") as store:
            error = refusal(store, source)
            assert error.code == "chart-auth-refused"
        with (
            ChartStore(tmp_path / "c", credentials_file=credentials) as store,
            pytest.raises(ChartFetchError) as caught,
        ):
            store.fetch(source)
        assert (caught.value.code, caught.value.retryable) == ("chart-unreachable", True)
        assert "certificate" in caught.value.message.lower()
        for shown in (str(error), str(caught.value)):
            assert PASSWORD not in shown
            assert USER not in shown


def test_a_registry_over_tls(authority: Path, tmp_path: Path) -> None:
    """Every registry that is not on this very machine is spoken to in TLS."""
    if missing := Registry.missing():
        pytest.skip(missing)
    name = socket.gethostname()
    try:
        addresses = {item[4][0] for item in socket.getaddrinfo(name, None, socket.AF_INET)}
    except OSError:
        addresses = set()
    if addresses != {HOST} or name == "localhost":
        pytest.skip(f"the name of this machine, {name!r}, does not stand for {HOST}")
    with Registry(tmp_path / "registry", tls=authority) as registry:
        registry.push("charts/web", "1.2.3", DATA)
        source = HelmChart(chart=f"oci://{name}:{registry.host.partition(':')[2]}/charts/web", version="1.2.3")
        with ChartStore(tmp_path / "a", ca_file=authority / "ca.crt") as store:
            assert store.fetch(source).data == DATA
        with ChartStore(tmp_path / "b") as store, pytest.raises(ChartFetchError) as caught:
            store.fetch(source)
        assert (caught.value.code, caught.value.retryable) == ("chart-unreachable", True)
