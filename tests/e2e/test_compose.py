"""compose.yaml as a user starts it: images built here, a spec published, a container killed, all torn down."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.brokers import HOST, ReservedPort
from tests.support.mqtt_client import PlainClient
from topics.channels import AGGREGATE, PRESENCE, RESULT, SPEC, STATUS, Topics

ROOT = Path(__file__).parents[2]
TOPICS = Topics()
LOCAL_IMAGE = "local/debian-python:bookworm"  # tests/setup/docker-engine.sh makes it
UP_SECONDS = 600.0  # the first build downloads 100 MB of wheels
SPEC_DOCUMENT = {
    "apiVersion": "fleetbus/v1",
    "kind": "DeploymentSpec",
    "metadata": {"name": "press-settings"},
    "spec": {
        "application": {"id": "com.example.press-settings", "version": "1.0.0"},
        "agents": {"selector": {"matchLabels": {"line": "press"}}},
        "workload": {"namespace": "press"},
        "components": [
            {
                "name": "settings",
                "kubernetes": {
                    "objects": [
                        {
                            "apiVersion": "v1",
                            "kind": "ConfigMap",
                            "metadata": {"name": "settings"},
                            "data": {"rate": "10"},
                        }
                    ]
                },
            }
        ],
    },
}

# One worker brings the project up once, with "pytest --dist loadgroup".
pytestmark = [pytest.mark.timeout(UP_SECONDS + 300), pytest.mark.xdist_group("compose")]


@dataclass
class Composed:
    """A started project; ``run`` is ``docker compose`` with its name, variables and file."""

    name: str
    environment: dict[str, str]
    url: str

    def run(self, *arguments: str, timeout: float = 120.0) -> str:
        done = subprocess.run(
            ["docker", "compose", "--project-name", self.name, "--file", str(ROOT / "compose.yaml"), *arguments],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"docker compose {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def operator(self) -> PlainClient:
        password = self.run("run", "--rm", "--no-deps", "--entrypoint", "cat", "users", "/secrets/_operator/password")
        return PlainClient(self.url, f"operator-{uuid.uuid4().hex}", username="_operator", password=password)


@pytest.fixture(scope="module")
def composed() -> Iterator[Composed]:
    """The whole project, built and healthy; afterwards no container, network, volume or image of it is left."""
    if missing := _missing():
        pytest.skip(missing)
    ports = [ReservedPort() for _ in range(4)]
    name = f"fleetbus-test-{uuid.uuid4().hex[:8]}"
    environment = {
        "DOCKER_BUILDKIT": "1",
        "FLEETBUS_TAG": name,
        **dict(zip(("MQTT_PORT", "MQTTS_PORT", "PEOPLE_PORT", "WS_PORT"), (str(p.port) for p in ports), strict=True)),
        **_images(),
        **_pip_settings(),
    }
    project = Composed(name, environment, f"mqtt://{HOST}:{ports[0].port}")
    try:
        # One service for each image: building the others too would make the same images again.
        project.run("build", "--quiet", "certificates", "edge-01", timeout=UP_SECONDS)
        project.run("up", "--detach", "--wait", "--wait-timeout", "120", timeout=180)
        yield project
    finally:
        project.run("down", "--volumes", "--rmi", "local", "--remove-orphans", "--timeout", "5")
        _remove_images(name)
        for port in ports:
            port.close()


def test_every_service_becomes_healthy(composed: Composed) -> None:
    """Broker, orchestrator and agents report health; the one-shot services have ended well."""
    services = _services(composed)
    running = {name: service["Health"] for name, service in services.items() if service["State"] == "running"}
    ended = {name: service["ExitCode"] for name, service in services.items() if service["State"] == "exited"}
    assert running == dict.fromkeys(("mosquitto", "orchestrator", "edge-01", "edge-02"), "healthy")
    assert ended == {"certificates": 0, "users": 0}


def test_a_published_spec_is_deployed_on_the_device_with_the_label(composed: Composed) -> None:
    """From one retained message to an object in the folder of the agent that the selector names."""
    with composed.operator() as operator:
        _publish_and_wait(operator)
        files = composed.run("exec", "-T", "edge-01", "sh", "-c", "cat $(find /manifests -type f)")
        assert "ConfigMap" in files
        assert composed.run("exec", "-T", "edge-02", "find", "/manifests", "-type", "f") == ""


def test_a_killed_agent_comes_back_as_it_was(composed: Composed) -> None:
    """Kill -9 of a container: the broker says offline, a restart brings the agent back with its deployment."""
    with composed.operator() as operator:
        _publish_and_wait(operator)
        presence = TOPICS.topic(PRESENCE, device="edge-01")
        operator.subscribe(presence)
        _wait(operator, presence, lambda document: document["online"] is True)
        composed.run("kill", "--signal", "KILL", "edge-01")
        _wait(operator, presence, lambda document: document["online"] is False)
        composed.run("up", "--detach", "--wait", "--no-recreate", "edge-01")
        _wait(operator, presence, lambda document: document["online"] is True)
        _wait(operator, TOPICS.topic(STATUS, device="edge-01", deployment="press-settings"), _deployed)


def test_a_killed_broker_comes_back_with_its_messages(composed: Composed) -> None:
    """Kill -9 of the broker: all clients reconnect, and the deployment's state is there to be read."""
    with composed.operator() as operator:
        _publish_and_wait(operator)
    composed.run("kill", "--signal", "KILL", "mosquitto")
    composed.run("up", "--detach", "--wait", "--no-recreate", "mosquitto")
    with composed.operator() as operator:
        status = TOPICS.topic(STATUS, device="edge-01", deployment="press-settings")
        operator.subscribe(status)
        _wait(operator, status, _deployed)


@pytest.mark.parametrize("service", ["orchestrator", "edge-01", "mosquitto"])
def test_programs_run_without_rights(composed: Composed, service: str) -> None:
    """Not root, no capabilities, and nothing to write but the volumes."""
    shell = "id -u; grep CapEff /proc/self/status; touch /usr/x 2>/dev/null && echo writable || echo read-only"
    user, capabilities, file_system = composed.run("exec", "-T", service, "sh", "-c", shell).splitlines()
    assert user != "0"
    assert int(capabilities.split()[1], 16) == 0
    assert file_system == "read-only"


def test_images_hold_no_build_secret(composed: Composed) -> None:
    """Settings of pip and the build host's certificate authorities are not in the image, nor in its history."""
    assert composed.run("exec", "-T", "orchestrator", "sh", "-c", "ls /run/secrets 2>/dev/null || true") == ""
    image = f"fleetbus-orchestrator:{composed.environment['FLEETBUS_TAG']}"
    inspected = subprocess.run(["docker", "image", "inspect", image], capture_output=True, text=True, check=True).stdout
    assert "PIP_" not in inspected


def _publish_and_wait(operator: PlainClient) -> None:
    """Publish the spec (publishing it again changes nothing) and wait until it is deployed."""
    status = TOPICS.topic(STATUS, device="edge-01", deployment="press-settings")
    result = TOPICS.topic(RESULT, deployment="press-settings")
    for topic in (result, status, TOPICS.topic(AGGREGATE, deployment="press-settings")):
        operator.subscribe(topic)
    operator.publish(TOPICS.topic(SPEC, deployment="press-settings"), json.dumps(SPEC_DOCUMENT), retain=True)
    _wait(operator, result, lambda document: document["outcome"] == "accepted")
    _wait(operator, status, _deployed)


def _deployed(document: dict[str, Any]) -> bool:
    return bool(document["state"] == "Deployed")


def _wait(client: PlainClient, topic: str, condition: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until the newest message of the topic fulfils the condition."""

    def fulfilled() -> bool:
        newest = [payload for arrived, payload, _ in client.messages if arrived == topic and payload]
        return bool(newest) and condition(json.loads(newest[-1]))

    client.wait_until(fulfilled, f"{topic} as expected", seconds=60.0)


def _services(composed: Composed) -> dict[str, Any]:
    lines = composed.run("ps", "--all", "--format", "json").splitlines()
    return {service["Service"]: service for service in map(json.loads, lines)}


def _missing() -> str | None:
    if shutil.which("docker") is None:
        return "docker is not installed (tests/setup/docker-engine.sh installs it)"
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return f"'{' '.join(command)}' fails (tests/setup/docker-engine.sh sets it up)"
    return None


def _images() -> dict[str, str]:
    """The local base image where there is one, else the public defaults."""
    found = subprocess.run(["docker", "image", "inspect", LOCAL_IMAGE], capture_output=True, check=False)
    return {} if found.returncode else {"PYTHON_IMAGE": LOCAL_IMAGE, "MOSQUITTO_IMAGE": LOCAL_IMAGE}


def _pip_settings() -> dict[str, str]:
    """What pip on this host uses to reach its index, as files for the build's secrets."""
    home = Path.home()
    configurations = (
        os.environ.get("PIP_CONFIG_FILE"), "/etc/pip.conf", home / ".config/pip/pip.conf", home / ".pip/pip.conf"
    )  # fmt: skip
    authorities = (os.environ.get("PIP_CERT"), os.environ.get("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt")
    found = {"PIP_CONF": _first_file(configurations), "PIP_CA": _first_file(authorities)}
    return {name: file for name, file in found.items() if file}


def _first_file(candidates: tuple[str | Path | None, ...]) -> str | None:
    return next((str(file) for file in candidates if file and Path(file).is_file()), None)


def _remove_images(tag: str) -> None:
    for program in ("orchestrator", "agent"):
        subprocess.run(["docker", "image", "rm", f"fleetbus-{program}:{tag}"], capture_output=True, check=False)
