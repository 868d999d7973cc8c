"""Helm's records of releases, read and repaired past Helm; and what Helm's sentences mean."""

from __future__ import annotations

import base64
import gzip
import json

import pytest

from edge_agent.appliers.helm_release import records
from edge_agent.appliers.helm_release.plan import Revision
from edge_agent.appliers.helm_release.problems import action_error, fetch_error
from edge_agent.appliers.port import ApplyError
from topics.documents.base import JsonObject
from topics.documents.release import HelmReleaseConfig

MANIFEST = """---
# Source: web/templates/a.yaml
apiVersion: v1
kind: ConfigMap
metadata:
  name: a
  labels: {tier: front}
data: {port: "22:22"}
---
# Source: web/templates/empty.yaml
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Secret
  metadata: {name: b, namespace: other}
"""


def record(manifest: str = MANIFEST, status: str = "pending-upgrade") -> JsonObject:
    """A Secret as Helm writes it."""
    content = {
        "name": "press-web", "namespace": "press", "version": 2, "manifest": manifest,
        "info": {"status": status, "description": "Preparing upgrade", "notes": "ü"},
    }  # fmt: skip
    packed = base64.b64encode(gzip.compress(json.dumps(content).encode()))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "helm.sh/release.v1",
        "metadata": {
            "name": "sh.helm.release.v1.press-web.v2",
            "namespace": "press",
            "resourceVersion": "7",
            "labels": {
                "owner": "helm", "name": "press-web", "version": "2", "status": status,
                "fleetbus.io/deployment": "press", "fleetbus.io/component": "web", "fleetbus.io/content": "c" * 40,
            },
        },
        "data": {"release": base64.b64encode(packed).decode()},
    }  # fmt: skip


def test_revision_is_in_the_labels() -> None:
    """Number, status and Fleetbus's own marks; nothing has to be unpacked for it."""
    assert records.revision_of(record()) == Revision(2, "pending-upgrade", "c" * 40, "press", "web")
    assert records.release_name(record()) == "press-web"
    assert records.revision_of({"metadata": {}}) == Revision(0, "unknown")


def test_objects_carry_helms_marks_of_ownership() -> None:
    """As Helm applies them: lists taken apart, empty documents left out, read as Helm reads YAML."""
    first, second = records.objects_of(record())
    assert first["data"] == {"port": "22:22"}
    assert first["metadata"]["labels"] == {"tier": "front", "app.kubernetes.io/managed-by": "Helm"}
    marks = {"meta.helm.sh/release-name": "press-web", "meta.helm.sh/release-namespace": "press"}
    assert first["metadata"]["annotations"] == second["metadata"]["annotations"] == marks
    assert (second["kind"], second["metadata"]["namespace"]) == ("Secret", "other")


def test_marking_failed_changes_status_and_nothing_else() -> None:
    """In the record and in its label; the version guards against somebody who was quicker."""
    before = record()
    marked = records.marked_failed(before)
    assert records.revision_of(marked).status == "failed"
    assert records.objects_of(marked) == records.objects_of(before)
    packed = base64.b64decode(base64.b64decode(marked["data"]["release"]))
    info = json.loads(gzip.decompress(packed))["info"]
    assert (info["status"], info["notes"]) == ("failed", "ü")
    assert "interrupted" in info["description"]
    assert marked["metadata"]["resourceVersion"] == "7"
    assert before == record()


@pytest.mark.parametrize("data", [{}, {"release": "!"}, {"release": "aGVsbG8="}, {"release": None}])
def test_damaged_record_is_a_clear_error(data: JsonObject) -> None:
    """It names the Secret and what to do."""
    with pytest.raises(ApplyError) as caught:
        records.objects_of({**record(), "data": data})
    assert (caught.value.code, caught.value.retryable) == ("release-record-damaged", False)
    assert "press/sh.helm.release.v1.press-web.v2" in caught.value.message


def test_record_that_unpacks_without_end_is_refused() -> None:
    """A few kilobytes must not become gigabytes on a device."""
    bomb = base64.b64encode(gzip.compress(bytes(80 * 1024 * 1024)))
    with pytest.raises(ApplyError) as caught:
        records.objects_of({**record(), "data": {"release": base64.b64encode(bomb).decode()}})
    assert caught.value.code == "release-record-damaged"


def config(**changes: object) -> HelmReleaseConfig:
    """The configuration of a release."""
    fields = {
        "chart": "web", "chartName": "web", "version": "1.2.3", "digest": f"sha256:{'a' * 64}", "release": "press-web",
        "namespace": "press", "values": {"a": 1, "b": 2}, **changes,
    }  # fmt: skip
    return HelmReleaseConfig.model_validate(fields)


def test_content_is_the_chart_and_its_values() -> None:
    """Not where it is fetched, nor the order of keys; and it fits a label."""
    content = records.content_of(config())
    assert content == records.content_of(config(values={"b": 2, "a": 1}, chart="oci://elsewhere/web"))
    assert content != records.content_of(config(values={"a": 1}))
    assert content != records.content_of(config(digest=f"sha256:{'b' * 64}"))
    assert len(content) <= 63


@pytest.mark.parametrize(
    ("text", "code", "retryable"),
    [
        ("Error: INSTALLATION FAILED: Kubernetes cluster unreachable: Get ...: connection refused",
         "cluster-unreachable", True),
        ('namespaces "press" not found', "namespace-missing", True),
        ("object is forbidden: unable to create new content in namespace x because it is being terminated",
         "namespace-terminating", True),
        ('configmaps is forbidden: User "agent" cannot create', "forbidden", True),
        ('pods "x" is forbidden: exceeded quota: small', "quota-exceeded", True),
        ('ConfigMap "a" in namespace "x" exists and cannot be imported: invalid ownership metadata',
         "object-taken", False),
        ('resource mapping not found for name: "x": no matches for kind "Lamp" in version "x/v1"\n: CRDs',
         "kind-not-known", True),
        ("values don't meet the specifications of the schema(s) in the following chart(s)", "helm-values", False),
        ("execution error at (web/templates/a.yaml:1:2): port is needed", "helm-template", False),
        ("UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress", "release-busy", True),
        ('conflict occurred while applying object press/a: Apply failed with 1 conflict: conflict with "kubectl"',
         "field-conflict", False),
        ('Deployment.apps "web" is invalid: spec.selector: Invalid value: field is immutable', "invalid", False),
        ("resource Deployment/press/web not ready. status: InProgress, Available: 0/1\ncontext deadline exceeded",
         "not-ready-in-time", True),
        ("failed pre-install: 1 error occurred: job failed: BackoffLimitExceeded", "helm-hook", True),
        ("chart metadata is missing: Chart.yaml file is missing", "chart-invalid", False),
        ("something that nobody has heard of", "helm-failed", True),
    ],
)  # fmt: skip
def test_helms_sentence_has_a_code(text: str, code: str, retryable: bool) -> None:
    """A sentence for a person with what to do, and whether it is tried again."""
    error = action_error(text, "install of release press/web", "web", {})
    assert (error.code, error.retryable, error.component) == (code, retryable, "web")
    assert error.message.startswith("install of release press/web: ")
    assert "; " in error.message


@pytest.mark.parametrize(
    ("text", "code", "retryable"),
    [
        (
            "failed to do request: Head ...: dial tcp 127.0.0.1:9: connect: connection refused",
            "chart-unreachable",
            True,
        ),
        ("GET ...: response status code 401: unauthorized: authentication required", "chart-auth-refused", False),
        ('chart "web" version "9" not found in https://x repository', "chart-not-found", False),
        ("failed to fetch https://x/web.tgz : 503 Service Unavailable", "chart-server-error", True),
        ("context deadline exceeded (Client.Timeout exceeded while awaiting headers)", "chart-timed-out", True),
    ],
)
def test_failed_fetch_has_a_code(text: str, code: str, retryable: bool) -> None:
    """The codes that the orchestrator has for the same."""
    error = fetch_error(text, "fetching chart web 1.2.3", "web")
    assert (error.code, error.retryable) == (code, retryable)


def test_secret_values_are_not_in_messages() -> None:
    """Helm quotes values in its errors; a status is read by dashboards."""
    error = action_error("cannot parse hunter2 as a port", "install", "web", {"db": {"password": "hunter2"}})
    assert "hunter2" not in error.message
    assert "***" in error.message
