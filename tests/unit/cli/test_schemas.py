"""The JSON Schemas and the models say the same."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from cli.schemas import CHECKED, DOCUMENTS, schema_files, schema_of
from tests.unit.cli.messages import aggregate, capabilities, payload_of, presence, status, summary
from topics.channels import TABLE
from topics.documents.spec import DeploymentSpec
from topics.errors import ContractError
from topics.spec_reader import read_spec

ROOT = Path(__file__).resolve().parents[3]
SPEC = Draft202012Validator(schema_of(DeploymentSpec))

VALID: dict[str, Any] = {
    "apiVersion": "fleetbus/v1",
    "kind": "DeploymentSpec",
    "metadata": {"name": "press", "labels": {"example.com/line": "press"}},
    "spec": {
        "agents": {"selector": {"matchExpressions": [{"key": "/memory", "operator": "Gt", "values": ["4Gi"]}]}, "count": 2},
        "requirements": {
            "cpu": {"cores": 0.5, "architectures": ["amd64"]}, "memory": "59 Gi", "storage": None,
            "rules": [{"labelSelector": {"matchLabels": {"line": "press"}}}],
        },
        "components": [
            {"name": "a", "helm": {"chart": "oci://registry.example/a", "timeout": "8m30s"}},
            {"name": "b", "kubernetes": {"objects": [
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}}], "timeout": 90}},
            {"name": "c", "compose": {"project": {"services": {}}}, "helm": None},
        ],
    },
}  # fmt: skip

REMOVED = object()
BAD: list[tuple[tuple[str | int, ...], object]] = [
    (("apiVersion",), "fleetbus/v2"),
    (("kind",), REMOVED),
    (("unknown",), 1),
    (("metadata", "name"), "Press"),
    (("metadata", "name"), "a" * 64),
    (("metadata", "labels"), {"no spaces": "x"}),
    (("metadata", "labels"), {"line": "a b"}),
    (("spec", "agents"), {}),
    (("spec", "agents"), {"devices": []}),
    (("spec", "agents"), {"devices": ["a/b/c"]}),
    (("spec", "agents"), {"devices": ["*"]}),
    (("spec", "agents"), {"devices": ["edge-01"], "selector": {}}),
    (("spec", "agents", "count"), "some"),
    (("spec", "agents", "onMismatch"), "stay"),
    (("spec", "agents", "selector", "matchExpressions", 0, "operator"), "Near"),
    (("spec", "requirements", "memory"), "4 gigabytes"),
    (("spec", "requirements", "memory"), -1),
    (("spec", "requirements", "cpu", "architectures"), ["x86_64"]),
    (("spec", "requirements", "rules"), [{}]),
    (("spec", "requirements", "peripherals"), [{"type": "laser"}]),
    (("spec", "components"), []),
    (("spec", "components", 0, "helm"), None),
    (("spec", "components", 0, "helm", "chart"), ""),
    (("spec", "components", 0, "helm", "timeout"), "8 minutes"),
    (("spec", "components", 0, "helm", "digest"), "sha256:1"),
    (("spec", "components", 1, "helm"), {"chart": "second kind"}),
    (("spec", "components", 1, "kubernetes", "objects"), []),
    (("spec", "components", 2, "compose"), {}),
    (("spec", "components", 2, "compose", "package"), {"location": "https://example.com/a.tgz"}),
    (("spec", "workload"), {"namespace": "A"}),
    (("spec", "activation"), {"mode": "later"}),
]


def changed(path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """The valid document with one place changed."""
    document = copy.deepcopy(VALID)
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    if value is REMOVED:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_is_what_the_schema_says(file: Path) -> None:
    """An editor shows no error in them."""
    assert not list(SPEC.iter_errors(yaml.safe_load(file.read_text("utf-8"))))


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_an_editor_finds_the_schema_of_every_example(file: Path) -> None:
    """By the first line, which the YAML language server reads."""
    first = file.read_text(encoding="utf-8").split("\n", 1)[0]
    hint, _, path = first.partition("$schema=")
    assert hint == "# yaml-language-server: "
    schema = json.loads((file.parent / path).read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(yaml.safe_load(file.read_text(encoding="utf-8")))


def test_what_is_valid_is_valid_for_both() -> None:
    """Quantities and durations as texts and numbers, with a space before the unit; an absent value as null."""
    read_spec(json.dumps(VALID).encode())
    assert not list(SPEC.iter_errors(VALID))


@pytest.mark.parametrize(("path", "value"), BAD, ids=lambda part: "removed" if part is REMOVED else str(part)[:60])
def test_what_the_schema_refuses_is_refused_by_the_reader(path: tuple[str | int, ...], value: object) -> None:
    """One fault at a time; the schema sees each of them."""
    document = changed(path, value)
    assert list(SPEC.iter_errors(document))
    with pytest.raises(ContractError):
        read_spec(json.dumps(document).encode())


@pytest.mark.parametrize("model", DOCUMENTS, ids=lambda model: model.__name__)
def test_every_schema_is_one_and_says_what_it_is(model: type[Any]) -> None:
    """With an id, a title, and a text for each field that is no document of its own."""
    schema = schema_of(model)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"].startswith("urn:fleetbus:schema:v1:")
    assert schema["title"] == model.__name__
    for part in [schema, *schema.get("$defs", {}).values()]:
        assert part.get("description") or "enum" in part
        for name, field in part.get("properties", {}).items():
            refers = any("$ref" in item for item in (field, *field.get("anyOf", ())))
            assert refers or field["description"], f"{part['title']}.{name}"


def test_there_is_a_schema_for_every_document_of_the_topic_table() -> None:
    """But for Margo's own."""
    assert {model.__name__ for model in DOCUMENTS} == {channel.document for channel in TABLE} - {
        "DeploymentStatusManifest"
    }


def test_the_committed_schemas_are_current() -> None:
    """And none is there that is not made any more."""
    folder = ROOT / "docs" / "schemas"
    assert {path.name: path.read_text("utf-8") for path in folder.iterdir()} == schema_files()


@pytest.mark.parametrize("document", [status(), presence(), capabilities(line="press"), aggregate(summary())], ids=type)
def test_messages_are_what_their_schemas_say(document: Any) -> None:
    """As they travel, sealed ones with their digest."""
    found = json.loads(payload_of(document))
    assert not list(Draft202012Validator(schema_of(type(document))).iter_errors(found))


def _near(text: str) -> st.SearchStrategy[str]:
    return st.text(alphabet=text, max_size=70)


@pytest.mark.parametrize("check", CHECKED, ids=lambda check: check.__name__)
def test_every_pattern_refuses_only_what_its_check_refuses(check: Callable[[Any], Any]) -> None:
    """And takes nothing of these characters that the check refuses."""
    validator = Draft202012Validator(CHECKED[check])
    alphabets = {"_checked_quantity": "0123456789.eE+- kKMGTPEinum", "_checked_duration": "0123456789.hms "}
    alphabet = alphabets.get(check.__name__, "abzAZ09-._/*~ ")

    @given(st.one_of(_near(alphabet), st.text(max_size=10)))
    def compare(text: str) -> None:
        why = _refusal(check, text)
        assert validator.is_valid(text) == (why is None) or "longer than a year" in str(why)

    compare()


def _refusal(check: Callable[[Any], Any], text: str) -> str | None:
    try:
        check(text)
    except ValueError as error:
        return str(error)
    return None
