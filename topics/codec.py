"""Bytes to documents and back: canonical JSON, digests over exact bytes, limits before parsing.

A *sealed* message starts with its own digest: ``{"digest":"sha256:…",`` followed by the rest of the
object exactly as it was hashed. A reader checks the digest over the very bytes it received and
needs no re-encoding, so no difference in number formatting can ever break a signature or a cache.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from topics.documents.base import SCHEMA_VERSION, Message, as_contract_error
from topics.errors import ContractError

MAX_PAYLOAD_BYTES = 1024 * 1024
"""Largest payload that is published or accepted (1 MiB, the default limit of a NATS server)."""

MAX_DEPTH = 64
"""Deepest nesting accepted; a Kubernetes object rarely exceeds 20."""

MAX_DIGITS = 300
"""Most digits of an integer; more overflow a double precision number, which is what most readers have."""

M = TypeVar("M", bound=BaseModel)

_SURROGATE = re.compile("[\ud800-\udfff]")
_SEAL_START = b'{"digest":"'
_DIGEST_LENGTH = len("sha256:") + 64
_SEAL_END = b'",'
_BODY_AT = len(_SEAL_START) + _DIGEST_LENGTH + len(_SEAL_END)


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces: the same value is always the same bytes.

    Raises ``ValueError`` for NaN and infinities, which are no JSON.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_of(payload: bytes) -> str:
    """``sha256:`` and the hexadecimal SHA-256 of the bytes."""
    return "sha256:" + hashlib.sha256(payload).hexdigest()


def encode(document: BaseModel) -> bytes:
    """The payload of a document: canonical JSON, camelCase, without absent values."""
    return canonical_json(document.model_dump(mode="json", by_alias=True, exclude_none=True))


def seal(body: bytes) -> bytes:
    """Put the digest of ``body`` (a canonical JSON object with at least one member) in front of it."""
    return _SEAL_START + digest_of(body).encode() + _SEAL_END + body[1:]


def sealed_digest(payload: bytes) -> str:
    """The digest of a sealed payload, checked over its bytes.

    Raises ``ContractError`` if the payload is not sealed or its digest does not fit.
    """
    if not payload.startswith(_SEAL_START) or payload[_BODY_AT - len(_SEAL_END) : _BODY_AT] != _SEAL_END:
        raise ContractError.because(
            "not-sealed", "the message does not start with its digest", path="digest",
            hint="publish it through a fleetbus program, or seal it as docs/architecture.md says",
        )  # fmt: skip
    claimed = payload[len(_SEAL_START) : len(_SEAL_START) + _DIGEST_LENGTH].decode("ascii", "replace")
    if digest_of(b"{" + payload[_BODY_AT:]) != claimed:
        raise ContractError.because(
            "wrong-digest", f"the content does not have the digest {claimed}", path="digest",
            hint="it was damaged or changed on its way; it must be published again",
        )  # fmt: skip
    return claimed


def decode_sealed(model: type[M], payload: bytes) -> tuple[M, str]:
    """A sealed message and its digest. Raises ``ContractError``."""
    digest = sealed_digest(payload)
    return decode(model, payload), digest


def decode(model: type[M], payload: bytes) -> M:
    """A message that a program wrote. Raises ``ContractError`` with every reason.

    The fast path of the orchestrator: one pass of pydantic's JSON parser, which bounds nesting
    itself and refuses invalid UTF-8.
    """
    check_size(payload)
    try:
        document = model.model_validate_json(payload)
    except ValidationError as error:
        raise as_contract_error(error) from error
    if isinstance(document, Message) and document.schema_version > SCHEMA_VERSION:
        raise ContractError.because(
            "unsupported-version",
            f"schema version {document.schema_version} is newer than {SCHEMA_VERSION}, the newest known here",
            path="schemaVersion", hint="update this program",
        )  # fmt: skip
    return document


def parse_json(text: str) -> Any:
    """A JSON value from untrusted text.

    Duplicate keys, NaN, numbers that overflow, deep nesting, and lone surrogates (which no UTF-8 can
    carry on) are refused.
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_integer, parse_float=_float
        )
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError as error:
        raise ContractError.because(
            "malformed", f"not valid JSON: {error.msg} at line {error.lineno} column {error.colno}"
        ) from error
    check_depth(value)
    check_unicode(value, text)
    return value


def check_size(payload: bytes, limit: int = MAX_PAYLOAD_BYTES) -> None:
    """Raise ``ContractError`` for a payload over the limit."""
    if len(payload) > limit:
        raise ContractError.because(
            "oversize", f"{len(payload)} bytes are more than the limit of {limit}",
            hint="put large data into the image or chart, not into the document",
        )  # fmt: skip


def check_depth(value: Any) -> None:
    """Raise ``ContractError`` for a value nested deeper than ``MAX_DEPTH``. Does not recurse."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise _too_deep()


def check_unicode(value: Any, text: str) -> None:
    """Raise ``ContractError`` for a text with a lone surrogate. ``text`` is what ``value`` was read from."""
    if "\\u" not in text and text.isascii():
        return  # the usual document is not walked through
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting.extend(item)
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, str) and _SURROGATE.search(item):
            raise ContractError.because(
                "malformed", f"{_printable(item[:60])!r} holds half of a surrogate pair, which is no character",
                hint="write both halves, or the character itself in UTF-8",
            )  # fmt: skip


def _printable(text: str) -> str:
    """The text without lone surrogates, so that the answer itself can be encoded."""
    return text.encode("utf-8", "replace").decode()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        twice = min(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)[:100]
        raise ContractError.because(
            "duplicate-key", f"key {twice!r} stands twice in one object", path=_printable(twice)
        )
    return result


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS + 1:  # and a sign
        raise ContractError.because("bad-number", f"a number of {len(digits)} digits is too large: {digits[:20]}...")
    return int(digits)


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ContractError.because("bad-number", f"{text[:60]!r} is too large a number")
    return value


def _no_constant(name: str) -> Any:
    raise ContractError.because("malformed", f"{name} is not a JSON value")


def _too_deep() -> ContractError:
    return ContractError.because("too-deep", f"nested deeper than {MAX_DEPTH} levels")
