"""Nasty inputs, written by hand: what each harness starts from, and what the tests run it with.

Sizes stay small enough for all of them to be tried on every harness; how work grows with the size is
``tests/unit/topics/test_growth.py``'s.
"""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from typing import Any

from tests.unit.orchestrator.story import spec_document
from tests.unit.topics.margo import test_capabilities
from tests.unit.topics.margo.documents import OLD, PR1, RC_COMPOSE, RC_HELM
from tests.unit.topics.margo.package import descriptions

DEEP = 3_000


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _rule(operator: str, key: str = "/labels/line", **fields: Any) -> dict[str, Any]:
    return {"propertySelector": {"matchExpressions": [{"key": key, "operator": operator, **fields}]}}


def _spec(**fields: Any) -> bytes:
    return _json(spec_document(**fields))


def tar_of(*names: str, content: bytes = b"name: a\nversion: 1.0.0\n", link: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name in names:
            entry = tarfile.TarInfo(name)
            if link:
                entry.type, entry.linkname = tarfile.SYMTYPE, link
            entry.size = 0 if link else len(content)
            archive.addfile(entry, None if link else io.BytesIO(content))
    return out.getvalue()


def _zip(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, "id: a\n" * 50)
    return out.getvalue()


BYTES = (
    b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf{}", b"\xed\xa0\x80", b"{}", b"[]", b"null", b"0", b'""', b"true", b"-",
    b"{" * DEEP, b"[" * DEEP, b'{"a":' * DEEP, b"[" * DEEP + b"]" * DEEP, b"- " * DEEP, b"? " * DEEP, b"a: " * DEEP,
    b"&a " * 200, b"*a", b"!!python/object/apply:os.system [id]", b"!!binary x", b"<<: *a", b"{<<: {a: 1}}",
    b"a: &a [1]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]", b"a: &a\n  b: *a", b"- &a [*a]", b"? [1]\n: 2", b"? {}\n: 2",
    b"1: 2\n'1': 3", b"a: 1\na: 2", b"%YAML 9.9\n---\na", b"---\n---\n", b"a: |\n", b"a: >-9\n", b"\t- a", b"a: 'b",
    b"'\\uD800'", b'"\\uD800"', b'{"a":"\\ud800"}', b'{"\\ud800":1}', b'{"a":1,"a":2}', b"9" * 5_000, b"-" + b"9" * 400,
    b"1e999999999", b"1E-999999999", b"0." + b"0" * 5_000 + b"1", b"9" * 5_000 + b"Ki", b"1e99", b"0x1F", b"0o17", b"1_000",
    b"NaN", b".inf", b"Infinity", b'{"a":NaN}', b'{"a":1e400}', b"1" + b"0" * 30 + b"E", b"59 Gi", b"59  \t Gi", b"+5", b"--5",
    b"\xd9\xa1\xd9\xa2", b"\xc2\xb2", b"1\n", b" 1 ", b"1h" * 500, b"1h2m3s4ms", b"999999999999h", b"1.1.1.1", b"v1.2.3-" + b"a" * 190,
    b">=1 <2 || " * 19, b"1 - 2 - 3", b"*\n1.2.3", b"x.x.x\nv1", b"^0.0.0-0\n0.0.0-0",
    b"/", b"//", b"/-", b"/~", b"/~1", b"/" * 400, b"/cpus/0/cores", b"/cpus/00", b"/cpus/-1", b"/cpus/99999999999999999999",
    b"/labels/line", b"/peripherals/0/type/0", b"a.b[63].c", b"a[64]", b"a[0][0][0]" * 8, b"a\\.b", b"\\" * 300, b"a.b\na", b"a\na.b",
    b"(a+)+$\n" + b"a" * 100, b"(?=a)", b"\\1", b"(" * 500, b"[" * 500, b"a{1000}{1000}", b"(?i)" * 200, b"\\pL*\n\xc3\xa9", b"\\C\n\xc3\xa9",
    b"*a" * 20, b"!", b"/", b"**", b"[a", b"[]]", b"[^]", b"[z-a]", b"\\", b"a/*/b/",
    b"fleetbus/v1/specs/press", b"specs/" + b"a" * 64, b"specs/press/result", b"specs/Press", b"specs/a/b", b"devices/+/status/#",
    b"devices/edge-01/status/press", b"devices//status/press", b"$SYS/broker", b"devices/edge-01/manifests/a\0b", b"a/" * 3_000,
)  # fmt: skip

DOCUMENTS = (
    _spec(), _spec(devices=("edge-01", "gw/*"), count=1), _spec(name="press", spread_by="zone", count=3),
    _spec(memory="1" + "0" * 29 + "E"), _spec(memory="-1Gi"), _spec(memory="9" * 400),
    _spec(requirements={"cpu": {"cores": "1e-99", "architectures": ["amd64"] * 50}, "storage": "1n"}),
    _spec(requirements={"rules": [_rule("In", values=["press", 1, 1.5, True, "1e3"])] * 100}),
    _spec(requirements={"rules": [_rule("Gt", "/memory", values=["1e99"])]}),
    _spec(requirements={"rules": [_rule("ContainsAll", "/peripherals", itemSelector={"matchExpressions": [
        {"key": "/type", "operator": "In", "values": ["gpu", "camera"]},
        {"key": "/manufacturer", "operator": "NotIn", "values": ["x"]},
        {"key": "/model", "operator": "DoesNotExist"}]})]}),
    _spec(requirements={"rules": [_rule("ContainsAll", "/interfaces", itemSelector={"matchExpressions": [
        {"key": "/type", "operator": "In", "values": list(range(100))}] * 2})]}),
    _spec(selector={"matchLabels": {f"k{number}": "v" for number in range(200)}}),
    _spec(selector={"matchExpressions": [{"key": "/labels/a~1b", "operator": "NotIn", "values": ["\ud800"]}]}),
    _spec(component={"name": "a", "helm": {"chart": "oci://r/c", "values": {"a": [[[[]]]], "": None}}}),
    *map(_json, (RC_HELM, RC_COMPOSE, OLD, PR1, test_capabilities.CURRENT, test_capabilities.PR1, test_capabilities.OLD)),
    _json(RC_HELM | {"id": "\ud800"}), _json(RC_HELM | {"metadata": {"deviceId": "gw/*/x", "name": ["\0"]}}),
    _json({"requirements": {"rules": [_rule("Exists", "/" + "a/" * 240)]}, "selector": {}, "device": {"device": "d"}}),
    _json({"device": {"device": "d", "memory": -(2**63), "cpus": [{"architecture": "", "cores": -1}] * 50}}),
    _json({"device": {"device": "d", "memory": 2**70, "labels": {"": "", "\ud800": "x"}}}),
    _json({"add": {"labels": {"a": "b"}, "cpus": [{"architecture": "amd64", "cores": True}]}, "override": {"memory": "1e99"}}),
    _json({"override": {"memory": "9" * 60_000}}), b"[add]\nlabels = {a = 1979-05-27}\n", b"a." * 5_000 + b"b = 1", b"a = [" * DEEP,
    _json(descriptions.document()), _json(descriptions.document()) + b'\0{"url": "https://a.b"}',
    _json(descriptions.document()) + b'\0{"url": "https://a.b", "poll": "1e999999999", "limit": "9", "hosts": ["a", {}]}',
    _json(descriptions.document()) + b'\0{"poll": 1e308, "\\ud800": "\\ud800", "debug": []}',
    b"\x03" + b'{"device":"edge-01","memory":1,"labels":{"line":"oven"}}',
    b"\x00" + _spec() + b'\n\x00\n\x02\n\x03{}\n\x05null\n\x01{"id":"1","action":"retry"}\n\x07specs/\xed\xa0\x80',
)  # fmt: skip

ARCHIVES = (
    tar_of("a/Chart.yaml"), tar_of("Chart.yaml"), tar_of("a/Chart.yaml", "b/Chart.yaml"), tar_of("../a/Chart.yaml"), tar_of("/a/Chart.yaml"),
    tar_of("a/Chart.yaml", link="/etc/passwd"), tar_of("a/Chart.yaml", content=b"[" * DEEP), tar_of("a/Chart.yaml", content=b"\xff"),
    tar_of("a/Chart.yaml", content=b"name: {a: b}\nversion: 1\n"), tar_of("a/Chart.yaml", content=b"name: &a [*a]\nversion: 1\n"),
    tar_of("a/Chart.yaml")[:60], tar_of("a/Chart.yaml") + b"x", tar_of("a/Chart.yaml") * 2, tar_of("a/Chart.yaml", content=b"\0" * 2_000_000),
    tar_of("margo.yaml", "a" * 300, "a\\b", "a/./b", "con", "a:b"), tar_of("margo.yaml", "margo.yaml"), b"\x1f\x8b" + b"\0" * 50,
    _zip("margo.yaml", "../x", "/y", "a\\b"), _zip("margo.yaml", "a/b"), _zip("a")[:40], _zip("a") + b"x" * 100, b"PK\5\6" + b"\0" * 18,
)  # fmt: skip

CORPUS = (*BYTES, *DOCUMENTS, *ARCHIVES)

_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "ContainsAll", "ContainsAny")


def words() -> list[str]:
    """What the fuzzer puts together: every name in the documents, operators, types and marks."""
    found: set[str] = {
        *_OPERATORS,
        "helm",
        "compose",
        "gw/*",
        "1e99",
        "4Gi",
        "\\ud800",
        "- &a ",
        "*a",
        "<<: ",
        "!!binary ",
        "{{",
        "}}",
    }
    waiting: list[Any] = [json.loads(data.partition(b"\0")[0]) for data in DOCUMENTS if data[:1] == b"{"]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            found.update(value)
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return sorted(word for word in found if 1 < len(word) <= 40 and word.isascii())
