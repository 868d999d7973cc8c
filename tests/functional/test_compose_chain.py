"""The whole chain on a real Docker engine: a spec published to the broker, until its containers run and are gone again.

One orchestrator and one agent for the module; each test has a deployment of its own. The agent's regular look at the
health comes every two minutes only: drift is seen by the engine's events.
"""

from __future__ import annotations

import itertools
import json
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from orchestrator.charts.archive import digest_of
from tests.functional.chart_servers import Registry, WebServer
from tests.support.brokers import MosquittoBroker
from tests.support.docker import (
    BASE_IMAGE,
    GROUP,
    built_image,
    containers,
    device_on_engine,
    docker,
    networks,
    no_engine,
    volumes,
)
from tests.support.processes import Site
from topics.lifecycle import STAGES

pytestmark = [
    GROUP,
    pytest.mark.timeout(300),
    pytest.mark.skipif(no_engine() is not None, reason=str(no_engine())),
    pytest.mark.skipif(MosquittoBroker.missing() is not None, reason=str(MosquittoBroker.missing())),
]
_OPTIONS = ("--applier", "compose", "--applier-option", "settle=0.2", "--health-every", "120", "--max-attempts", "1")
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An orchestrator, and one device whose engine is this machine's."""
    folder = tmp_path_factory.mktemp("compose-chain")
    with MosquittoBroker(folder / "broker") as broker, device_on_engine() as device, Site(broker, folder) as started:
        started.start_orchestrator()
        started.start_agent(device, *_OPTIONS)
        yield started


@pytest.fixture
def device(site: Site) -> str:
    return next(iter(site.agents))


@pytest.fixture
def name() -> str:
    """A deployment's name for this test alone."""
    return f"chain{next(_NUMBERS)}"


def service(text: str = "one", **fields: Any) -> dict[str, Any]:
    """A service that runs for ever, with ``text`` in its environment."""
    return {
        "image": BASE_IMAGE, "init": True, "command": ["sleep", "infinity"], "stop_grace_period": "0s",
        "environment": {"TEXT": text}, **fields,
    }  # fmt: skip


def spec(
    name: str, device: str, services: dict[str, Any], *, project: dict[str, Any] | None = None, **fields: Any
) -> dict[str, Any]:
    """A spec with one Compose component."""
    return {
        "apiVersion": "fleetbus/v1", "kind": "DeploymentSpec", "metadata": {"name": name},
        "spec": {
            "agents": {"devices": [device]},
            "components": [
                {"name": "main", "compose": {"project": {"services": services} | (project or {}), "timeout": "60s"} | fields}
            ],
        },
    }  # fmt: skip


def running(name: str) -> dict[str, dict[str, Any]]:
    """The containers of a deployment that run, by name."""
    found = containers(f"fleetbus.io/deployment={name}")
    return {key: item for key, item in found.items() if item["State"]["Status"] == "running"}


def text_of(name: str, container: str = "app") -> str:
    """The text in the environment of a running container."""
    found = running(name).get(f"{name}_main-{container}-1")
    return next((item[5:] for item in found["Config"]["Env"] if item.startswith("TEXT=")), "") if found else ""


def test_a_deployment_lives_through_its_whole_life(site: Site, device: str, name: str) -> None:
    """Deployed, updated, drift healed, failed updates rolled back, removed with nothing left behind but the volume."""
    data = {"volumes": ["data:/data"]}
    more = {"volumes": {"data": {}}}
    site.publish(spec(name, device, {"app": service(**data), "side": service()}, project=more))
    site.observer.wait_phase(name, "Deployed", 1)
    assert [event["target"] for event in site.observer.transitions(device, name)] == [str(stage) for stage in STAGES]
    assert text_of(name) == "one"
    side = running(name)[f"{name}_main-side-1"]["Id"]
    docker("exec", f"{name}_main-app-1", "sh", "-c", "echo kept > /data/note")

    site.publish(spec(name, device, {"app": service("two", **data), "side": service()}, project=more))
    site.observer.wait_phase(name, "Deployed", 2)
    assert text_of(name) == "two"
    assert running(name)[f"{name}_main-side-1"]["Id"] == side, "what did not change goes on running"

    for harm in ("rm -f", "stop", "pause"):
        before = site.observer.status(device, name)["sequence"]
        docker(*harm.split(), f"{name}_main-app-1")
        site.observer.wait_status(
            device, name, f"healing after {harm}",
            lambda found, before=before: found["state"] == "Deployed" and found["sequence"] >= before + 3,
        )  # fmt: skip
        assert text_of(name) == "two", harm

    site.publish(spec(name, device, {"app": service("bad", image="127.0.0.1:9/missing:1")}, project=more))
    status = site.observer.wait_state(device, name, "Failed", 3)
    assert (status["failure"]["code"], status["failure"]["retryable"]) == ("registry-unreachable", True)
    assert text_of(name) == "two", "the old generation runs on while the new one cannot be fetched"

    missing = {"image": "local/missing:1", "pull_policy": "never"}
    sick = {"healthcheck": {"test": ["CMD", "false"], "interval": "0.1s", "retries": 1}}
    for generation, bad, code, stage in (
        (4, missing, "image-not-found", "Downloading"),
        (5, sick, "unhealthy", "Configuration"),
        (6, {"command": ["sh", "-c", "echo no license; exit 3"]}, "container-exited", "Configuration"),
    ):
        site.publish(spec(name, device, {"app": service("bad", **data, **bad)}, project=more))
        status = site.observer.wait_status(
            device, name, f"the rollback of generation {generation}",
            lambda found, generation=generation: found["state"] == "Deployed" and found["desiredGeneration"] == generation,
        )  # fmt: skip
        failure = status["failure"]
        assert (status["generation"], failure["code"], failure["stage"]) == (2, code, stage)
        assert (text_of(name), set(running(name))) == ("two", {f"{name}_main-app-1", f"{name}_main-side-1"})
    assert "no license" in failure["message"]
    assert docker("exec", f"{name}_main-app-1", "cat", "/data/note") == "kept"

    site.delete(name)
    site.observer.wait_state(device, name, "Removed")
    assert containers(f"fleetbus.io/deployment={name}") == {}
    assert networks(f"{name}_main") == []
    assert volumes(f"{name}_main") == [f"{name}_main_data"]
    assert not (site.agents[device].data / "compose" / name).exists()
    docker("volume", "rm", f"{name}_main_data")


def test_a_removal_takes_the_volumes_along_if_it_shall(site: Site, device: str, name: str) -> None:
    """``removeVolumes: true``."""
    project = {"volumes": {"data": {}}}
    site.publish(spec(name, device, {"app": service(volumes=["data:/data"])}, project=project, removeVolumes=True))
    site.observer.wait_phase(name, "Deployed", 1)
    assert volumes(f"{name}_main") == [f"{name}_main_data"]
    site.delete(name)
    site.observer.wait_state(device, name, "Removed")
    assert volumes(f"{name}_main") == []


def test_jobs_files_and_variables_reach_the_containers(site: Site, device: str, name: str) -> None:
    """A service waits for a job that reads a file; the job has ended and stays so, and is no drift."""
    services = {
        "prepare": service(restart="no", command=["sh", "-c", "grep -q hello-$$LINE /settings/app.conf"],
                           volumes=["./conf:/settings:ro"], environment={"LINE": "${LINE}"}),
        "quick": service(command=["true"]),
        "app": service("${TEXT:-default}", depends_on={"prepare": {"condition": "service_completed_successfully"}}),
    }  # fmt: skip
    files = {"conf/app.conf": "hello-press\n"}
    site.publish(spec(name, device, services, environment={"LINE": "press"}, files=files))
    site.observer.wait_phase(name, "Deployed", 1)
    assert text_of(name) == "default"
    everything = containers(f"fleetbus.io/deployment={name}")
    assert {key: item["State"]["ExitCode"] for key, item in everything.items() if item["State"]["Status"] == "exited"} == {
        f"{name}_main-prepare-1": 0, f"{name}_main-quick-1": 0,
    }  # fmt: skip
    docker("exec", f"{name}_main-app-1", "true")  # an event that is no change
    assert site.observer.status(device, name)["state"] == "Deployed"
    site.delete(name)
    site.observer.wait_state(device, name, "Removed")


def test_a_project_that_cannot_run_is_refused_with_every_place(site: Site, name: str, device: str) -> None:
    """The result names the fields; nothing reaches the device."""
    site.publish(spec(name, device, {"app": {"build": "."}, "side": service("${MISSING}", ports=["99999:1"])}))
    result = site.observer.wait_result(name, "the refusal", lambda found: bool(found["reasons"]))
    found = {
        (reason["path"].removeprefix("spec.components[0].compose.project."), reason["code"])
        for reason in result["reasons"]
    }
    assert {("services.app.build", "build-refused"), ("services.side.ports[0]", "invalid"),
            ("services.side.environment.TEXT", "variable-missing")} <= found  # fmt: skip


@pytest.mark.parametrize(
    "place", ["agent.after-download", "agent.before-apply", "agent.after-apply", "agent.state.Configuration"]
)
def test_kill_9_of_the_agent_loses_nothing(site: Site, device: str, name: str, place: str) -> None:
    """Killed at the place in an update and started again, the update is there, and nothing besides."""
    agent = site.agents[device]
    site.publish(spec(name, device, {"app": service()}))
    site.observer.wait_phase(name, "Deployed", 1)
    agent.stop()
    site.start_agent(device, failpoints=f"{place}=kill")
    site.publish(spec(name, device, {"app": service("two")}))
    assert agent.wait_ended() == -9
    site.start_agent(device)
    site.observer.wait_phase(name, "Deployed", 2)
    assert (text_of(name), set(containers(f"fleetbus.io/deployment={name}"))) == ("two", {f"{name}_main-app-1"})
    site.delete(name)
    site.observer.wait_state(device, name, "Removed")


def test_kill_9_while_compose_works_is_waited_for(site: Site, device: str, name: str) -> None:
    """The Compose that the killed agent left goes on; the next agent waits for it, and the deployment is complete."""
    agent = site.agents[device]
    slow = {"healthcheck": {"test": ["CMD", "test", "-e", "/tmp/ready"], "interval": "0.2s", "retries": 100}}
    services = {
        "slow": service(command=["sh", "-c", "sleep 3; touch /tmp/ready; sleep infinity"], **slow),
        "app": service("there", depends_on={"slow": {"condition": "service_healthy"}}),
    }
    site.publish(spec(name, device, services))
    site.observer.wait("the first container", lambda: f"{name}_main-slow-1" in running(name))
    agent.kill()
    assert text_of(name) == ""
    site.start_agent(device)
    site.observer.wait_phase(name, "Deployed", 1)
    assert text_of(name) == "there"
    assert running(name)[f"{name}_main-slow-1"]["RestartCount"] == 0
    site.delete(name)
    site.observer.wait_state(device, name, "Removed")


def test_images_are_pulled_with_progress_and_a_missing_one_is_said(
    site: Site, device: str, name: str, tmp_path: Path
) -> None:
    """Bytes of the layers while they come; a tag that is not there ends the update in ``image-not-found``."""
    if missing := Registry.missing():
        pytest.skip(missing)
    dockerfile = "RUN head -c 12000000 /dev/urandom > /layer-one\nRUN head -c 8000000 /dev/urandom > /layer-two"
    with Registry(tmp_path / "registry") as registry:
        image = f"{registry.host}/press/app:1"
        with built_image(image, tmp_path / "build", dockerfile):
            docker("push", "-q", image)
        try:
            site.publish(spec(name, device, {"app": service(image=image)}))
            site.observer.wait_phase(name, "Deployed", 1)
            reports = site.observer.documents(f"devices/{device}/progress/{name}")
            assert max((report["bytes"] for report in reports), default=0) > 1_000_000, reports
            site.publish(spec(name, device, {"app": service(image=f"{registry.host}/press/app:2")}))
            status = site.observer.wait_status(
                device,
                name,
                "the rollback",
                lambda found: found["state"] == "Deployed" and found["desiredGeneration"] == 2,
            )
            assert (status["generation"], status["failure"]["code"]) == (1, "image-not-found")
            site.delete(name)
            site.observer.wait_state(device, name, "Removed")
        finally:
            docker("rmi", "-f", image, check=False)


def test_a_margo_compose_package_is_deployed(site: Site, device: str, name: str) -> None:
    """An ApplicationDeployment that names an archive behind a URL; its parameters become variables."""
    archive = package({"compose.yaml": json.dumps({"services": {"app": service("${GREETING}", env_file=["app.env"])}}),
                       "app.env": "FROM_FILE=yes\n"})  # fmt: skip
    with WebServer() as server:
        server.files["/app.tar.gz"] = archive
        document = {
            "id": "a3e2f5dc-912e-494f-8395-52cf3769bc06",
            "metadata": {"name": name, "deviceId": device},
            "spec": {
                "applicationId": "com-example-app",
                "deploymentProfile": {
                    "type": "compose",
                    "components": [{"name": "main", "properties": {"repository": f"{server.url}/app.tar.gz"}}],
                },
                "parameters": {
                    "greeting": {"value": "hello", "targets": [{"pointer": "GREETING", "components": ["main"]}]}
                },
            },
        }
        site.publish_raw(name, json.dumps(document).encode())
        site.observer.wait_phase(name, "Deployed", 1)
    found = running(name)[f"{name}_main-app-1"]
    assert text_of(name) == "hello"
    assert "FROM_FILE=yes" in found["Config"]["Env"]
    manifest = site.observer.last(f"devices/{device}/manifests/{name}") or {}
    assert manifest["components"][0]["config"]["package"].endswith(digest_of(archive))
    site.delete(name)
    site.observer.wait_state(device, name, "Removed")


def package(files: dict[str, str]) -> bytes:
    """A package as ``tar czf`` makes it."""
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"app/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, BytesIO(text.encode()))
    return out.getvalue()
