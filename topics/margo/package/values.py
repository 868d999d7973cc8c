"""A parameter's value against its schema: read from a text or taken as it is, then checked. Pure.

A text is read by the schema's type, because the command line only has texts and Margo's own examples write
numbers as texts. *Empty* is a text or list without content, or nothing at all. ``allowEmpty`` is ``false``
where a schema does not say it (Margo's default).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import TypeGuard

from topics.codec import parse_json
from topics.errors import ContractError, Reason
from topics.margo.package.description import Item, ItemType, Schema, Value
from topics.margo.package.findings import is_text, kind_of
from topics.patterns import MAX_TEXT, PatternError, matcher

MAX_LENGTH = 65_536
"""Most characters of a value."""

MAX_ENTRIES = 1000
"""Most entries of a list."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}\Z")
_DOUBLE = re.compile(r"[+-]?(?:[0-9]{1,300}(?:\.[0-9]{0,300})?|\.[0-9]{1,300})(?:[eE][+-]?[0-9]{1,3})?\Z")
_LARGEST = 2**63 - 1
_TRUTH = {"true": True, "false": False}
_EXAMPLES: dict[str, str] = {
    "integer": "a whole number such as 30", "double": "a number such as 1.5",
    "boolean": "true or false", "string": "a text",
}  # fmt: skip


def settle_value(schema: Schema, given: object, path: str) -> tuple[Value | None, tuple[Reason, ...]]:
    """The value that ``given`` stands for, or every reason why it is none.

    ``None`` without a reason: it is empty, and may be.
    """
    if is_empty(given):
        if not schema.allow_empty:
            return None, (Reason(path=path, code="empty", message="must not be empty", hint=_set_hint(path)),)
        if schema.many:
            return ([] if given is not None else None), ()
        return ("" if schema.type == "string" and given is not None else None), ()
    try:
        value = _entries(schema, given, path) if schema.many else _item(schema.type, given, path)
    except ContractError as error:
        return None, error.reasons
    items = value if isinstance(value, list) else [value]
    raw = _raw_entries(given) if isinstance(value, list) else [given]
    reasons = tuple(
        reason
        for index, (item, written) in enumerate(zip(items, raw, strict=True))
        for reason in _faults(schema, item, written, f"{path}[{index}]" if schema.many else path)
    )
    return (None, reasons) if reasons else (value, ())


def schema_for(sample: object) -> Schema:
    """The schema of a parameter that has none: the type of its default, and nothing else is checked."""
    many = isinstance(sample, list | tuple)
    first = (sample[0] if sample else "") if isinstance(sample, list | tuple) else sample
    kind: ItemType = "string"
    if isinstance(first, bool):
        kind = "boolean"
    elif isinstance(first, int | float):
        kind = "double"
    return Schema(name="", path="", type=kind, many=many, allow_empty=True)


def is_empty(value: object) -> bool:
    """Whether there is no content; 0 and ``false`` are content."""
    return value is None or (isinstance(value, str | list | tuple | dict) and not value)


def decimals_of(value: float) -> int:
    """The decimals that a number needs: 1.50 needs one."""
    if isinstance(value, int):
        return 0
    exponent = Decimal(repr(value)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _decimals_written(written: str) -> int:
    """The decimals as they were written: ``"1.50"`` has two."""
    exponent = Decimal(written.strip()).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _item(kind: ItemType, given: object, path: str) -> Item:
    """A scalar of the kind. Raises ``ContractError``."""
    if kind == "string":
        return _text(given, path)
    if isinstance(given, str):
        text = given.strip()
        if kind == "boolean" and text.lower() in _TRUTH:
            return _TRUTH[text.lower()]
        if kind != "boolean" and _INTEGER.match(text) and abs(int(text)) <= _LARGEST:
            return int(text)
        if kind == "double" and _DOUBLE.match(text) and math.isfinite(float(text)):
            return float(text)
    elif kind == "boolean":
        if isinstance(given, bool):
            return given
    elif is_number(given):
        if kind == "integer" and given == int(given):
            return int(given)
        if kind == "double":
            return given
    raise _wrong_type(kind, given, path)


def is_number(value: object) -> TypeGuard[int | float]:
    """A finite number that every reader of the document can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= _LARGEST if isinstance(value, int) else math.isfinite(value)


def _text(given: object, path: str) -> str:
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, int) and is_number(given):
        return str(given)
    if isinstance(given, float):
        raise _fault(
            path, "wrong-type", f"is the number {given!r}, it must be a text", hint="put it in quotes: 1.10 is 1.1"
        )
    if not isinstance(given, str):
        raise _wrong_type("string", given, path)
    if not is_text(given):
        raise _fault(path, "bad-text", "holds a character that no UTF-8 or no environment can carry")
    if len(given) > MAX_LENGTH:
        raise _fault(path, "too-long", f"has {len(given)} characters; no value may have more than {MAX_LENGTH}")
    return given


def _entries(schema: Schema, given: object, path: str) -> Value:
    raw = _raw_entries(given)
    if len(raw) > MAX_ENTRIES:
        raise _fault(path, "too-long", f"has {len(raw)} entries; no list may have more than {MAX_ENTRIES}")
    found: list[Item] = []
    reasons: list[Reason] = []
    for index, entry in enumerate(raw):
        try:
            found.append(_item(schema.type, entry, f"{path}[{index}]"))
        except ContractError as error:
            reasons += error.reasons
    if reasons:
        raise ContractError(reasons)
    return found


def _raw_entries(given: object) -> list[object]:
    """The entries of a list, or of a text: JSON if it starts with ``[``, else separated by commas."""
    if isinstance(given, list | tuple):
        return list(given)
    if not isinstance(given, str):
        return [given]
    if given.lstrip().startswith("["):
        value = parse_json(given)
        if isinstance(value, list):
            return value
    return [part.strip() for part in given.split(",")]


def _faults(schema: Schema, value: Item, written: object, path: str) -> Iterator[Reason]:
    """Every rule of the schema that one value breaks."""
    if schema.options is not None and value not in schema.options:
        allowed = ", ".join(_shown(option) for option in schema.options[:20])
        yield _reason(path, "not-allowed", f"{_shown(value)} is not one of {allowed}", allowed, value)
    if isinstance(value, str):
        yield from _text_faults(schema, value, path)
    elif not isinstance(value, bool):
        yield from _number_faults(schema, value, written, path)


def _text_faults(schema: Schema, value: str, path: str) -> Iterator[Reason]:
    length = len(value)
    for least, code, bound in (
        (schema.min_length, "too-short", "at least"), (schema.max_length, "too-long", "at most"),
    ):  # fmt: skip
        if least is not None and (length < least if code == "too-short" else length > least):
            message = f"has {length} characters, it must have {bound} {least}"
            yield Reason(path=path, code=code, message=message, required=str(least), available=str(length))
    if schema.regex is None:
        return
    if length > MAX_TEXT:
        message = f"has {length} characters; a value with a regular expression may have {MAX_TEXT}"
        yield Reason(path=path, code="too-long", message=message, required=str(MAX_TEXT), available=str(length))
        return
    try:
        fits = matcher(schema.regex)(value)
    except PatternError as error:
        yield Reason(path=path, code="bad-pattern", message=f"the schema's regexMatch {error}", hint=error.hint)
        return
    if not fits:
        yield _reason(
            path, "no-match", f"{_shown(value)} does not match the regular expression {schema.regex[:200]}",
            schema.regex[:200], value, hint="the whole value has to match",
        )  # fmt: skip


def _number_faults(schema: Schema, value: float, written: object, path: str) -> Iterator[Reason]:
    if schema.min_value is not None and value < schema.min_value:
        yield _reason(path, "too-small", f"{value} is less than {schema.min_value}", str(schema.min_value), value)
    if schema.max_value is not None and value > schema.max_value:
        yield _reason(path, "too-large", f"{value} is more than {schema.max_value}", str(schema.max_value), value)
    if schema.type != "double":
        return
    least, most = schema.min_precision, schema.max_precision
    # A number that was not given as a text has lost its trailing zeros: 1.50 is read as 1.5.
    if least is not None and isinstance(written, str) and (has := _decimals_written(written)) < least:
        yield _reason(path, "precision", f"has {has} decimals, it must have at least {least}", str(least), str(has))
    if most is not None and (has := decimals_of(value)) > most:
        yield _reason(path, "precision", f"has {has} decimals, it must have at most {most}", str(most), str(has))


def _reason(path: str, code: str, message: str, required: str, value: Item, *, hint: str | None = None) -> Reason:
    return Reason(path=path, code=code, message=message, required=required, available=str(value)[:80], hint=hint)


def _wrong_type(kind: str, given: object, path: str) -> ContractError:
    shown = f"{given!r:.60}" if isinstance(given, str | float) else kind_of(given)
    return _fault(path, "wrong-type", f"{shown} is not {_EXAMPLES[kind]}", required=kind)


def _fault(
    path: str, code: str, message: str, *, required: str | None = None, hint: str | None = None
) -> ContractError:
    return ContractError((Reason(path=path, code=code, message=message, required=required, hint=hint),))


def _set_hint(path: str) -> str:
    name = path.removeprefix("parameters.").removesuffix(".value")
    return f"give one with --set {name}=…"


def _shown(value: Item) -> str:
    return repr(value if not isinstance(value, str) or len(value) <= 60 else value[:57] + "...")
