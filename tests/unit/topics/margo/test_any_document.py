"""Whatever is done to a Margo document, it is taken or refused with reasons that can be published, and quickly."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.topics.margo import test_capabilities
from tests.unit.topics.margo.documents import ID, MISSING, OLD, PR1, RC_COMPOSE, RC_HELM, changed
from topics.codec import canonical_json, encode
from topics.documents.answer import SpecResult
from topics.documents.spec import DeploymentSpec
from topics.errors import ContractError, Reason
from topics.margo import capabilities_manifest, margo_kind, read_capabilities
from topics.spec_reader import assigned, read_document

DEPLOYMENTS = (RC_HELM, RC_COMPOSE, OLD, PR1)
DEVICES = (test_capabilities.CURRENT, test_capabilities.PR1, test_capabilities.OLD)
MOST_SECONDS = 5.0  # far above what is measured (0.1 s), far below a hang


def paths_of(value: Any, prefix: str = "") -> list[str]:
    """Every place in a document."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [
        path
        for step, child in steps
        if "/" not in str(step)
        for path in (f"{prefix}{step}", *paths_of(child, f"{prefix}{step}/"))
    ]


words = st.sampled_from([
    MISSING, "", "helm", "compose", "amd64", "4Gi", "true", ID, "a.b[0]", "ENV.A", "*", "gateway/*", "a/b", "oci://r/c",
    "/interfaces", "ContainsAll", "x" * 300, "\ud800", "\0", 2**70, -1, 0, 1.5, True, None, [], {}, [[]], [{}], {"": 1},
])  # fmt: skip
anything = st.recursive(
    words | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def mutations(documents: tuple[dict[str, Any], ...]) -> st.SearchStrategy[dict[str, Any]]:
    """One of the documents with one to three parts replaced or taken out."""

    def mutated(document: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
        change = st.tuples(st.sampled_from(paths_of(document)), anything)
        return st.lists(change, min_size=1, max_size=3).map(lambda changes: apply(document, changes))

    return st.sampled_from(documents).flatmap(mutated)


def apply(document: dict[str, Any], changes: list[tuple[str, Any]]) -> dict[str, Any]:
    for change in changes:
        try:
            document = changed(document, change)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    return document


def check_reasons(reasons: tuple[Reason, ...]) -> None:
    """They can be sent: UTF-8, and no more than an answer holds."""
    result = SpecResult(deployment="d", outcome="rejected", generation=0, spec_digest="", reasons=reasons)
    assert len(encode(result)) < 200_000
    assert len(reasons) <= 201


def check_spec(payload: bytes, **options: Any) -> None:
    try:
        document = read_document(payload, **options)
    except ContractError as error:
        check_reasons(error.reasons)
        return
    check_reasons(document.warnings)
    again = encode(document.spec)  # what an orchestrator stores
    assert DeploymentSpec.model_validate_json(again) == document.spec


def as_json(document: Any) -> bytes:
    return json.dumps(document, default=lambda _: None).encode("utf-8", "surrogatepass")


@given(mutations(DEPLOYMENTS), st.sampled_from([(), ("edge-01",), ("a b",)]), st.sampled_from([None, "line-3"]))
@example(changed(RC_HELM, ("id", "\ud800")), (), None)
def test_a_changed_deployment_is_taken_or_refused(
    document: dict[str, Any], devices: tuple[str, ...], name: str | None
) -> None:
    """Nothing but a contract error; what is taken can be stored and read again as the same."""
    payload = as_json(document)
    check_spec(payload, devices=devices, name=name)
    try:
        published = assigned(payload, ["edge-01"])
    except ContractError:
        return
    check_spec(published)


@given(mutations(DEVICES))
def test_changed_capabilities_are_taken_or_refused(document: dict[str, Any]) -> None:
    """The same; what is taken can be written again."""
    try:
        found, warnings = read_capabilities(json.loads(as_json(document)))
    except ContractError as error:
        check_reasons(error.reasons)
        return
    check_reasons(warnings)
    canonical_json(capabilities_manifest(found))
    encode(found)


@given(anything)
def test_any_value_has_a_kind_or_none(value: Any) -> None:
    """Looking at a document never fails."""
    margo_kind(value)
    margo_kind({"kind": value, "apiVersion": value, "spec": value, "properties": value, "type": value})


@given(st.sampled_from(DEPLOYMENTS), st.data())
def test_damaged_bytes_are_taken_or_refused(document: dict[str, Any], data: st.DataObject) -> None:
    """As JSON and as YAML."""
    payload = data.draw(st.sampled_from([json.dumps(document), yaml.safe_dump(document)])).encode()
    at, removed = data.draw(st.integers(0, len(payload))), data.draw(st.integers(0, 8))
    check_spec(payload[:at] + data.draw(st.binary(max_size=6)) + payload[at + removed :])


PROFILE = "spec/deploymentProfile"
TARGETS = [{"pointer": f"a{n}[63][63][63][63]", "components": ["historian"]} for n in range(1900)]
LARGE = {
    "many components": (f"{PROFILE}/components", [{"name": f"c{n}", "properties": {"repository": "oci://r/c"}}
                                                  for n in range(10_000)]),
    "many broken components": (f"{PROFILE}/components", [{"name": 1}] * 50_000),
    "many parameters": ("spec/parameters", {f"p{n}": {"value": 1, "targets": []} for n in range(20_000)}),
    "many targets": ("spec/parameters", {"p": {"value": 1, "targets": TARGETS * 5}}),
    "wide pointers": ("spec/parameters", {"p": {"value": 1, "targets": TARGETS}}),
    "one pointer many times": ("spec/parameters", {f"p{n}": {"value": 1, "targets": TARGETS[:1]} for n in range(900)}),
    "many components of a target": ("spec/parameters", {"p": {"value": 1, "targets": [
        {"pointer": "a", "components": [f"c{n}" for n in range(50_000)]}]}}),
    "a large value": ("spec/parameters", {"p": {"value": ["x" * 50] * 10_000, "targets": TARGETS[:1000]}}),
    "many unknown fields": ("spec", RC_HELM["spec"] | {f"f{n}": 1 for n in range(50_000)}),
    "many annotations": ("metadata/annotations", {f"a {n}": "b" for n in range(40_000)}),
    "many labels": ("metadata/labels", {f"a{n}": "b" for n in range(40_000)}),
    "many rules": (f"{PROFILE}/deviceConstraints/eligibilityRules",
                   RC_HELM["spec"]["deploymentProfile"]["deviceConstraints"]["eligibilityRules"] * 1500),
    "a long pointer": ("spec/parameters/rate/targets/0/pointer", "a." * 200_000),
    "a long backslash": ("spec/parameters/rate/targets/0/pointer", "\\" * 400_000),
    "a long id": ("id", "0" * 900_000),
    "a long name": ("metadata/name", "a-" * 400_000),
    "a long architecture": (f"{PROFILE}/deviceConstraints/capacityRequirements/cpu/architectures", ["-" * 900_000]),
    "many devices": ("metadata", {"name": "a", "namespace": "a",
                                  "annotations": {"fleetbus/devices": ",".join(f"e{n}" for n in range(100_000))}}),
    "a long timeout": (f"{PROFILE}/components/0/properties/timeout", "1h" * 400_000),
}  # fmt: skip


@pytest.mark.parametrize("what", LARGE)
def test_large_documents_take_no_longer_than_their_size(what: str) -> None:
    """The worst that fits a message of 1 MiB."""
    payload = json.dumps(changed(RC_HELM, LARGE[what])).encode()
    began = time.monotonic()
    check_spec(payload[: 1024 * 1024] if len(payload) <= 1024 * 1024 else payload, limit=4 * 1024 * 1024)
    assert time.monotonic() - began < MOST_SECONDS


@pytest.mark.parametrize("key", ["cpus", "peripherals", "interfaces", "supportedRuntimes", "roles"])
def test_large_capabilities_take_no_longer_than_their_size(key: str) -> None:
    """Lists are bounded before they are looked at."""
    document = changed(test_capabilities.CURRENT, (f"properties/{key}", ["x"] * 300_000))
    began = time.monotonic()
    with pytest.raises(ContractError):
        read_capabilities(document)
    assert time.monotonic() - began < MOST_SECONDS
