"""The compose applier passes the suite of every applier, on a real Docker engine, with real crashes."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("tests.contract.applier_conformance")

from edge_agent.appliers.compose import ComposeApplier  # noqa: E402 - the line above must come first
from edge_agent.appliers.compose.engine import Engine  # noqa: E402
from edge_agent.appliers.port import Applier, ApplyError, Cancelled, never  # noqa: E402
from orchestrator.rendering.compose_renderer import ComposeRenderer  # noqa: E402
from orchestrator.rendering.port import RenderContext  # noqa: E402
from tests.contract.applier_conformance import (  # noqa: E402
    DEPLOYMENT,
    ApplierConformance,
    Observed,
    Runtime,
    Step,
    deploy,
    steps_of,
)
from tests.functional.chart_servers import PASSWORD, USER, Registry  # noqa: E402
from tests.support.docker import (  # noqa: E402
    BASE_IMAGE,
    GROUP,
    TEST_LABEL,
    built_image,
    containers,
    device_on_engine,
    docker,
    no_engine,
)
from topics.documents.manifest import Manifest, ManifestComponent  # noqa: E402
from topics.documents.spec import Component, ComposeProject  # noqa: E402

pytestmark = [GROUP, pytest.mark.skipif(no_engine() is not None, reason=str(no_engine())), pytest.mark.timeout(900)]

_DIED = 86
_CHANGES = ("replace", "rename", "unlink", "rmdir")
QUICK = {"image": BASE_IMAGE, "init": True, "network_mode": "none", "stop_grace_period": "0s", "pull_policy": "never"}
"""A service that starts and ends at once."""


def rendered(name: str, project: dict[str, Any], deployment: str = DEPLOYMENT, **fields: Any) -> ManifestComponent:
    """A component as the orchestrator renders it."""
    component = Component(name=name, compose=ComposeProject(project=project, **fields))
    context = RenderContext(deployment, 1, "fleetbus-system", deployment, None)
    return ComposeRenderer().render(component, context, {})


def sleeper(value: str) -> dict[str, Any]:
    """A project of one service that does nothing for ever."""
    return {"services": {"main": {**QUICK, "command": ["sleep", "infinity"], "environment": {"VALUE": value}}}}


class ComposeRuntime(Runtime):
    """The engine of this machine, seen through the labels of one device."""

    stride = 3

    def __init__(self, base: Path, device: str, **options: str) -> None:
        self.projects = base / "projects"
        self.device = device
        self.options = {"projects": str(self.projects), "device": device, "settle": "0", **options}

    def applier(self) -> Applier:
        return ComposeApplier(self.options)

    def manifest(
        self, generation: int, components: Mapping[str, str], *, initialization: str = "", deployment: str = DEPLOYMENT
    ) -> Manifest:
        """``initialization`` is left out: it is for Kubernetes."""
        return Manifest(
            action="apply", deployment=deployment, device=self.device, generation=generation,
            components=tuple(rendered(name, sleeper(value), deployment) for name, value in components.items()),
        )  # fmt: skip

    def observed(self) -> dict[str, Observed]:
        found = containers(f"fleetbus.io/device={self.device}") | containers(f"{TEST_LABEL}={self.device}")
        return {
            name: Observed(
                (
                    item["Config"]["Env"],
                    item["Config"]["Cmd"],
                    item["State"]["Status"],
                    item["HostConfig"]["CpuShares"],
                ),
                (item["Id"], item["State"]["StartedAt"]),
            )
            for name, item in found.items()
        }

    def lose(self, name: str) -> None:
        docker("rm", "-f", name)

    def tamper(self, name: str) -> None:
        docker("update", "--cpu-shares", "512", name)

    def add_foreign(self) -> str:
        return self._foreign("fleetbus-foreign")

    def occupy(self, manifest: Manifest) -> str:
        return self._foreign(f"{manifest.deployment}_{manifest.components[0].name}-main-1")

    def crashes(self, step: Step, nth: int) -> bool:
        return died(lambda: step.run(self.applier()), nth)

    def rubbish(self) -> list[str]:
        found = []
        for folder in self.projects.iterdir() if self.projects.is_dir() else ():
            if not (folder / "inventory.json").is_file():
                found.append(folder.name)
                continue
            entries = json.loads((folder / "inventory.json").read_bytes())["inventory"]["components"]
            kept = {entry["folder"] for entry in entries} | {"inventory.json"}
            found += [f"{folder.name}/{path.name}" for path in folder.iterdir() if path.name not in kept]
        return found

    def check_consistent(self) -> None:
        """Every container of this device belongs to a project in an inventory that is whole."""
        owned: set[str] = set()
        for path in self.projects.glob("*/inventory.json"):
            owned |= {entry["project"] for entry in json.loads(path.read_bytes())["inventory"]["components"]}
        for name, item in containers(f"fleetbus.io/device={self.device}").items():
            assert item["Config"]["Labels"]["com.docker.compose.project"] in owned, f"{name} is an orphan"

    def _foreign(self, name: str) -> str:
        docker("run", "-d", "--init", "--network", "none", "--stop-timeout", "0", "--name", name,
               "--label", f"{TEST_LABEL}={self.device}", BASE_IMAGE, "sleep", "infinity")  # fmt: skip
        return name


def died(work: Callable[[], object], nth: int) -> bool:
    """Do the work in a child process that ends without any clean-up at its ``nth`` change.

    A change is one to the disk, a container removed, and a Compose: one dies before it is started, the next when it
    runs. False if the child came to the end of the work before.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _die_at(nth)
            work()
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, _DIED), f"the child ended with {status}"
    return status == _DIED


def _die_at(nth: int) -> None:
    # In the child only: each of these counts, and the nth one never returns.
    count = 0

    def change() -> None:
        nonlocal count
        count += 1
        if count == nth:
            os._exit(_DIED)

    def guarded(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            change()
            return original(*args, **kwargs)

        return call

    for name in _CHANGES:
        setattr(os, name, guarded(getattr(os, name)))
    Engine.remove = guarded(Engine.remove)
    start = subprocess.Popen

    def started(command: list[str], **kwargs: Any) -> Any:
        if not {"up", "down"} & set(command):
            return start(command, **kwargs)
        change()
        process = start(command, **kwargs)
        change()
        return process

    subprocess.Popen = started


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[ComposeRuntime]:
    with device_on_engine() as device:
        yield ComposeRuntime(tmp_path, device)


class TestComposeApplier(ApplierConformance):
    """The suite."""

    @pytest.fixture
    def runtime(self, tmp_path: Path) -> Iterator[Runtime]:
        with device_on_engine() as device:
            yield ComposeRuntime(tmp_path, device)

    def test_components_appear_one_after_the_other(self, runtime: Runtime, first: Manifest) -> None:
        """Each apply adds something, and none brings what belongs to a later step; there is no initialization here."""
        applier = runtime.applier()
        applier.initialize(first, never)
        seen = [len(runtime.observed())]
        for step in steps_of(first)[3:-1]:
            step.run(applier)
            seen.append(len(runtime.observed()))
        assert seen == [0, 1, 2]


# -- what only this applier has


def manifest_of(runtime: ComposeRuntime, project: dict[str, Any], generation: int = 1, **fields: Any) -> Manifest:
    """A manifest with one component, ``main``."""
    return Manifest(
        action="apply", deployment=DEPLOYMENT, device=runtime.device, generation=generation, workload_namespace="press",
        components=(rendered("main", project, **fields),),
    )  # fmt: skip


def one_service(**fields: Any) -> dict[str, Any]:
    return {"services": {"app": {**QUICK, "command": ["sleep", "infinity"], **fields}}}


def error_of(work: Callable[[], object]) -> ApplyError:
    with pytest.raises(ApplyError) as caught:
        work()
    return caught.value


def test_initialization_objects_are_refused_by_name(runtime: ComposeRuntime) -> None:
    """They are Kubernetes objects; the workload namespace, which a spec has by default, means nothing here."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "press"}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}}
    manifest = manifest_of(runtime, one_service())
    runtime.applier().check(manifest.model_copy(update={"initialization": (namespace,)}))
    error = error_of(
        lambda: runtime.applier().check(manifest.model_copy(update={"initialization": (namespace, secret)}))
    )
    assert (error.code, error.retryable) == ("unsupported-initialization", False)
    assert "Secret key" in error.message


def test_an_engine_that_is_down_is_tried_again(runtime: ComposeRuntime) -> None:
    """Each step and the health say so."""
    manifest = manifest_of(runtime, one_service())
    down = ComposeApplier({**runtime.options, "socket": str(runtime.projects / "none.sock")})
    runtime.applier().initialize(manifest, never)
    for call in (lambda: down.check(manifest), lambda: down.apply(manifest, "main", never)):
        error = error_of(call)
        assert (error.code, error.retryable) == ("engine-down", True)
        assert "start it" in error.message


def test_what_compose_itself_refuses_ends_the_download(runtime: ComposeRuntime) -> None:
    """While the old generation runs."""
    deploy(runtime.applier(), manifest_of(runtime, one_service()))
    before = runtime.observed()
    bad = manifest_of(runtime, one_service(mem_limit="much"), 2)
    runtime.applier().check(bad)
    error = error_of(lambda: runtime.applier().download(bad, lambda *_: None, never))
    assert (error.code, error.retryable, error.component) == ("invalid-project", False, "main")
    assert runtime.observed() == before


def test_a_port_that_is_taken_is_named(runtime: ComposeRuntime) -> None:
    """It may become free."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        project = one_service(ports=[f"127.0.0.1:{port}:80"])
        del project["services"]["app"]["network_mode"]
        error = error_of(lambda: deploy(runtime.applier(), manifest_of(runtime, project)))
    assert (error.code, error.retryable, error.component) == ("port-in-use", True, "main")
    assert str(port) in error.message


@pytest.mark.parametrize(
    ("fields", "code", "said"),
    [
        ({"command": ["sh", "-c", "echo the licence is missing; exit 4"]}, "container-exited", "the licence is missing"),
        ({"init": False, "command": ["nothing-such"]}, "command-not-found", "nothing-such"),
        ({"restart": "always", "command": ["sh", "-c", "echo again; exit 4"]}, "not-ready-in-time", "again"),
        ({"healthcheck": {"test": ["CMD-SHELL", "echo no answer; false"], "interval": "0.1s", "retries": 2}}, "unhealthy", "no answer"),
        ({"healthcheck": {"test": ["CMD", "true"], "interval": "60s"}}, "not-ready-in-time", "starting"),
        ({"devices": ["/dev/none"]}, "device-missing", "/dev/none"),
        ({"volumes": [{"type": "bind", "source": "/none/such", "target": "/x"}]}, "mount-missing", "/none/such"),
    ],
)  # fmt: skip
def test_why_a_container_does_not_run_is_said(
    runtime: ComposeRuntime, fields: dict[str, Any], code: str, said: str
) -> None:
    """With its last lines; and the step can be taken back."""
    applier = ComposeApplier({**runtime.options, "settle": "1"})
    error = error_of(lambda: deploy(applier, manifest_of(runtime, one_service(**fields), timeout="4s")))
    assert (error.code, error.component) == (code, "main")
    assert said in error.message
    runtime.applier().remove(DEPLOYMENT, never)
    assert runtime.observed() == {}


def test_an_image_that_is_not_there_and_not_to_be_fetched_is_final(runtime: ComposeRuntime) -> None:
    """``pull_policy: never``."""
    manifest = manifest_of(runtime, one_service(image="local/none:1"))
    error = error_of(lambda: runtime.applier().download(manifest, lambda *_: None, never))
    assert (error.code, error.retryable) == ("image-not-found", False)


def test_a_server_that_was_stopped_is_no_job(runtime: ComposeRuntime) -> None:
    """Both end with 0 and have no restart policy; the engine remembers who was told to."""
    server = {
        "init": False,
        "command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"],
        "stop_grace_period": "5s",
    }
    project = {"services": {"server": {**QUICK, **server}, "job": {**QUICK, "command": ["sleep", "1"]}}}
    manifest = manifest_of(runtime, project)
    deploy(runtime.applier(), manifest)
    names = {name: f"press_main-{name}-1" for name in ("server", "job")}
    wait("the end of the job", lambda: runtime.observed()[names["job"]].content[2] == "exited")
    assert [entry.message for entry in runtime.applier().health(manifest)] == [""]
    docker("stop", names["server"])
    assert [entry.message for entry in runtime.applier().health(manifest)] == [
        f"{names['server']} does not run (exit code 0)"
    ]
    runtime.applier().apply(manifest, "main", never)
    assert runtime.observed()[names["server"]].content[2] == "running"


@pytest.mark.parametrize("harm", ["stop", "pause", "kill", "rename"])
def test_harm_of_any_kind_is_noticed_and_healed(runtime: ComposeRuntime, harm: str) -> None:
    """By the health; and applying again puts it right."""
    manifest = manifest_of(runtime, one_service())
    deploy(runtime.applier(), manifest)
    whole = runtime.contents()
    docker(harm, "press_main-app-1", *(["press_other"] if harm == "rename" else []))
    findings = runtime.applier().health(manifest)
    assert "press_main-app-1" in findings[0].message
    runtime.applier().apply(manifest, "main", never)
    assert runtime.contents() == whole


def test_changes_are_told_at_once(runtime: ComposeRuntime) -> None:
    """By the engine's events; closing ends it."""
    manifest = manifest_of(runtime, one_service())
    applier = runtime.applier()
    changed: list[str] = []
    applier.watch(changed.append)
    try:
        deploy(applier, manifest)
        wait("the events of the deployment", lambda: DEPLOYMENT in changed)
        changed.clear()
        docker("kill", "press_main-app-1")
        wait("the event", lambda: DEPLOYMENT in changed)
    finally:
        applier.close()
    assert "compose-events" not in {thread.name for thread in threading.enumerate()}


def test_an_engine_that_comes_back_is_watched_again(runtime: ComposeRuntime, tmp_path: Path) -> None:
    """Meanwhile nothing is known, so every deployment is told when the stream is there again."""
    deploy(runtime.applier(), manifest_of(runtime, one_service()))
    path = tmp_path / "engine.sock"
    changed: list[str] = []
    applier = ComposeApplier({**runtime.options, "socket": str(path)})
    applier.watch(changed.append)
    try:
        path.symlink_to("/var/run/docker.sock")
        wait("the first look", lambda: DEPLOYMENT in changed)
    finally:
        applier.close()


def test_the_project_of_another_device_is_left_alone(runtime: ComposeRuntime, tmp_path: Path) -> None:
    """Two agents on one engine: the second one is refused, and its removal touches nothing."""
    deploy(runtime.applier(), manifest_of(runtime, one_service()))
    other = ComposeRuntime(tmp_path / "other", f"{runtime.device}-b")
    error = error_of(lambda: other.applier().check(manifest_of(other, one_service())))
    assert (error.code, error.retryable) == ("foreign-project", False)
    assert runtime.device in error.message
    other.applier().remove(DEPLOYMENT, never)
    assert len(runtime.observed()) == 1


def test_a_device_that_lost_its_data_finds_its_projects_by_their_labels(
    runtime: ComposeRuntime, tmp_path: Path
) -> None:
    """They are taken over without a restart, and removed also if no manifest comes."""
    manifest = manifest_of(runtime, one_service())
    deploy(runtime.applier(), manifest)
    before = runtime.observed()
    anew = ComposeRuntime(tmp_path / "anew", runtime.device)
    deploy(anew.applier(), manifest)
    assert {name: item.content for name, item in anew.observed().items()} == {
        name: item.content for name, item in before.items()
    }
    ComposeRuntime(tmp_path / "again", runtime.device).applier().remove(DEPLOYMENT, never)
    assert runtime.observed() == {}


def test_images_come_from_a_registry_with_a_password(runtime: ComposeRuntime, tmp_path: Path) -> None:
    """Refused without it, with progress with it, stopped when cancelled, not fetched again when there."""
    if missing := Registry.missing():
        pytest.skip(missing)
    dockerfile = "RUN head -c 9000000 /dev/urandom > /one\nRUN head -c 6000000 /dev/urandom > /two"
    config = tmp_path / "docker" / "config.json"
    config.parent.mkdir()
    config.write_text("{}")
    with Registry(tmp_path / "registry", htpasswd=True) as registry:
        image = f"{registry.host}/press/app:1"
        auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        logged_in = json.dumps({"auths": {registry.host: {"auth": auth}}})
        with built_image(image, tmp_path / "build", dockerfile):
            config.write_text(logged_in)
            docker("--config", str(config.parent), "push", "-q", image)
        manifest = manifest_of(runtime, one_service(image=image, pull_policy="missing"))
        applier = ComposeApplier({**runtime.options, "registry-config": str(config)})
        reports: list[tuple[int, int | None]] = []

        def download(cancelled: Callable[[], bool] = never) -> None:
            applier.download(manifest, lambda _, done, total: reports.append((done, total)), cancelled)

        try:
            config.write_text("{}")
            assert error_of(download).code == "registry-auth"
            config.write_text(logged_in)
            with pytest.raises(Cancelled):
                download(lambda: len(reports) > 3)
            reports.clear()
            download()
            assert reports[-1][0] == reports[-1][1]
            assert reports[-1][0] > 14_000_000
            assert [done for done, _ in reports] == sorted(done for done, _ in reports)
            assert any(total and 0 < done < total for done, total in reports), "a percentage on the way"
            reports.clear()
            download()
            assert reports == [(0, 0)]
        finally:
            docker("rmi", "-f", image, check=False)
        missing_tag = manifest_of(runtime, one_service(image=f"{registry.host}/press/app:2", pull_policy="always"))
        error = error_of(lambda: applier.download(missing_tag, lambda *_: None, never))
        assert (error.code, error.retryable) == ("image-not-found", False)


def wait(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.02)  # between two looks at a condition
