"""What a template may read is found in its text; and files that are known are those that Helm would render."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.rendering.helm_chart import RenderedFile
from orchestrator.rendering.helm_engine import SdkEngine
from orchestrator.rendering.helm_known import MOST_SELECTIONS, KnownFiles, Selection
from orchestrator.rendering.helm_reads import Group, Grouping, groups_of
from orchestrator.rendering.port import RenderError
from tests.unit.charts.chart_files import archive
from tests.unit.rendering.engines import engine_named

HELPERS = """\
{{- define "name" }}{{ default .Chart.Name .Values.name }}{{ end }}
{{- define "full" }}{{ include "name" . }}-{{ $.Values.suffix }}{{ end }}
{{- define "all" }}{{ toYaml . }}{{ end }}
{{- define "item" }}{{ .label }}{{ end }}
{{- define "loop" }}{{ if .Values.deep.a }}{{ include "loop" (dict "Values" (dict "deep" dict)) }}{{ end }}{{ end }}
"""

READS = {
    "plain text": set(),
    "{{ .Release.Name }} {{ .Chart.Version }} {{ .Files.Get `a.txt` }} {{ .Capabilities.KubeVersion }}": set(),
    "{{ .Values.a }} {{ .Values.b.c | quote }}": {"a", "b.c"},
    "{{ .Values.b.c }} {{ .Values.b }}": {"b"},
    '{{- /* .Values.a }} */ -}} {{ `{{ .Values.b }}` }} {{ "}} .Values.b" }}': set(),
    "{{ .ValuesOfMine }} {{ .values.a }}": set(),
    "{{ .Values.a.AsMap }} {{ .Values.b.Table.c }}": {"a", "b"},
    "{{ .Values.AsMap }}": {""},
    "{{ $.Values.a }} {{ $x := .Values.b }} {{ $x.c }} {{ $x }}": {"a", "b"},
    "{{ with .Values.a }}{{ toYaml . }}{{ .b }}{{ $.Values.c }}{{ end }}": {"a", "c"},
    "{{ with .Values.a }}x{{ else }}{{ toYaml . }}{{ end }}": {""},
    "{{ with .Values.a }}{{ if .b }}{{ . }}{{ else }}{{ . }}{{ end }}{{ end }}": {"a"},
    "{{ with .Values.a }}{{ else with .Values.b }}{{ . }}{{ end }}": {""},
    "{{ range $key, $item := .Values.a }}{{ . }}{{ $key }}{{ $item }}{{ end }}": {"a"},
    "{{ range .Values.a }}{{ break }}{{ end }}{{ . }}": {""},
    "{{ if .Values.a }}{{ . }}{{ end }}": {""},
    "{{ toYaml $ }}": {""},
    "{{ (.).Values.a }}": {"", "a"},
    "{{ index .Values `a` }}": {""},
    '{{ get .Values "a" }}': {""},
    "{{ $all := . }}{{ $all.Values.a }}": {""},
    '{{ include "name" . }}': {"name"},
    "{{ include `full` $ | quote }}": {"name", "suffix"},
    '{{ template "full" . }}': {"name", "suffix"},
    '{{ printf "%s" (include "full" .) }}': {"name", "suffix"},
    '{{ include "item" (dict "label" .Values.a) }}': {"a"},
    '{{ include "name" (dict "Values" $.Values.a) }}': {"name", "a"},
    '{{ include "name" (dict "root" .) }}': {""},
    '{{ range .Values.a }}{{ include "item" . }}{{ end }}': {"a"},
    '{{ include "all" . }}': {""},
    '{{ include "loop" . }}': {"deep.a"},
    '{{ block "mine" . }}{{ .Values.a }}{{ end }}': {"a"},
    '{{ block "mine" .Values.b }}{{ .c }}{{ end }}': {"b"},
    '{{ define "late" }}{{ .Values.a }}{{ end }}{{ include "late" . }}': {"a"},
    '{{ define "unused" }}{{ .Values.a }}{{ end }}': set(),
    "{{\n  .Values.a\n  | quote\n}}": {"a"},
    "{{- .Values.a -}}": {"a"},
    '{{ lookup "v1" "Secret" "" .Values.a }}': {"a"},
}  # fmt: skip
"""Texts of a template and the values that it may read, as dotted paths; the empty path is everything."""

UNCLEAR = [
    "{{ tpl .Values.a . }}",
    "{{ $_ := set .Values.a `b` 1 }}",
    "{{ $_ := unset .Values.a `b` }}",
    "{{ $_ := merge (dict) .Values.a }}",
    "{{ $_ := mergeOverwrite .Values.a .Values.b }}",
    '{{ include (printf "%s" .Values.a) . }}',
    "{{ include (print $.Template.BasePath `/map.yaml`) . | sha256sum }}",
    "{{ $name := `name` }}{{ include $name . }}",
    "{{ `name` | include }}",
    '{{ include "n\\x61me" . }}',
    '{{ include "nobody defines it" . }}',
    '{{ include "web/templates/_helpers.tpl" . }}',
    "{{ getHostByName `example.com` }}",
    "{{ .Values.a ",
    '{{ "open }}',
    "{{ end }}",
    "{{ if .Values.a }}",
]  # fmt: skip


def grouping(text: str) -> Grouping | None:
    """Of a chart with the helpers and one template."""
    return groups_of({"templates/_helpers.tpl": HELPERS, "templates/map.yaml": text})


@pytest.mark.parametrize("text", READS)
def test_what_a_template_may_read(text: str) -> None:
    """Directly, through what it includes, and in the blocks in it."""
    found = grouping(text)
    assert found is not None
    [group] = found.groups
    smallest = {tuple(path.split(".")) if path else () for path in READS[text]}
    assert set(group.reads) == ({()} if () in smallest else smallest)


@pytest.mark.parametrize("text", UNCLEAR)
def test_a_chart_that_does_more_than_read_has_no_groups(text: str) -> None:
    """Nor one whose text cannot be understood: Helm says what is wrong with it."""
    assert grouping(text) is None


def test_templates_that_read_the_same_are_a_group() -> None:
    """Partials are in none; what defines something belongs to every rendering."""
    found = groups_of(
        {
            "templates/_helpers.tpl": HELPERS,
            "templates/a.yaml": "{{ .Values.x }}",
            "templates/b.yaml": "{{ with .Values.x }}{{ . }}{{ end }}",
            "templates/c.yaml": "{{ define `late` }}{{ end }}",
        }
    )
    assert found == Grouping(
        (
            Group((), frozenset({"templates/c.yaml"})),
            Group((("x",),), frozenset({"templates/a.yaml", "templates/b.yaml"})),
        ),
        frozenset({"templates/_helpers.tpl", "templates/c.yaml"}),
    )


class Renderings:
    """Stands for the engine: says which templates it was asked for."""

    def __init__(self, *names: str) -> None:
        self.asked: list[list[str] | None] = []
        self._names = names

    def __call__(self, only: Selection | None) -> Iterable[RenderedFile]:
        self.asked.append(sorted(only) if only is not None else None)
        names = self._names if only is None else only
        return [RenderedFile(f"web/{name}", f"{name} {len(self.asked)}") for name in names if "_" not in name]


FOUR = {f"templates/{name}.yaml": f"{{{{ .Values.{name} }}}}" for name in "abcd"}


def known(*, has_schema: bool = False) -> tuple[KnownFiles, Renderings]:
    """Of a chart with four templates that each read a value."""
    found = groups_of(FOUR)
    assert found is not None
    return KnownFiles("web", found, has_schema=has_schema), Renderings(*FOUR)


def texts(files: Iterable[RenderedFile]) -> list[str]:
    """Without the folder."""
    return sorted(file.text.removeprefix("templates/") for file in files)


def test_only_what_may_have_changed_is_rendered() -> None:
    """All the first time; then what reads a value that is new; nothing for values that were all there once."""
    files, engine = known()
    first = {"a": 1, "b": {"x": [1]}}
    files.files(first, engine, anew=False)
    assert texts(files.files({"a": 2, "b": {"x": [1]}}, engine, anew=False)) == [
        "a.yaml 2", "b.yaml 1", "c.yaml 1", "d.yaml 1"
    ]  # fmt: skip
    assert texts(files.files(first, engine, anew=False))[0] == "a.yaml 1"
    assert texts(files.files(first | {"nobody reads": 1}, engine, anew=False))[0] == "a.yaml 1"
    assert engine.asked == [None, ["templates/a.yaml"]]
    assert set(texts(files.files(first, engine, anew=True))) == {"a.yaml 3", "b.yaml 3", "c.yaml 3", "d.yaml 3"}


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), (1, 1.0), (0, False), (None, ""), ({}, []), ("1", 1), (None, {})]
)
def test_values_that_are_alike_are_not_the_same(one: Any, other: Any) -> None:
    """A template may make different text of them; and null takes away what a chart sets, which nothing does not."""
    files, engine = known()
    for values in ({"a": one}, {"a": other}, {}):
        files.files(values, engine, anew=False)
    assert len(engine.asked) == 3


def test_all_of_the_chart_is_rendered_where_that_is_most_of_it_or_there_are_many_selections() -> None:
    """Each selection is loaded as a chart of its own."""
    files, engine = known()
    files.files({}, engine, anew=False)
    files.files({"a": 1, "b": 1, "c": 1}, engine, anew=False)
    assert engine.asked == [None, None]
    twelve = {f"templates/{name}.yaml": f"{{{{ .Values.{name} }}}}" for name in "abcdefghijkl"}
    found = groups_of(twelve)
    assert found is not None
    files, engine = KnownFiles("web", found, has_schema=False), Renderings(*twelve)
    for name in "abcdefghijkl":
        files.files({name: 1}, engine, anew=False)
    assert sum(asked is not None for asked in engine.asked) == MOST_SELECTIONS


def test_a_schema_is_asked_about_all_values() -> None:
    """The engine checks them, also where no template reads what is new; the same values once."""
    files, engine = known(has_schema=True)
    for values in ({}, {"unread": 1}, {"unread": 1}):
        files.files(values, engine, anew=False)
    assert engine.asked == [None, []]


def test_what_fails_is_not_known() -> None:
    """The next time it is asked for again."""
    files, engine = known()
    files.files({}, engine, anew=False)

    def refuse(only: Selection | None) -> Iterable[RenderedFile]:
        raise RenderError.because("helm-template", "no")

    for _ in range(2):
        with pytest.raises(RenderError):
            files.files({"a": 1}, refuse, anew=False)
    files.files({"a": 1}, engine, anew=False)
    assert engine.asked[-1] == ["templates/a.yaml"]


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond it is forgotten and rendered again."""
    monkeypatch.setattr("orchestrator.rendering.helm_known.MOST_CHARACTERS", 500)
    files, engine = known()
    for number in range(100):
        assert len(files.files({"a": number}, engine, anew=False)) == 4
    assert engine.asked.count(None) > 1
    assert len(files._known) < 40


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> SdkEngine:
    """Helm's own."""
    found = engine_named("sdk", tmp_path_factory.mktemp("engine"))
    assert isinstance(found, SdkEngine)
    return found


SNIPPETS = [
    "{{ .Values.a }}",
    "{{ .Values.b.c }}",
    "{{ .Values.b | toJson }}",
    "{{ with .Values.b }}{{ .c }}{{ toJson . }}{{ else }}{{ .Release.Name }}{{ end }}",
    "{{ with .Values.a }}{{ $.Values.d }}{{ else }}{{ toJson .Values }}{{ end }}",
    "{{ range $k, $v := .Values.b }}{{ $k }}={{ $v }},{{ . }}{{ else }}none{{ end }}",
    "{{ if .Values.d }}{{ include `name` . }}{{ else }}{{ template `full` $ }}{{ end }}",
    "{{ include `item` (dict `label` .Values.a) }}",
    "{{ include `all` . | sha256sum }}",
    "{{ include `full` . | upper }}",
    "{{ toJson $.Values.b }}",
    "{{ get .Values `a` }}",
    "{{ $x := .Values }}{{ $x.d }}",
    "{{ .Release.Name }}",
    "{{ required `a is needed` .Values.a }}",
    "{{ .Values.b.c.d }}",
    "{{ block `own` . }}{{ .Values.d }}{{ end }}",
    "{{ .Values.AsMap | toJson }}",
    "{{ default `x` .Values.e }}{{ .Values.b.e }}",
]
SCALARS = st.sampled_from([None, 0, 1, 1.5, True, False, "", "x", "1"])
ABSENT = object()
TABLES = st.dictionaries(st.sampled_from("ce"), SCALARS, max_size=2)
CHANGES = st.one_of(
    st.tuples(st.sampled_from(["a", "d", "e", "name", "suffix"]), st.one_of(SCALARS, st.just(ABSENT))),
    st.tuples(st.just("b"), st.one_of(SCALARS, TABLES, st.just(ABSENT))),
)
"""One value at a time: what is alike is to meet."""


@settings(max_examples=250)
@given(
    texts=st.lists(st.lists(st.sampled_from(SNIPPETS), min_size=1, max_size=2).map("|".join), min_size=2, max_size=6),
    changes=st.lists(CHANGES, min_size=2, max_size=8),
)
def test_known_files_are_what_helm_renders(engine: SdkEngine, texts: list[str], changes: list[tuple[str, Any]]) -> None:
    """Whatever was rendered before; also what Helm refuses is refused, in the same words."""
    files = {f"templates/{number}.yaml": f"at: '{text}'\n" for number, text in enumerate(texts)}
    chart = archive(
        {
            "Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
            "values.yaml": "a: one\nb: {c: two, e: {deep: 1}}\nd: three\n",
            "templates/_helpers.tpl": HELPERS,
            **files,
        }
    )

    def outcome(values: dict[str, Any], *, anew: bool) -> object:
        try:
            return sorted(engine.render(chart, values, "press", "plant", anew=anew).templates)
        except RenderError as error:
            return error.reasons

    several: list[dict[str, Any]] = [{}]
    for name, value in changes:
        several.append({key: item for key, item in (several[-1] | {name: value}).items() if item is not ABSENT})
    found = [outcome(values, anew=False) for values in several]
    assert found == [outcome(values, anew=True) for values in several]
