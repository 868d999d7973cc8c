"""Bytes to documents and back, for bytes that anybody may send."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from topics.codec import (
    MAX_DEPTH,
    MAX_PAYLOAD_BYTES,
    canonical_json,
    check_depth,
    decode,
    decode_sealed,
    digest_of,
    encode,
    parse_json,
    seal,
    sealed_digest,
)
from topics.documents.answer import AggregateStatus, SpecResult
from topics.documents.base import MAX_REASONS
from topics.documents.command import Command, OperatorCommand
from topics.documents.device import Allocatable, Capabilities, OrchestratorPresence, Presence
from topics.documents.manifest import Manifest, ManifestComponent
from topics.documents.status import DeploymentStatus, Progress, TransitionEvent
from topics.errors import ContractError

MODELS: tuple[type[BaseModel], ...] = (
    SpecResult, AggregateStatus, Command, OperatorCommand, Allocatable, Capabilities, OrchestratorPresence, Presence,
    Manifest, DeploymentStatus, Progress, TransitionEvent,
)  # fmt: skip

characters = st.characters(codec="utf-8")
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    scalars | st.text(characters, max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(characters, max_size=6), inner, max_size=4),
    max_leaves=20,
)
components = st.builds(
    ManifestComponent,
    name=st.from_regex(r"[a-z]{1,8}", fullmatch=True),
    type=st.just("kubernetes"),
    objects=st.lists(st.dictionaries(st.text(characters, max_size=6), json_values, max_size=3), max_size=3).map(tuple),
    source=st.text(characters, max_size=10),
)
manifests = st.builds(
    Manifest,
    action=st.sampled_from(["apply", "remove"]),
    deployment=st.just("press"),
    device=st.just("edge-01"),
    generation=st.integers(1, 2**63 - 1),
    components=st.lists(components, max_size=2).map(tuple),
)


def why(call: Any, *arguments: Any) -> str:
    """The code of the only reason why the call is refused."""
    with pytest.raises(ContractError) as caught:
        call(*arguments)
    (reason,) = caught.value.reasons
    assert len(reason.message) < 500
    str(caught.value).encode()  # an answer that cannot be encoded could not be published
    return reason.code


# -- canonical JSON and seals ------------------------------------------------------------------


@given(st.dictionaries(st.text(characters, max_size=6), json_values, max_size=6), st.randoms(use_true_random=False))
def test_key_order_does_not_change_the_bytes(value: dict[str, Any], random: Any) -> None:
    """The same members in any order are the same bytes, and reading them back gives the same value."""
    items = list(value.items())
    random.shuffle(items)
    assert canonical_json(dict(items)) == canonical_json(value)
    assert json.loads(canonical_json(value)) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}, "\ud800"])
def test_what_is_no_json_is_not_encoded(value: Any) -> None:
    """NaN, infinities and lone surrogates are refused where they would be written."""
    with pytest.raises(ValueError, match=r"JSON|surrogates"):
        canonical_json(value)


@given(manifests)
def test_a_sealed_message_comes_back(manifest: Manifest) -> None:
    """Seal and decode_sealed are inverse, and the digest is that of the body."""
    body = encode(manifest)
    decoded, digest = decode_sealed(Manifest, seal(body))
    assert decoded == manifest
    assert digest == digest_of(body)


def test_every_single_changed_byte_is_noticed() -> None:
    """A sealed message with any one byte changed, removed or added is refused with a reason."""
    sealed = seal(encode(Presence(device="edge-01", online=True, epoch=7)))
    for position in range(len(sealed)):
        for bit in range(8):
            changed = bytearray(sealed)
            changed[position] ^= 1 << bit
            assert why(sealed_digest, bytes(changed)) in {"not-sealed", "wrong-digest"}
        assert why(sealed_digest, sealed[:position] + sealed[position + 1 :]) in {"not-sealed", "wrong-digest"}
    assert why(sealed_digest, sealed + b" ") == "wrong-digest"


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_not_sealed(payload: bytes) -> None:
    """Nobody hits a seal by chance."""
    assert why(decode_sealed, Manifest, payload) in {"not-sealed", "wrong-digest"}


# -- decode ------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@given(payload=st.binary(max_size=300) | json_values.map(canonical_json))
def test_decode_refuses_arbitrary_bytes_with_reasons(model: type[BaseModel], payload: bytes) -> None:
    """Bytes and JSON of any shape are taken or raise a contract error, never anything else."""
    try:
        decode(model, payload)
    except ContractError as error:
        assert error.reasons  # noqa: PT017 - both outcomes are right


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@given(values=st.data())
def test_decode_refuses_wrong_values_under_right_names(model: type[BaseModel], values: st.DataObject) -> None:
    """With the model's own field names and arbitrary values; and what is taken can be encoded again."""
    names = [field.alias or name for name, field in model.model_fields.items()]
    value = values.draw(
        st.dictionaries(st.sampled_from(names), json_values | st.sampled_from(["a", 1, True, "Failed"]))
    )
    try:
        document = decode(model, canonical_json(value))
    except ContractError as error:
        assert all(reason.code for reason in error.reasons)  # noqa: PT017 - both outcomes are right
    else:
        assert decode(model, encode(document)) == document


PRESENCE = '{"device":"edge-01","online":true,"epoch":1,"heartbeatSeconds":30'
MANIFEST = '{"action":"apply","deployment":"d","device":"e","generation":1,"initialization":[{"a":VALUE}]}'


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (Presence, "[" * 500_000),
        (Presence, '{"a":' * 200_000),
        (Presence, '{"epoch":' + "1" * 100_000),
        (Presence, ""),
        (Presence, "null"),
        (Presence, "5"),
        (Presence, PRESENCE + ',"journal":"\\ud800"}'),
        (Presence, PRESENCE.replace(":30", ":NaN") + "}"),
        (Presence, PRESENCE.replace(":30", ":1e999") + "}"),
        (Presence, PRESENCE.replace(":30", ":-1") + "}"),
        (Presence, PRESENCE.replace(":30", ":1e18") + "}"),
        (Presence, PRESENCE.replace(":1,", ":9223372036854775808,") + "}"),
        (Presence, PRESENCE.replace("edge-01", "edge/01") + "}"),
        (Manifest, MANIFEST.replace("VALUE", "NaN")),
        (Manifest, MANIFEST.replace("VALUE", "[1e999]")),
        (Manifest, MANIFEST.replace("VALUE", "-Infinity")),
        (Manifest, MANIFEST.replace("VALUE", '"\\udc00"')),
        (Manifest, MANIFEST.replace("VALUE", "1" * 5000)),
    ],
    ids=range(18),
)
def test_hostile_messages_are_refused(model: type[BaseModel], text: str) -> None:
    """Depth bombs, numbers no store holds, NaN and lone surrogates: one reason each, in no time."""
    started = time.monotonic()
    why(decode, model, text.encode())
    assert time.monotonic() - started < 5


def test_the_untouched_text_of_the_hostile_messages_is_taken() -> None:
    """The table above refuses its changes and not its frame."""
    assert decode(Presence, (PRESENCE + "}").encode()).epoch == 1
    assert decode(Manifest, MANIFEST.replace("VALUE", "1.5").encode()).initialization == ({"a": 1.5},)
    assert decode(Presence, (PRESENCE.replace(":1,", ":9223372036854775807,") + "}").encode()).epoch == 2**63 - 1


def test_invalid_utf8_is_refused() -> None:
    """A byte that is no UTF-8 is a malformed message, wherever it stands."""
    assert why(decode, Presence, (PRESENCE + ',"journal":"').encode() + b'\xff"}') == "invalid"


def test_a_newer_schema_is_refused_and_unknown_fields_are_not() -> None:
    """A newer writer may say more, but not mean something else."""
    assert decode(Presence, (PRESENCE + ',"schemaVersion":1,"battery":0.7}').encode()).device == "edge-01"
    assert why(decode, Presence, (PRESENCE + ',"schemaVersion":2}').encode()) == "unsupported-version"


@pytest.mark.parametrize("size", [MAX_PAYLOAD_BYTES + 1, MAX_PAYLOAD_BYTES * 3])
def test_an_oversize_payload_is_refused_before_it_is_parsed(size: int) -> None:
    """The limit holds for the bytes, whatever they are."""
    assert why(decode, Presence, b"\xff" * size) == "oversize"


def test_a_payload_of_exactly_the_limit_is_taken() -> None:
    """The limit itself is allowed."""
    text = PRESENCE + ',"journal":"'
    payload = (text + "x" * (MAX_PAYLOAD_BYTES - len(text) - 2) + '"}').encode()
    assert len(payload) == MAX_PAYLOAD_BYTES
    assert decode(Presence, payload).online


def test_a_message_with_a_million_faults_has_a_bounded_answer() -> None:
    """The reasons must fit into one packet themselves; the last one says how many are left out."""
    labels = {f"k{number}": number for number in range(40_000)}
    payload = canonical_json({"device": "edge-01", "labels": labels | {"x" * 300_000: 1}})
    with pytest.raises(ContractError) as caught:
        decode(Capabilities, payload)
    reasons = caught.value.reasons
    assert len(reasons) == MAX_REASONS + 1
    assert "more problems" in reasons[-1].message
    assert len(
        encode(SpecResult(deployment="d", outcome="rejected", generation=0, spec_digest="", reasons=reasons))
    ) < (MAX_PAYLOAD_BYTES // 4)


# -- parse_json --------------------------------------------------------------------------------


@given(json_values)
def test_ordinary_json_is_what_the_standard_library_reads(value: Any) -> None:
    """Both encodings of a value, escaped and plain, come back as the value."""
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=False)) == value


@given(st.text(max_size=100) | st.text(alphabet='[]{}",:0123456789eE+-.\\utrfnal ', max_size=60))
def test_arbitrary_text_is_json_or_a_contract_error(text: str) -> None:
    """No text raises anything else, and what is taken can be written again."""
    try:
        value = parse_json(text)
    except ContractError as error:
        str(error).encode()
    else:
        canonical_json(value)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "malformed"),
        ("{", "malformed"),
        ("\ufeff{}", "malformed"),
        ('"\x00"', "malformed"),
        ("NaN", "malformed"),
        ("[Infinity]", "malformed"),
        ('{"a":-Infinity}', "malformed"),
        ("1e999", "bad-number"),
        ("-1e400", "bad-number"),
        ("1" + "0" * 5000, "bad-number"),
        ("-1" + "0" * 300, "bad-number"),
        ('{"a":1,"a":1}', "duplicate-key"),
        ('[{"b":{"a":1,"c":2,"a":1}}]', "duplicate-key"),
        ('{"\\ud800":1,"\\ud800":2}', "duplicate-key"),
        ('"\\ud800"', "malformed"),
        ('"\\udc00\\ud800"', "malformed"),
        ('{"\\udfff":1}', "malformed"),
        ('"\ud800"', "malformed"),
        ("[" * 100_000, "too-deep"),
        ('{"a":' * 100_000, "too-deep"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "too-deep"),
    ],
    ids=range(21),
)
def test_json_refusals(text: str, code: str) -> None:
    """Each kind of bad JSON has its code."""
    assert why(parse_json, text) == code


def test_json_boundaries_are_taken() -> None:
    """The deepest nesting, the longest integer, both halves of a pair, and an escaped NUL are fine."""
    check_depth(parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH))
    assert parse_json("-" + "9" * 300) == -(10**300 - 1)
    assert parse_json('"\\ud83d\\ude00"') == "\N{GRINNING FACE}"
    assert parse_json('"\\u0000"') == "\x00"


def test_a_duplicate_among_very_many_keys_is_found_quickly() -> None:
    """Finding it takes one pass; comparing every key with every other took more than a minute."""
    text = "{" + ",".join(f'"k{number}":1' for number in range(90_000)) + ',"k1":2}'
    started = time.monotonic()
    assert why(parse_json, text) == "duplicate-key"
    assert time.monotonic() - started < 10
