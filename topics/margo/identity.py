"""Who a Margo deployment is and whom it is for: version, ids, name, labels, devices. Pure.

Each was elsewhere in an earlier form; every place that ever was is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from topics.identifiers import check_device_ref, check_dns_label, check_label_key, check_label_value
from topics.margo.annotations import APPLICATION, DEPLOYMENT, DEVICES, NAME, is_deployment_id
from topics.margo.package.findings import Findings, is_text, joined, kind_of

_VERSIONS = frozenset({"application.margo.org/v1alpha1", "v1"})
_OLD_VERSIONS = frozenset({"margo.org/v1-alpha1", "margo.org/v1alpha1", "margo.deployment/v1"})
_APPLICATION_ID = re.compile(r"[a-z0-9-]{1,200}\Z")
_METADATA = frozenset({"id", "applicationId", "annotations", "labels", "name", "namespace", "deviceId"})
_ID_KEYS = frozenset({"id", "applicationId", DEVICES})
_MAX_ANNOTATION = 1000
MAX_DEVICES = 1000


@dataclass(frozen=True, slots=True)
class Identity:
    """What statuses need to know of the document."""

    id: str
    application: str
    name: str

    def annotations(self) -> dict[str, str]:
        """As the native spec keeps it."""
        return {DEPLOYMENT: self.id, APPLICATION: self.application} | ({NAME: self.name} if self.name else {})


def check_version(document: Mapping[str, object], findings: Findings) -> None:
    """1.0-rc has neither ``apiVersion`` nor ``kind``; what PR1 wrote says the same, older ones are remarked on."""
    version = document.get("apiVersion")
    known = version if isinstance(version, str) else ""
    if version is None or known in _VERSIONS:
        return
    if known in _OLD_VERSIONS:
        findings.tolerate("apiVersion", f"is {version!r}, a form of 2024")
        return
    findings.refuse(
        "apiVersion", "unsupported-version", f"is {str(version)[:80]!r}",
        required="application.margo.org/v1alpha1",
        hint=f"these are read: none at all, {', '.join(sorted(_VERSIONS | _OLD_VERSIONS))}",
    )  # fmt: skip


def read_id(document: Mapping[str, object], metadata: Mapping[str, object], findings: Findings) -> str:
    """The deployment's id, a UUID; statuses carry it. At the top since PR1."""
    annotations = metadata.get("annotations")
    places: list[tuple[str, Mapping[str, object], str, bool]] = [
        ("", document, "id", False),
        ("metadata", metadata, "id", True),
        ("metadata.annotations", annotations if isinstance(annotations, dict) else {}, "id", True),
    ]
    id, at = _placed(places, "id", "put it at the top of the document", findings)
    if id and not is_deployment_id(id):
        findings.refuse(at, "bad-id", f"{id!r:.80} is not a UUID such as 0f83e682-a35b-4533-ae93-ff3810095f31")
    return id


def read_application_id(spec: Mapping[str, object], metadata: Mapping[str, object], findings: Findings) -> str:
    """The id of the application that this is a deployment of. In the spec since 1.0-rc."""
    annotations, reference = metadata.get("annotations"), spec.get("appPackageRef")
    places: list[tuple[str, Mapping[str, object], str, bool]] = [
        ("spec", spec, "applicationId", False),
        ("metadata.annotations", annotations if isinstance(annotations, dict) else {}, "applicationId", True),
        ("metadata", metadata, "applicationId", True),
        ("spec.appPackageRef", reference if isinstance(reference, dict) else {}, "id", True),
    ]
    id, at = _placed(places, "spec.applicationId", "since 1.0-rc it is spec.applicationId", findings)
    if id and not _APPLICATION_ID.match(id):
        findings.refuse(
            at, "bad-id",
            f"{id!r:.80} ({len(id)} characters) is not an id of 1 to 200 characters from a-z, 0-9 and '-'",
            hint="capitals, underscores, periods and other characters are not allowed",
        )  # fmt: skip
    return id


def _placed(
    places: Sequence[tuple[str, Mapping[str, object], str, bool]], wanted: str, hint: str, findings: Findings
) -> tuple[str, str]:
    """The value in the first place that has one, and where that is; others must not say another."""
    found = [(joined(path, key), owner, key, old) for path, owner, key, old in places if owner.get(key) is not None]
    if not found:
        findings.refuse(wanted, "missing", "is required and missing")
        return "", wanted
    at, owner, key, old = found[0]
    value = findings.text(owner, key, at.rpartition(".")[0], required=True) or ""
    if value and old:
        findings.tolerate(at, "is where it stood in an earlier form", hint)
    for other_at, other, other_key, _ in found[1:]:
        if other[other_key] != owner[key]:
            findings.refuse(other_at, "conflict", f"says another than {at}")
    return value, at


def read_name(given: str | None, id: str, findings: Findings) -> str:
    """The deployment's name where no topic gives one: ``metadata.name``, or ``margo-`` and the id."""
    if given is not None:
        try:
            return check_dns_label(given)
        except ValueError:
            pass  # a Margo name may be any text: the id makes one then, and a warning says so
    made = f"margo-{id.lower()}"
    why = "is missing" if given is None else f"{given!r:.80} cannot be a deployment's name"
    findings.tolerate("metadata.name", f"{why}; {made!r:.80} is taken", "or publish it on a topic of another name")
    return made


def read_metadata(metadata: Mapping[str, object], findings: Findings) -> dict[str, Any]:
    """Labels and annotations for the native spec."""
    findings.unknown(metadata, _METADATA, "metadata")
    labels: dict[str, str] = {}
    for key, value in (findings.mapping(metadata.get("labels"), "metadata.labels") or {}).items():
        at = joined("metadata.labels", key)
        if not isinstance(value, str):
            findings.refuse(at, "wrong-type", f"is {kind_of(value)}, it must be a text")
            continue
        try:
            labels[check_label_key(key)] = check_label_value(value)
        except ValueError as error:
            findings.refuse(at, "invalid", str(error))
    annotations: dict[str, str] = {}
    for key, value in (findings.mapping(metadata.get("annotations"), "metadata.annotations") or {}).items():
        if key in _ID_KEYS:
            continue
        at = joined("metadata.annotations", key)
        try:
            check_label_key(key)
        except ValueError as error:
            findings.tolerate(at, f"is ignored: {error}")
            continue
        if isinstance(value, str) and len(value) <= _MAX_ANNOTATION and is_text(value):
            annotations[key] = value
        else:
            what = "a text that is too long" if isinstance(value, str) else kind_of(value)
            findings.tolerate(at, f"is {what}, and is ignored")
    return {"labels": labels, "annotations": annotations}


def read_devices(metadata: Mapping[str, object], given: Sequence[str], findings: Findings) -> dict[str, Any]:
    """The native ``agents``.

    ``gateway/*`` as Margo's ``deviceId`` asks for one device behind the gateway (the gateway chooses there, the
    orchestrator here), so it comes with ``count: 1``.
    """
    named = findings.text(metadata, "deviceId", "metadata")
    if named is not None:
        _check_ref(named, "metadata.deviceId", findings)
        if given and list(given) != [named]:
            findings.refuse(
                "metadata.deviceId", "conflict", f"the document is for {named!r:.80}, and other devices were given",
                hint="take the deviceId out, or give no devices",
            )  # fmt: skip
        return {"devices": [named]} | ({"count": 1} if named.endswith("/*") else {})
    annotations = metadata.get("annotations")
    at = f"metadata.annotations.{DEVICES}"
    said = findings.text(annotations if isinstance(annotations, dict) else {}, DEVICES, "metadata.annotations")
    refs = list(given) or [ref.strip() for ref in (said or "").split(",") if ref.strip()]
    if len(refs) > MAX_DEVICES:
        findings.refuse(at, "too-many", f"names {len(refs)} devices, and may name {MAX_DEVICES}")
        return {}
    for ref in refs:
        _check_ref(ref, "" if given else at, findings)
    if not refs:
        findings.refuse(
            "metadata.deviceId", "missing", "is missing: nothing says on which device this is to run",
            hint=f"add metadata.deviceId, or the annotation {DEVICES} with ids and commas between them, "
            "or apply it with --device",
        )  # fmt: skip
    return {"devices": list(dict.fromkeys(refs))}


def _check_ref(ref: str, path: str, findings: Findings) -> None:
    try:
        check_device_ref(ref)
    except ValueError as error:
        deep = ref.count("/") > 1
        findings.refuse(
            path, "bad-device", str(error),
            hint="a path has one gateway and one device: gateway/device" if deep else None,
        )  # fmt: skip
