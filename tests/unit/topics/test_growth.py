"""Reading and matching take work that grows with the size of what is read, and not with its square.

Counted in Python's own steps, never timed. What C does (the JSON and YAML scanners, regular expressions, pydantic's
core) is one step here: that it does not hang is shown by the largest inputs, which are read to their end.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from edge_agent.probe.block_yaml import BlockYamlError, read_block_yaml
from orchestrator.charts import bounded_yaml
from orchestrator.charts.archive import open_archive
from orchestrator.charts.errors import ChartFetchError
from orchestrator.charts.helmignore import HelmIgnore
from orchestrator.charts.versions import newest_match
from orchestrator.rendering.kubernetes_yaml import load_document, split_documents
from tests.fuzz.corpus import tar_of
from tests.fuzz.harnesses import HARNESSES, SUBJECT
from tests.support.work import growth
from tests.unit.orchestrator.story import spec_document
from tests.unit.topics.margo.documents import RC_HELM, changed
from tests.unit.topics.margo.package import descriptions
from topics.codec import MAX_PAYLOAD_BYTES, parse_json
from topics.documents.device import Capabilities
from topics.documents.selection import Selector
from topics.documents.spec import Requirements
from topics.eligibility import Subject, compile_references, unselected
from topics.errors import ContractError
from topics.margo.package import read_description, settle_parameters
from topics.quantity import number_of
from topics.requirements import compile_requirements
from topics.spec_reader import assigned, read_document
from topics.yaml_loader import load_yaml
from topics.yaml_positions import positions_of

LINEAR = 2.15  # per doubling; what is quadratic comes near 4

REFUSALS = (ContractError, ValidationError, ValueError, ChartFetchError, BlockYamlError, yaml.YAMLError)

Work = Callable[[int], Callable[[], object]]


def _tolerant(action: Callable[[], object]) -> Callable[[], object]:
    def run() -> None:
        with suppress(*REFUSALS):
            action()

    return run


def _spec(make: Callable[[int], dict[str, Any]]) -> Work:
    def prepare(size: int) -> Callable[[], object]:
        payload = json.dumps(spec_document(**make(size))).encode()
        return lambda: read_document(payload, limit=64 * MAX_PAYLOAD_BYTES)

    return prepare


def _margo(path: str, make: Callable[[int], Any]) -> Work:
    def prepare(size: int) -> Callable[[], object]:
        payload = json.dumps(changed(RC_HELM, (path, make(size)))).encode()
        return lambda: read_document(payload, limit=64 * MAX_PAYLOAD_BYTES)

    return prepare


def _text(read: Callable[[str], object], make: Callable[[int], str]) -> Work:
    def prepare(size: int) -> Callable[[], object]:
        text = make(size)
        return lambda: read(text)

    return prepare


def _bytes(read: Callable[[bytes], object], make: Callable[[int], bytes]) -> Work:
    def prepare(size: int) -> Callable[[], object]:
        data = make(size)
        return lambda: read(data)

    return prepare


def _matched(make: Callable[[int], dict[str, Any]], subject: Callable[[int], Subject] = lambda _: SUBJECT) -> Work:
    def prepare(size: int) -> Callable[[], object]:
        requirements, device = Requirements.model_validate(make(size)), subject(size)
        return lambda: compile_requirements(requirements).unmet(device)

    return prepare


def _device(**fields: Any) -> Subject:
    return Subject(Capabilities.model_validate({"device": "edge-01", **fields}))


def _rule(operator: str, key: str, **fields: Any) -> dict[str, Any]:
    return {"propertySelector": {"matchExpressions": [{"key": key, "operator": operator, **fields}]}}


def _described(key: str, make: Callable[[int], Any]) -> Work:
    def prepare(size: int) -> Callable[[], object]:
        document = descriptions.document(**{key: make(size)})
        return lambda: settle_parameters(read_description(document)[0], {}, None)

    return prepare


def _found_again(text: str) -> object:
    positions = positions_of(text)
    return [positions.of(f"k{number}") for number in range(text.count("\n"))]


def _items(size: int) -> list[dict[str, str]]:
    return [{"type": "camera", "manufacturer": f"m{number}"} for number in range(size)]


_EXISTS = [_rule("Exists", "/none")]
_ITEMS = {"matchExpressions": [{"key": "/manufacturer", "operator": "In", "values": [f"x{n}" for n in range(40)]}]}

WORK: dict[str, Work] = {
    "yaml: keys": _text(load_yaml, lambda size: "".join(f"k{n}: v\n" for n in range(size))),
    "yaml: flow": _text(load_yaml, lambda size: "[" + "1, " * size + "1]"),
    "yaml: nesting": _text(load_yaml, lambda size: "[" * size + "]" * size),
    "yaml: anchors": _text(load_yaml, lambda size: "".join(f"- &a{n} 1\n" for n in range(size))),
    "yaml: aliases": _text(load_yaml, lambda size: "- &a [1, 2]\n" + "- *a\n" * size),
    "yaml: aliases of aliases": _text(load_yaml, lambda size: "- &a0 1\n" + "".join(
        f"- &a{n + 1} [*a{n}, *a{n}]\n" for n in range(size))),
    "yaml: one line": _text(load_yaml, lambda size: "a: " + "x" * 50 * size),
    "yaml: numbers": _text(load_yaml, lambda size: "".join(f"- {n}e{n}\n" for n in range(size))),
    "yaml: positions": _text(_found_again, lambda size: "".join(f"k{n}: v\n" for n in range(size))),
    "json: keys": _text(parse_json, lambda size: json.dumps({f"k{n}": "v" for n in range(size)})),
    "json: nesting": _text(parse_json, lambda size: "[" * size + "]" * size),
    "json: surrogates": _text(parse_json, lambda size: "[" + '"\\ud83d\\ude00",' * size + "1]"),
    "cluster yaml: keys": _text(load_document, lambda size: "".join(f"k{n}: v\n" for n in range(size))),
    "cluster yaml: merges": _text(load_document, lambda size: "a: &a {b: 1}\n" + "".join(
        f"c{n}: {{<<: *a}}\n" for n in range(size))),
    "cluster yaml: documents": _text(lambda text: list(split_documents(text)), lambda size: "---\na: 1\n" * size),
    "chart yaml": _bytes(bounded_yaml.load, lambda size: b"- [a, {b: c}]\n" * size),
    "runtime yaml": _text(read_block_yaml, lambda size: "".join(f"k{n}:\n  - a: b\n" for n in range(size))),
    "chart: entries": _bytes(open_archive, lambda size: tar_of("a/Chart.yaml", *(f"a/f{n}" for n in range(size)))),
    "chart: ignore rules": _text(
        lambda text: HelmIgnore(text).leaves_out("a" * 200, folder=False), lambda size: "*a?b*\n" * size),
    "chart: ignore stars": _text(lambda text: HelmIgnore(text).leaves_out("a" * 200, folder=False), lambda size: "*a" * size),
    "chart: versions": _text(lambda text: newest_match("^1", text.split()), lambda size: "1.2.3-a.b.c 1.4 " * size),
    "spec: rules": _spec(lambda size: {"requirements": {"rules": _EXISTS * size}}),
    "spec: values": _spec(lambda size: {"requirements": {"rules": [_rule("In", "/id", values=["a"] * size)]}}),
    "spec: labels": _spec(lambda size: {"selector": {"matchLabels": {f"k{n}": "v" for n in range(size)}}}),
    "spec: devices": _spec(lambda size: {"devices": tuple(f"d{n}" for n in range(size))}),
    "spec: one device many times": _spec(lambda size: {"devices": ("d",) * size}),
    "spec: unknown fields": _spec(lambda size: {f"k{n}": 1 for n in range(size)}),
    "spec: a long quantity": _spec(lambda size: {"memory": "9" * 50 * size}),
    "spec: a long pointer": _spec(lambda size: {"requirements": {"rules": [_rule("Exists", "/a~" * size)]}}),
    "margo: parameters": _margo("spec/parameters", lambda size: {
        f"p{n}": {"value": n, "targets": [{"pointer": f"a.b{n}", "components": ["historian"]}]} for n in range(size)}),
    "margo: targets": _margo("spec/parameters", lambda size: {"p": {"value": 1, "targets": [
        {"pointer": f"a[{n % 60}].b{n}", "components": ["historian"]} for n in range(size)]}}),
    "margo: components": _margo("spec/deploymentProfile/components", lambda size: [
        {"name": f"c{n}", "properties": {"repository": "oci://r/c"}} for n in range(size)]),
    "margo: rules": _margo("spec/deploymentProfile/deviceConstraints/eligibilityRules", lambda size: _EXISTS * size),
    "margo: labels": _margo("metadata/labels", lambda size: {f"k{n}": "v" for n in range(size)}),
    "margo: unknown fields": _margo("metadata/x", lambda size: {f"k{n}": 1 for n in range(size)}),
    "margo: assigned": lambda size: lambda: assigned(json.dumps(RC_HELM).encode(), [f"d{n}" for n in range(size)]),
    "package: parameters": _described("parameters", lambda size: {
        f"p{n}": {"value": n, "targets": [{"pointer": f"a.b{n}", "components": ["press"]}]} for n in range(size)}),
    "match: rules": _matched(lambda size: {"rules": _EXISTS * size}),
    "match: values": _matched(lambda size: {"rules": [_rule("In", "/id", values=[f"v{n}" for n in range(size)])]}),
    "match: values of a list": _matched(
        lambda size: {"rules": [_rule("ContainsAll", "/labelList", values=[f"v{n}" for n in range(size)])]}),
    "match: items": _matched(
        lambda _: {"rules": [_rule("ContainsAll", "/peripherals", itemSelector=_ITEMS)]},
        lambda size: _device(peripherals=_items(size))),
    "match: items and any": _matched(
        lambda _: {"rules": [_rule("ContainsAny", "/peripherals", itemSelector=_ITEMS)]},
        lambda size: _device(peripherals=_items(size))),
    "match: architectures": _matched(
        lambda size: {"cpu": {"cores": "1", "architectures": ["amd64", "arm64"]}},
        lambda size: _device(cpus=[{"architecture": f"b{n}", "cores": 1} for n in range(size)])),
    "match: interfaces": _matched(
        lambda size: {"interfaces": [{"type": "usb"}] * size}, lambda _: _device(interfaces=[])),
    "match: labels": lambda size: lambda: unselected(
        Selector.model_validate({"matchLabels": {f"k{n}": "v" for n in range(size)}}), SUBJECT),
    "match: references": lambda size: lambda: compile_references([f"gw/d{n}" for n in range(size)])(SUBJECT),
}  # fmt: skip


@pytest.mark.parametrize("what", WORK)
def test_twice_as_much_is_twice_the_work(what: str) -> None:
    """Also where it is refused: finding out must not cost more."""
    assert growth(lambda size: _tolerant(WORK[what](size)), 45) < LINEAR


LARGEST: dict[str, tuple[str, bytes]] = {
    "digits": ("quantity", b"9" * 100_000),
    "an exponent": ("quantity", b"1e999999999"),
    "decimals": ("quantity", b"0." + b"0" * 100_000 + b"1"),
    "blanks before a suffix": ("quantity", b"1" + b" " * 100_000 + b"x"),
    "hours": ("quantity", b"1h" * 50_000 + b"x"),
    "dots": ("quantity", b"1." * 50_000),
    "dashes": ("quantity", b"1.0.0-" + b"-" * 100_000 + b"!"),
    "ranges": ("quantity", b"1 - " * 50_000),
    "a pattern": ("pattern", b"(a|a)*" * 200 + b"\n" + b"a" * 100_000),
    "a repeated pattern": ("pattern", b"((a{0,99}){0,99}){0,99}\n" + b"a" * 9_999 + b"b"),
    "tildes": ("pointer", b"/" + b"~" * 100_000),
    "backslashes": ("pointer", b"\\" * 100_001),
    "brackets": ("pointer", b"a" + b"[0]" * 30_000),
    "levels": ("topic", b"a/" * 50_000),
    "one level": ("topic", b"specs/" + b"a" * 100_000),
    "brackets of json": ("codec", b"[" * 500_000),
    "brackets of yaml": ("yaml", b"- [" * 100_000),
    "indents": ("yaml", b"".join(b" " * number + b"a:\n" for number in range(1_000))),
    "anchors": ("yaml", b"&a " * 30_000),
    "question marks": ("yaml", b"? " * 100_000),
    "quotes": ("yaml", b"'" * 100_001),
    "a star and letters": ("chart", b"*a" * 499 + b"b"),
    "open brackets": ("chart", b"[" * 999),
    "braces of a template": ("spec", b"{{" * 100_000),
    "toml keys": ("capabilities-file", b"a." * 30_000 + b"b=1"),
    "toml brackets": ("capabilities-file", b"a=" + b"[" * 60_000),
    "toml tables": ("capabilities-file", b"".join(b"[a.b%d]\n" % number for number in range(6_000))),
}


@pytest.mark.parametrize("what", LARGEST)
def test_the_largest_inputs_come_to_an_end(what: str) -> None:
    """Where C does the work, or a regular expression: the test's own time limit is the judge."""
    name, data = LARGEST[what]
    HARNESSES[name](data)


def test_a_number_of_any_length_is_decided_by_its_length_alone() -> None:
    """No integer is made of it first."""
    assert number_of("9" * 10_000_000) is None
