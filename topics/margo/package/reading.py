"""An application description in any of its forms, as one ``Description``, with the tolerances that were used.

The forms: the prototypes of spring 2024 (``sources``, ``properties``; see ``prototypes``), those of 2024 to
2025 (``kind: application`` or ``ApplicationDescription``, the id under ``metadata``), PR1 (types ``helm`` and
``compose``, ids of profiles, ``requiredResources``) and 1.0-rc (``apiVersion: v1``, the id at the top, no
``kind``, ``deviceConstraints``). They differ in so little that one reader takes the union. ``catalog`` is for
people who choose an application; it is carried along and not checked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from topics.errors import ContractError, Reason
from topics.margo.package.checks import check_references
from topics.margo.package.description import Description, Parameter, Target
from topics.margo.package.findings import Findings, joined, kind_of
from topics.margo.package.profiles import read_profiles
from topics.margo.package.prototypes import as_profiles_form, is_prototype
from topics.margo.package.schemas import read_schemas, read_settings

MAX_PARAMETERS = 1000
MAX_TARGETS = 2000
"""Most targets of all parameters together; with the bounds of a pointer they bound the values."""

_KINDS = frozenset({"ApplicationDescription", "application"})
_API_VERSION = re.compile(r"v1|(?:[a-z]+\.)?margo\.org/v1(?:-?alpha1)?\Z")
_ID = re.compile(r"[a-z0-9-]{1,200}\Z")
_PROTOTYPE_ID = re.compile(r"[a-z0-9.-]{1,200}\Z")
_FIELDS = frozenset({"apiVersion", "kind", "id", "metadata", "deploymentProfiles", "parameters", "configuration"})
_METADATA = frozenset({"id", "name", "description", "version", "catalog", "annotations", "labels"})


def is_description(value: object) -> bool:
    """Whether a document claims to be an application description: by its kind, or where it has none by its profiles."""
    if not isinstance(value, dict):
        return False
    kind = value.get("kind")
    return kind in _KINDS if isinstance(kind, str) else kind is None and "deploymentProfiles" in value


def read_description(value: object) -> tuple[Description, tuple[Reason, ...]]:
    """The description in a parsed document, and a warning for everything that was tolerated.

    ``value`` is what a YAML or JSON parser made of it. Raises ``ContractError`` with every reason.
    """
    findings = Findings()
    if not isinstance(value, dict) or any(not isinstance(key, str) for key in value):
        raise ContractError.because("malformed", f"an application description is a mapping, this is {kind_of(value)}")
    prototype = is_prototype(value)
    document: Mapping[str, object] = as_profiles_form(value, findings) if prototype else value
    _check_version(document, findings)
    findings.unknown(document, _FIELDS, "")
    metadata = findings.mapping(document.get("metadata"), "metadata")
    if metadata is None:
        if document.get("metadata") is None:
            findings.refuse("metadata", "missing", "is required and missing")
        metadata = {}
    else:
        findings.unknown(metadata, _METADATA, "metadata")
    profiles = read_profiles(document.get("deploymentProfiles"), findings)
    parameters = read_parameters(document.get("parameters"), findings)
    configuration = findings.mapping(document.get("configuration"), "configuration") or {}
    findings.unknown(configuration, frozenset({"sections", "schema"}), "configuration")
    schemas = read_schemas(configuration.get("schema"), findings)
    settings = read_settings(configuration.get("sections"), findings)
    catalog = findings.mapping(metadata.get("catalog"), "metadata.catalog")
    if catalog is None and metadata.get("catalog") is None:
        findings.tolerate("metadata.catalog", "is required by the standard and missing")
    description = Description(
        id=_id(document, metadata, _PROTOTYPE_ID if prototype else _ID, findings),
        name=findings.text(metadata, "name", "metadata", required=True) or "",
        version=_version(metadata, findings),
        description=findings.text(metadata, "description", "metadata") or "",
        catalog=catalog or {},
        profiles=profiles,
        parameters=parameters,
        settings=settings,
        schemas=schemas,
    )
    check_references(description, findings)
    findings.check()
    return description, findings.warnings


def _check_version(document: Mapping[str, object], findings: Findings) -> None:
    version, kind = document.get("apiVersion"), document.get("kind")
    if version is None:
        findings.tolerate("apiVersion", "is missing")
    elif not isinstance(version, str) or not _API_VERSION.match(version):
        findings.refuse(
            "apiVersion", "unsupported-version", f"is {version!r:.80}",
            required="v1", hint="v1, margo.org/v1-alpha1 and application.margo.org/v1alpha1 are read",
        )  # fmt: skip
    if kind == "application":
        findings.tolerate("kind", "is 'application', the form of 2024", "write ApplicationDescription")
    elif kind is not None and not (isinstance(kind, str) and kind in _KINDS):
        findings.refuse(
            "kind", "wrong-kind", f"is {kind!r:.80}", required="ApplicationDescription",
            hint="an application description is kind: ApplicationDescription",
        )  # fmt: skip


def _id(
    document: Mapping[str, object], metadata: Mapping[str, object], form: re.Pattern[str], findings: Findings
) -> str:
    """The id: at the top since 1.0-rc, in the metadata before, in its annotations in between."""
    annotations = metadata.get("annotations")
    places: tuple[tuple[Mapping[str, object], str], ...] = (
        (document, ""),
        (metadata, "metadata"),
        (annotations if isinstance(annotations, dict) else {}, "metadata.annotations"),
    )
    found = [(owner, path) for owner, path in places if owner.get("id") is not None]
    if not found:
        findings.refuse("id", "missing", "is required and missing", hint="write id: com-example-my-application")
        return ""
    owner, path = found[0]
    id = findings.text(owner, "id", path, required=True) or ""
    at = joined(path, "id")
    if id and not form.match(id):
        findings.refuse(
            at, "bad-id", f"{id!r:.80} is not an id of 1 to 200 characters from a-z, 0-9 and '-'",
            hint="capitals, underscores, periods and other characters are not allowed",
        )  # fmt: skip
    elif path:
        findings.tolerate(at, "is where an id stood before 1.0-rc", "put it at the top of the document")
    for other, place in found[1:]:
        if other.get("id") != owner.get("id"):
            findings.refuse(joined(place, "id"), "conflict", f"is another id than {at} has")
    return id


def _version(metadata: Mapping[str, object], findings: Findings) -> str:
    version = findings.text(metadata, "version", "metadata", required=True) or ""
    if len(version) > 100:
        findings.refuse("metadata.version", "too-long", f"has {len(version)} characters, it may have 100")
    return version


def read_parameters(value: object, findings: Findings, at: str = "parameters") -> dict[str, Parameter]:
    """The parameters at a path of a description or of a deployment, by name."""
    found: dict[str, Parameter] = {}
    targets = 0
    for name, path, entry in _named(value, at, findings):
        if name in found:
            findings.refuse(path, "duplicate", f"the name {name!r:.80} is used twice")
            continue
        findings.unknown(entry, frozenset({"name", "value", "targets"}), path)
        parameter = Parameter(
            name, path, _default(entry.get("value"), joined(path, "value"), findings), _targets(entry, path, findings)
        )
        targets += len(parameter.targets)
        if len(found) >= MAX_PARAMETERS or targets > MAX_TARGETS:
            findings.refuse(
                at, "too-many",
                f"there may be {MAX_PARAMETERS} parameters with {MAX_TARGETS} targets together, and here are more",
            )  # fmt: skip
            break
        found[name] = parameter
    return found


def _named(value: object, at: str, findings: Findings) -> list[tuple[str, str, Mapping[str, object]]]:
    """Name, path and content of each parameter: a mapping by name, or a list whose entries have a name."""
    if isinstance(value, list):
        findings.tolerate(at, "is a list, taken as the mapping from names that it should be")
        found = []
        for path, entry in findings.entries(value, at):
            name = findings.text(entry, "name", path, required=True)
            if name is not None:
                found.append((name, path, entry))
        return found
    named = []
    for name, item in (findings.mapping(value, at) or {}).items():
        path = joined(at, name)
        if not name or not name.isprintable() or "=" in name:
            findings.refuse(path, "bad-name", f"{name!r:.80} cannot be the name of a parameter")
        elif (content := findings.mapping(item, path)) is not None:
            named.append((name, path, content))
        elif item is None:
            findings.refuse(path, "wrong-type", "is empty, it must be a mapping with targets")
    return named


def _default(value: object, path: str, findings: Findings) -> object:
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict | list) for item in value)):
        findings.refuse(path, "wrong-type", "must be a text, a number, a truth value or a list of these")
        return None
    return value


def _targets(entry: Mapping[str, object], path: str, findings: Findings) -> tuple[Target, ...]:
    found: list[Target] = []
    for at, target in findings.entries(entry.get("targets"), joined(path, "targets")):
        findings.unknown(target, frozenset({"pointer", "components"}), at)
        pointer = findings.text(target, "pointer", at, required=True)
        components = target.get("components")
        if isinstance(components, str):
            findings.tolerate(joined(at, "components"), "is a text, taken as a list of one")
            components = [components]
        if not isinstance(components, list) or not components or not all(isinstance(item, str) for item in components):
            findings.refuse(
                joined(at, "components"), "missing" if components is None else "wrong-type",
                "must be a list of the names of components",
            )  # fmt: skip
        elif pointer is not None:
            found.append(Target(pointer, tuple(dict.fromkeys(components)), at))
    if entry.get("targets") is None or entry.get("targets") == []:
        findings.tolerate(joined(path, "targets"), "is missing: the parameter changes nothing")
    return tuple(found)
