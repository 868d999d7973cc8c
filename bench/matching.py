"""Matching: 10,000 different devices against one spec with five rules; and reading a spec of 1 MiB.

Of each device: is it selected, does it suit, and if not, every reason why not. The devices are prepared
(``Subject``) within the measured time. The baseline of the matching is ``json.loads`` of the devices'
capabilities, that of the reading ``json.loads`` of the same document.

    python -m bench.matching [--devices 10000]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

import yaml

from bench.figures import Figure, best, milliseconds, show
from tests.support.processes import spec
from topics.codec import MAX_PAYLOAD_BYTES, canonical_json, encode
from topics.documents.device import Capabilities
from topics.documents.selection import Selector
from topics.documents.spec import Requirements
from topics.eligibility import Subject, compile_selector
from topics.errors import Reason
from topics.requirements import compile_requirements
from topics.spec_reader import read_spec

MATCH_SECONDS = 0.5
READ_SECONDS = 0.5

_GI = 2**30
_INTERFACES = ("ethernet", "wifi", "cellular", "bluetooth", "usb", "canbus", "rs232")
_MAKERS = ("NVIDIA", "Intel", "AMD")

SELECTOR = {
    "matchLabels": {"site": "north"},
    "matchExpressions": [
        {"key": "line", "operator": "NotIn", "values": ["paint", "test"]},
        {"key": "/memory", "operator": "Gt", "values": ["1Gi"]},
    ],
}


def _item(key: str, **conditions: list[str]) -> dict[str, Any]:
    expressions = [{"key": f"/{name}", "operator": "In", "values": values} for name, values in conditions.items()]
    return {"key": key, "operator": "ContainsAll", "itemSelector": {"matchExpressions": expressions}}


def _rule(*expressions: dict[str, Any], **labels: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"propertySelector": {"matchExpressions": list(expressions)}}
    return {**rule, "labelSelector": {"matchLabels": labels}} if labels else rule


REQUIREMENTS = {
    "cpu": {"cores": "1500m", "architectures": ["amd64", "arm64"]},
    "memory": "2Gi",
    "storage": "10Gi",
    "rules": [
        _rule(_item("/peripherals", type=["gpu"], manufacturer=["NVIDIA"]),
              _item("/interfaces", type=["ethernet", "bluetooth"])),
        _rule({"key": "/memory", "operator": "Gt", "values": ["60Gi"]},
              {"key": "/cpus/0/cores", "operator": "Gt", "values": [15]}),
        _rule({"key": "/vendor", "operator": "In", "values": ["Maker 3", "Maker 4"]},
              {"key": "/supportedDeploymentTypes", "operator": "ContainsAny", "values": ["compose"]}, line="press"),
        _rule({"key": "/labels/tier", "operator": "Lt", "values": ["1"]},
              {"key": "/serialNumber", "operator": "DoesNotExist"}),
        _rule({"key": "/kernel", "operator": "NotIn", "values": ["6.1.0", "6.6.0"]},
              {"key": "/runtimes", "operator": "ContainsAny", "itemSelector": {"matchExpressions": [
                  {"key": "/name", "operator": "In", "values": ["docker", "podman"]},
                  {"key": "/memory", "operator": "Exists"}]}}),
    ],
}  # fmt: skip


def device(number: int) -> Capabilities:
    """A device that differs from the others as devices do; every figure of it follows from its number."""
    several = number * 7919
    return Capabilities.model_validate({
        "device": f"edge-{number:05}",
        "labels": {"site": "south" if number % 10 == 0 else "north", "tier": str(number % 4),
                   "line": ("press", "paint", "weld")[number % 50 % 3]},
        "cpus": [{"architecture": ("amd64", "arm64", "arm")[number % 20 % 3], "cores": 1 + several % 24}],
        "memory": (1 + several % 96) * _GI + number * 4096,
        "storage": [{"path": "/", "capacity": (4 + several % 60) * _GI + number},
                    {"path": "/data", "capacity": (several % 500) * _GI + number}],
        "interfaces": [{"name": f"if{index}", "type": _INTERFACES[(several >> index) % 7]}
                       for index in range(1 + number % 4)],
        "peripherals": [{"type": ("gpu", "camera")[number % 2], "manufacturer": _MAKERS[several % 3],
                         "model": f"M{several % 40}"}] if number % 3 else [],
        "runtimes": [{"name": "docker", "version": f"28.{number % 5}"}, {"name": "kubernetes", "nodes": 1}],
        "deploymentTypes": ["helm", "compose"] if number % 4 else ["helm"],
        "vendor": f"Maker {several % 9}", "model": f"X{number % 30}", "serial": f"S{number}",
        "kernel": ("6.1.0", "6.6.0")[number % 5 % 2], "operatingSystem": "Debian 12",
    })  # fmt: skip


def measure(devices: int = 10_000) -> Iterator[Figure]:
    every = [device(number) for number in range(devices)]
    payloads = [encode(one) for one in every]
    assert len(set(payloads)) == devices, "each device must be different"
    selector, requirements = Selector.model_validate(SELECTOR), Requirements.model_validate(REQUIREMENTS)
    selected: list[str] = []
    refused: dict[str, tuple[Reason, ...]] = {}

    def match() -> None:
        selected.clear()
        refused.clear()
        selects, compiled = compile_selector(selector), compile_requirements(requirements)
        for capabilities in every:
            subject = Subject(capabilities)
            if selects(subject):
                selected.append(subject.device)
                if not compiled.suits(subject):
                    refused[subject.device] = compiled.unmet_shared(subject)

    taken = best(match)
    assert 0 < len(refused) < len(selected) < devices, "all three kinds of devices must be there"
    reasons = sum(map(len, refused.values()))
    yield Figure(
        f"{devices:,} devices matched with a selector and 5 rules "
        f"({len(selected):,} selected, {len(refused):,} refused for {reasons:,} reasons)",
        milliseconds(taken),
        f"json.loads of their capabilities {milliseconds(best(lambda: [json.loads(one) for one in payloads]))}",
        f"< {MATCH_SECONDS:g} s", taken < MATCH_SECONDS,
    )  # fmt: skip
    yield from reading()


def reading() -> Iterator[Figure]:
    """``read_spec`` of a spec as large as a payload may be, in both spellings."""
    for name, payload in (("JSON", _fill(_json)), ("YAML", _fill(_yaml))):
        taken = best(lambda payload=payload: read_spec(payload))  # type: ignore[misc]
        bare = canonical_json(read_spec(payload).model_dump(mode="json", by_alias=True))
        yield Figure(
            f"spec of {len(payload) / 2**20:.2f} MiB of {name} read and validated", milliseconds(taken),
            f"json.loads of the same document {milliseconds(best(lambda bare=bare: json.loads(bare)))}",  # type: ignore[misc]
            f"< {READ_SECONDS:g} s", taken < READ_SECONDS,
        )  # fmt: skip


def _large(objects: int) -> dict[str, Any]:
    """A spec with many objects as applications have them: a workload with its settings."""
    document = spec("large")
    document["spec"]["requirements"] = REQUIREMENTS
    document["spec"]["components"] = [
        {"name": "settings", "kubernetes": {"objects": [
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": f"part-{number}"},
             "spec": {"replicas": 1 + number % 3, "template": {"spec": {"containers": [
                 {"name": "main", "image": f"registry.example/line/part-{number}:1.{number}",
                  "env": [{"name": f"SETTING_{index}", "value": f"value {number}-{index}"} for index in range(8)],
                  "resources": {"limits": {"cpu": "500m", "memory": "512Mi"}}}]}}}}
            for number in range(objects)]}},
    ]  # fmt: skip
    return document


def _json(objects: int) -> bytes:
    return canonical_json(_large(objects))


def _yaml(objects: int) -> bytes:
    return str(yaml.dump(_large(objects), Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))).encode()


def _fill(write: Any) -> bytes:
    """The largest spec of the kind that is still a payload."""
    each = (len(write(200)) - len(write(100))) / 100
    objects = int(MAX_PAYLOAD_BYTES / each)
    while len(payload := write(objects)) > MAX_PAYLOAD_BYTES:
        objects -= max(1, objects // 200)
    return bytes(payload)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--devices", type=int, default=10_000)
    show(measure(arguments.parse_args().devices))


if __name__ == "__main__":
    main()
