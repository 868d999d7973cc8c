"""The ``deploymentProfiles`` of a description: components, and what a device must have for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import ValidationError

from topics.documents.base import reasons_of
from topics.documents.spec import Requirements
from topics.errors import Reason
from topics.identifiers import check_dns_label
from topics.margo.package.description import Profile, ProfileComponent, ProfileType
from topics.margo.package.findings import Findings, joined, kind_of
from topics.margo.vocabulary import INTERFACES, PERIPHERALS, architecture, hardware
from topics.quantity import parse_duration

MAX_PROFILES = 50
MAX_COMPONENTS = 100
"""Most components of a profile, as of a spec."""

_TYPES: dict[str, ProfileType] = {"helm": "helm", "compose": "compose"}
_OLD_TYPES: dict[str, ProfileType] = {"helm.v3": "helm", "docker-compose": "compose"}
_PROFILE = frozenset({"type", "id", "description", "components", "requiredResources", "deviceConstraints"})
_PROPERTIES = frozenset({"repository", "revision", "wait", "timeout", "packageLocation", "keyLocation"})
_RESOURCES = frozenset({"cpu", "memory", "storage", "peripherals", "interfaces"})
_SCHEMES = ("oci://", "https://", "http://")


def read_profiles(value: object, findings: Findings) -> tuple[Profile, ...]:
    """The profiles in the document's order; at least one."""
    entries = findings.entries(value, "deploymentProfiles")
    if value is None or value == []:
        findings.refuse("deploymentProfiles", "missing", "at least one is required")
    if len(entries) > MAX_PROFILES:
        findings.refuse("deploymentProfiles", "too-many", f"there are {len(entries)}; at most {MAX_PROFILES} are read")
        return ()
    found: list[Profile] = []
    for path, entry in entries:
        profile = read_profile(entry, path, findings)
        if profile is not None:
            found.append(replace(profile, id=_id(profile, [item.id for item in found], findings)))
    return tuple(found)


def _id(profile: Profile, ids: Sequence[str], findings: Findings) -> str:
    at = joined(profile.path, "id")
    if profile.id in ids:
        findings.refuse(at, "duplicate", f"the id {profile.id!r:.80} is used twice")
    if profile.id:
        return profile.id
    kind = profile.type
    id = next(name for name in (kind, *(f"{kind}-{number}" for number in range(2, 99))) if name not in ids)
    findings.tolerate(at, f"is missing, as before PR1; the profile is called {id!r} here")
    return id


def read_profile(entry: Mapping[str, object], path: str, findings: Findings) -> Profile | None:
    """One profile, of a description or of a deployment; its id is empty where it has none."""
    findings.unknown(entry, _PROFILE, path)
    kind = _type(entry, path, findings)
    if kind is None:
        return None
    requirements, at, rules_at = _requirements(entry, path, findings)
    return Profile(
        id=findings.text(entry, "id", path) or "",
        type=kind,
        path=path,
        components=_components(entry.get("components"), kind, joined(path, "components"), findings),
        description=findings.text(entry, "description", path) or "",
        requirements=requirements,
        requirements_at=at,
        rules_at=rules_at,
    )


def _type(entry: Mapping[str, object], path: str, findings: Findings) -> ProfileType | None:
    given = findings.text(entry, "type", path, required=True)
    if given is None:
        return None
    if given in _OLD_TYPES:
        kind = _OLD_TYPES[given]
        findings.tolerate(joined(path, "type"), f"is {given!r}, the name before PR1, taken as {kind!r}")
        return kind
    if given not in _TYPES:
        findings.refuse(
            joined(path, "type"), "not-allowed", f"{given!r:.80} is no type of deployment",
            required="helm, compose", available=given[:80],
        )  # fmt: skip
        return None
    return _TYPES[given]


# -- components ---------------------------------------------------------------------------------------


def _components(value: object, kind: ProfileType, path: str, findings: Findings) -> tuple[ProfileComponent, ...]:
    entries = findings.entries(value, path)
    if not entries or len(entries) > MAX_COMPONENTS:
        findings.refuse(
            path, "missing" if not entries else "too-many", f"a profile has 1 to {MAX_COMPONENTS} components"
        )
        return ()
    found: list[ProfileComponent] = []
    for at, entry in entries:
        component = _component(entry, kind, at, findings)
        if component is None:
            continue
        if component.name in {other.name for other in found}:
            findings.refuse(joined(at, "name"), "duplicate", f"the name {component.name!r} is used twice")
        found.append(component)
    return tuple(found)


def _component(
    entry: Mapping[str, object], kind: ProfileType, path: str, findings: Findings
) -> ProfileComponent | None:
    findings.unknown(entry, frozenset({"name", "properties"}), path)
    name = findings.text(entry, "name", path, required=True)
    if name is not None:
        try:
            check_dns_label(name)
        except ValueError as error:
            findings.refuse(joined(path, "name"), "bad-name", str(error))
    at = joined(path, "properties")
    properties = findings.mapping(entry.get("properties"), at)
    if properties is None:
        if entry.get("properties") is None:
            findings.refuse(at, "missing", "is required and missing")
        return None
    findings.unknown(properties, _PROPERTIES, at)
    source, packaged = _source(properties, kind, at, findings)
    timeout = findings.text(properties, "timeout", at)
    if timeout is not None:
        try:
            parse_duration(timeout)
        except ValueError as error:
            findings.refuse(joined(at, "timeout"), "invalid", str(error))
    if name is None or source is None:
        return None
    return ProfileComponent(
        name=name,
        path=path,
        source=source,
        packaged=packaged,
        revision=findings.text(properties, "revision", at),
        key_location=findings.text(properties, "keyLocation", at),
        wait=findings.flag(properties, "wait", at, default=True),
        timeout=timeout,
    )


def _source(
    properties: Mapping[str, object], kind: ProfileType, path: str, findings: Findings
) -> tuple[str | None, bool]:
    """Where the component is, and whether that is the old ``packageLocation``."""
    repository = findings.text(properties, "repository", path)
    package = findings.text(properties, "packageLocation", path) if kind == "compose" else None
    if repository is not None and package is not None:
        findings.refuse(path, "conflict", "has both 'repository' and 'packageLocation': one of them is the place")
        return None, False
    source, key = (repository, "repository") if package is None else (package, "packageLocation")
    if source is None:
        findings.refuse(joined(path, "repository"), "missing", "is required and missing")
        return None, False
    if package is not None:
        findings.tolerate(joined(path, key), "is the form before 1.0-rc, in which it is 'repository' and 'revision'")
    if "://" in source and not source.startswith(_SCHEMES):
        findings.refuse(
            joined(path, key), "not-allowed", f"{source!r:.120} is no address that is fetched from",
            hint="write oci://…, https://… or a path within the package",
        )  # fmt: skip
        return None, False
    return source, package is not None


# -- what a device must have --------------------------------------------------------------------------


def _requirements(entry: Mapping[str, object], path: str, findings: Findings) -> tuple[Requirements, str, str]:
    """The requirements, and where capacity and rules stand in the document."""
    at = joined(path, "requiredResources")
    rules_at = joined(path, "deviceConstraints.eligibilityRules")
    resources = findings.mapping(entry.get("requiredResources"), at)
    constraints_at = joined(path, "deviceConstraints")
    constraints = findings.mapping(entry.get("deviceConstraints"), constraints_at)
    rules: object = None
    if constraints is not None:
        if resources is not None:
            findings.refuse(
                at, "conflict", "stands beside 'deviceConstraints', which has replaced it: keep one of them"
            )
        findings.unknown(constraints, frozenset({"capacityRequirements", "eligibilityRules"}), constraints_at)
        at = joined(constraints_at, "capacityRequirements")
        resources = findings.mapping(constraints.get("capacityRequirements"), at)
        rules = constraints.get("eligibilityRules")
    native = _native(resources or {}, at, findings)
    if rules is not None:
        native["rules"] = rules
    try:
        return Requirements.model_validate(native), at, rules_at
    except ValidationError as error:
        for reason in _reasons(error, at, rules_at):
            findings.add(reason)
        return Requirements(), at, rules_at


def _reasons(error: ValidationError, at: str, rules_at: str) -> Sequence[Reason]:
    return [
        reason.model_copy(
            update={
                "path": rules_at + reason.path.removeprefix("rules")
                if reason.path.startswith("rules")
                else joined(at, reason.path)
            }
        )
        for reason in reasons_of(error)
    ]


def _native(resources: Mapping[str, object], path: str, findings: Findings) -> dict[str, object]:
    findings.unknown(resources, _RESOURCES, path)
    native = {key: value for key, value in resources.items() if key in ("memory", "storage") and value is not None}
    cpu = resources.get("cpu")
    if isinstance(cpu, int | float | str) and not isinstance(cpu, bool):
        findings.tolerate(joined(path, "cpu"), "is a number, taken as the number of cores")
        cpu = {"cores": cpu}
    at = joined(path, "cpu")
    if (fields := findings.mapping(cpu, at)) is not None:
        findings.unknown(fields, frozenset({"cores", "architectures"}), at)
        native["cpu"] = {
            key: value
            for key, value in (
                ("cores", fields.get("cores")),
                ("architectures", _architectures(fields.get("architectures"), joined(at, "architectures"), findings)),
            )
            if value is not None
        }
    for key, known, kinds in (
        ("peripherals", frozenset({"type", "manufacturer", "model"}), PERIPHERALS),
        ("interfaces", frozenset({"type"}), INTERFACES),
    ):  # fmt: skip
        if resources.get(key) is not None:
            native[key] = [
                _item(item, known, where, findings, kinds)
                for where, item in findings.entries(resources[key], joined(path, key))
            ]
    return native


def _architectures(value: object, path: str, findings: Findings) -> list[object] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        findings.refuse(path, "wrong-type", f"is {kind_of(value)}, it must be a list")
        return None
    found: list[object] = []
    for index, item in enumerate(value):
        at = f"{path}[{index}]"
        if item == "other":
            findings.tolerate(at, "'other' is no architecture that a device can have, and is ignored")
            continue
        taken = architecture(item) if isinstance(item, str) else None
        if taken is not None and taken != item:
            findings.tolerate(at, f"is {item!r:.40}, taken as {taken!r}")
        found.append(item if taken is None else taken)
    return list(dict.fromkeys(found)) if all(isinstance(item, str) for item in found) else found


def _item(
    item: Mapping[str, object], known: frozenset[str], path: str, findings: Findings, kinds: tuple[str, ...]
) -> dict[str, object]:
    """A peripheral or an interface. Types are written in small letters since 2025."""
    findings.unknown(item, known, path)
    kept = {key: value for key, value in item.items() if key in known and value is not None}
    kind = kept.get("type")
    taken = hardware(kind, kinds) if isinstance(kind, str) else None
    if taken is not None and taken != kind:
        findings.tolerate(joined(path, "type"), f"is {kind!r:.40}, taken as {taken!r}")
        kept["type"] = taken
    return kept
