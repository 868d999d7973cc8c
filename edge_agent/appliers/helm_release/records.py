"""Helm's own records of releases, read (and once repaired) past Helm: one Secret per revision. Pure.

A record is the JSON of ``release.Release``, gzipped, in base64, in ``data.release`` of a Secret of type
``helm.sh/release.v1``; its labels repeat what is looked for: ``owner: helm``, ``name``, ``version``, ``status``,
and the labels that were given with the release (Helm 3 and 4, ``pkg/storage/driver``). Reading it so costs one
request, where running Helm costs a process of 100 MB for every look at the health.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import json
import zlib
from typing import Any

from edge_agent.appliers.helm_release.plan import FAILED, Revision
from edge_agent.appliers.port import ApplyError
from topics.documents.base import JsonObject
from topics.documents.release import HelmReleaseConfig
from topics.kubernetes_yaml import load_document, split_documents

DEPLOYMENT_LABEL = "fleetbus.io/deployment"
COMPONENT_LABEL = "fleetbus.io/component"
CONTENT_LABEL = "fleetbus.io/content"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
_RELEASE_NAME = "meta.helm.sh/release-name"
_RELEASE_NAMESPACE = "meta.helm.sh/release-namespace"
_MAX_RECORD = 64 * 1024 * 1024


def selector(release: str, **labels: str) -> str:
    """The label selector of a release's records."""
    return ",".join(["owner=helm", f"name={release}", *(f"{key}={value}" for key, value in labels.items())])


def content_of(config: HelmReleaseConfig) -> str:
    """A digest over what makes a release differ: the chart's bytes and the values. Fits a label value."""
    text = json.dumps([config.digest, config.values], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def revision_of(secret: JsonObject) -> Revision:
    """The revision that a record is of, by its labels."""
    labels = secret["metadata"].get("labels") or {}
    number = str(labels.get("version") or "")
    return Revision(
        number=int(number) if number.isdecimal() else 0,
        status=str(labels.get("status") or "unknown"),
        content=str(labels.get(CONTENT_LABEL) or ""),
        deployment=str(labels.get(DEPLOYMENT_LABEL) or ""),
        component=str(labels.get(COMPONENT_LABEL) or ""),
    )


def release_name(secret: JsonObject) -> str:
    return str((secret["metadata"].get("labels") or {}).get("name") or "")


def marked_failed(secret: JsonObject) -> JsonObject:
    """The record of an operation that nobody is carrying out any more, as Helm writes one that failed."""
    record = _decoded(secret)
    info = record.get("info")
    record["info"] = {
        **(info if isinstance(info, dict) else {}),
        "status": FAILED,
        "description": "interrupted: the agent was stopped while Helm was at work",
    }
    packed = base64.b64encode(gzip.compress(json.dumps(record).encode(), mtime=0))
    metadata = secret["metadata"]
    return {
        **secret,
        "metadata": {**metadata, "labels": {**(metadata.get("labels") or {}), "status": FAILED}},
        "data": {**secret["data"], "release": base64.b64encode(packed).decode()},
    }


def objects_of(secret: JsonObject) -> list[JsonObject]:
    """The objects of a revision as Helm applies them: with its marks of ownership, lists taken apart.

    Those of the chart's hooks are not among them: they are run, not kept.
    """
    record = _decoded(secret)
    name, namespace = str(record.get("name")), str(record.get("namespace"))
    found = []
    for text in split_documents(str(record.get("manifest") or "")):
        try:
            value = load_document(text)
        except ValueError as error:
            raise _damaged(secret, error) from error
        found += [_owned(item, name, namespace) for item in _flattened(value)]
    return found


def _flattened(value: Any) -> list[JsonObject]:
    if not isinstance(value, dict):
        return []
    if str(value.get("kind", "")).endswith("List") and isinstance(value.get("items"), list):
        return [inner for item in value["items"] for inner in _flattened(item)]
    metadata = value.get("metadata")
    return [value] if isinstance(metadata, dict) and metadata.get("name") and value.get("kind") else []


def _owned(item: JsonObject, release: str, namespace: str) -> JsonObject:
    metadata = item["metadata"]
    return {
        **item,
        "metadata": {
            **metadata,
            "labels": {**(metadata.get("labels") or {}), MANAGED_BY_LABEL: "Helm"},
            "annotations": {
                **(metadata.get("annotations") or {}), _RELEASE_NAME: release, _RELEASE_NAMESPACE: namespace
            },
        },
    }  # fmt: skip


def _decoded(secret: JsonObject) -> dict[str, Any]:
    try:
        packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
        inflater = zlib.decompressobj(wbits=31)
        text = inflater.decompress(packed, _MAX_RECORD) if packed[:2] == b"\x1f\x8b" else packed
        record = json.loads(text)
    except (KeyError, TypeError, ValueError, binascii.Error, zlib.error) as error:
        raise _damaged(secret, error) from error
    if not isinstance(record, dict):
        raise _damaged(secret, "it is no object")
    return record


def _damaged(secret: JsonObject, error: object) -> ApplyError:
    metadata = secret["metadata"]
    return ApplyError(
        "release-record-damaged",
        f"Helm's record {metadata.get('namespace')}/{metadata.get('name')} cannot be read: {str(error)[:200]}; delete "
        "this Secret if its release can be made anew",
        retryable=False,
    )
