"""Margo documents of our own, one for each form; tests change them."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from topics.errors import ContractError, Reason
from topics.spec_reader import SpecDocument, read_document

ID = "5b0c6f0e-32a4-4c4f-9a55-0d8a3f1f7c11"
MISSING = object()

RC_HELM: dict[str, Any] = {
    "id": ID,
    "metadata": {"name": "bottling-line", "namespace": "bottling", "deviceId": "edge-07", "labels": {"line": "3"}},
    "spec": {
        "applicationId": "com-example-bottling",
        "deploymentProfile": {
            "type": "helm",
            "components": [
                {
                    "name": "historian",
                    "properties": {
                        "repository": "oci://registry.example/charts/historian",
                        "revision": "4.1.0",
                        "wait": True,
                        "timeout": "7m",
                    },
                },
                {
                    "name": "counter",
                    "properties": {"repository": "oci://registry.example/charts/counter", "revision": "0.9.2"},
                },
            ],
            "deviceConstraints": {
                "capacityRequirements": {
                    "cpu": {"cores": 0.5, "architectures": ["amd64", "arm64"]},
                    "memory": "768Mi",
                    "storage": "5Gi",
                },
                "eligibilityRules": [
                    {
                        "propertySelector": {
                            "matchExpressions": [
                                {
                                    "key": "/interfaces",
                                    "operator": "ContainsAll",
                                    "itemSelector": {
                                        "matchExpressions": [{"key": "/type", "operator": "In", "values": ["canbus"]}]
                                    },
                                }
                            ]
                        }
                    },
                    {"labelSelector": {"matchLabels": {"line": "3"}}},
                ],
            },
        },
        "parameters": {
            "rate": {
                "value": 12,
                "targets": [{"pointer": "sampling.perSecond", "components": ["historian", "counter"]}],
            },
            "sinks": {"value": ["a", "b"], "targets": [{"pointer": "outputs[0].names", "components": ["historian"]}]},
            "owner": {
                "value": "shift-b",
                "targets": [{"pointer": r"podAnnotations.example\.com/owner", "components": ["counter"]}],
            },
        },
    },
}

RC_COMPOSE: dict[str, Any] = {
    "id": ID,
    "metadata": {"name": "label-printer", "namespace": "labels", "deviceId": "gateway-2/printer-1"},
    "spec": {
        "applicationId": "com-example-labels",
        "deploymentProfile": {
            "type": "compose",
            "components": [
                {
                    "name": "printer",
                    "properties": {"repository": "oci://registry.example/compose/printer", "revision": "2.0.0"},
                }
            ],
        },
        "parameters": {
            "copies": {"value": 2, "targets": [{"pointer": "COPIES", "components": ["printer"]}]},
            "duplex": {"value": False, "targets": [{"pointer": "DUPLEX", "components": ["printer"]}]},
        },
    },
}

OLD: dict[str, Any] = {
    "apiVersion": "margo.org/v1-alpha1",
    "kind": "ApplicationDeployment",
    "metadata": {
        "annotations": {"id": ID, "applicationId": "com-example-labels", "fleetbus/devices": "edge-01, edge-02"}
    },
    "spec": {
        "deploymentProfile": {
            "type": "docker-compose",
            "components": [
                {
                    "name": "printer",
                    "properties": {
                        "packageLocation": "https://downloads.example/printer.tar.gz",
                        "keyLocation": "https://downloads.example/printer.asc",
                        "wait": "false",
                        "timeout": 90,
                    },
                }
            ],
        },
        "parameters": {"copies": {"value": "2", "targets": [{"pointer": "ENV.COPIES", "components": ["printer"]}]}},
    },
}

PR1: dict[str, Any] = {
    "apiVersion": "application.margo.org/v1alpha1",
    "kind": "ApplicationDeployment",
    "id": ID,
    "metadata": {
        "annotations": {"applicationId": "com-example-bottling"},
        "name": "bottling-line",
        "namespace": "bottling",
    },
    "spec": {
        "deploymentProfile": {
            "type": "helm",
            "components": [
                {"name": "counter", "properties": {"repository": "https://charts.example/stable", "revision": "0.9.2"}}
            ],
            "requiredResources": {
                "cpu": {"cores": 2, "architectures": ["x86_64"]},
                "memory": "1Gi",
                "peripherals": [{"type": "GPU", "manufacturer": "Example"}],
                "interfaces": [{"type": "Wi-Fi"}],
            },
        },
        "parameters": {},
    },
}


def changed(document: dict[str, Any], *changes: tuple[str, Any]) -> dict[str, Any]:
    """A copy with the values at some paths (dots; numbers for list entries) replaced or taken out."""
    made = copy.deepcopy(document)
    for path, value in changes:
        *way, last = (int(step) if step.isdigit() else step for step in path.split("/"))
        place: Any = made
        for step in way:
            place = place[step]
        if value is MISSING:
            del place[last]
        else:
            place[last] = value
    return made


def read(document: dict[str, Any], **options: Any) -> SpecDocument:
    """The document as it is read from a topic."""
    return read_document(json.dumps(document).encode(), **options)


def refused(document: Any, **options: Any) -> tuple[Reason, ...]:
    """The reasons for which it is refused."""
    with pytest.raises(ContractError) as caught:
        read(document, **options)
    return caught.value.reasons


def tolerated(document: SpecDocument) -> list[str]:
    """The paths of what was tolerated."""
    assert all(reason.code == "tolerated" and reason.message for reason in document.warnings)
    return [reason.path for reason in document.warnings]
