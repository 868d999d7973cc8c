"""What answers of the API server mean: those of the tests' own server are old, so newer wordings stand here."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.appliers.kubernetes.problems import FieldConflict, problem_of


def status(reason: str, message: str, *causes: tuple[str, str, str]) -> bytes:
    listed = [{"reason": kind, "field": field, "message": text} for kind, field, text in causes]
    return json.dumps(
        {"kind": "Status", "reason": reason, "message": message, "details": {"causes": listed}}
    ).encode()  # fmt: skip


@pytest.mark.parametrize(
    ("code", "reason", "message", "expected", "retryable"),
    [
        (401, "Unauthorized", "Unauthorized", "unauthorized", True),
        (403, "Forbidden", 'secrets is forbidden: User "a" cannot list resource "secrets"', "forbidden", True),
        (403, "Forbidden", "pods is forbidden: exceeded quota: few, requested: pods=1", "quota-exceeded", True),
        (
            403,
            "Forbidden",
            "unable to create new content in namespace a because it is being terminated",
            "namespace-terminating",
            True,
        ),
        (400, "", 'admission webhook "policy.example.com" denied the request: no', "admission-denied", False),
        (403, "Forbidden", 'admission webhook "policy.example.com" denied the request', "admission-denied", False),
        (404, "NotFound", 'deployments "a" not found', "not-found", True),
        (409, "Conflict", "the object has been modified", "write-conflict", True),
        (409, "AlreadyExists", "already exists", "write-conflict", True),
        (410, "Expired", "too old resource version", "cluster-busy", True),
        (413, "RequestEntityTooLarge", "limit is 3145728", "too-large", False),
        (415, "UnsupportedMediaType", "no", "invalid", False),
        (422, "Invalid", "is invalid", "invalid", False),
        (429, "TooManyRequests", "slow down", "cluster-busy", True),
        (500, "InternalError", "failed calling webhook: connection refused", "cluster-busy", True),
        (503, "ServiceUnavailable", "apiserver is shutting down", "cluster-busy", True),
        (504, "Timeout", "request did not complete", "cluster-busy", True),
        (302, "", "", "refused", False),
    ],
)
def test_each_answer_has_its_code(code: int, reason: str, message: str, expected: str, retryable: bool) -> None:
    """And says whether to try again."""
    error = problem_of(code, status(reason, message), "apply ConfigMap a/b")
    assert (error.code, error.retryable, error.status) == (expected, retryable, code)
    assert error.message.startswith("apply ConfigMap a/b: ")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ('conflict with "kubectl"', FieldConflict("kubectl", "", "spec.replicas")),
        ('conflict with "kubectl-edit" using apps/v1', FieldConflict("kubectl-edit", "", "spec.replicas")),
        (
            'conflict with "kube-controller-manager" with subresource "scale" using apps/v1 at 2026-01-01T00:00:00Z',
            FieldConflict("kube-controller-manager", "scale", "spec.replicas"),
        ),
        ("words of a future version", FieldConflict("words of a future version", "", "spec.replicas")),
    ],
)
def test_a_conflict_names_manager_and_field_in_every_wording(message: str, expected: FieldConflict) -> None:
    """Kubernetes 1.20 to 1.36 have three."""
    error = problem_of(
        409, status("Conflict", "Apply failed", ("FieldManagerConflict", ".spec.replicas", message)), "x"
    )
    assert (error.code, error.conflicts) == ("field-conflict", (expected,))
    assert expected.manager in error.message
    assert "force-conflicts=true" in error.message


def test_every_field_of_an_invalid_object_is_named() -> None:
    """With the server's own words."""
    causes = ("FieldValueInvalid", "spec.a", "Invalid value: 1"), ("FieldValueRequired", "spec.b", "Required value")
    message = problem_of(422, status("Invalid", "long", *causes), "apply Pod a/b").message
    assert message == "apply Pod a/b: spec.a: Invalid value: 1; spec.b: Required value; correct it in the spec"


@given(st.integers(300, 599), st.binary(max_size=200) | st.text().map(lambda text: json.dumps({"kind": text}).encode()))
def test_no_answer_is_too_strange(code: int, body: bytes) -> None:
    """A proxy in between may say anything."""
    assert problem_of(code, body, "ask").code


@pytest.mark.parametrize(
    "details",
    [None, 1, [], {"causes": 1}, {"causes": [1, None, {}]}, {"causes": [{"reason": 1, "field": [], "message": {}}]}],
)
def test_odd_details_are_no_bug(details: object) -> None:
    """Content from elsewhere."""
    body = json.dumps({"kind": "Status", "message": 5, "reason": ["x"], "details": details}).encode()
    assert problem_of(409, body, "ask").code == "write-conflict"
