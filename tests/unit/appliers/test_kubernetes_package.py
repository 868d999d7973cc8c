"""The ``kubernetes`` package is imported without its generated classes, and still has them for others."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("kubernetes", reason="the extra 'kubernetes' is not installed")

_PROGRAM = """
import json, sys
import edge_agent.appliers.kubernetes
generated = [name for name in sys.modules if name.startswith("kubernetes.client.models")]
import kubernetes
from kubernetes import client, utils
from kubernetes.client import V1Job
from kubernetes.stream import stream
pod = client.ApiClient()._ApiClient__deserialize({"metadata": {"name": "a"}}, "V1Pod")
refused = False
try:
    client.NoSuchThing
except AttributeError:
    refused = True
print(json.dumps([generated, V1Job.__name__, client.CoreV1Api.__name__, pod.metadata.name, refused]))
"""


def test_generated_classes_are_loaded_only_when_somebody_asks() -> None:
    """Another applier in the agent may: it finds the package as it always is."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(done.stdout) == [[], "V1Job", "CoreV1Api", "a", True]
