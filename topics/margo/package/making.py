"""The deployment spec of an application: one profile, the settled values, the devices. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from topics.codec import MAX_PAYLOAD_BYTES, canonical_json
from topics.documents.base import as_contract_error
from topics.documents.spec import API_VERSION, KIND, Agents, DeploymentSpec
from topics.errors import ContractError, Reason
from topics.identifiers import MAX_ID_LENGTH, check_dns_label
from topics.margo.annotations import APPLICATION, DEPLOYMENT, NAME, deployment_id
from topics.margo.package.description import Description, Profile, ProfileComponent, Value
from topics.margo.package.findings import joined
from topics.margo.pointers import set_value, variable_name, variable_text

PROFILE = "margo.org/profile-id"
PARAMETERS = "margo.org/parameters"
"""Annotation with the settled values as JSON: what an immutable parameter is compared with later."""


def default_name(description: Description) -> str:
    """The deployment's name where none is given: the application's id, cut to what a name may have.

    Raises ``ContractError`` where the id leaves none.
    """
    name = description.id.replace(".", "-")[:MAX_ID_LENGTH].strip("-")
    try:
        return check_dns_label(name)
    except ValueError as error:
        raise ContractError.because(
            "bad-name", f"the id {description.id!r:.80} makes no name for a deployment", path="id",
            hint="give one with --name",
        ) from error  # fmt: skip


def spec_of(
    description: Description,
    profile: Profile,
    values: Mapping[str, Value],
    *,
    name: str,
    agents: Agents,
    namespace: str | None = None,
    local: Mapping[str, Mapping[str, Any]] | None = None,
) -> DeploymentSpec:
    """The spec that deploys the profile with these values on the agents.

    ``values`` are those of ``settle_parameters``; each goes to its targets within the profile. ``local`` has,
    for a component that lies in the package itself, the members of its ``helm`` or ``compose`` that carry it.
    Raises ``ContractError``, for instance for a name that is none.
    """
    settings = _settings(description, profile, values)
    components = [
        {"name": component.name, profile.type: component_body(profile, component, settings[component.name])
         | dict((local or {}).get(component.name, {}))}
        for component in profile.components
    ]  # fmt: skip
    requirements = profile.requirements.model_dump(mode="json", by_alias=True, exclude_unset=True)
    body: dict[str, Any] = {
        "application": {"id": description.id, "version": description.version},
        "agents": agents.model_dump(mode="json", by_alias=True, exclude_unset=True),
        **({"workload": {"namespace": namespace}} if namespace is not None else {}),
        **({"requirements": requirements} if requirements else {}),
        "components": components,
    }
    annotations = {
        DEPLOYMENT: deployment_id(description.id, name),
        NAME: name,
        APPLICATION: description.id,
        PROFILE: profile.id,
        PARAMETERS: canonical_json(dict(values)).decode(),
    }
    document = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "annotations": annotations},
        "spec": body,
    }
    try:
        return DeploymentSpec.model_validate(document)
    except ValidationError as error:
        raise as_contract_error(error) from error


def current_values(spec: DeploymentSpec, description: Description) -> Mapping[str, object]:
    """The parameters' values of a spec that is deployed now, as far as it says them.

    Raises ``ContractError`` if it is the spec of something else: its name is taken.
    """
    application = spec.spec.application
    if application is None or application.id != description.id:
        raise ContractError(
            (
                Reason(
                    path="metadata.name", code="name-taken",
                    message=f"the deployment {spec.name!r} is there already, and is not of this application",
                    required=description.id, available=application.id if application else "no application",
                    hint="choose another name with --name, or delete that deployment first",
                ),
            )
        )  # fmt: skip
    try:
        found = json.loads(spec.metadata.annotations.get(PARAMETERS, "{}"))
    except (ValueError, RecursionError):  # written by somebody else: nothing is known then
        return {}
    return found if isinstance(found, dict) else {}


def _settings(description: Description, profile: Profile, values: Mapping[str, Value]) -> dict[str, dict[str, Any]]:
    """Helm values, or the environment, of each component of the profile.

    What would not fit into a message is refused before it is made: one value may have thousands of targets.
    """
    found: dict[str, dict[str, Any]] = {component.name: {} for component in profile.components}
    room = MAX_PAYLOAD_BYTES
    for name, value in values.items():
        size = len(canonical_json(value))
        for target in description.parameters[name].targets:
            for component in target.components:
                if component not in found:
                    continue
                room -= size
                if room < 0:
                    raise ContractError.because(
                        "oversize", f"with it the values have more than {MAX_PAYLOAD_BYTES} bytes",
                        path=joined("parameters", name),
                    )  # fmt: skip
                if profile.type == "helm":
                    # A list of its own for each component: another pointer may lead into it.
                    own = list(value) if isinstance(value, list) else value
                    _set(found[component], target.pointer, own, target.path)
                else:
                    found[component][variable_name(target.pointer)] = variable_text(value)
    return found


def _set(values: dict[str, Any], pointer: str, value: Value, path: str) -> None:
    try:
        set_value(values, pointer, value)
    except ValueError as error:
        raise ContractError.because("bad-pointer", str(error), path=f"{path}.pointer") from error


def component_body(profile: Profile, component: ProfileComponent, settings: dict[str, Any]) -> dict[str, Any]:
    """The native ``helm`` or ``compose`` of a component; ``settings`` are its values or its environment."""
    body: dict[str, Any] = {"wait": component.wait}
    if component.timeout is not None:
        body["timeout"] = component.timeout
    if profile.type == "compose":
        if settings:
            body["environment"] = settings
        return body if component.local else body | {"package": _compose_package(component)}
    body |= _chart(component)
    return body | ({"values": settings} if settings else {})


def _chart(component: ProfileComponent) -> dict[str, Any]:
    """An HTTP address that is no archive is a chart repository, in which the component's name is the chart's."""
    source, version = component.source, component.revision
    found: dict[str, Any] = {"chart": source}
    if source.startswith(("http://", "https://")) and not source.endswith((".tgz", ".tar.gz")):
        found = {"chart": component.name, "repository": source}
    return found | ({"version": version} if version is not None else {})


def _compose_package(component: ProfileComponent) -> dict[str, Any]:
    if component.packaged or component.source.startswith(("http://", "https://")):
        place: dict[str, Any] = {"location": component.source}
        return place | ({"keyLocation": component.key_location} if component.key_location else {})
    place = {"repository": component.source}
    return place | ({"revision": component.revision} if component.revision else {})
