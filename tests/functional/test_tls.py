"""The site's Mosquitto configuration, certificates and users as committed, on a real broker.

Only ports and folders are rewritten, as mosquitto/README.md tells a site to do.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.brokers import HOST, MosquittoBroker, ReservedPort
from tests.support.mqtt_client import PlainClient, RefusedError
from topics.channels import MANIFEST, PRESENCE, Topics

MOSQUITTO = Path(__file__).parents[2] / "mosquitto"
TOPICS = Topics()


@dataclass
class Site:
    """A broker with the committed configuration, and the files a site would hand out."""

    broker: MosquittoBroker
    certificates: Path
    secrets: Path
    devices_url: str
    people_url: str

    def make_certificates(self, *arguments: str) -> None:
        _run("make-certificates.sh", *arguments, CERTIFICATES=str(self.certificates))

    def tls(self, client: str | None = None) -> ssl.SSLContext:
        """A client's TLS settings: trusts the site's authority, and shows the client's certificate if any."""
        context = ssl.create_default_context(cafile=str(self.certificates / "ca.crt"))
        if client:
            context.load_cert_chain(self.certificates / f"{client}.crt", self.certificates / f"{client}.key")
        return context

    def with_password(self, url: str, user: str, tls: ssl.SSLContext | None = None) -> PlainClient:
        password = (self.secrets / user / "password").read_text()
        return PlainClient(url, f"test-{user}", username=user, password=password, tls=tls)

    def device(self, device: str) -> PlainClient:
        return PlainClient(self.devices_url, f"fleetbus-agent-{device}", tls=self.tls(device))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A started broker with certificates for three devices and passwords for two people."""
    if missing := MosquittoBroker.missing() or _missing_tool("openssl", "mosquitto_passwd"):
        pytest.skip(missing)
    certificates, users, secrets = tmp_path / "certificates", tmp_path / "users", tmp_path / "secrets"
    _run("make-certificates.sh", "server", "localhost", HOST, CERTIFICATES=str(certificates))
    _run("make-certificates.sh", "client", "edge-01", "edge-02", "_orchestrator", CERTIFICATES=str(certificates))
    _run("make-users.sh", "_operator", "_dashboard", USERS=str(users), SECRETS=str(secrets))
    devices, people = ReservedPort(), ReservedPort()
    configuration = (
        (MOSQUITTO / "mosquitto.conf")
        .read_text()
        .replace("/mosquitto/config/", f"{MOSQUITTO}/")
        .replace("/mosquitto/data/", "{data}/")
        .replace("/mosquitto/certificates/", f"{certificates}/")
        .replace("/mosquitto/users/", f"{users}/")
        .replace("listener 1883\n", f"listener {{port}} {HOST}\n")
        .replace("listener 8883\n", f"listener {devices.port} {HOST}\n")
        .replace("listener 8884\n", f"listener {people.port} {HOST}\n")
        .replace("listener 9001\n", f"listener {{ws_port}} {HOST}\n")
    )
    if os.geteuid() == 0:
        configuration += "user root\n"
    with MosquittoBroker(tmp_path / "broker", websocket=True, configuration=configuration) as broker:
        yield Site(
            broker, certificates, secrets, f"mqtts://localhost:{devices.port}", f"mqtts://localhost:{people.port}"
        )
    devices.close()
    people.close()


def test_a_certificate_makes_its_owner_the_device_of_its_name(site: Site) -> None:
    """The common name is the user name: own branch yes, another device's branch no."""
    with site.device("_orchestrator") as orchestrator, site.device("edge-01") as device:
        orchestrator.subscribe(TOPICS.filter(PRESENCE))
        device.publish(TOPICS.topic(PRESENCE, device="edge-02"), "forged")
        device.publish(TOPICS.topic(PRESENCE, device="edge-01"), "genuine")
        orchestrator.wait_for(b"genuine")
        assert orchestrator.payloads == [b"genuine"]


def test_a_device_receives_its_manifests_over_tls(site: Site) -> None:
    """The way back: published by the orchestrator, delivered to the one device."""
    with site.device("_orchestrator") as orchestrator, site.device("edge-01") as first, site.device("edge-02") as other:
        for client in (first, other):
            client.subscribe(f"{TOPICS.root}/#")
        orchestrator.publish(TOPICS.topic(MANIFEST, device="edge-02", deployment="app"), "for 02", retain=True)
        orchestrator.publish(TOPICS.topic(MANIFEST, device="edge-01", deployment="app"), "for 01", retain=True)
        first.wait_for(b"for 01")
        other.wait_for(b"for 02")
        assert first.payloads == [b"for 01"]


def test_a_client_without_a_certificate_is_refused(site: Site) -> None:
    """The devices' listener takes nobody without a certificate, password or not."""
    password = (site.secrets / "_operator" / "password").read_text()
    with pytest.raises((OSError, RefusedError)):
        PlainClient(site.devices_url, "x", username="_operator", password=password, tls=site.tls()).connect()


def test_a_certificate_of_another_authority_is_refused(site: Site, tmp_path: Path) -> None:
    """The same common name from an authority that is not the site's opens nothing."""
    elsewhere = tmp_path / "elsewhere"
    _run("make-certificates.sh", "client", "edge-01", CERTIFICATES=str(elsewhere))
    context = site.tls()
    context.load_cert_chain(elsewhere / "edge-01.crt", elsewhere / "edge-01.key")
    with pytest.raises((OSError, RefusedError)):
        PlainClient(site.devices_url, "x", tls=context).connect()


def test_a_client_that_does_not_know_the_authority_refuses_the_broker(site: Site) -> None:
    """Nobody can stand in for the broker: without the site's authority the client itself ends it."""
    address = urlsplit(site.people_url)
    with socket.create_connection((HOST, address.port)) as connection, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(connection, server_hostname="localhost").close()


def test_the_authority_vouches_for_the_named_broker_only(site: Site) -> None:
    """A host name that is not in the broker's certificate is refused by the client."""
    address = urlsplit(site.people_url)
    with socket.create_connection((HOST, address.port)) as connection, pytest.raises(ssl.SSLCertVerificationError):
        site.tls().wrap_socket(connection, server_hostname="other.example").close()


def test_a_revoked_device_is_refused_and_the_others_are_not(site: Site) -> None:
    """A lost device: one command, the new list on the broker, and a restart."""
    lost = site.tls("edge-01")
    site.make_certificates("revoke", "edge-01")
    site.broker.restart()
    with pytest.raises((OSError, RefusedError)):
        PlainClient(site.devices_url, "x", tls=lost).connect()
    with site.device("edge-02"):
        pass


def test_a_device_cannot_take_over_another_ones_session(site: Site) -> None:
    """The broker makes the certificate's name the client id, whatever the client asks for."""
    with site.device("edge-01") as victim:
        with PlainClient(site.devices_url, "edge-01", tls=site.tls("edge-02")):
            victim.publish(TOPICS.topic(PRESENCE, device="edge-01"), "still here")
        victim.publish(TOPICS.topic(PRESENCE, device="edge-01"), "and after")


@pytest.mark.parametrize("listener", ["people", "local", "websocket"])
def test_people_come_with_passwords(site: Site, listener: str) -> None:
    """TLS, local and WebSocket listener take users with their password, and nobody without."""
    url = {"people": site.people_url, "local": site.broker.url, "websocket": site.broker.ws_url}[listener]
    assert url is not None
    tls = site.tls() if listener == "people" else None
    with site.with_password(url, "_dashboard", tls) as dashboard:
        assert dashboard.subscribe(TOPICS.filter(PRESENCE))
    with pytest.raises(RefusedError):
        PlainClient(url, "x", tls=tls).connect()


def test_certificates_hold_for_a_clock_at_1970(site: Site) -> None:
    """A device whose clock lost its battery still accepts the broker, and is accepted."""
    for name in ("ca", "server", "edge-01"):
        certificate = site.certificates / f"{name}.crt"
        shown = subprocess.run(
            ["openssl", "x509", "-in", str(certificate), "-noout", "-startdate"],
            check=True,
            capture_output=True,
            text=True,
        )
        assert "Jan  1 00:00:00 1970 GMT" in shown.stdout


def test_keys_are_for_their_owner_only(site: Site) -> None:
    """No private key and no password is readable by others."""
    secrets = [*site.certificates.glob("*.key"), *site.secrets.rglob("password")]
    assert len(secrets) == 7
    assert all(file.stat().st_mode & 0o077 == 0 for file in secrets)


def test_making_users_again_keeps_their_passwords(site: Site, tmp_path: Path) -> None:
    """The script may run at every start: existing users stay as they are."""
    secret = site.secrets / "_operator" / "password"
    before = secret.read_text(), (tmp_path / "users" / "passwords").read_text()
    _run("make-users.sh", "_operator", USERS=str(tmp_path / "users"), SECRETS=str(site.secrets))
    assert (secret.read_text(), (tmp_path / "users" / "passwords").read_text()) == before


@pytest.mark.parametrize("name", ["a/b", "a b", "+", "-x", "_", "", "a:b", "ca", "server"])
def test_a_name_that_is_no_device_gets_no_certificate(name: str, tmp_path: Path) -> None:
    """Wildcards and separators in a common name would widen the access rules."""
    with pytest.raises(subprocess.CalledProcessError) as error:
        _run("make-certificates.sh", "client", name, CERTIFICATES=str(tmp_path / "certificates"))
    assert "make-certificates.sh: " in error.value.stderr
    assert not (tmp_path / "certificates").exists()


def _run(script: str, *arguments: str, **environment: str) -> None:
    subprocess.run(
        ["sh", str(MOSQUITTO / script), *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def _missing_tool(*tools: str) -> str | None:
    for tool in tools:
        if shutil.which(tool) is None:
            return f"{tool} is not installed (tests/setup/debian-packages.sh installs it)"
    return None
