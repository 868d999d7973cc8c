"""The ``configuration`` of a description: which parameters are shown, and what their values have to be."""

from __future__ import annotations

import re
from collections.abc import Mapping

from topics.margo.package.description import Item, ItemType, Schema, Setting
from topics.margo.package.findings import Findings, joined, kind_of
from topics.margo.package.values import is_number, settle_value
from topics.patterns import PatternError, matcher

_ARRAY = re.compile(r"array\[(.{1,20})\]\Z")
_TYPES: dict[str, ItemType] = {
    "string": "string", "integer": "integer", "double": "double", "boolean": "boolean",
}  # fmt: skip
_OTHER_NAMES: dict[str, ItemType] = {
    "text": "string", "int": "integer", "number": "double", "float": "double", "bool": "boolean",
}  # fmt: skip
_COMMON = frozenset({"name", "dataType", "allowEmpty", "options", "multiselect", "allowMultiple"})
_RULES: dict[ItemType, frozenset[str]] = {
    "string": frozenset({"minLength", "maxLength", "regexMatch"}),
    "integer": frozenset({"minValue", "maxValue"}),
    "double": frozenset({"minValue", "maxValue", "minPrecision", "maxPrecision"}),
    "boolean": frozenset(),
}
_MAX_OPTIONS = 1000


def read_schemas(value: object, findings: Findings) -> dict[str, Schema]:
    """The schemas by name."""
    found: dict[str, Schema] = {}
    for path, entry in findings.entries(value, "configuration.schema"):
        name = findings.text(entry, "name", path, required=True)
        kind = _data_type(entry, path, findings)
        if name is None or kind is None:
            continue
        if name in found:
            findings.refuse(joined(path, "name"), "duplicate", f"the name {name!r:.80} is used twice")
            continue
        found[name] = _schema(entry, path, findings, name=name, kind=kind[0], array=kind[1])
    return found


def read_settings(value: object, findings: Findings) -> dict[str, Setting]:
    """The settings of all sections, by parameter."""
    found: dict[str, Setting] = {}
    sections: set[str] = set()
    for path, section in findings.entries(value, "configuration.sections"):
        findings.unknown(section, frozenset({"name", "settings"}), path)
        title = findings.text(section, "name", path, required=True) or ""
        if title in sections:
            findings.refuse(joined(path, "name"), "duplicate", f"the name {title!r:.80} is used twice")
        sections.add(title or path)
        for at, entry in findings.entries(section.get("settings"), joined(path, "settings")):
            setting = _setting(entry, at, title, findings)
            if setting is None:
                continue
            if setting.parameter in found:
                other = found[setting.parameter].path
                findings.refuse(
                    joined(at, "parameter"), "duplicate", f"{setting.parameter!r:.80} already has a setting at {other}"
                )
                continue
            found[setting.parameter] = setting
    return found


def _setting(entry: Mapping[str, object], path: str, section: str, findings: Findings) -> Setting | None:
    findings.unknown(entry, frozenset({"parameter", "name", "description", "immutable", "schema"}), path)
    parameter = findings.text(entry, "parameter", path, required=True)
    if parameter is None:
        return None
    return Setting(
        parameter=parameter,
        name=findings.text(entry, "name", path, required=True) or parameter,
        path=path,
        schema=findings.text(entry, "schema", path, required=True),
        section=section,
        description=findings.text(entry, "description", path) or "",
        immutable=findings.flag(entry, "immutable", path, default=False),
    )


def _data_type(entry: Mapping[str, object], path: str, findings: Findings) -> tuple[ItemType, bool] | None:
    """The type, and whether it is a list of it."""
    given = findings.text(entry, "dataType", path, required=True)
    if given is None:
        return None
    array = _ARRAY.match(given)
    name = array.group(1) if array else given
    if name in _TYPES:
        return _TYPES[name], array is not None
    if name in _OTHER_NAMES:
        findings.tolerate(joined(path, "dataType"), f"is {given!r}, taken as {_OTHER_NAMES[name]!r}")
        return _OTHER_NAMES[name], array is not None
    findings.refuse(
        joined(path, "dataType"), "not-allowed", f"{given!r:.80} is not a type",
        hint="string, integer, double, boolean, or array[…] of one of them",
    )  # fmt: skip
    return None


def _schema(
    entry: Mapping[str, object], path: str, findings: Findings, *, name: str, kind: ItemType, array: bool
) -> Schema:
    known = _COMMON | _RULES[kind]
    every = frozenset().union(*_RULES.values())
    for key in entry:
        if key in every - known:
            findings.tolerate(joined(path, key), f"is no rule for the type {kind} and is ignored")
    findings.unknown(entry, _COMMON | every, path)
    many = array
    for key in ("multiselect", "allowMultiple"):
        many = findings.flag(entry, key, path, default=False) or many
    rules = {key: value for key, value in entry.items() if key in _RULES[kind]}
    schema = Schema(
        name=name,
        path=path,
        type=kind,
        many=many,
        allow_empty=findings.flag(entry, "allowEmpty", path, default=False),
        min_length=_count(rules, "minLength", path, findings),
        max_length=_count(rules, "maxLength", path, findings),
        regex=_regex(rules, path, findings),
        min_value=_number(rules, "minValue", path, findings),
        max_value=_number(rules, "maxValue", path, findings),
        min_precision=_count(rules, "minPrecision", path, findings),
        max_precision=_count(rules, "maxPrecision", path, findings),
        options=_options(kind, entry, path, findings),
    )
    for least, most, key in (
        (schema.min_length, schema.max_length, "minLength"),
        (schema.min_value, schema.max_value, "minValue"),
        (schema.min_precision, schema.max_precision, "minPrecision"),
    ):
        if least is not None and most is not None and least > most:
            findings.refuse(
                joined(path, key), "conflict", f"is {least}, more than the largest, {most}: no value can be right"
            )
    return schema


def _number(entry: Mapping[str, object], key: str, path: str, findings: Findings) -> int | float | None:
    value, at = entry.get(key), joined(path, key)
    if isinstance(value, str):
        settled, faults = settle_value(Schema(name="", path="", type="double", allow_empty=True), value, at)
        if not faults and isinstance(settled, int | float):
            findings.tolerate(at, f"is the text {value!r:.40}, taken as a number", "leave the quotes out")
            return settled
    if value is None:
        return None
    if not is_number(value):
        findings.refuse(at, "wrong-type", f"is {kind_of(value)}, it must be a number of at most 64 bits")
        return None
    return value


def _count(entry: Mapping[str, object], key: str, path: str, findings: Findings) -> int | None:
    number = _number(entry, key, path, findings)
    if number is None:
        return None
    if number < 0 or number != int(number):
        findings.refuse(joined(path, key), "not-allowed", f"is {number!r:.40}, it must be a whole number from 0")
        return None
    return int(number)


def _regex(entry: Mapping[str, object], path: str, findings: Findings) -> str | None:
    pattern = findings.text(entry, "regexMatch", path)
    if pattern is None:
        return None
    try:
        matcher(pattern)
    except PatternError as error:
        findings.refuse(joined(path, "regexMatch"), "bad-pattern", str(error), hint=error.hint)
        return None
    return pattern


def _options(kind: ItemType, entry: Mapping[str, object], path: str, findings: Findings) -> tuple[Item, ...] | None:
    value, at = entry.get("options"), joined(path, "options")
    if value is None:
        return None
    if not isinstance(value, list) or not value or len(value) > _MAX_OPTIONS:
        findings.refuse(at, "wrong-type", f"must be a list of 1 to {_MAX_OPTIONS} values")
        return None
    settled, faults = settle_value(Schema(name="", path="", type=kind, many=True), value, at)
    for fault in faults:
        findings.add(fault)
    return tuple(settled) if isinstance(settled, list) else None
