"""What the parts of a description say of each other: every name that is used has to be there. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from topics.margo.package.description import Description, Parameter, Profile, Target
from topics.margo.package.findings import Findings, joined
from topics.margo.package.values import is_empty, settle_value
from topics.margo.pointers import is_old_variable, set_value, variable_name


def check_references(description: Description, findings: Findings) -> None:
    """Refuse names that lead nowhere and pointers that cannot be, warn of defaults that break their schema."""
    components = {component.name for profile in description.profiles for component in profile.components}
    for parameter in description.parameters.values():
        for target in parameter.targets:
            for index, name in enumerate(target.components):
                if name not in components:
                    findings.refuse(
                        f"{target.path}.components[{index}]", "unknown-component",
                        f"{name!r:.80} is a component of no deployment profile", hint=_near(name, components),
                    )  # fmt: skip
    _check_settings(description, findings)
    _check_defaults(description, findings)
    for profile in description.profiles:
        _check_pointers(profile, description.parameters.values(), findings)


def _check_settings(description: Description, findings: Findings) -> None:
    for setting in description.settings.values():
        if setting.parameter not in description.parameters:
            findings.refuse(
                joined(setting.path, "parameter"), "unknown-parameter",
                f"{setting.parameter!r:.80} is not among the parameters",
                hint=_near(setting.parameter, description.parameters),
            )  # fmt: skip
        if setting.schema is not None and setting.schema not in description.schemas:
            findings.refuse(
                joined(setting.path, "schema"), "unknown-schema",
                f"{setting.schema!r:.80} is not among the schemas", hint=_near(setting.schema, description.schemas),
            )  # fmt: skip


def _check_defaults(description: Description, findings: Findings) -> None:
    for parameter in description.parameters.values():
        schema = description.schema_of(parameter.name)
        if schema is None or parameter.default is None:
            continue
        path = joined(parameter.path, "value")
        hint = f"it is only deployed with another value: --set {parameter.name}=…"
        if is_empty(parameter.default) and not schema.allow_empty:
            findings.warn(path, "bad-default", "is empty, which its own schema does not allow", hint)
            continue
        for fault in settle_value(schema, parameter.default, path)[1]:
            findings.warn(fault.path, "bad-default", f"{fault.message}, says its own schema", hint)


def _check_pointers(profile: Profile, parameters: Iterable[Parameter], findings: Findings) -> None:
    """Set every value of the profile once: what cannot be set together is found before anybody deploys it."""
    values: dict[str, dict[str, Any]] = {component.name: {} for component in profile.components}
    taken: dict[tuple[str, str], str] = {}
    for parameter in parameters:
        for target in parameter.targets:
            for name in target.components:
                if name in values:
                    _check_pointer(
                        profile, target, name, findings, owner=parameter.name, values=values[name], taken=taken
                    )


def _check_pointer(
    profile: Profile,
    target: Target,
    component: str,
    findings: Findings,
    *,
    owner: str,
    values: dict[str, Any],
    taken: dict[tuple[str, str], str],
) -> None:
    path = joined(target.path, "pointer")
    pointer = target.pointer
    try:
        if profile.type == "compose":
            pointer = variable_name(target.pointer)
        first = taken.setdefault((component, pointer), owner)
        if first != owner:
            findings.refuse(path, "duplicate", f"{pointer!r:.80} of {component!r} is already set by {first!r:.80}")
            return
        if profile.type == "helm":
            set_value(values, pointer, True)
        elif is_old_variable(target.pointer):
            findings.tolerate(path, f"is {target.pointer!r:.80}, the form of 2024, taken as {pointer!r:.80}")
    except ValueError as error:
        findings.refuse(path, "bad-pointer", str(error))


def _near(name: str, names: Iterable[str]) -> str | None:
    near = difflib.get_close_matches(name[:100], [item[:100] for item in names], n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else None
