"""The parameters of a deployment, put where its components look for them. Pure.

A deployment comes with its values settled: there are no schemas here, and a value keeps the type that it was
written with. ``"4"`` stays a text in Helm values although ``helm --set`` would make it a number, because only
the chart knows whether ``"007"`` may become 7.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from topics.codec import MAX_PAYLOAD_BYTES, canonical_json
from topics.margo.package.description import Parameter, Profile, Target
from topics.margo.package.findings import Findings, joined
from topics.margo.pointers import is_old_variable, set_value, variable_name, variable_text

_NUMBER = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?\Z")


def settle(profile: Profile, parameters: Mapping[str, Parameter], findings: Findings) -> dict[str, dict[str, Any]]:
    """Helm values, or the environment, of each component by its name.

    A target may name components of other profiles of its application: that is remarked on and passed over. What
    would take more room than a message has is refused before it is made.
    """
    settings: dict[str, dict[str, Any]] = {component.name: {} for component in profile.components}
    taken: dict[tuple[str, str], str] = {}
    room = MAX_PAYLOAD_BYTES
    for parameter in parameters.values():
        if parameter.default is None:
            findings.tolerate(joined(parameter.path, "value"), "is missing: what the component has itself holds")
            continue
        size = len(canonical_json(parameter.default))
        for target in parameter.targets:
            names = _components(target, settings, findings)
            room -= size * len(names)
            if room < 0:
                findings.refuse(
                    parameter.path, "too-large", f"with it the values take more than {MAX_PAYLOAD_BYTES} bytes"
                )
                return {name: {} for name in settings}
            for name in names:
                if not _set(profile, parameter, target, name, settings=settings[name], taken=taken, findings=findings):
                    break  # one reason for each target
        if profile.type == "helm" and isinstance(parameter.default, str) and _NUMBER.match(parameter.default):
            findings.tolerate(
                joined(parameter.path, "value"), f"is the text {parameter.default!r}, and stays a text",
                "write it without quotes if the chart wants a number",
            )  # fmt: skip
    return settings


def _components(target: Target, settings: Mapping[str, object], findings: Findings) -> list[str]:
    for index, name in enumerate(target.components):
        if name not in settings:
            findings.tolerate(
                f"{target.path}.components[{index}]", f"{name!r:.80} is no component of this deployment, and is ignored"
            )
    return [name for name in target.components if name in settings]


def _set(
    profile: Profile,
    parameter: Parameter,
    target: Target,
    component: str,
    *,
    settings: dict[str, Any],
    taken: dict[tuple[str, str], str],
    findings: Findings,
) -> bool:
    """Whether it could be set; what could not is refused."""
    path, value = joined(target.path, "pointer"), parameter.default
    try:
        pointer = variable_name(target.pointer) if profile.type == "compose" else target.pointer
        first = taken.setdefault((component, pointer), parameter.name)
        if first != parameter.name:
            findings.refuse(path, "duplicate", f"{pointer!r:.80} of {component!r} is already set by {first!r:.80}")
            return False
        if profile.type == "compose":
            settings[pointer] = variable_text(value)
            if is_old_variable(target.pointer):
                findings.tolerate(path, f"is {target.pointer!r:.80}, the form of 2024, taken as {pointer!r:.80}")
        else:
            # A list of its own for each component: another pointer may lead into it.
            set_value(settings, pointer, list(value) if isinstance(value, list) else value)
    except ValueError as error:
        findings.refuse(path, "bad-pointer", str(error))
        return False
    return True
