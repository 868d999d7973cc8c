"""A spec message: taken, or refused with every reason and its path."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from topics.codec import MAX_PAYLOAD_BYTES
from topics.errors import ContractError
from topics.spec_reader import read_spec

VALID: dict[str, Any] = {
    "apiVersion": "fleetbus/v1",
    "kind": "DeploymentSpec",
    "metadata": {"name": "press-monitor", "labels": {"line": "press"}},
    "spec": {
        "application": {"id": "com.example.press-monitor", "version": "1.4.0"},
        "agents": {"devices": ["edge-01", "edge-02"]},
        "cluster": {"namespace": "fleetbus-system"},
        "workload": {"namespace": "press", "create": True},
        "initialization": {"configMaps": [{"metadata": {"name": "a"}}], "secrets": [], "jobs": []},
        "requirements": {"cpu": {"cores": "500m", "architectures": ["amd64"]}, "memory": "512Mi", "storage": "59 Gi"},
        "components": [
            {
                "name": "database",
                "helm": {"chart": "oci://r.example/tsdb", "version": "2.3.7", "values": {"a": [1, None]}},
            },
            {
                "name": "settings",
                "kubernetes": {
                    "objects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}]
                },
            },
        ],
        "activation": {"mode": "immediate"},
    },
}
MISSING = object()


def changed(*changes: tuple[str, Any]) -> dict[str, Any]:
    """The valid spec with the values at some paths (dots; numbers for list entries) replaced or taken out."""
    document = copy.deepcopy(VALID)
    for path, value in changes:
        *way, last = (int(step) if step.isdigit() else step for step in path.split("."))
        place: Any = document
        for step in way:
            place = place[step]
        if value is MISSING:
            del place[last]
        else:
            place[last] = value
    return document


def reasons(payload: bytes | dict[str, Any], **options: Any) -> list[tuple[str, str]]:
    """Code and path of every reason for the refusal."""
    with pytest.raises(ContractError) as caught:
        read_spec(payload if isinstance(payload, bytes) else json.dumps(payload).encode(), **options)
    assert all(reason.message for reason in caught.value.reasons)
    return [(reason.code, reason.path) for reason in caught.value.reasons]


@pytest.mark.parametrize(
    ("path", "value", "code", "where"),
    [
        ("apiVersion", MISSING, "unsupported-version", "apiVersion"),
        ("apiVersion", "fleetbus/v2", "unsupported-version", "apiVersion"),
        ("kind", "Deployment", "wrong-kind", "kind"),
        ("metadata", MISSING, "missing", "metadata"),
        ("metadata.name", "Press", "invalid", "metadata.name"),
        ("metadata.name", 7, "invalid", "metadata.name"),
        ("metadata.color", "red", "unknown-field", "metadata.color"),
        ("metadata.labels.line", "a b", "invalid", "metadata.labels.line"),
        ("spec", [], "invalid", "spec"),
        ("spec.replicas", 3, "unknown-field", "spec.replicas"),
        ("spec.application.version", MISSING, "missing", "spec.application.version"),
        ("spec.application.id", "", "invalid", "spec.application.id"),
        ("spec.agents", MISSING, "missing", "spec.agents"),
        ("spec.agents", {}, "invalid", "spec.agents"),
        ("spec.agents.devices", [], "invalid", "spec.agents"),
        ("spec.agents.devices", ["a", "a"], "invalid", "spec.agents"),
        ("spec.agents.devices.1", "a/b/c", "invalid", "spec.agents.devices[1]"),
        ("spec.agents.devices.1", "*", "invalid", "spec.agents.devices[1]"),
        ("spec.agents.selector", {}, "invalid", "spec.agents"),
        ("spec.agents.count", 0, "invalid", "spec.agents.count"),
        ("spec.agents.count", "some", "invalid", "spec.agents.count"),
        ("spec.cluster.namespace", "Fleet", "invalid", "spec.cluster.namespace"),
        ("spec.workload.create", "maybe", "invalid", "spec.workload.create"),
        ("spec.initialization.jobs", {}, "invalid", "spec.initialization.jobs"),
        ("spec.requirements.memory", "lots", "invalid", "spec.requirements.memory"),
        ("spec.requirements.memory", "-1Gi", "invalid", "spec.requirements.memory"),
        ("spec.requirements.cpu.architectures", ["x86"], "not-allowed", "spec.requirements.cpu.architectures[0]"),
        ("spec.requirements.rules", [{}], "invalid", "spec.requirements.rules[0]"),
        ("spec.requirements.rules", [{"labelSelector": {}}] * 101, "invalid", "spec.requirements.rules"),
        ("spec.components", [], "invalid", "spec.components"),
        ("spec.components.0.name", "settings", "invalid", "spec.components"),
        ("spec.components.0.helm", MISSING, "invalid", "spec.components[0]"),
        ("spec.components.0.compose", {}, "invalid", "spec.components[0].compose"),
        ("spec.components.0.compose", {"project": {"services": {}}}, "invalid", "spec.components[0]"),
        ("spec.components.0.helm.chart", MISSING, "missing", "spec.components[0].helm.chart"),
        ("spec.components.0.helm.timeout", "soon", "invalid", "spec.components[0].helm.timeout"),
        ("spec.components.0.helm.timeout", "9999999h", "invalid", "spec.components[0].helm.timeout"),
        ("spec.components.0.helm.digest", "sha256:0", "invalid", "spec.components[0].helm.digest"),
        ("spec.components.1.kubernetes.objects", [], "invalid", "spec.components[1].kubernetes.objects"),
        ("spec.components.1.kubernetes.objects.0.kind", MISSING, "invalid", "spec.components[1].kubernetes.objects"),
        ("spec.components.1.kubernetes.objects.0", "x", "invalid", "spec.components[1].kubernetes.objects[0]"),
        ("spec.activation.mode", "later", "not-allowed", "spec.activation.mode"),
        ("spec.activation.mode", "window", "invalid", "spec.activation.mode"),
    ],
)
def test_bad_fields_are_named_by_their_path(path: str, value: Any, code: str, where: str) -> None:
    """One fault, one reason: its code and its path, the same from JSON and from YAML."""
    document = changed((path, value))
    assert reasons(document) == [(code, where)]
    assert reasons(yaml.safe_dump(document).encode()) == [(code, where)]


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", "malformed"),
        (b"   \n", "malformed"),
        (b"[]", "malformed"),
        (b"hello", "malformed"),
        (b"7", "malformed"),
        (b"true", "malformed"),
        (b"a: b: c", "malformed"),
        (b'{"a":', "malformed"),
        (b"\xff\xfe{\x00", "not-utf8"),
        (b'{"a":"\xe9"}', "not-utf8"),
        (b"\x00\x01", "malformed"),
        (b'{"kind":1,"kind":2}', "duplicate-key"),
        (b"kind: 1\nkind: 2", "duplicate-key"),
        (b'{"a":' * 10_000, "too-deep"),
        (b"a: [" + b"[" * 10_000, "too-deep"),
        (b"x" * (MAX_PAYLOAD_BYTES + 1), "oversize"),
        (b'{"apiVersion":"\\ud800"}', "malformed"),
        (b'{"a":1e999}', "bad-number"),
        (b"a: *b", "malformed"),
        (b"a: 1\n---\nb: 2", "several-documents"),
    ],
    ids=range(20),
)
def test_bad_documents_have_one_reason(payload: bytes, code: str) -> None:
    """What is no mapping in the first place is refused by that, not by every missing field."""
    ((found, _),) = reasons(payload)
    assert found == code


def test_all_reasons_come_at_once() -> None:
    """Faults in all corners are reported together."""
    document = changed(
        ("metadata.name", "Press"), ("spec.requirements.memory", "lots"), ("spec.components.0.name", "-"),
        ("spec.activation.mode", "later"), ("spec.replicas", 3), ("spec.agents.devices", []),
    )  # fmt: skip
    assert {where for _, where in reasons(document)} == {
        "metadata.name", "spec.requirements.memory", "spec.components[0].name", "spec.activation.mode", "spec.replicas",
        "spec.agents",
    }  # fmt: skip


def test_another_kind_in_another_version_is_told_in_two_reasons() -> None:
    """A Kubernetes Deployment is refused as that, without a reason for each of its fields."""
    document = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 3}, "status": {}}
    assert reasons(document) == [("unsupported-version", "apiVersion"), ("wrong-kind", "kind")]


def test_the_topic_and_the_document_must_agree() -> None:
    """A spec on another deployment's topic is refused."""
    payload = json.dumps(VALID).encode()
    assert read_spec(payload, name="press-monitor").name == "press-monitor"
    assert reasons(payload, name="other") == [("wrong-name", "metadata.name")]


def test_yaml_and_json_are_the_same_spec() -> None:
    """In block style, in flow style, indented, with a byte order mark and Windows line ends."""
    wanted = read_spec(json.dumps(VALID).encode())
    block = yaml.safe_dump(VALID)
    for text in (
        block,
        yaml.safe_dump(VALID, default_flow_style=True),
        json.dumps(VALID, indent=2),
        "\n  " + json.dumps(VALID),
        "---\n" + block + "...\n",
        block.replace("\n", "\r\n"),
        "\ufeff" + block,
        "\ufeff" + json.dumps(VALID),
    ):
        assert read_spec(text.encode()) == wanted
    assert wanted.workload_namespace == "press"


def test_the_own_limit_is_kept() -> None:
    """A smaller limit holds, to the byte."""
    payload = json.dumps(VALID).encode()
    assert read_spec(payload, limit=len(payload))
    assert reasons(payload, limit=len(payload) - 1) == [("oversize", "")]


def paths_of(value: Any, prefix: str = "") -> list[str]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for step, child in steps for path in (f"{prefix}{step}", *paths_of(child, f"{prefix}{step}."))]


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([MISSING, "all", "4Gi", 1]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(paths_of(VALID)), anything)
def test_any_value_anywhere_is_taken_or_refused_with_reasons(path: str, value: Any) -> None:
    """A spec with one part replaced never raises anything but a contract error."""
    text = json.dumps(changed((path, value)), default=lambda _: None)
    try:
        read_spec(text.encode("utf-8", "surrogatepass"))
    except ContractError as error:
        str(error).encode()  # the answer can be published


@given(st.integers(0, len(json.dumps(VALID))), st.binary(max_size=4), st.integers(0, 6), st.booleans())
def test_damaged_bytes_are_taken_or_refused_with_reasons(at: int, inserted: bytes, removed: int, as_yaml: bool) -> None:
    """The same for a payload with some bytes replaced."""
    payload = (yaml.safe_dump(VALID) if as_yaml else json.dumps(VALID)).encode()
    try:
        read_spec(payload[:at] + inserted + payload[at + removed :])
    except ContractError as error:
        str(error).encode()
