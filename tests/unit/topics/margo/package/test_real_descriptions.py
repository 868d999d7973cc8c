"""The application descriptions of the Margo standard and of others, as they were published: what becomes of each.

They are not part of this repository: the tests look for them in ``shared/examples/margo`` beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.topics.margo.package.descriptions import device
from topics.documents.device import Cpu, Interface, Peripheral
from topics.documents.spec import Agents
from topics.errors import ContractError
from topics.margo.package import (
    choose_profile,
    default_name,
    is_description,
    read_description,
    settle_parameters,
    spec_of,
)
from topics.yaml_loader import load_yaml

REAL = Path(__file__).parents[6] / "shared" / "examples" / "margo"
pytestmark = pytest.mark.skipif(
    not REAL.is_dir(), reason="the Margo documents are not beside the repository (shared/examples/margo)"
)

OLD_TYPE, NO_ID = "deploymentProfiles[0].type", "deploymentProfiles[0].id"
ID_IN_METADATA, PACKAGE = "metadata.id", "deploymentProfiles[0].components[0].properties.packageLocation"
SECOND_PACKAGE = PACKAGE.replace("Profiles[0]", "Profiles[1]")
OLD_VARIABLE = "parameters.siteId.targets[1].pointer"

ACCEPTED: dict[str, tuple[set[str], str]] = {
    "rc2/app/hello-world.helm.yaml": (set(), "the form of 1.0-rc"),
    "rc2/app/digitron.helm+compose.constraints.yaml": (set(), "the form of 1.0-rc, with device constraints"),
    "sandbox/conformance/margo-ctt-package.margo.yaml": (set(), "the form of 1.0-rc"),
    "pr1/app/ApplicationDescription-002-helm_and_compose.yaml": (
        {ID_IN_METADATA, SECOND_PACKAGE}, "PR1: the id in the metadata, Compose by packageLocation",
    ),
    "spec-2025-02/valid/ApplicationDescription-001.yaml": (
        {OLD_TYPE, NO_ID, ID_IN_METADATA}, "helm.v3, and profiles had no ids",
    ),
    "spec-2025-02/valid/ApplicationDescription-002.yaml": (
        {OLD_TYPE, NO_ID, ID_IN_METADATA, SECOND_PACKAGE, OLD_VARIABLE, "deploymentProfiles[1].type"},
        "docker-compose, and variables were ENV.NAME",
    ),
    "early-2024/2024-05-05_prototype_app-description.yaml": (
        {"sources", "minimumResourceRequirements.memory", ID_IN_METADATA, "metadata.version", OLD_TYPE},
        "sources and properties; its memory has no unit, its id has periods",
    ),
    "early-2024/2024-07-10_apppkg_dd6a2e4__2_application.yaml": (
        {"kind", OLD_TYPE, NO_ID, ID_IN_METADATA, OLD_VARIABLE}, "kind: application",
    ),
    "early-2024/2024-10-23_apppkg_d350674__1_application.yaml": (
        {"kind", OLD_TYPE, NO_ID, ID_IN_METADATA, "metadata.version"}, "kind: application; its version is a number",
    ),
    "thirdparty/balaji-eos-app1.yaml": ({OLD_TYPE, ID_IN_METADATA}, "PR1 with helm.v3"),
    "thirdparty/balaji-eos-app2.yaml": (
        {OLD_TYPE, ID_IN_METADATA, SECOND_PACKAGE, OLD_VARIABLE}, "PR1 with helm.v3 and ENV.NAME",
    ),
    "thirdparty/ftra.margo.yaml": (
        {"metadata.catalog", ID_IN_METADATA, PACKAGE, "parameters.someEnvVar.targets[0].pointer"}, "without a catalog",
    ),
    "thirdparty/iaiops.margo.yaml": (
        {PACKAGE, "parameters.masterPassword.value"}, "the password's default is empty and must not be",
    ),
    "thirdparty/nhat14-edge-app.margo.yaml": ({PACKAGE}, "the id at the top, Compose by packageLocation"),
}  # fmt: skip

REFUSED: dict[str, tuple[str, str, str]] = {
    "early-2024/2024-07-10_apppkg_dd6a2e4__1_application.yaml": (
        "configuration.sections[0].settings[1].parameter", "unknown-parameter",
        "the parameter is called greetingTarget, its setting names greetingAddressee",
    ),
    "pr1/app/INVALID-ApplicationDescription-001-bad_id.yaml": ("id", "bad-id", "asterisks in the id, as its name says"),
    "sandbox/custom-otel-helm.margo.yaml": ("", "bad-key", "a template with {{ }} that was not filled in"),
    "sandbox/symphony-templates/nginx-helm__package.yaml": (
        "apiVersion", "unsupported-version", "a document of another product, which says so itself",
    ),
    "sandbox/conformance/mock-wfm-compose-sample.yaml": ("kind", "wrong-kind", "a deployment, not a description"),
}  # fmt: skip


def parsed(name: str) -> Any:
    return load_yaml((REAL / name).read_text("utf-8"))


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_valid_description_is_taken_and_every_tolerance_named(name: str) -> None:
    """Those of 1.0-rc without a remark; of the others at least these, and none without a place."""
    value = parsed(name)
    assert is_description(value)
    _, warnings = read_description(value)
    places = {reason.path for reason in warnings}
    expected, why = ACCEPTED[name]
    assert expected <= places, why
    assert bool(expected) == bool(places), why
    assert "" not in places


@pytest.mark.parametrize("name", REFUSED)
def test_a_broken_description_is_refused_with_the_reason(name: str) -> None:
    """The place and the code are those of what is wrong."""
    path, code, why = REFUSED[name]
    with pytest.raises(ContractError) as raised:
        read_description(parsed(name))
    assert (path, code) in [(reason.path, reason.code) for reason in raised.value.reasons], why


def test_every_description_has_its_line_in_the_tables() -> None:
    """What is added to the documents has to be judged."""
    folders = ("rc2/app", "pr1/app", "thirdparty")
    files = {str(path.relative_to(REAL)) for folder in folders for path in (REAL / folder).iterdir()}
    assert files <= set(ACCEPTED) | set(REFUSED)


GIVEN = {
    "idpName": "Azure AD", "idpProvider": "aad", "idpClientId": "123-ABC", "idpUrl": "https://123-abc.com",
    "adminName": "Some One", "adminPrincipalName": "someone@somewhere.com", "pollFrequency": "120",
    "siteId": "SID-123-ABC", "cpuLimit": "4", "memoryLimit": "16384", "masterPassword": "not-a-secret",
}  # fmt: skip


@pytest.mark.parametrize("name", ACCEPTED)
def test_every_profile_of_a_valid_description_becomes_a_spec(name: str) -> None:
    """With the values that the standard's own deployment gives."""
    description, _ = read_description(parsed(name))
    given = {key: value for key, value in GIVEN.items() if key in description.parameters}
    for profile in description.profiles:
        values = settle_parameters(description, given, None, profile)
        spec = spec_of(
            description, profile, values, name=default_name(description), agents=Agents(devices=("edge-01",))
        )
        assert [component.name for component in spec.spec.components] == [
            component.name for component in profile.components
        ]


def test_digitron_takes_the_values_that_the_standard_sets_in_its_deployment() -> None:
    """The values of ``rc2/deployment/digitron-helm`` come out where that document puts them."""
    description, _ = read_description(parsed("rc2/app/digitron.helm+compose.constraints.yaml"))
    profile = description.profiles[0]
    values = settle_parameters(description, {key: GIVEN[key] for key in GIVEN if key in description.parameters}, None)
    spec = spec_of(description, profile, values, name="digitron", agents=Agents(devices=("edge-01",)))
    database, orchestrator = (component.helm for component in spec.spec.components)
    assert database is not None
    assert orchestrator is not None
    assert database.values == {"settings": {"pollFrequency": 120, "siteId": "SID-123-ABC"}}
    assert orchestrator.values["idp"] == {
        "name": "Azure AD", "provider": "aad", "clientId": "123-ABC",
        "providerUrl": "https://123-abc.com", "providerMetadata": "https://123-abc.com",
    }  # fmt: skip
    assert orchestrator.values["settings"]["limits"] == {"cpu": 4, "memory": 16384}


def test_digitron_says_everything_that_is_missing() -> None:
    """Six parameters have no default and are required; the site may stay empty."""
    description, _ = read_description(parsed("pr1/app/ApplicationDescription-002-helm_and_compose.yaml"))
    with pytest.raises(ContractError) as raised:
        settle_parameters(description, {"idpUrl": "ftp://x", "adminPrincipalName": "nobody", "cpuLimit": "0.25"}, None)
    assert {reason.path.removeprefix("parameters."): reason.code for reason in raised.value.reasons} == {
        "idpName": "required", "idpProvider": "required", "idpClientId": "required", "idpUrl": "no-match",
        "adminName": "required", "adminPrincipalName": "no-match", "cpuLimit": "too-small",
    } | {"cpuLimit": raised.value.reasons[-1].code}  # fmt: skip
    assert {reason.code for reason in raised.value.reasons if reason.path == "parameters.cpuLimit"} == {
        "too-small", "precision",
    }  # fmt: skip


def test_northstar_runs_digitron_by_compose_and_not_by_helm() -> None:
    """Its rule for Helm, by Margo's matching rules: ``/peripherals`` must contain, for each combination of the
    values, an item that is a gpu of NVIDIA: it does. ``/interfaces`` must contain an ethernet and a bluetooth
    interface: of ethernet and wifi none is bluetooth. Expressions are AND'd and there is one rule, so Helm is
    passed over although 24 cores, 59 Gi and 1862 Gi are enough; the Compose profile asks for nothing."""
    northstar = device(
        "northstarida.xtapro.k8s.edge", cpus=(Cpu(architecture="amd64", cores=24),), memory=59 * 2**30,
        peripherals=(Peripheral(type="gpu", manufacturer="NVIDIA"),), deployment_types=("helm", "compose"),
        interfaces=(Interface(name="a", type="ethernet"), Interface(name="b", type="wifi")),
    )  # fmt: skip
    description, _ = read_description(parsed("rc2/app/digitron.helm+compose.constraints.yaml"))
    choice = choose_profile(description, [northstar])
    assert choice.profile.type == "compose"
    [reason] = choice.passed_over
    assert reason.path == (
        "deploymentProfiles[0].deviceConstraints.eligibilityRules[0].propertySelector.matchExpressions[1]"
    )
    assert "bluetooth" in reason.message
