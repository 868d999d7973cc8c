"""A device's own component: placeholders, values by device, and what is shared by devices that agree."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.charts.archive import open_archive
from orchestrator.rendering.manifests import ManifestFactory
from orchestrator.rendering.own import merged
from orchestrator.rendering.placeholders import facts_in, filled, values_of
from orchestrator.rendering.port import RenderError, Target
from orchestrator.rendering.registry import load_renderers
from tests.unit.charts.chart_files import WEB, archive
from tests.unit.rendering.test_manifests import config_map, objects, spec_of
from topics.codec import encode, seal
from topics.documents.device import Capabilities
from topics.documents.manifest import Manifest
from topics.documents.spec import DeploymentSpec
from topics.errors import Reason

RENDERERS = load_renderers()
CHART = open_archive(archive(WEB))


def target(device: str = "edge-01", labels: dict[str, str] | None = None, **fields: Any) -> Target:
    """A device that says what it is."""
    known = Capabilities(device=device, labels=labels or {}, **fields)
    return Target(device, known.labels, known)


def fill(value: Any, device: Target) -> Any:
    """The value on a device, in the deployment ``press``."""
    return filled(value, values_of(facts_in(value), device, "press"), device, "kubernetes.objects[0]")


def refusal(value: Any, device: Target) -> tuple[Reason, ...]:
    """Why it cannot be filled in."""
    with pytest.raises(RenderError) as caught:
        fill(value, device)
    return caught.value.reasons


def factory(spec: DeploymentSpec) -> ManifestFactory:
    """The factory of a spec whose charts are all ``web``."""
    return ManifestFactory(spec, 3, "sha256:0", RENDERERS, {part.name: CHART for part in spec.spec.components})


def data_of(manifest: Manifest) -> dict[str, str]:
    """The data of the first component's first object."""
    data: dict[str, str] = manifest.components[0].objects[0]["data"]
    return data


DEVICE = target(labels={"line": "weld", "plant.example/hall": "3"}, vendor="Maker", model="M1", serial="S9")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("${device.id}", "edge-01"),
        ("a-${device.labels.line}-b", "a-weld-b"),
        ("${device.labels.plant.example/hall}", "3"),
        ("${device.vendor}/${device.model}/${device.serial}", "Maker/M1/S9"),
        ("${deployment}", "press"),
        ("${device.labels.shift:-early}", "early"),
        ("${device.labels.shift:-}", ""),
        ("${device.labels.line:-none}", "weld"),
        ("$${device.id}", "${device.id}"),
        ("$$${device.id}", "$${device.id}"),
        ("$${device.labels.line:-none}", "${device.labels.line:-none}"),
        ("${HOME} $(pwd) $HOME ${generation} ${deployments}", "${HOME} $(pwd) $HOME ${generation} ${deployments}"),
        ("${device}", "${device}"),
        ("$device.id", "$device.id"),
        ("${device.id", "${device.id"),
    ],
)
def test_a_placeholder_becomes_what_is_true_of_the_device(text: str, wanted: str) -> None:
    """What is none is left as it is written."""
    assert fill(text, DEVICE) == wanted


def test_what_is_filled_in_is_not_looked_at_again() -> None:
    """A device cannot smuggle a placeholder in by what it says of itself."""
    device = target(vendor="${device.serial}", serial="secret")
    assert fill("${device.vendor}", device) == "${device.serial}"


def test_values_are_filled_in_wherever_they_stand_and_keys_are_not() -> None:
    """Also in lists; numbers and booleans stay what they are."""
    value = {"${device.id}": ["${device.id}", {"a": "${device.labels.line}"}], "n": 1, "b": True, "z": None}
    assert fill(value, DEVICE) == {"${device.id}": ["edge-01", {"a": "weld"}], "n": 1, "b": True, "z": None}


def test_what_is_missing_is_named_with_place_label_and_device() -> None:
    """All of it at once, and what to do."""
    value = {"data": {"a": "${device.labels.shift}", "b": ["${device.serial}"]}}
    label, serial = refusal(value, target("edge-07"))
    assert (label.path, label.code, label.required, label.device) == (
        "kubernetes.objects[0].data.a", "placeholder-missing", "device.labels.shift", "edge-07",
    )  # fmt: skip
    assert "no label 'shift'" in label.message
    assert ":-default" in (label.hint or "")
    assert serial.path == "kubernetes.objects[0].data.b[0]"
    assert "does not say its serial" in serial.message


def test_a_device_of_which_nothing_is_known_says_so() -> None:
    """Rendering without a broker is not a device without labels."""
    [reason] = refusal("${device.labels.line}", Target("edge-01"))
    assert "nothing is known" in reason.message
    assert "--live" in (reason.hint or "")


def test_a_typing_error_in_a_placeholder_is_refused_for_all_devices() -> None:
    """At once, with the ones that there are, and how to keep it as it is written."""
    spec = spec_of(objects("settings", {**config_map("settings"), "data": {"a": "${device.lables.line}"}}))
    with pytest.raises(RenderError) as caught:
        factory(spec)
    [reason] = caught.value.reasons
    assert (reason.path, reason.code) == ("spec.components[0].kubernetes.objects[0].data.a", "placeholder-unknown")
    assert "device.labels.KEY" in (reason.available or "")
    assert "$${device.lables.line}" in (reason.hint or "")


def test_every_kind_of_component_has_placeholders() -> None:
    """Chart values, objects, a Compose project with its environment and files, initialization."""
    spec = spec_of(
        {"name": "web", "helm": {"chart": "web", "values": {"port": "${device.labels.port}"}}},
        objects("settings", {**config_map("settings"), "data": {"station": "${device.id} of ${deployment}"}}),
        {
            "name": "bridge",
            "compose": {
                "project": {"services": {"b": {"image": "b:1", "labels": {"station": "${device.id}"}}}},
                "environment": {"STATION": "${device.id}"},
                "files": {"a.txt": "${device.labels.line:-none}"},
            },
        },
        initialization={"configMaps": [{"metadata": {"name": "first"}, "data": {"station": "${device.id}"}}]},
    )
    manifest = factory(spec).manifest_for(target("edge-07", {"port": "81"}))
    web, settings, bridge = manifest.components
    assert web.objects[0]["spec"]["ports"] == [{"port": 81}]
    assert settings.objects[0]["data"] == {"station": "edge-07 of press"}
    assert bridge.config["project"]["services"]["b"]["labels"]["station"] == "edge-07"
    assert bridge.config["environment"] == {"STATION": "edge-07"}
    assert bridge.config["files"] == {"a.txt": "none"}
    assert manifest.initialization[1]["data"] == {"station": "edge-07"}


def test_devices_that_agree_share_one_rendering() -> None:
    """A thousand devices of three lines are three renderings."""
    spec = spec_of(objects("settings", {**config_map("settings"), "data": {"line": "${device.labels.line}"}}))
    made = factory(spec)
    one, two, other = (
        made.manifest_for(target(name, {"line": line})) for name, line in (("a", "weld"), ("b", "weld"), ("c", "press"))
    )
    assert one.components[0] is two.components[0]
    assert (data_of(one), data_of(other)) == ({"line": "weld"}, {"line": "press"})


def test_what_no_device_changes_is_rendered_once_and_refused_once() -> None:
    """Its faults are the spec's, and name no device."""
    spec = spec_of(
        objects("settings", {**config_map("settings"), "data": {"line": "${device.labels.line}"}}),
        {"name": "web", "helm": {"chart": "web", "values": {"port": {"no": "number"}}}},
    )
    with pytest.raises(RenderError) as caught:
        factory(spec)
    assert {reason.device for reason in caught.value.reasons} == {None}


def test_one_device_that_lacks_a_label_does_not_stop_the_others() -> None:
    """It alone is refused, by its name."""
    spec = spec_of(objects("settings", {**config_map("settings"), "data": {"line": "${device.labels.line}"}}))
    made = factory(spec)
    with pytest.raises(RenderError) as caught:
        made.manifest_for(target("b"))
    [reason] = caught.value.reasons
    assert (reason.path, reason.device) == ("spec.components[0].kubernetes.objects[0].data.line", "b")
    assert data_of(made.manifest_for(target("a", {"line": "weld"}))) == {"line": "weld"}


def test_objects_that_become_the_same_on_a_device_are_refused_there() -> None:
    """Two names that are apart in the spec may meet on a device."""
    spec = spec_of(objects("all", config_map("${device.labels.a}"), config_map("${device.labels.b}")))
    made = factory(spec)
    assert made.manifest_for(target("x", {"a": "one", "b": "two"})).components[0].objects
    with pytest.raises(RenderError) as caught:
        made.manifest_for(target("y", {"a": "one", "b": "one"}))
    [reason] = caught.value.reasons
    assert (reason.code, reason.device) == ("duplicate-object", "y")


def test_values_by_device_are_merged_in_order() -> None:
    """By id, then by selector; the last one wins, and who is meant by none has the spec's."""
    helm = {
        "chart": "web",
        "values": {"port": 80},
        "deviceValues": [
            {"selector": {"matchLabels": {"line": "weld"}}, "values": {"port": 81}},
            {"devices": ["edge-02"], "values": {"port": 82}},
            {"selector": {"matchExpressions": [{"key": "/memory", "operator": "Gt", "values": ["4Gi"]}]},
             "values": {"port": 83}},
        ],
    }  # fmt: skip
    made = factory(spec_of({"name": "web", "helm": helm}))
    ports = {
        device.device: made.manifest_for(device).components[0].objects[0]["spec"]["ports"][0]["port"]
        for device in (
            target("edge-01"), target("edge-02", {"line": "weld"}), target("edge-03", {"line": "weld"}),
            target("edge-04", memory=8 * 2**30), Target("edge-05"),
        )
    }  # fmt: skip
    assert ports == {"edge-01": 80, "edge-02": 82, "edge-03": 81, "edge-04": 83, "edge-05": 80}


def test_null_takes_the_charts_own_default_away() -> None:
    """As it does in a values file of Helm's."""
    files = {
        **WEB,
        "values.yaml": "replicas: 1\nport: 80\nextra: {a: 1, b: 2}\n",
        "templates/extra.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"
        "data: {extra: '{{ .Values.extra | toJson }}'}\n",
    }
    values = [{"devices": ["edge-01"], "values": {"extra": {"a": None, "c": [3]}}}]
    spec = spec_of({"name": "web", "helm": {"chart": "web", "deviceValues": values}})
    made = ManifestFactory(spec, 1, "", RENDERERS, {"web": open_archive(archive(files))})
    found = [data_of(made.manifest_for(Target(name)))["extra"] for name in ("edge-01", "edge-02")]
    assert found == ['{"b":2,"c":[3]}', '{"a":1,"b":2}']


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
VALUES = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)


@given(VALUES, VALUES)
def test_merging_keeps_every_key_and_lets_the_device_win(values: dict[str, Any], over: dict[str, Any]) -> None:
    """Maps key by key, all else replaced; nothing that was given is changed, and merging twice is merging once."""
    before = repr((values, over))
    result = merged(values, over)
    assert repr((values, over)) == before
    assert result.keys() == values.keys() | over.keys()
    for key, value in over.items():
        if not isinstance(value, dict) or not isinstance(values.get(key), dict):
            assert result[key] == value
    assert merged(result, over) == result


@given(JSON)
def test_filling_in_never_fails_for_what_has_no_placeholder(value: Any) -> None:
    """Any JSON is taken, and comes out as it went in."""
    assert filled(value, {}, DEVICE, "") == value


@given(st.text(alphabet="${}devic.labsxn:-/ ", max_size=40))
def test_any_text_is_filled_in_or_refused_with_a_reason(text: str) -> None:
    """Never another error, whatever is written."""
    try:
        fill(text, DEVICE)
        codes: set[str] = set()
    except RenderError as error:
        codes = {reason.code for reason in error.reasons}
    assert codes <= {"placeholder-missing", "placeholder-unknown"}


def test_payloads_are_those_of_encoding_each_manifest() -> None:
    """Byte for byte: the digest is how a device knows a manifest again."""
    spec = spec_of(
        {"name": "web", "helm": {"chart": "web", "values": {"port": "${device.labels.port:-80}"}}},
        objects("settings", {**config_map("settings"), "data": {"ü": "${device.id}", "n": "x"}, "none": None}),
        application={"id": "com.example", "version": "1"},
        requirements={"memory": "1Gi"},
        initialization={"configMaps": [{"metadata": {"name": "first"}, "data": {"station": "${device.id}"}}]},
    )
    made = factory(spec)
    for device in (target("a"), target("b", {"port": "81"}), target("c"), target("a")):
        manifest = made.manifest_for(device)
        assert made.payload_of(manifest) == seal(encode(manifest))
        assert Manifest.model_validate_json(made.payload_of(manifest)) == manifest
