"""What an answer of the API server means for a deployment: a code, a sentence, and whether to try again. Pure.

The codes are those of the ``Status`` object (k8s.io/apimachinery, ``pkg/apis/meta/v1``), told further apart where
an operator has to do different things about them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from edge_agent.appliers.port import ApplyError

RBAC_EXAMPLE = "examples/kubernetes/agent-rbac.yaml"
_SHOWN = 8
_CONFLICT = re.compile(r'conflict with "([^"]+)"(?: with subresource "([^"]*)")?')
_QUOTA = re.compile(r"exceeded quota")
_WEBHOOK = re.compile(r'admission webhook "([^"]*)" denied')


class FieldConflict(NamedTuple):
    """One field that another manager owns; ``subresource`` is empty for the object itself."""

    manager: str
    subresource: str
    field: str


class ApiError(ApplyError):
    """An answer of the API server other than success. ``status`` is the HTTP status, 0 if there was no answer."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool,
        status: int = 0,
        reason: str = "",
        conflicts: tuple[FieldConflict, ...] = (),
        causes: tuple[tuple[str, str, str], ...] = (),
    ) -> None:
        super().__init__(code, message, retryable=retryable)
        self.status = status
        self.reason = reason
        self.conflicts = conflicts
        self.causes = causes

    @property
    def is_missing(self) -> bool:
        """404: the object, its kind or its namespace is not there."""
        return self.status == 404


def unreachable(what: str, error: object) -> ApiError:
    """There was no answer."""
    return ApiError(
        "cluster-unreachable",
        f"{what}: the API server does not answer: {str(error)[:300]}; it is tried again",
        retryable=True,
    )


def problem_of(status: int, body: bytes, what: str) -> ApiError:
    """The error for an answer. ``what`` is what was asked, for a person: ``apply Deployment press/web``."""
    answer = _status_object(body)
    said = str(answer.get("message") or body[:500].decode(errors="replace") or f"HTTP {status}").strip()[:1000]
    reason = str(answer.get("reason") or "")
    causes = _causes(answer)
    code, hint, retryable = _meaning(status, reason, said, causes)
    conflicts = _conflicts(causes) if code == "field-conflict" else ()
    if conflicts:
        said = conflict_text(conflicts)
    elif code == "invalid" and causes:
        said = "; ".join(f"{field}: {message}" if field else message for _, field, message in causes[:_SHOWN])
    text = f"{what}: {said}" + (f"; {hint}" if hint else "")
    return ApiError(
        code, text, retryable=retryable, status=status, reason=reason, conflicts=conflicts, causes=tuple(causes)
    )


def conflict_text(conflicts: Iterable[FieldConflict]) -> str:
    """Who owns which fields, for a person."""
    by_manager: dict[str, list[str]] = {}
    for conflict in conflicts:
        by_manager.setdefault(conflict.manager, []).append(conflict.field)
    parts = []
    for manager, fields in by_manager.items():
        more = f" and {len(fields) - _SHOWN} more" if len(fields) > _SHOWN else ""
        parts.append(f"{manager!r} owns {', '.join(fields[:_SHOWN])}{more}")
    return "; ".join(parts)


def _meaning(status: int, reason: str, said: str, causes: list[tuple[str, str, str]]) -> tuple[str, str, bool]:
    """Code, hint and whether trying again can help."""
    kinds = {kind for kind, _, _ in causes}
    if status == 401:
        return "unauthorized", "give the agent a valid account of the cluster (its kubeconfig or token is not)", True
    if "NamespaceTerminating" in kinds or (status in (403, 409) and "is being terminated" in said):
        return "namespace-terminating", "it is tried again until the namespace is gone", True
    if status == 403 and _QUOTA.search(said):
        return "quota-exceeded", "raise the quota of the namespace, or let something else go", True
    if (webhook := _WEBHOOK.search(said)) is not None:
        return "admission-denied", f"change the spec so that {webhook.group(1)} admits it", False
    if status == 403:
        return "forbidden", f"grant it to the agent's account; {RBAC_EXAMPLE} has the rules", True
    if status == 404:
        return "not-found", "", True
    if status == 409 and "FieldManagerConflict" in kinds:
        hint = "leave these fields out of the spec, let the other manager give them up, or start the agent with"
        return "field-conflict", f"{hint} the applier option force-conflicts=true", False
    if status == 409:
        return "write-conflict", "", True
    if status == 422 or (status in (400, 415) and reason != "Expired"):
        return "invalid", "correct it in the spec", False
    if status == 413:
        return "too-large", "make the object smaller", False
    if status == 429 or status >= 500 or reason in ("Expired", "Timeout", "ServerTimeout", "TooManyRequests"):
        return "cluster-busy", "it is tried again", True
    return "refused", "", False


def _status_object(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) and answer.get("kind") == "Status" else {}


def _causes(answer: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(reason, field, message) of each cause."""
    details = answer.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    return [
        (str(cause.get("reason") or ""), str(cause.get("field") or ""), str(cause.get("message") or ""))
        for cause in (causes if isinstance(causes, list) else [])
        if isinstance(cause, dict)
    ]


def _conflicts(causes: list[tuple[str, str, str]]) -> tuple[FieldConflict, ...]:
    found = []
    for kind, field, message in causes:
        if kind == "FieldManagerConflict":
            match = _CONFLICT.search(message)
            manager, subresource = (match.group(1), match.group(2) or "") if match else (message, "")
            found.append(FieldConflict(manager, subresource, field.removeprefix(".") or "(whole object)"))
    return tuple(found)
