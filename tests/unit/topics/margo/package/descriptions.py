"""A small application description to change in tests, and what a device says of itself."""

from __future__ import annotations

import copy
from typing import Any

from topics.documents.device import Capabilities, Cpu, Interface, Peripheral, Volume
from topics.eligibility import Subject
from topics.errors import ContractError, Reason
from topics.margo.package import Description, read_description

_DOCUMENT: dict[str, Any] = {
    "apiVersion": "v1",
    "id": "com-example-press",
    "metadata": {"name": "Press", "version": "1.2.0", "catalog": {"organization": [{"name": "Example"}]}},
    "deploymentProfiles": [
        {
            "type": "helm", "id": "press-helm",
            "components": [
                {"name": "database", "properties": {"repository": "oci://registry.example/tsdb", "revision": "2.3.7",
                                                    "timeout": "8m30s"}},
                {"name": "press", "properties": {"repository": "oci://registry.example/press", "wait": False}},
            ],
            "deviceConstraints": {
                "capacityRequirements": {"cpu": {"cores": 1.5, "architectures": ["amd64"]}, "memory": "1Gi"},
                "eligibilityRules": [
                    {"propertySelector": {"matchExpressions": [
                        {"key": "/interfaces", "operator": "ContainsAny", "itemSelector": {"matchExpressions": [
                            {"key": "/type", "operator": "In", "values": ["ethernet"]}]}}]}},
                ],
            },
        },
        {
            "type": "compose", "id": "press-compose",
            "components": [{"name": "press-docker", "properties": {"repository": "oci://registry.example/compose/press",
                                                                   "revision": "1.2.0"}}],
        },
    ],
    "parameters": {
        "poll": {"value": 30, "targets": [
            {"pointer": "settings.poll", "components": ["press", "database"]},
            {"pointer": "POLL", "components": ["press-docker"]},
        ]},
        "url": {"targets": [{"pointer": "idp.url", "components": ["press"]},
                            {"pointer": "IDP_URL", "components": ["press-docker"]}]},
        "site": {"targets": [{"pointer": "site", "components": ["press"]}]},
        "limit": {"value": 1, "targets": [{"pointer": "limits.cpu", "components": ["press"]}]},
        "debug": {"value": False, "targets": [{"pointer": "debug", "components": ["press"]}]},
        "hosts": {"value": ["a"], "targets": [{"pointer": "hosts", "components": ["press"]},
                                              {"pointer": "HOSTS", "components": ["press-docker"]}]},
        "mode": {"value": "fast", "targets": [{"pointer": "mode", "components": ["press"]}]},
        "free": {"value": "x", "targets": [{"pointer": "free", "components": ["press"]}]},
    },
    "configuration": {
        "sections": [
            {"name": "General", "settings": [
                {"parameter": "poll", "name": "Poll", "schema": "seconds"},
                {"parameter": "url", "name": "URL", "schema": "address", "immutable": True},
                {"parameter": "site", "name": "Site", "schema": "optional"},
                {"parameter": "limit", "name": "Limit", "schema": "cores"},
                {"parameter": "debug", "name": "Debug", "schema": "switch"},
                {"parameter": "hosts", "name": "Hosts", "schema": "names"},
                {"parameter": "mode", "name": "Mode", "schema": "modes"},
            ]},
        ],
        "schema": [
            {"name": "seconds", "dataType": "integer", "minValue": 30, "maxValue": 360, "allowEmpty": False},
            {"name": "address", "dataType": "string", "regexMatch": "https://[a-z.]+", "maxLength": 20},
            {"name": "optional", "dataType": "string", "minLength": 5, "allowEmpty": True},
            {"name": "cores", "dataType": "double", "minValue": 0.5, "maxPrecision": 1},
            {"name": "switch", "dataType": "boolean"},
            {"name": "names", "dataType": "array[string]", "maxLength": 3},
            {"name": "modes", "dataType": "string", "options": ["fast", "slow"]},
        ],
    },
}  # fmt: skip


def document(**changes: Any) -> dict[str, Any]:
    """The description as a parser gives it; ``a__0__b=value`` replaces what is there, ``...`` takes it away."""
    found = copy.deepcopy(_DOCUMENT)
    for path, value in changes.items():
        *steps, last = [int(step) if step.isdigit() else step for step in path.split("__")]
        place: Any = found
        for step in steps:
            place = place[step]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return found


def description(**changes: Any) -> Description:
    """The same, read."""
    return read_description(document(**changes))[0]


def refusals(value: object) -> tuple[Reason, ...]:
    """Why a document is refused; fails if it is not."""
    try:
        read_description(value)
    except ContractError as error:
        return error.reasons
    raise AssertionError("the document was accepted")


def device(name: str = "edge-01", **changes: Any) -> Subject:
    """A device that supports the Helm profile."""
    said: dict[str, Any] = {
        "cpus": (Cpu(architecture="amd64", cores=4),), "memory": 8 * 2**30,
        "storage": (Volume(path="/", capacity=64 * 2**30),), "interfaces": (Interface(name="eth0", type="ethernet"),),
        "peripherals": (Peripheral(type="gpu", manufacturer="NVIDIA"),), "deployment_types": ("helm", "kubernetes"),
    }  # fmt: skip
    return Subject(Capabilities(device=name, **(said | changes)))
