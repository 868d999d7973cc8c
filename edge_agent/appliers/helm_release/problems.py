"""What Helm says went wrong, as a code, a sentence and whether to try again. Pure.

Helm's errors are sentences: the SDK's error code only says in which part it happened. The phrases below are those of
Helm 3 and 4, of client-go and of the API server; the SDK and the command give the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from edge_agent.appliers.port import ApplyError
from topics.documents.base import JsonObject

_MAX = 800


class _Meaning(NamedTuple):
    pattern: re.Pattern[str]
    code: str
    hint: str
    retryable: bool


def _meaning(pattern: str, code: str, hint: str, *, retryable: bool) -> _Meaning:
    return _Meaning(re.compile(pattern, re.IGNORECASE), code, hint, retryable)


# The first that fits counts: the more particular ones come first.
_ACTIONS = (
    _meaning(r"invalid ownership metadata", "object-taken",
             "it belongs to somebody else: remove it, or give the chart other names", retryable=False),
    _meaning(r"cannot re-?use a name that is still in use", "release-taken",
             "give the release another name in the spec", retryable=False),
    _meaning(r"is being terminated", "namespace-terminating", "it is tried again until the namespace is gone",
             retryable=True),
    _meaning(r'namespaces? "[^"]*" not found', "namespace-missing",
             "create the namespace, or let the spec do it (workload.create)", retryable=True),
    _meaning(r"ensure CRDs are installed first|no matches for kind|could not find the requested resource",
             "kind-not-known", "install what brings this kind, or put it into an earlier component", retryable=True),
    _meaning(r"don't meet the specifications of the schema|values\.schema\.json", "helm-values",
             "correct the values in the spec", retryable=False),
    _meaning(r"another operation .* is in progress", "release-busy",
             "somebody else is working on this release; it is tried again", retryable=True),
    _meaning(r"Apply failed with \d+ conflict|conflicts? with \"", "field-conflict",
             "leave these fields out of the chart's values, or let the other manager give them up", retryable=False),
    _meaning(r"exceeded quota", "quota-exceeded", "raise the quota of the namespace", retryable=True),
    _meaning(r"admission webhook .* denied", "admission-denied", "change the values so that it admits the object",
             retryable=False),
    _meaning(r"cluster unreachable|connection refused|no such host|no route to host|TLS handshake|i/o timeout|"
             r"connection reset", "cluster-unreachable", "it is tried again", retryable=True),
    _meaning(r"is forbidden|\bforbidden:", "forbidden",
             "grant it to the agent's account; examples/kubernetes has the rules", retryable=True),
    _meaning(r"unauthorized|must be logged in", "unauthorized", "give the agent a valid account of the cluster",
             retryable=True),
    _meaning(r"hook.* failed|failed (?:pre|post)-(?:install|upgrade|rollback|delete)", "helm-hook",
             "look at the logs of the hook's job; it is tried again", retryable=True),
    _meaning(r"context deadline exceeded|timed out|not ready", "not-ready-in-time",
             "give it longer (timeout), or see why its pods do not become ready", retryable=True),
    _meaning(r"field is immutable|is invalid:|Invalid value|error validating data|unable to build kubernetes objects|"
             r"unable to decode|strict decoding error|unknown field|failed to create typed patch object",
             "invalid", "correct the chart or its values",
             retryable=False),
    _meaning(r"execution error at|parse error|template:|error calling|YAML parse error", "helm-template",
             "correct the chart or its values", retryable=False),
    _meaning(r"Chart\.yaml|chart metadata|gzip:|gzipped archive|tar:|load(?:ing)? (?:the )?(?:chart|archive)|"
             r"chart\.metadata",
             "chart-invalid", "publish a chart that 'helm lint' accepts", retryable=False),
)  # fmt: skip

_FETCHES = (
    _meaning(r"unauthorized|\b401\b|forbidden|\b403\b|denied|authentication required|credential not found",
             "chart-auth-refused",
             "give the agent credentials for this host (applier option chart-credentials), or make the chart readable",
             retryable=False),
    _meaning(r"\b5\d\d\b|too many requests|\b429\b", "chart-server-error", "it is tried again", retryable=True),
    _meaning(r"not found|\b404\b|no chart version|no such chart|improper constraint", "chart-not-found",
             "push the chart to where the spec says it is", retryable=False),
    _meaning(r"deadline exceeded|timeout|timed out", "chart-timed-out", "it is tried again", retryable=True),
    _meaning(r"connection|no such host|no route|reset by peer|EOF|dial tcp|TLS|x509|cannot be reached|"
             r"not a valid chart repository", "chart-unreachable",
             "check the address, the name's resolution, and that the server is up; it is tried again", retryable=True),
)  # fmt: skip

_SECRET_KEY = re.compile(r"pass|secret|token|key|cred|auth|cert|private", re.IGNORECASE)


def action_error(text: str, what: str, component: str | None, values: JsonObject) -> ApplyError:
    """The error of an installation, upgrade, rollback or removal. ``what`` says which, for a person."""
    return _error(_ACTIONS, text, what, component, values)


def fetch_error(text: str, what: str, component: str) -> ApplyError:
    """The error of a chart that could not be fetched."""
    return _error(_FETCHES, text, what, component, {})


def _error(
    meanings: tuple[_Meaning, ...], text: str, what: str, component: str | None, values: JsonObject
) -> ApplyError:
    said = _readable(text, values)
    for meaning in meanings:
        if meaning.pattern.search(said):
            return ApplyError(
                meaning.code, f"{what}: {said}; {meaning.hint}", retryable=meaning.retryable, component=component
            )
    return ApplyError("helm-failed", f"{what}: {said}; it is tried again", retryable=True, component=component)


def _readable(text: str, values: JsonObject) -> str:
    """One bounded line without the values whose key says that they are secret."""
    for secret in sorted(_secrets(values, hidden=False), key=len, reverse=True):
        text = text.replace(secret, "***")
    line = " ".join(re.sub(r"^\s*Error: ?", "", text).split()) or "it says nothing"
    return line if len(line) <= _MAX else line[: _MAX - 1] + "…"


def _secrets(value: Any, *, hidden: bool) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _secrets(item, hidden=hidden or _SECRET_KEY.search(str(key)) is not None)
    elif isinstance(value, list):
        for item in value:
            yield from _secrets(item, hidden=hidden)
    elif hidden and isinstance(value, str) and value:
        yield value
