"""Charts become objects in Helm's order, with readable refusals, through either engine."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.charts.archive import open_archive
from orchestrator.rendering import helm_worker
from orchestrator.rendering.helm_chart import KUBERNETES_VERSION, HelmEngine
from orchestrator.rendering.helm_engine import CliEngine, SdkEngine, find_engine
from orchestrator.rendering.helm_objects import INSTALL_ORDER
from orchestrator.rendering.helm_renderer import HelmRenderer, release_name
from orchestrator.rendering.helm_sdk import NumberedFiles
from orchestrator.rendering.port import RenderAbandoned, RenderContext, RenderError
from tests.unit.charts.chart_files import WEB, archive, chart
from tests.unit.rendering.engines import engine_named
from topics.documents.manifest import ManifestComponent
from topics.documents.spec import Application, Component, HelmChart

CONTEXT = RenderContext(
    "press-monitor", 3, "fleetbus-system", "press", Application(id="com.example.press", version="1")
)


@pytest.fixture(params=["sdk", "cli"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> HelmEngine:
    """Each engine."""
    return engine_named(str(request.param), tmp_path)


def render(
    engine: HelmEngine, files: Mapping[str, str], values: dict[str, Any] | None = None, **fields: Any
) -> ManifestComponent:
    """The rendered component ``web`` of a chart."""
    component = Component(name="web", helm=HelmChart(chart="web", values=values or {}, **fields))
    return HelmRenderer(lambda: engine).render(component, CONTEXT, {"web": open_archive(archive(files))})


def refusal(engine: HelmEngine, files: Mapping[str, str], values: dict[str, Any] | None = None) -> RenderError:
    """The error with which rendering ends."""
    with pytest.raises(RenderError) as caught:
        render(engine, files, values)
    return caught.value


def kinds(part: ManifestComponent) -> list[str]:
    """The kinds in order."""
    return [item["kind"] for item in part.objects]


def test_chart_becomes_marked_objects_in_install_order(engine: HelmEngine) -> None:
    """The Service precedes the Deployment; NOTES and partials are no objects; pod templates stay untouched."""
    part = render(engine, WEB, {"replicas": 4}, timeout="8m30s", wait=False)
    assert kinds(part) == ["Service", "Deployment"]
    service, deployment = part.objects
    assert service["metadata"]["name"] == "press-monitor-web-web"
    assert service["metadata"]["namespace"] == "press"
    assert service["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "fleetbus",
        "app.kubernetes.io/part-of": "press-monitor",
        "fleetbus.io/deployment": "press-monitor",
        "fleetbus.io/component": "web",
    }
    digest = open_archive(archive(WEB)).digest
    assert service["metadata"]["annotations"] == {
        "fleetbus.io/application": "com.example.press",
        "fleetbus.io/chart": f"web-1.2.3@{digest}",
    }
    assert deployment["spec"]["replicas"] == 4
    assert deployment["spec"]["template"]["metadata"] == {"labels": {"app": "web"}}
    assert (part.type, part.source) == ("kubernetes", f"helm:web-1.2.3@{digest}")
    assert (part.wait, part.timeout_seconds) == (False, 510.0)


def test_crds_come_first(engine: HelmEngine) -> None:
    """Those of ``crds/``, all documents of a file; a cluster-scoped kind they declare gets no namespace."""
    crd = (
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
        "metadata: {{name: {0}s.example.com}}\nspec: {{group: example.com, scope: {1}, names: {{kind: {0}}}}}\n"
    )
    files = {
        **WEB,
        "crds/kinds.yaml": crd.format("Press", "Cluster") + "---\n" + crd.format("Line", "Namespaced"),
        "templates/press.yaml": "apiVersion: example.com/v1\nkind: Press\nmetadata: {name: one}\n",
        "templates/line.yaml": "apiVersion: example.com/v1\nkind: Line\nmetadata: {name: one}\n",
    }
    part = render(engine, files)
    assert kinds(part) == ["CustomResourceDefinition"] * 2 + ["Service", "Deployment", "Line", "Press"]
    line, press = part.objects[-2:]
    assert line["metadata"]["namespace"] == "press"
    assert "namespace" not in press["metadata"]


def test_install_order_is_helms(tmp_path: Path) -> None:
    """Every kind of the table, given in reverse, comes out as Helm's own installation orders them."""
    engine = engine_named("cli", tmp_path)
    names = [*INSTALL_ORDER, "Zebra", "Aardvark"]
    body = "".join(
        f"---\napiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}}}\n"
        for kind in reversed(names)
        if not kind.endswith("List")
        for name in ("b", "a")
    )
    files = {"Chart.yaml": WEB["Chart.yaml"], "templates/all.yaml": body}
    rendered = engine.render(archive(files), {}, "web", "press")
    helms = [line.removeprefix("kind: ") for file in rendered.templates for line in file.text.splitlines()
             if line.startswith("kind: ")]  # fmt: skip
    assert kinds(render(engine, files)) == helms


def test_test_hooks_are_left_out(engine: HelmEngine) -> None:
    """They are for ``helm test``, not for an installation."""
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: probe, annotations: {helm.sh/hook: test}}\n"
    assert kinds(render(engine, {**WEB, "templates/tests/probe.yaml": pod})) == ["Service", "Deployment"]


def test_other_hooks_are_refused_by_name(engine: HelmEngine) -> None:
    """All of them at once, each with its file, kind and name."""
    job = "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {0}, annotations: {{helm.sh/hook: '{0},test'}}}}\n"
    files = {**WEB, **{f"templates/{hook}.yaml": job.format(hook) for hook in ("pre-install", "post-upgrade")}}
    error = refusal(engine, files)
    assert {reason.code for reason in error.reasons} == {"helm-hooks"}
    assert "templates/pre-install.yaml: Job 'pre-install' is a pre-install hook" in str(error)
    assert "post-upgrade" in str(error)
    assert not error.retryable


def test_schema_violation_names_the_value(engine: HelmEngine) -> None:
    """One reason for each field that the chart's own schema is against, with its path and the rule."""
    schema = {
        "type": "object",
        "required": ["line"],
        "properties": {
            "replicas": {"type": "integer"},
            "hosts": {"type": "array", "items": {"type": "object", "properties": {"port": {"maximum": 9}}}},
        },
    }
    values = {"replicas": "many", "hosts": [{"port": 1}, {"port": 80}]}
    reasons = refusal(engine, {**WEB, "values.schema.json": json.dumps(schema)}, values).reasons
    assert {reason.code for reason in reasons} == {"helm-values"}
    found = {reason.path: reason.message for reason in reasons}
    assert found == {
        "helm.values": "missing property 'line'",
        "helm.values.replicas": "got string, want integer",
        "helm.values.hosts[1].port": "maximum: got 80, want 9",
    }


def test_schema_violation_of_a_subchart_names_the_value_where_it_is_set(engine: HelmEngine) -> None:
    """The subchart's values stand below its name."""
    schema = json.dumps({"properties": {"port": {"type": "integer"}}})
    files = {**WEB, **{f"charts/sub/{name}": text for name, text in chart(name="sub").items()}}
    files |= {"charts/sub/values.schema.json": schema}
    files["Chart.yaml"] += "dependencies: [{name: sub, version: 1.2.3}]\n"
    [reason] = refusal(engine, files, {"sub": {"port": "none"}}).reasons
    assert reason.path == "helm.values.sub.port"


@pytest.mark.parametrize("reference", ["http://127.0.0.1:9/x.json", "file:///etc/hostname", "other.json"])
def test_a_schema_that_leads_elsewhere_is_refused(engine: HelmEngine, reference: str) -> None:
    """Rendering asks no server and reads no file of this machine, whatever a chart says."""
    schema = json.dumps({"properties": {"a": {"$ref": reference}, "b": {"$ref": "#/definitions/b"}}})
    [reason] = refusal(engine, {**WEB, "values.schema.json": schema}).reasons
    assert (reason.code, reason.path) == ("helm-chart", "helm.chart")
    assert f"values.schema.json: {reference}" in reason.message
    [reason] = refusal(
        engine, {**WEB, "charts/sub-1.2.3.tgz": archive({**chart(name="sub"), "values.schema.json": schema})}
    ).reasons
    assert f"sub-1.2.3.tgz: web/values.schema.json: {reference}" in reason.message


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ('{{ fail "choose a port" }}', "choose a port"),
        ("{{ .Values.a.b.c }}", "templates/bad.yaml"),
        ("{{ if }}", "missing value for if"),
        ('{{ required "line is required" .Values.line }}', "line is required"),
        ("kind: 80: a: b\n a", "templates/bad.yaml"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {}\n", "metadata.name"),
        ("apiVersion: v1\nmetadata: {name: a}\n", "kind"),
        ("- a\n- b\n", "templates/bad.yaml"),
    ],
)
def test_template_error_says_where(engine: HelmEngine, template: str, says: str) -> None:
    """A person finds the template and the cause."""
    error = refusal(engine, {**WEB, "templates/bad.yaml": template})
    assert says in str(error)
    assert all(reason.path.startswith("helm") for reason in error.reasons)


def test_secret_values_are_not_in_messages(engine: HelmEngine) -> None:
    """Even where the chart itself prints them in its failure."""
    files = {**WEB, "templates/bad.yaml": '{{ fail (printf "bad: %s %s" .Values.db.password .Values.line) }}'}
    message = str(refusal(engine, files, {"db": {"password": "hunter2-line"}, "line": "press"}))
    assert "hunter2-line" not in message
    assert "bad: *** press" in message


def test_secret_values_are_not_in_logs(engine: HelmEngine, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is logged with the values in it, at any level."""
    caplog.set_level(0)
    render(engine, WEB, {"password": "hunter2"})
    assert "hunter2" not in caplog.text


def test_chart_that_makes_up_values_is_refused(engine: HelmEngine) -> None:
    """A random password would be a new manifest at each rendering; the file is named."""
    secret = (
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {p: {{ .Values.p | default (randAlphaNum 9) }}}"
    )
    files = {**WEB, "templates/secret.yaml": secret}
    [reason] = refusal(engine, files).reasons
    assert reason.code == "helm-not-deterministic"
    assert "templates/secret.yaml" in reason.message
    assert kinds(render(engine, files, {"p": "given"})) == ["Secret", "Service", "Deployment"]


def test_same_chart_renders_alike_after_other_values(engine: HelmEngine) -> None:
    """A rendering with a subchart turned off must leave no trace in the next one."""
    files = {
        **WEB,
        "Chart.yaml": WEB["Chart.yaml"] + "dependencies: [{name: sub, version: 1.0.0, condition: sub.enabled}]\n",
        "charts/sub/Chart.yaml": "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
        "charts/sub/templates/map.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: sub}\n",
    }
    on = kinds(render(engine, files))
    assert on == ["ConfigMap", "Service", "Deployment"]
    assert kinds(render(engine, files, {"sub": {"enabled": False}})) == ["Service", "Deployment"]
    assert kinds(render(engine, files)) == on


def test_files_that_are_sent_by_number_are_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was sent before, and after the numbers began again; partials and notes make no objects."""
    monkeypatch.setattr(helm_worker, "MOST_NUMBERED", 30)
    sender, receiver = helm_worker.Numbered(), NumberedFiles()
    begun = sent = 0
    for number in range(20):
        files = {"a.yaml": "same", "b.yaml": f"text {number // 2}", "_c.tpl": "none", "c.yaml": f"{number % 3}"}
        answer = sender.answer(files | {"templates/NOTES.txt": "none"})
        begun += answer["new"]
        sent += sum(type(item) is not int for item in answer["files"])
        assert receiver.of(answer) == tuple((path, text) for path, text in files.items() if path != "_c.tpl")
    assert begun > 1
    assert sent < 40


def test_missing_dependency_and_library_chart_are_refused(engine: HelmEngine) -> None:
    """As ``helm install`` does; rendering alone would leave them out in silence."""
    missing = {
        **WEB,
        "Chart.yaml": WEB["Chart.yaml"] + "dependencies: [{name: gone, version: 1.0.0, repository: ''}]\n",
    }
    assert "gone" in str(refusal(engine, missing))
    library = {**WEB, "Chart.yaml": WEB["Chart.yaml"] + "type: library\n"}
    assert "librar" in str(refusal(engine, library))


def test_lists_are_opened(engine: HelmEngine) -> None:
    """The items of a List object are objects of their own."""
    text = "apiVersion: v1\nkind: List\nitems:\n" + "".join(
        f"- {{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}}}\n" for name in "ab"
    )
    part = render(engine, {"Chart.yaml": WEB["Chart.yaml"], "templates/list.yaml": text})
    assert [item["metadata"]["name"] for item in part.objects] == ["a", "b"]


def test_engines_agree(tmp_path: Path) -> None:
    """Both give the same manifest part, byte for byte."""
    one, two = (render(engine_named(name, tmp_path), WEB, {"port": 8080}) for name in ("sdk", "cli"))
    assert one.model_dump_json() == two.model_dump_json()


def test_kubernetes_version_is_the_same_in_both_engines(engine: HelmEngine) -> None:
    """A chart that asks for the version gets the documented one."""
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: v}\ndata: {v: {{ .Capabilities.KubeVersion }}}\n"
    part = render(engine, {"Chart.yaml": WEB["Chart.yaml"], "templates/v.yaml": text})
    assert part.objects[0]["data"]["v"] == KUBERNETES_VERSION


def test_release_name_rule() -> None:
    """The spec's, else deployment and component, cut to Helm's 53 characters without a dash at the end."""
    assert release_name(Component(name="web", helm=HelmChart(chart="x", release="mine")), "press") == "mine"
    assert release_name(Component(name="web", helm=HelmChart(chart="x")), "press") == "press-web"
    assert release_name(Component(name="web", helm=HelmChart(chart="x")), "p" * 52) == "p" * 52
    assert len(release_name(Component(name="w" * 60, helm=HelmChart(chart="x")), "press")) == 53
    with pytest.raises(RenderError, match="53"):
        release_name(Component(name="web", helm=HelmChart(chart="x", release="r" * 54)), "press")


def test_without_any_engine_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No SDK and an empty PATH: the refusal names both ways out. A ``helm`` on the PATH is taken then."""
    monkeypatch.setitem(sys.modules, "helm_python", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RenderError) as caught:
        find_engine()
    assert caught.value.reasons[0].code == "helm-missing"
    assert "fleetbus[orchestrator]" in str(caught.value)
    (tmp_path / "helm").write_text("#!/bin/sh\n")
    (tmp_path / "helm").chmod(0o755)
    assert isinstance(find_engine(), CliEngine)


def test_sdk_comes_first() -> None:
    """Where it is installed and its library is one for this machine."""
    pytest.importorskip("helm_python", reason="helm-python-sdk is not installed")
    assert isinstance(find_engine(), SdkEngine)


LOOPS = {
    "time": "{{- range until 100000 }}{{- range until 100000 }}{{ end }}{{ end }}",
    "memory": "{{ repeat 2000000000 .Release.Name }}",
    "output": "{{- range until 1000 }}{{- range until 1000 }}aaaaaaaaaaaaaaaaaaaaaaaaa{{ end }}{{ end }}",
}


@pytest.fixture
def bounded() -> SdkEngine:
    """The SDK, with little patience."""
    pytest.importorskip("helm_python", reason="helm-python-sdk is not installed")
    return SdkEngine(seconds=10.0)


@pytest.mark.parametrize(
    ("loop", "code"), [("time", "helm-timed-out"), ("memory", "helm-crashed"), ("output", "helm-template")]
)
def test_templates_without_end_are_given_up(bounded: SdkEngine, loop: str, code: str) -> None:
    """By time, memory or the size of what they make; the next chart is rendered by a process that is well."""
    error = refusal(bounded, {**WEB, "templates/loop.yaml": LOOPS[loop]})
    assert (error.reasons[0].code, error.retryable) == (code, False)
    assert isinstance(error, RenderAbandoned) == (loop != "output")
    assert error.reasons[0].path.startswith("helm")
    assert kinds(render(bounded, WEB)) == ["Service", "Deployment"]


@pytest.mark.parametrize(
    "define",
    [
        '{{- define "x" }}{{ include "x" . }}{{ end }}{{ include "x" . }}',
        '{{- define "x" }}{{ template "x" . }}{{ end }}{{ template "x" . }}',
    ],
)
def test_templates_that_call_themselves_are_refused(engine: HelmEngine, define: str) -> None:
    """Helm itself counts how deep they are."""
    assert refusal(engine, {**WEB, "templates/loop.yaml": define}).reasons[0].code == "helm-template"


def test_process_of_the_sdk_ends_with_its_thread(bounded: SdkEngine) -> None:
    """A worker thread that is gone leaves none behind."""
    ids: list[int] = []

    def work() -> None:
        assert bounded.works()
        ids.extend(children())

    before = set(children())
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert set(ids) - before
    deadline = time.monotonic() + 10.0
    while set(children()) - before:
        assert time.monotonic() < deadline, "the process of a thread that ended is still there"


def children() -> list[int]:
    """The processes that this one has started and that have not ended."""
    return [child.pid for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]


def test_command_that_hangs_is_ended(tmp_path: Path) -> None:
    """A chart whose templates loop does not hold the orchestrator up."""
    script = tmp_path / "helm"
    script.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    script.chmod(0o755)
    with pytest.raises(RenderError) as caught:
        CliEngine(str(script), timeout=0.2).render(archive(chart()), {}, "web", "press")
    assert caught.value.reasons[0].code == "helm-timed-out"
