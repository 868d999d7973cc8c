"""The prototypes of spring 2024: ``sources`` and ``properties`` before there were profiles and parameters.

They are brought into the form that followed, in which one reader reads them; paths in reasons are then
those of that form. Memory and storage are numbers without a unit there, and are left out with a warning.
"""

from __future__ import annotations

from collections.abc import Mapping

from topics.margo.package.findings import Findings, joined

_MOVED = frozenset({"sources", "properties", "minimumResourceRequirements", "configuration"})


def is_prototype(document: Mapping[str, object]) -> bool:
    """Whether the document is in that form."""
    return "sources" in document and "deploymentProfiles" not in document


def as_profiles_form(document: Mapping[str, object], findings: Findings) -> Mapping[str, object]:
    """The document with profiles and parameters."""
    findings.tolerate("sources", "is the form of the prototypes of 2024, taken as one deployment profile")
    sources = findings.entries(document.get("sources"), "sources")
    types = list(dict.fromkeys(str(source.get("type")) for _, source in sources))
    profiles: list[object] = []
    for kind in types:
        components: list[object] = [
            {key: source[key] for key in ("name", "properties") if key in source}
            for _, source in sources
            if str(source.get("type")) == kind
        ]
        profile: dict[str, object] = {"type": kind, "components": components}
        resources = _resources(document.get("minimumResourceRequirements"), findings)
        profiles.append(profile | ({"requiredResources": resources} if resources else {}))
    properties = findings.mapping(document.get("properties"), "properties") or {}
    parameters = {name: _parameter(item) for name, item in properties.items()}
    rest = {key: value for key, value in document.items() if key not in _MOVED}
    return rest | {
        "deploymentProfiles": profiles,
        "parameters": parameters,
        "configuration": _configuration(document.get("configuration")),
    }


def _resources(value: object, findings: Findings) -> dict[str, object]:
    required = findings.mapping(value, "minimumResourceRequirements") or {}
    for key in ("memory", "storage"):
        if key in required:
            findings.tolerate(joined("minimumResourceRequirements", key), "has no unit and is ignored")
    return {"cpu": {"cores": required["cpu"]}} if required.get("cpu") is not None else {}


def _parameter(item: object) -> object:
    """A property; its pointers start with the component: ``/hello/env/GREETING``."""
    if not isinstance(item, dict) or not isinstance(item.get("targets"), list):
        return item
    return item | {"targets": [_target(target) for target in item["targets"]]}


def _target(target: object) -> object:
    pointer = target.get("pointer") if isinstance(target, dict) else None
    if not isinstance(pointer, str) or not pointer.startswith("/") or "/" not in pointer[1:]:
        return target
    component, *steps = pointer[1:].split("/")
    return {"pointer": ".".join(step.replace(".", "\\.") for step in steps), "components": [component]}


def _configuration(value: object) -> object:
    """Settings name a ``property``, schemas say ``appliesTo: text``."""
    if not isinstance(value, dict):
        return value
    found = dict(value)
    if isinstance(found.get("sections"), list):
        found["sections"] = [_section(section) for section in found["sections"]]
    if isinstance(found.get("schema"), list):
        found["schema"] = [_renamed(schema, {"appliesTo": "dataType"}) for schema in found["schema"]]
    return found


def _section(section: object) -> object:
    if not isinstance(section, dict) or not isinstance(section.get("settings"), list):
        return section
    settings = [_renamed(setting, {"property": "parameter"}, drop="inputType") for setting in section["settings"]]
    return section | {"settings": settings}


def _renamed(item: object, names: Mapping[str, str], drop: str = "") -> object:
    if not isinstance(item, dict):
        return item
    return {names.get(key, key): value for key, value in item.items() if key != drop}
