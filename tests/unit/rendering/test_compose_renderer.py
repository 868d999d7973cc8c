"""The compose renderer: what it makes of a project, and what it refuses, with the place in the project."""

from __future__ import annotations

import contextlib
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.charts.archive import ChartArchive, digest_of
from orchestrator.rendering.compose_renderer import ComposeRenderer
from orchestrator.rendering.manifests import render_offline
from orchestrator.rendering.port import RenderContext, RenderError
from topics.codec import encode
from topics.documents.compose import compose_config
from topics.documents.manifest import ManifestComponent
from topics.documents.spec import Application, Component, DeploymentSpec

CONTEXT = RenderContext("press", 3, "fleetbus-system", "press", Application(id="com.example.app", version="1"))
DIGEST = "sha256:" + "a" * 64


def render(
    services: Any, *, top: dict[str, Any] | None = None, context: RenderContext = CONTEXT, **fields: Any
) -> ManifestComponent:
    body = {"project": {"services": services, **(top or {})}, **fields}
    component = Component.model_validate({"name": "line", "compose": body})
    return ComposeRenderer().render(component, context, {})


def faults(services: Any, **fields: Any) -> dict[str, str]:
    """The codes of the findings by path, without the place of the project."""
    with pytest.raises(RenderError) as caught:
        render(services, **fields)
    assert not caught.value.retryable
    return {reason.path.removeprefix("compose.project."): reason.code for reason in caught.value.reasons}


def image(**fields: Any) -> dict[str, Any]:
    return {"image": "example/app:1", **fields}


def test_a_project_is_complete_named_and_marked() -> None:
    """Name from deployment and component, variables filled in, labels of ownership beside the service's own."""
    part = render(
        {"app": image(labels=["own=yes"], environment=["RATE", "MODE=$MODE", "COST=5$$"], command="run ${LINE:-none}")},
        top={"name": "other", "version": "3.8", "x-note": "$LEFT"},
        environment={"RATE": "10", "MODE": "fast"}, files={"app.conf": "x"}, timeout="90s", removeVolumes=True,
    )  # fmt: skip
    config = compose_config(part)
    assert (part.type, part.source, part.timeout_seconds, part.wait) == ("compose", "spec", 90.0, True)
    assert (config.project_name, config.project["name"], config.remove_volumes) == ("press_line", "press_line", True)
    assert "version" not in config.project
    assert config.project["x-note"] == "$$LEFT"
    app = config.project["services"]["app"]
    assert app["environment"] == {"RATE": "10", "MODE": "fast", "COST": "5$$"}
    assert app["command"] == "run none"
    assert app["labels"] == {
        "own": "yes", "fleetbus.io/deployment": "press", "fleetbus.io/component": "line",
        "fleetbus.io/application": "com.example.app",
    }  # fmt: skip
    assert config.files == {"app.conf": "x"}


def test_the_same_input_gives_the_same_bytes_whatever_the_generation() -> None:
    """An update that does not change a component changes nothing of it."""
    later = RenderContext("press", 9, "fleetbus-system", "press", CONTEXT.application)
    assert encode(render({"app": image()})) == encode(render({"app": image()}, context=later))


@pytest.mark.parametrize(
    ("service", "path", "code"),
    [
        ({"build": "."}, "services.app.build", "build-refused"),
        ({}, "services.app.image", "missing"),
        ({"image": "Upper/Case"}, "services.app.image", "invalid"),
        ({"image": 7}, "services.app.image", "invalid"),
        (image(iamge="x"), "services.app.iamge", "unknown-field"),
        (image(extends={"file": "x"}), "services.app.extends", "not-supported"),
        (image(pull_policy="daily"), "services.app.pull_policy", "not-allowed"),
        (image(restart="sometimes"), "services.app.restart", "invalid"),
        (image(deploy={"restart_policy": {"condition": "x"}}), "services.app.deploy.restart_policy.condition", "not-allowed"),
        (image(stop_grace_period="soon"), "services.app.stop_grace_period", "invalid"),
        (image(network_mode="host", networks=["default"]), "services.app.network_mode", "conflict"),
        (image(network_mode="service:none"), "services.app.network_mode", "unknown-service"),
        (image(networks=["field"]), "services.app.networks", "undeclared"),
        (image(ports=["0:80"]), "services.app.ports[0]", "invalid"),
        (image(ports=["80-81:80-90"]), "services.app.ports[0]", "invalid"),
        (image(ports=[{"published": 80}]), "services.app.ports[0]", "invalid"),
        (image(ports=[{"target": 80, "hots": 1}]), "services.app.ports[0]", "invalid"),
        (image(ports="80"), "services.app.ports", "invalid"),
        (image(ports=["1-65535:1-65535"]), "services.app.ports[0]", "invalid"),
        (image(volumes=["data:/data"]), "services.app.volumes[0]", "undeclared"),
        (image(volumes=["./data:/data"]), "services.app.volumes[0]", "file-missing"),
        (image(volumes=["~/data:/data"]), "services.app.volumes[0]", "invalid"),
        (image(volumes=["data:here"]), "services.app.volumes[0]", "invalid"),
        (image(volumes=[{"type": "bind", "source": "./x", "target": "/x"}]), "services.app.volumes[0]", "file-missing"),
        (image(volumes=[{"type": "wind", "target": "/x"}]), "services.app.volumes[0]", "invalid"),
        (image(depends_on=["none"]), "services.app.depends_on", "unknown-service"),
        (image(depends_on=["app"]), "services.app.depends_on", "cycle"),
        (image(env_file="a.env"), "services.app.env_file[0]", "file-missing"),
        (image(env_file=[{"path": 1}]), "services.app.env_file[0]", "invalid"),
        (image(healthcheck="true"), "services.app.healthcheck", "invalid"),
        (image(healthcheck={"test": ["true"]}), "services.app.healthcheck.test", "invalid"),
        (image(healthcheck={"interval": 5}), "services.app.healthcheck.interval", "invalid"),
        (image(secrets=["key"]), "services.app.secrets[0]", "undeclared"),
        (image(configs=[{"source": "key"}]), "services.app.configs[0]", "undeclared"),
        (image(container_name="a b"), "services.app.container_name", "bad-name"),
        (image(environment={"A": None}), "services.app.environment.A", "variable-missing"),
        (image(environment=7), "services.app.environment", "invalid"),
        (image(labels=7), "services.app.labels", "invalid"),
        (image(command="$NONE"), "services.app.command", "variable-missing"),
        (image(command="5$"), "services.app.command", "interpolation"),
        ("app", "services.app", "invalid"),
    ],
)  # fmt: skip
def test_a_service_that_cannot_run_is_refused_with_its_place(service: Any, path: str, code: str) -> None:
    """One fault, one finding, at its path."""
    assert faults({"app": service}) == {path: code}


@pytest.mark.parametrize(
    ("top", "path", "code"),
    [
        ({"servcies": {}}, "servcies", "unknown-field"),
        ({"include": ["x"]}, "include", "not-supported"),
        ({"volumes": []}, "volumes", "invalid"),
        ({"networks": {"a": 1}}, "networks.a", "invalid"),
        ({"secrets": {"key": {"file": "./key"}}}, "secrets.key.file", "file-missing"),
        ({"secrets": {"key": {"external": True}}}, "secrets.key.external", "not-supported"),
        ({"secrets": {"key": {"environment": "KEY"}}}, "secrets.key.environment", "variable-missing"),
        ({"secrets": {"key": None}}, "secrets.key", "missing"),
        ({"configs": {"key": {"file": "/a", "content": "b"}}}, "configs.key", "invalid"),
    ],
)  # fmt: skip
def test_a_project_that_cannot_run_is_refused_with_its_place(top: dict[str, Any], path: str, code: str) -> None:
    """The same for what stands beside the services."""
    assert faults({"app": image()}, top=top) == {path: code}


@pytest.mark.parametrize("services", [None, {}, [], "x", {f"s{n}": image() for n in range(201)}])
def test_services_are_a_mapping_of_some(services: Any) -> None:
    """None, nothing, no mapping, too many."""
    assert set(faults(services)) == {"services"}


def test_every_fault_is_told_at_once() -> None:
    """Faults of several services, and of the component beside the project."""
    found = faults({"a": image(build="."), "b": image(ports=["x"]), "c d": image()},
                   environment={"DOCKER_HOST": "x", "A-B": "y"}, files={"../x": ""})  # fmt: skip
    assert found == {
        "services.a.build": "build-refused", "services.b.ports[0]": "invalid", "services.c d": "bad-name",
        "compose.environment.DOCKER_HOST": "bad-name", "compose.environment.A-B": "bad-name", "compose.files": "bad-name",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other", "meets"),
    [
        ("8080:80", "8080:81", True), ("127.0.0.1:8080:80", "8080:81", True), ("8080:80/udp", "8080:80", False),
        ("127.0.0.1:8080:80", "127.0.0.2:8080:80", False), ("8080-8082:1-3", "8081:5", True), ("80", "80", False),
        ({"target": 80, "published": 8080}, "8080:1", True), ({"target": 80, "published": "8080"}, 8080, False),
    ],
)  # fmt: skip
def test_two_services_do_not_get_the_same_port(one: Any, other: Any, meets: bool) -> None:
    """A port of the host is taken once."""
    services = {"a": image(ports=[one]), "b": image(ports=[other])}
    if meets:
        assert faults(services) == {"services.b.ports[0]": "port-conflict"}
    else:
        render(services)


def test_a_condition_that_compose_does_not_know_is_refused() -> None:
    """With the service that is waited for."""
    services = {"app": image(depends_on={"other": {"condition": "ready"}}), "other": image()}
    assert faults(services) == {"services.app.depends_on.other": "not-allowed"}


def test_services_that_wait_for_each_other_are_named_in_order() -> None:
    """The cycle, not those that only lead to it."""
    with pytest.raises(RenderError, match=r"a -> c -> b -> a"):
        render({"a": image(depends_on=["c"]), "b": image(depends_on=["a"]), "c": image(depends_on=["b"]),
                "d": image(depends_on=["a"])})  # fmt: skip


def test_files_of_the_component_are_found_by_every_spelling() -> None:
    """Binds, folders of files, env files, configs and secrets."""
    files = {"conf/app.conf": "", "app.env": "", "key": ""}
    service = image(volumes=["./conf/app.conf:/a", "./conf:/b:ro", ".:/c", "named:/d", "/etc/localtime:/e", "/anonymous"],
                    env_file=["./app.env", {"path": "none.env", "required": False}], secrets=["key"], networks={"field": None})  # fmt: skip
    render({"app": service}, files=files,
           top={"volumes": {"named": None}, "secrets": {"key": {"file": "./key"}}, "networks": {"field": {}}})  # fmt: skip


def test_a_variable_of_the_env_file_is_a_default() -> None:
    """``.env`` among the files is read as Compose reads it; the component's environment overrides it."""
    part = render({"app": image(command="$A $B")}, files={".env": "A=1\nB=2\n"}, environment={"B": "3"})
    assert compose_config(part).project["services"]["app"]["command"] == "1 3"
    assert faults({"app": image()}, files={".env": "what"}) == {"compose.project": "env-file"}


def test_patches_are_refused() -> None:
    """They change Kubernetes objects."""
    component = Component.model_validate({
        "name": "line", "compose": {"project": {"services": {"a": image()}}},
        "patches": [{"target": {"kind": "x"}, "patch": {"a": 1}}],
    })  # fmt: skip
    with pytest.raises(RenderError, match="Compose project"):
        ComposeRenderer().render(component, CONTEXT, {})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = st.sampled_from(
    [
        "image",
        "build",
        "ports",
        "volumes",
        "networks",
        "depends_on",
        "environment",
        "env_file",
        "healthcheck",
        "deploy",
        "labels",
        "secrets",
        "configs",
        "restart",
        "container_name",
        "network_mode",
        "pull_policy",
        "scale",
        "stop_grace_period",
    ]
)


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.dictionaries(_FIELDS, _JSON, max_size=6), max_size=3),
       st.dictionaries(st.sampled_from(["networks", "volumes", "configs", "secrets", "name", "x-a", "other"]), _JSON, max_size=4))  # fmt: skip
def test_any_project_ends_in_a_part_or_in_reasons(services: dict[str, Any], top: dict[str, Any]) -> None:
    """Bad input never crashes."""
    # A RenderError has its reasons, a ValidationError is the spec's own model: both are answers.
    with contextlib.suppress(RenderError, ValidationError):
        compose_config(render({name: {"image": "a", **fields} for name, fields in services.items()}, top=top))


# -- packages


def archive(files: dict[str, bytes], mode: str = "w:gz", kind: bytes = tarfile.REGTYPE) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.type = len(data), kind
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


COMPOSE = b"services: {app: {image: 'example/app:${TAG}', volumes: ['./logo.png:/logo.png']}}\n"


def from_package(data: bytes, **fields: Any) -> ManifestComponent:
    body = {"package": {"repository": "oci://registry.example/app", "revision": "1.0"}, **fields}
    component = Component.model_validate({"name": "line", "compose": body})
    return ComposeRenderer().render(
        component, CONTEXT, {"line": ChartArchive("oci://registry.example/app", "1.0", digest_of(data), data)}
    )


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("top", ["", "app/", "./"])
def test_a_package_is_rendered_with_its_files(mode: str, top: str) -> None:
    """Texts and other files, at the top or in one folder; the source says what it was, with its digest."""
    data = archive({f"{top}compose.yaml": COMPOSE, f"{top}logo.png": b"\x89PNG\xff", f"{top}note.txt": b"hello"}, mode)
    part = from_package(data, environment={"TAG": "7"}, files={"note.txt": "instead"})
    config = compose_config(part)
    assert config.project["services"]["app"]["image"] == "example/app:7"
    assert (config.files, set(config.binary_files)) == ({"note.txt": "instead"}, {"logo.png"})
    assert part.source == f"compose:oci://registry.example/app:1.0@{digest_of(data)}"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"<html>no such page</html>", "package-invalid"),
        (b"- a\n- b\n", "package-invalid"),
        (b"\x1f\x8bnot gzip", "package-truncated"),
        (archive({"compose.yaml": COMPOSE})[:-20], "package-truncated"),
        (archive({"readme": b""}), "package-invalid"),
        (archive({"compose.yaml": COMPOSE, "docker-compose.yml": COMPOSE}), "package-invalid"),
        (archive({"../compose.yaml": COMPOSE}), "package-invalid"),
        (archive({"/compose.yaml": COMPOSE}), "package-invalid"),
        (archive({"compose.yaml": b""}, kind=tarfile.SYMTYPE), "package-invalid"),
        (archive({"compose.yaml": COMPOSE, "zeros": b"\0" * 9_000_000}), "package-too-large"),
        (archive({f"f{n}": b"" for n in range(2_100)}), "package-invalid"),
        (b"a: &a [*a]", "package-invalid"),
        (b"[" * 100_000, "package-invalid"),
        (
            b"a0: &a0 [x]\n"
            + b"".join(b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)),
            "package-invalid",
        ),
        (b"\xff\xfe\x00", "package-invalid"),
    ],
    ids=(
        "a page", "a list", "no gzip", "cut", "no project", "two projects", "out of the folder", "from the root", "a link",
        "zeros", "many files", "an endless alias", "deep", "a bomb of aliases", "no text",
    ),
)  # fmt: skip
def test_what_is_no_package_is_refused(data: bytes, code: str) -> None:
    """Web pages, bombs, names that lead out, links, damage."""
    with pytest.raises(RenderError) as caught:
        from_package(data)
    assert [(reason.path, reason.code) for reason in caught.value.reasons] == [("compose.package", code)]


def test_findings_in_a_package_have_its_place() -> None:
    """The path says that it is the package's project."""
    with pytest.raises(RenderError) as caught:
        from_package(archive({"compose.yaml": COMPOSE}))
    assert {reason.path for reason in caught.value.reasons} == {
        "compose.package.services.app.image", "compose.package.services.app.volumes[0]",
    }  # fmt: skip


def test_the_example_is_a_project_that_compose_takes() -> None:
    """``examples/compose/line-gateway.yaml``, for a device of its own."""
    text = (Path(__file__).parents[3] / "examples" / "compose" / "line-gateway.yaml").read_text()
    spec = DeploymentSpec.model_validate(yaml.safe_load(text))
    [manifest] = render_offline(spec, _nothing, devices=["edge-07"])
    config = compose_config(manifest.components[0])
    gateway = config.project["services"]["gateway"]["environment"]
    assert gateway == {"DEVICE": "edge-07", "SAMPLE_SECONDS": "10", "LOG_LEVEL": "info"}


def _nothing(_: object) -> ChartArchive:
    raise AssertionError("there is nothing to fetch")
