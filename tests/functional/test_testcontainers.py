"""Mosquitto in a container with the project's configuration, through testcontainers."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.nats_server import mqtt_answers
from tests.support.mqtt_client import PlainClient, RefusedError
from topics.channels import MANIFEST, PRESENCE, Topics

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

MOSQUITTO = Path(__file__).parents[2] / "mosquitto"
TOPICS = Topics()
LOCAL_IMAGE = "local/debian-python:bookworm"  # tests/setup/docker-engine.sh makes it
PUBLIC_IMAGE = "eclipse-mosquitto:2"
RYUK_IMAGE = "testcontainers/ryuk"
USERS = ("_orchestrator", "edge-01")
START_SECONDS = 30.0

# One worker starts the container once, with "pytest --dist loadgroup".
pytestmark = pytest.mark.xdist_group("testcontainers")


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerContainer]:
    """A running broker with the committed configuration and rules; users are made as the container starts."""
    if missing := _missing():
        pytest.skip(missing)
    if not _has_image(RYUK_IMAGE):  # the container that cleans up after a killed run; not to be had everywhere
        os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"
    # testcontainers reads that setting when it is imported.
    from testcontainers.core.container import DockerContainer

    folder = tmp_path_factory.mktemp("container")
    owner = _prepare(folder)
    start = f"sh /mosquitto/setup/make-users.sh {' '.join(USERS)} && exec mosquitto -c /mosquitto/config/mosquitto.conf"
    broker = (
        DockerContainer(LOCAL_IMAGE if _has_image(LOCAL_IMAGE) else PUBLIC_IMAGE, user=f"{owner}:{owner}")
        .with_env("USERS", "/mosquitto/users")
        .with_env("SECRETS", "/mosquitto/secrets")
        .with_volume_mapping(str(folder), "/mosquitto", "rw")
        .with_exposed_ports(1883)
        .with_command(["sh", "-c", start])
    )
    with broker:
        _wait_until_it_answers(broker)
        yield broker


def test_messages_pass_in_both_directions(container: DockerContainer) -> None:
    """A manifest reaches its device, and the device's presence the orchestrator."""
    with _client(container, "_orchestrator") as orchestrator, _client(container, "edge-01") as device:
        orchestrator.subscribe(TOPICS.filter(PRESENCE))
        device.subscribe(TOPICS.filter(MANIFEST, device="edge-01"))
        device.publish(TOPICS.topic(PRESENCE, device="edge-01"), "here")
        orchestrator.wait_for(b"here")
        orchestrator.publish(TOPICS.topic(MANIFEST, device="edge-01", deployment="app"), "run this")
        device.wait_for(b"run this")


def test_the_access_rules_hold_in_the_container(container: DockerContainer) -> None:
    """A device's publish on another one's branch does not arrive; a stranger does not get in."""
    with _client(container, "_orchestrator") as orchestrator, _client(container, "edge-01") as device:
        orchestrator.subscribe(TOPICS.filter(PRESENCE))
        device.publish(TOPICS.topic(PRESENCE, device="edge-02"), "forged")
        device.publish(TOPICS.topic(PRESENCE, device="edge-01"), "genuine")
        orchestrator.wait_for(b"genuine")
        assert b"forged" not in orchestrator.payloads
    with pytest.raises(RefusedError):
        PlainClient(_url(container), "stranger").connect()


def test_a_retained_message_survives_a_restart_of_the_container(container: DockerContainer) -> None:
    """The broker saves when it is told to stop, into a folder that outlives its process."""
    topic = TOPICS.topic(MANIFEST, device="edge-01", deployment="kept")
    with _client(container, "_orchestrator") as orchestrator:
        orchestrator.publish(topic, "kept over the restart", retain=True)
    container.get_wrapped_container().restart(timeout=10)
    _wait_until_it_answers(container)
    with _client(container, "edge-01") as device:
        device.subscribe(topic)
        device.wait_for(b"kept over the restart")


def _prepare(folder: Path) -> int:
    """Lay out the container's /mosquitto; returns the id of the user who owns it and runs the broker."""
    for name in ("config", "setup", "data", "users"):
        (folder / name).mkdir()
    for name in ("mosquitto.conf", "acl"):
        shutil.copy(MOSQUITTO / name, folder / "config" / name)
    shutil.copy(MOSQUITTO / "make-users.sh", folder / "setup")
    for user in USERS:
        secret = folder / "secrets" / user / "password"
        secret.parent.mkdir(parents=True)
        secret.write_text(user)
    subprocess.run(
        ["sh", str(MOSQUITTO / "make-certificates.sh"), "server", "localhost"],
        env={**os.environ, "CERTIFICATES": str(folder / "certificates")},
        check=True,
        capture_output=True,
    )
    owner = os.getuid() or 1883  # never root: Mosquitto would change to a user who cannot read these files
    if os.getuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner, owner)
    return owner


def _url(container: DockerContainer) -> str:
    # Asked each time: after a restart the container has another port on the host.
    return f"mqtt://{container.get_container_host_ip()}:{container.get_exposed_port(1883)}"


def _client(container: DockerContainer, user: str) -> PlainClient:
    return PlainClient(_url(container), f"test-{user}", username=user, password=user)


def _wait_until_it_answers(container: DockerContainer) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        wrapped = container.get_wrapped_container()
        wrapped.reload()
        if wrapped.status == "running" and mqtt_answers(
            container.get_container_host_ip(), int(container.get_exposed_port(1883))
        ):
            return
        assert wrapped.status != "exited", wrapped.logs().decode()
        assert time.monotonic() < deadline, wrapped.logs().decode()
        time.sleep(0.05)


def _missing() -> str | None:
    if shutil.which("docker") is None or not _succeeds("docker", "info"):
        return "no Docker engine answers (tests/setup/docker-engine.sh sets one up)"
    if shutil.which("openssl") is None:
        return "openssl is not installed (tests/setup/debian-packages.sh installs it)"
    if not (_has_image(LOCAL_IMAGE) or _has_image(PUBLIC_IMAGE) or _succeeds("docker", "pull", "-q", PUBLIC_IMAGE)):
        return (
            f"neither image {LOCAL_IMAGE} is here nor {PUBLIC_IMAGE} to be had (tests/setup/docker-engine.sh makes one)"
        )
    return None


def _has_image(reference: str) -> bool:
    found = subprocess.run(["docker", "image", "ls", "-q", reference], capture_output=True, text=True, check=False)
    return bool(found.stdout.strip())


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
