"""What becomes of a package without a broker: options, charts and projects carried along, warnings told."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.context import Given
from cli.exits import CliError, Exit
from cli.margo_packages import margo_options
from cli.spec_files import SpecFile, load_documents, load_specs
from orchestrator.charts.archive import digest_of, open_archive
from orchestrator.charts.errors import ChartFetchError
from orchestrator.charts.store import ChartStore
from tests.unit.cli.test_margo_files import tar_of, zip_of
from tests.unit.cli.test_spec_files import spec
from tests.unit.topics.margo.package.descriptions import document
from topics.documents.spec import HelmChart
from topics.spec_reader import read_document, read_spec

EXAMPLE = Path(__file__).parents[3] / "examples" / "margo" / "hello-margo"
SITE = ["url=https://a.b"]


def loaded(*paths: Path, **options: Any) -> list[SpecFile]:
    """The specs of these paths, without a broker."""
    return load_documents(Given({}, {}), paths, margo_options(**options), live=False)


def package(folder: Path, **changes: Any) -> Path:
    """A package in a folder."""
    folder.mkdir(exist_ok=True)
    (folder / "margo.yaml").write_text(yaml.safe_dump(document(**changes)))
    return folder


def test_a_folder_its_file_and_its_archives_make_the_same_spec(tmp_path: Path) -> None:
    """The chart of the package is in the spec; the source says where it came from."""
    files = [(path.relative_to(EXAMPLE).as_posix(), path.read_bytes()) for path in EXAMPLE.rglob("*") if path.is_file()]
    (tmp_path / "p.zip").write_bytes(zip_of(*files))
    (tmp_path / "p.tgz").write_bytes(tar_of(*((f"hello/{name}", content) for name, content in files)))
    every = [
        loaded(path, set_values=["greeting=Hi"])[0]
        for path in (EXAMPLE, EXAMPLE / "margo.yaml", tmp_path / "p.zip", tmp_path / "p.tgz")
    ]
    assert {item.payload for item in every} == {every[0].payload}
    assert all(item.package and not item.warnings for item in every)
    assert read_spec(every[0].payload) == every[0].spec
    helm = every[0].spec.spec.components[0].helm
    assert helm is not None
    assert helm.values["greeting"] == {"text": "Hi", "addressee": "World"}


def test_a_chart_that_is_carried_needs_no_source(tmp_path: Path) -> None:
    """The orchestrator takes it from the spec, pinned by its digest, and never looks at the path."""
    helm = loaded(EXAMPLE)[0].spec.spec.components[0].helm
    assert helm is not None
    with ChartStore(tmp_path, local_root=tmp_path) as store:
        chart = store.fetch(helm)
        assert (chart.name, chart.version, chart.digest) == ("hello-margo", "1.0.0", helm.digest)
        assert store.fetch(HelmChart(chart="gone", digest=helm.digest)) == chart


def test_what_is_carried_is_checked_like_any_chart(tmp_path: Path) -> None:
    """A spec may come from anybody: no base64, no chart, another chart than is pinned."""
    chart = base64.b64encode(tar_of(("db/Chart.yaml", b"name: db\nversion: 2.3.7\n"))).decode()
    with ChartStore(tmp_path) as store:
        for body, code in (
            ({"archive": "AAAAA"}, "chart-invalid"), ({"archive": "AAAA"}, "chart-invalid"),
            ({"archive": chart, "digest": "sha256:" + "0" * 64}, "chart-digest-mismatch"),
            ({"archive": chart, "version": "3.0.0"}, "chart-version-mismatch"),
        ):  # fmt: skip
            with pytest.raises(ChartFetchError) as raised:
                store.fetch(HelmChart(chart="db", **body))
            assert (raised.value.code, raised.value.retryable) == (code, False)


def test_a_packed_chart_is_carried_as_it_is(tmp_path: Path) -> None:
    """The archive's own digest stays."""
    packed = tar_of(("db/Chart.yaml", b"name: db\nversion: 2.3.7\n"))
    folder = package(tmp_path / "p", deploymentProfiles__0__components__0__properties__repository="charts/db.tgz")
    (folder / "charts").mkdir()
    (folder / "charts" / "db.tgz").write_bytes(packed)
    helm = loaded(folder, set_values=SITE)[0].spec.spec.components[0].helm
    assert helm is not None
    assert base64.b64decode(helm.archive or "") == packed
    assert helm.digest == digest_of(packed) == open_archive(packed).digest


@pytest.mark.parametrize(
    ("source", "message"),
    [("charts/none", "no file or folder"), ("../db", "not a path within the package"), ("big", "a spec carries"),
     ("notes.txt", "not a Helm chart"), ("empty", "Chart.yaml"), ("charts", "symbolic link")],
)  # fmt: skip
def test_a_chart_that_cannot_be_carried_is_an_error(source: str, message: str, tmp_path: Path) -> None:
    """Missing, outside, too large for a message, or no chart."""
    folder = package(tmp_path / "p", deploymentProfiles__0__components__0__properties__repository=source)
    (folder / "big").mkdir()
    (folder / "big" / "Chart.yaml").write_text("name: big\nversion: 1.0.0\n")
    (folder / "big" / "data").write_bytes(bytes(800 * 1024))
    (folder / "empty").mkdir()
    (folder / "notes.txt").write_text("hello")
    (folder / "charts").symlink_to(tmp_path)
    if source == "charts/none":
        (folder / "charts").unlink()
    with pytest.raises(CliError, match=message) as raised:
        loaded(folder, set_values=SITE)
    assert raised.value.code is Exit.USAGE


COMPOSE = "deploymentProfiles__1__components__0__properties"


def test_a_compose_project_is_carried(tmp_path: Path) -> None:
    """A file, a folder with what lies beside it, or an archive of that folder."""
    project = b"services: {press: {image: example/press:1}}\n"
    folder = package(tmp_path / "p")
    (folder / "stack").mkdir()
    (folder / "stack" / "compose.yaml").write_bytes(project)
    (folder / "stack" / "press.conf").write_text("rate 10\n")
    (folder / "stack.tgz").write_bytes(tar_of(("compose.yaml", project), ("press.conf", b"rate 10\n")))
    for source, files in (
        ("stack/compose.yaml", {}), ("stack", {"press.conf": "rate 10\n"}), ("stack.tgz", {"press.conf": "rate 10\n"}),
    ):  # fmt: skip
        package(folder, **{COMPOSE: {"repository": source}})
        body = loaded(folder, set_values=SITE, profile="compose")[0].spec.spec.components[0].compose
        assert body is not None
        assert (body.project, body.files) == ({"services": {"press": {"image": "example/press:1"}}}, files)
        assert body.environment == {"POLL": "30", "IDP_URL": "https://a.b", "HOSTS": "a"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("readme", b"x", "holds no compose.yaml"), ("compose.yaml", b"- a", "not a Compose project"),
     ("compose.yaml", b"a: [", "not valid YAML"), ("compose.yaml", b"\xff", "not UTF-8")],
)  # fmt: skip
def test_what_is_no_compose_project_is_an_error(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    """The component and the file are named."""
    folder = package(tmp_path / "p", **{COMPOSE: {"repository": "stack"}})
    (folder / "stack").mkdir()
    (folder / "stack" / name).write_bytes(content)
    with pytest.raises(CliError, match=message):
        loaded(folder, set_values=SITE, profile="compose")


def test_every_reason_is_told_and_nothing_is_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the package and of the specs beside it; tolerances are warnings on standard error."""
    folder = package(tmp_path / "p", kind="application")
    (tmp_path / "broken.yaml").write_text(spec("B"))
    with pytest.raises(CliError) as raised:
        loaded(folder, tmp_path / "broken.yaml", set_values=["pol=1", "limit=0"])
    lines = "\n".join(raised.value.details)
    for text in ("did you mean poll?", "parameters.url: has no default", "0 is less than 0.5", "metadata.name"):
        assert text in lines
    loaded(folder, set_values=SITE)
    assert "margo.yaml: warning: kind: is 'application'" in capsys.readouterr().err


def test_a_file_with_a_description_among_specs_is_taken(tmp_path: Path) -> None:
    """By what it says, not by its name; both are in one file here."""
    both = tmp_path / "all.yaml"
    both.write_text(f"{spec('a')}\n---\n{yaml.safe_dump(document())}")
    assert [(item.name, item.package) for item in loaded(both, set_values=SITE)] == [
        ("a", False), ("com-example-press", True),
    ]  # fmt: skip


def test_a_template_is_told_from_a_document(tmp_path: Path) -> None:
    """Unrendered braces are the commonest reason why a published one does not parse."""
    folder = package(tmp_path / "p")
    text = (folder / "margo.yaml").read_text()
    (folder / "margo.yaml").write_text(text.replace("oci://registry.example/tsdb", "{{REPOSITORY}}"))
    with pytest.raises(CliError) as raised:
        loaded(folder)
    assert re.search(r"margo\.yaml:[0-9]+:[0-9]+: ", raised.value.details[0])
    assert "template" in raised.value.details[1]


def test_names_and_places_come_from_the_options(tmp_path: Path) -> None:
    """Devices or a selector, a name, a namespace; without them what the application says."""
    folder = package(tmp_path / "p")
    [item] = loaded(folder, set_values=SITE, devices=["gw/*", "edge-01"], name="left", namespace="line")
    assert (item.name, item.spec.workload_namespace) == ("left", "line")
    assert item.spec.spec.agents.devices == ("gw/*", "edge-01")
    [item] = loaded(folder, set_values=SITE, selector=["line=press"])
    assert item.spec.spec.agents.selector is not None
    assert item.spec.spec.agents.selector.match_labels == {"line": "press"}


def test_values_come_from_a_file_and_the_command_line_wins(tmp_path: Path) -> None:
    """A file keeps the types."""
    values = tmp_path / "values.yaml"
    values.write_text("poll: 60\nurl: https://a.b\nhosts: [x, y]\n")
    [item] = loaded(package(tmp_path / "p"), set_files=[values], set_values=["poll=90"])
    helm = item.spec.spec.components[1].helm
    assert helm is not None
    assert (helm.values["settings"], helm.values["hosts"]) == ({"poll": 90}, ["x", "y"])
    values.write_text("- a")
    with pytest.raises(CliError, match="not a mapping"):
        margo_options(set_files=[values])


@pytest.mark.parametrize(
    "options",
    [{"set_values": ["a"]}, {"set_values": ["=b"]}, {"set_values": ["a=1", "a=2"]}, {"devices": ["a b"]},
     {"selector": ["a b=c"]}, {"selector": ["a=b c"]}, {"name": "A"}, {"namespace": "a.b"},
     {"devices": ["a"], "selector": ["b=c"]}, {"set_files": [Path("/nonexistent")]}],
)  # fmt: skip
def test_wrong_options_are_usage_errors(options: dict[str, Any]) -> None:
    """Before anything is read."""
    with pytest.raises(CliError) as raised:
        margo_options(**options)
    assert raised.value.code is Exit.USAGE


def test_options_for_packages_without_a_package_are_an_error(tmp_path: Path) -> None:
    """They would be dropped in silence."""
    (tmp_path / "a.yaml").write_text(spec("a"))
    for options in ({"set_values": ["a=1"]}, {"devices": ["edge-01"]}, {"name": "b"}):
        with pytest.raises(CliError, match="there is none among the files"):
            loaded(tmp_path, **options)
    for name in ("p", "q"):
        package(tmp_path / name, id=name)
    with pytest.raises(CliError) as raised:
        loaded(tmp_path / "p", tmp_path / "q", set_values=SITE, name="one")
    assert "already used" in raised.value.details[0]


DEPLOYMENT = {
    "apiVersion": "application.margo.org/v1alpha1", "kind": "ApplicationDeployment",
    "metadata": {"name": "hello", "annotations": {
        "id": "0f83e682-a35b-4533-ae93-ff3810095f31", "applicationId": "com-example-hello"}},
    "spec": {"deploymentProfile": {"type": "helm", "components": [
        {"name": "hello", "properties": {"repository": "oci://registry.example/hello", "revision": "1.0.0"}}]}},
}  # fmt: skip


def test_a_deployment_of_margo_is_sent_as_it_is_or_with_its_devices(tmp_path: Path) -> None:
    """The earlier forms name no device: those of the command line go with the document, in its annotation."""
    file = tmp_path / "hello.yaml"
    file.write_text(yaml.safe_dump(DEPLOYMENT))
    with pytest.raises(CliError) as raised:
        loaded(file)
    assert "--device" in raised.value.details[0]
    [item] = loaded(file, devices=["edge-01", "gw/edge-02"], name="greeter")
    assert (item.name, item.margo, item.package) == ("greeter", True, False)
    assert item.spec.spec.agents.devices == ("edge-01", "gw/edge-02")
    assert read_document(item.payload, name="greeter").spec == item.spec
    file.write_text(yaml.safe_dump(DEPLOYMENT | {"metadata": DEPLOYMENT["metadata"] | {"deviceId": "edge-09"}}))  # type: ignore[operator]
    [item] = loaded(file)
    assert (item.payload, item.spec.spec.agents.devices) == (file.read_bytes(), ("edge-09",))
    with pytest.raises(CliError) as raised:
        loaded(file, devices=["edge-01"])
    assert "edge-09" in raised.value.details[0]
    with pytest.raises(CliError, match="application packages"):
        loaded(file, set_values=["a=1"])


def test_the_demo_does_not_see_the_package() -> None:
    """It takes the specs of ``examples`` alone."""
    examples = EXAMPLE.parents[1]
    assert "com-example-hello-margo" not in [item.name for item in load_specs([examples])]


def test_the_spec_is_small_json(tmp_path: Path) -> None:
    """Only what was said is sent: defaults stay the orchestrator's."""
    document_sent = json.loads(loaded(package(tmp_path / "p"), set_values=SITE)[0].payload)
    assert set(document_sent["spec"]) == {"application", "agents", "requirements", "components"}
