"""Values of parameters: read by their types, checked against their schemas, fixed where they must not change."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.topics.margo.package.descriptions import description, document
from topics.errors import ContractError
from topics.margo.package import Profile, Schema, read_description, settle_parameters
from topics.patterns import matcher

APPLICATION = description()
URL = {"url": "https://a.b"}


def settled(current: Mapping[str, object] | None = None, **given: object) -> dict[str, Any]:
    """The values when these are given, beside the one that has no default."""
    return settle_parameters(APPLICATION, URL | given, current)


def refused(current: Mapping[str, object] | None = None, **given: object) -> dict[str, str]:
    """Path and code of every reason against these values."""
    with pytest.raises(ContractError) as raised:
        settle_parameters(APPLICATION, URL | given, current)
    return {reason.path: reason.code for reason in raised.value.reasons}


def test_defaults_stand_where_nothing_is_given() -> None:
    """A parameter without either is left out, if its schema lets it."""
    assert settled() == {
        "poll": 30, "url": "https://a.b", "limit": 1, "debug": False, "hosts": ["a"], "mode": "fast", "free": "x",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("poll", "120", 120), ("poll", " +60 ", 60), ("poll", 60.0, 60), ("poll", 360, 360),
        ("limit", "2.5", 2.5), ("limit", "1e0", 1.0), ("limit", "2", 2), ("limit", 1.50, 1.5), ("limit", "1.50", 1.5),
        ("debug", "true", True), ("debug", "False", False), ("debug", True, True),
        ("hosts", "a,b", ["a", "b"]), ("hosts", "a, b", ["a", "b"]), ("hosts", '["a", "b,c"]', ["a", "b,c"]),
        ("hosts", ["x"], ["x"]),
        ("mode", "slow", "slow"), ("site", "", ""), ("site", "north", "north"), ("site", 12345, "12345"),
        ("free", "a=b,c", "a=b,c"),
    ],
)  # fmt: skip
def test_a_text_is_read_by_the_schemas_type(name: str, given: object, value: object) -> None:
    """So a command line can give numbers, truth values and lists."""
    found = settled(**{name: given})[name]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "given", "code"),
    [
        ("poll", "29", "too-small"), ("poll", "361", "too-large"), ("poll", "30.5", "wrong-type"),
        ("poll", "many", "wrong-type"), ("poll", "", "empty"), ("poll", True, "wrong-type"), ("poll", None, "empty"),
        ("poll", "9" * 30, "wrong-type"), ("poll", {"a": 1}, "wrong-type"),
        ("limit", "0.4", "too-small"), ("limit", "1.25", "precision"), ("limit", "nan", "wrong-type"),
        ("limit", "1e999", "wrong-type"), ("limit", math.inf, "wrong-type"), ("limit", 1.25, "precision"),
        ("debug", "yes", "wrong-type"), ("debug", 1, "wrong-type"),
        ("url", "http://a.b", "no-match"), ("url", "x https://a.b", "no-match"), ("url", "https://" + "a" * 20,
                                                                                  "too-long"),
        ("url", "", "empty"), ("url", "https://a\ud800", "bad-text"), ("url", "a\0", "bad-text"),
        ("site", "abc", "too-short"), ("site", 1.5, "wrong-type"),
        ("mode", "medium", "not-allowed"), ("hosts", "", "empty"), ("hosts", [], "empty"),
    ],
)  # fmt: skip
def test_what_the_schema_forbids_is_refused(name: str, given: object, code: str) -> None:
    """Type, range, length, precision, pattern, options, emptiness: each with its own code."""
    assert refused(**{name: given}) == {f"parameters.{name}": code}


def test_the_entries_of_a_list_are_checked_one_by_one() -> None:
    """The path names the entry."""
    assert refused(hosts="a,bcde,c,efgh") == {"parameters.hosts[1]": "too-long", "parameters.hosts[3]": "too-long"}
    assert refused(hosts=["a", 1.5]) == {"parameters.hosts[1]": "wrong-type"}
    assert refused(hosts='["a"') == {"": "malformed"}


def test_all_reasons_are_told_at_once_with_what_to_do() -> None:
    """Nobody wants to learn of one mistake after the other."""
    with pytest.raises(ContractError) as raised:
        settle_parameters(APPLICATION, {"pol": "60", "limit": "9.99"}, None)
    reasons = {reason.path: reason for reason in raised.value.reasons}
    assert reasons["parameters.pol"].hint == "did you mean poll?"
    assert (reasons["parameters.url"].code, reasons["parameters.url"].hint) == ("required", "give it with --set url=…")
    assert (reasons["parameters.limit"].required, reasons["parameters.limit"].available) == ("1", "2")


def test_an_unknown_name_that_is_near_nothing_lists_what_there_is() -> None:
    """The list is bounded by its caller's patience: twenty names."""
    with pytest.raises(ContractError) as raised:
        settled(zzz="1")
    assert raised.value.reasons[0].hint == "there are debug, free, hosts, limit, mode, poll, site, url"


def test_an_immutable_parameter_keeps_its_value() -> None:
    """It need not be given again, may be given as it is, and cannot be given otherwise."""
    deployed = {"url": "https://a.b", "poll": 60}
    again = settle_parameters(APPLICATION, {}, deployed)
    assert (again["url"], again["poll"]) == ("https://a.b", 30)  # what may change is what is given now
    assert settle_parameters(APPLICATION, URL, deployed)["url"] == "https://a.b"
    assert refused(deployed, url="https://c.d") == {"parameters.url": "immutable"}
    with pytest.raises(ContractError) as raised:
        settled(deployed, url="https://c.d")
    [reason] = raised.value.reasons
    assert (reason.required, reason.available) == ("https://a.b", "https://c.d")


def test_an_immutable_parameter_that_was_never_set_may_be_set() -> None:
    """It is fixed by being set, not by the first deployment without it."""
    assert settled({})["url"] == "https://a.b"


def test_an_immutable_parameter_keeps_its_value_when_the_default_changes() -> None:
    """A new version of the application has another default; what runs stays as it is."""
    newer = description(parameters__url__value="https://new.x")
    assert settle_parameters(newer, {}, {"url": "https://a.b"})["url"] == "https://a.b"


def test_a_number_and_its_text_are_the_same_immutable_value() -> None:
    """``--set`` only has texts."""
    fixed = description(configuration__sections__0__settings__0__immutable=True)
    assert settle_parameters(fixed, URL | {"poll": "60"}, {"poll": 60})["poll"] == 60
    with pytest.raises(ContractError):
        settle_parameters(fixed, URL | {"poll": "61"}, {"poll": 60})


def test_a_parameter_of_another_profile_may_stay_open() -> None:
    """Who deploys with Compose need not say what only the chart reads."""
    read = description(configuration__sections__0__settings__2__schema="address")
    helm, compose = read.profiles
    assert "site" not in settle_parameters(read, URL, None, compose)
    with pytest.raises(ContractError):
        settle_parameters(read, URL, None, helm)


def test_a_default_that_breaks_its_schema_is_not_deployed() -> None:
    """The reason says whose value it is, and that another one may be given."""
    read = description(parameters__poll__value=5)
    with pytest.raises(ContractError) as raised:
        settle_parameters(read, URL, None)
    [reason] = raised.value.reasons
    assert reason.message == "the value that the description gives 5 is less than 30"
    assert settle_parameters(read, URL | {"poll": "30"}, None)["poll"] == 30


@pytest.mark.parametrize(
    ("default", "given", "value"),
    [(1, "2.5", 2.5), (1, "2", 2), (True, "false", False), ("8000", "8001", "8001"), ([1], "2,3", [2, 3]),
     (None, "5", "5"), (None, 5, 5), (None, [True], [True])],
)  # fmt: skip
def test_a_parameter_without_a_schema_has_the_type_of_its_default(
    default: object, given: object, value: object
) -> None:
    """Without either, a text stays a text: nothing says that ``5`` is a number."""
    read = description(parameters__free__value=default)
    assert settle_parameters(read, URL | {"free": given}, None)["free"] == value


@pytest.mark.parametrize("pattern", ["(x+x+)+y", "(a?){200}a{200}", "(.*)*b", "((a|b)*c?){300}"])
def test_a_pattern_that_hangs_other_engines_ends(pattern: str) -> None:
    """In time linear in the text; the suite's time limit is the witness."""
    assert not matcher(pattern)("x" * 10_000)


def test_a_text_too_long_for_its_pattern_is_refused() -> None:
    """Linear in a megabyte is still long for a large pattern."""
    read = description(configuration__schema__1__maxLength=..., configuration__schema__1__regexMatch="(a|b)*")
    with pytest.raises(ContractError) as raised:
        settle_parameters(read, {"url": "a" * 10_001}, None)
    assert raised.value.reasons[0].code == "too-long"


# -- an independent check -----------------------------------------------------------------------------

BOUNDS = st.none() | st.integers(-50, 50)
SCHEMAS = st.fixed_dictionaries(
    {"dataType": st.sampled_from(["string", "integer", "double", "boolean"])},
    optional={
        "allowEmpty": st.booleans(), "minLength": st.integers(0, 6), "maxLength": st.integers(0, 9),
        "regexMatch": st.sampled_from(["[a-c]*", "a+", ".*b", "^[0-9.]+$", "(a|bc)*"]),
        "minValue": st.integers(-50, 50) | st.floats(-50, 50), "maxValue": st.integers(-50, 50) | st.floats(-50, 50),
        "minPrecision": st.integers(0, 3), "maxPrecision": st.integers(0, 3),
    },
)  # fmt: skip
GIVEN = (
    st.text("abc123.-+e ,[]\"'", max_size=8) | st.text(max_size=5) | st.integers() | st.floats() | st.booleans()
    | st.none() | st.integers(-60, 60).map(str) | st.decimals(-60, 60, places=2).map(str)
    | st.lists(st.text("abc1", max_size=3) | st.integers(-60, 60) | st.floats() | st.booleans() | st.none(), max_size=3)
    | st.dictionaries(st.text(max_size=2), st.integers(), max_size=2)
)  # fmt: skip


def obeys(schema: Mapping[str, Any], value: object, written: object) -> bool:
    """Whether a value is what the schema's text asks for, said in another way than in the program."""
    kinds = {"string": str, "integer": int, "double": (int, float), "boolean": bool}[schema["dataType"]]
    if not isinstance(value, kinds) or (isinstance(value, bool) and schema["dataType"] != "boolean"):
        return False
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if value == "" and schema["dataType"] == "string":
        return bool(schema.get("allowEmpty", False))
    if isinstance(value, str):
        return (
            schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**9)
            and re.fullmatch(schema.get("regexMatch", "(?s).*"), value) is not None
        )
    if schema["dataType"] in ("integer", "double"):
        assert isinstance(value, int | float)
        exact = Fraction(repr(value))
        if "minValue" in schema and exact < Fraction(repr(schema["minValue"])):
            return False
        if "maxValue" in schema and exact > Fraction(repr(schema["maxValue"])):
            return False
        if schema["dataType"] == "double":
            most = schema.get("maxPrecision")
            if most is not None and (exact * 10**most).denominator != 1:
                return False
            if isinstance(written, str):
                mantissa, _, power = written.lower().strip().partition("e")
                return len(mantissa.partition(".")[2]) - int(power or 0) >= schema.get("minPrecision", 0)
    return True


@given(schema=SCHEMAS, array=st.booleans(), given_value=GIVEN)
def test_what_is_accepted_obeys_the_schema(schema: dict[str, Any], array: bool, given_value: object) -> None:
    """And nothing but a contract error is ever raised."""
    entry = {"name": "free", **schema}
    if array:
        entry["dataType"] = f"array[{schema['dataType']}]"
    changed = document(
        parameters__free__value=...,
        configuration={
            "sections": [{"name": "S", "settings": [{"parameter": "free", "name": "F", "schema": "free"}]}],
            "schema": [entry],
        },
    )
    try:
        read, _ = read_description(changed)
        values = settle_parameters(read, URL | {"free": given_value}, None)
    except ContractError as error:
        _ = [str(reason).encode() for reason in error.reasons]  # it can be printed
        return
    if "free" not in values:
        assert schema.get("allowEmpty", False)
        return
    value = values["free"]
    if not array:
        assert obeys(schema, value, given_value)
        return
    assert isinstance(value, list)
    assert value or schema.get("allowEmpty", False)
    assert all(obeys(schema | {"minPrecision": 0}, item, item) for item in value if item != "")


@given(st.dictionaries(st.sampled_from(sorted(APPLICATION.parameters)) | st.text(max_size=5), GIVEN, max_size=4),
       st.none() | st.dictionaries(st.sampled_from(sorted(APPLICATION.parameters)), GIVEN, max_size=4),
       st.none() | st.sampled_from(APPLICATION.profiles))  # fmt: skip
def test_settling_twice_changes_nothing(
    values: dict[str, object], current: dict[str, object] | None, profile: Profile | None
) -> None:
    """What is settled is a valid set of values itself, and what is deployed does not refuse itself."""
    try:
        first = settle_parameters(APPLICATION, URL | values, current, profile)
    except ContractError:
        return
    emptied = {name: value for name, value in values.items() if name not in first}
    assert settle_parameters(APPLICATION, emptied | first, first, profile) == first


def test_the_schema_of_a_value_is_bounded() -> None:
    """A list may not have a million entries, a text not be a megabyte."""
    assert refused(hosts=["a"] * 1001) == {"parameters.hosts": "too-long"}
    assert refused(free="a" * 70_000) == {"parameters.free": "too-long"}
    assert Schema("x", "").allow_empty is False
