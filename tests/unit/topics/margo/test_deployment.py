"""Margo deployments of every form become native specs, or are refused with path, reason and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.topics.margo.documents import (
    ID,
    MISSING,
    OLD,
    PR1,
    RC_COMPOSE,
    RC_HELM,
    changed,
    read,
    refused,
    tolerated,
)
from topics.errors import ContractError
from topics.margo import APPLICATION, DEPLOYMENT, NAME
from topics.spec_reader import assigned, read_document, read_spec


def test_a_document_of_1_0_rc_needs_no_tolerance() -> None:
    """The current form, whole: names, devices, namespace, charts, values, requirements and rules."""
    document = read(RC_HELM)
    spec, body = document.spec, document.spec.spec
    assert (document.margo, document.warnings, spec.name) == (True, (), "bottling-line")
    assert spec.metadata.labels == {"line": "3"}
    assert spec.metadata.annotations == {
        DEPLOYMENT: ID, APPLICATION: "com-example-bottling", NAME: "bottling-line",
    }  # fmt: skip
    assert (body.agents.devices, body.agents.count, body.workload.namespace) == (("edge-07",), "all", "bottling")
    historian, counter = (component.helm for component in body.components)
    assert historian is not None
    assert counter is not None
    assert (historian.chart, historian.version) == ("oci://registry.example/charts/historian", "4.1.0")
    assert (historian.wait, historian.timeout, counter.timeout) == (True, "7m", "5m")
    assert historian.values == {"sampling": {"perSecond": 12}, "outputs": [{"names": ["a", "b"]}]}
    assert counter.values == {"sampling": {"perSecond": 12}, "podAnnotations": {"example.com/owner": "shift-b"}}
    needs = body.requirements
    assert (needs.cpu.cores, needs.cpu.architectures) == ("0.5", ("amd64", "arm64"))
    assert (needs.memory, needs.storage) == ("768Mi", "5Gi")
    given = RC_HELM["spec"]["deploymentProfile"]["deviceConstraints"]["eligibilityRules"]
    written = needs.model_dump(mode="json", by_alias=True, exclude_unset=True)["rules"]
    assert written == given, "rules are taken word for word"


def test_a_compose_deployment_has_a_package_and_an_environment() -> None:
    """Values become texts, as an environment has them; the device may stand behind a gateway."""
    document = read(RC_COMPOSE)
    body = document.spec.spec
    assert document.warnings == ()
    assert body.agents.devices == ("gateway-2/printer-1",)
    compose = body.components[0].compose
    assert compose is not None
    assert compose.package is not None
    assert compose.package.repository == "oci://registry.example/compose/printer"
    assert compose.package.revision == "2.0.0"
    assert compose.environment == {"COPIES": "2", "DUPLEX": "false"}


def test_the_form_of_2024_is_taken_with_a_warning_for_each_difference() -> None:
    """Ids in the annotations, docker-compose, packageLocation, ENV., wait and numbers as texts, no name."""
    document = read(OLD)
    spec, body = document.spec, document.spec.spec
    assert spec.name == f"margo-{ID}"
    assert body.agents.devices == ("edge-01", "edge-02")
    assert spec.workload_namespace == spec.name
    compose = body.components[0].compose
    assert compose is not None
    assert compose.package is not None
    assert compose.package.location == "https://downloads.example/printer.tar.gz"
    assert compose.package.key_location == "https://downloads.example/printer.asc"
    assert (compose.wait, compose.timeout, compose.environment) == (False, "90", {"COPIES": "2"})
    properties = "spec.deploymentProfile.components[0].properties"
    assert sorted(tolerated(document)) == sorted([
        "apiVersion", "metadata.annotations.id", "metadata.annotations.applicationId",
        "spec.deploymentProfile.type", f"{properties}.packageLocation", f"{properties}.wait",
        f"{properties}.timeout", "spec.parameters.copies.targets[0].pointer", "metadata.namespace", "metadata.name",
    ])  # fmt: skip


def test_the_form_of_pr1_is_taken() -> None:
    """The id at the top, the application's in an annotation, requiredResources; an HTTP address is a repository."""
    document = read(PR1, devices=("edge-03", "gateway-1/*"))
    body = document.spec.spec
    assert (body.agents.devices, body.agents.count) == (("edge-03", "gateway-1/*"), "all")
    chart = body.components[0].helm
    assert chart is not None
    assert (chart.repository, chart.chart) == ("https://charts.example/stable", "counter")
    needs = body.requirements
    assert needs.cpu.architectures == ("amd64",)
    assert [(item.type, item.manufacturer) for item in needs.peripherals] == [("gpu", "Example")]
    assert [item.type for item in needs.interfaces] == ["wifi"]
    resources = "spec.deploymentProfile.requiredResources"
    assert tolerated(document) == [
        "metadata.annotations.applicationId", f"{resources}.cpu.architectures[0]",
        f"{resources}.peripherals[0].type", f"{resources}.interfaces[0].type",
    ]  # fmt: skip


@pytest.mark.parametrize("spelling", ["x86_64", "X86-64", "Intel x64", "AMD64", "x64"])
def test_architectures_are_known_in_other_spellings(spelling: str) -> None:
    """Each is amd64, with a warning that says so."""
    at = "spec/deploymentProfile/deviceConstraints/capacityRequirements/cpu/architectures"
    document = read(changed(RC_HELM, (at, [spelling])))
    assert document.spec.spec.requirements.cpu.architectures == ("amd64",)
    assert tolerated(document) == [at.replace("/", ".") + "[0]"]


# -- names and devices ------------------------------------------------------------------------------------


def test_the_topic_names_the_deployment() -> None:
    """Any valid name will do: the document's own is remembered for its statuses."""
    spec = read(RC_HELM, name="line-3").spec
    assert (spec.name, spec.metadata.annotations[NAME]) == ("line-3", "bottling-line")
    assert read_spec(json.dumps(RC_HELM).encode(), name="line-4").name == "line-4"


@pytest.mark.parametrize("given", ["Bottling Line", "bottling_line", "b" * 64, "-b"])
def test_a_name_that_cannot_be_one_here_is_made_from_the_id(given: str) -> None:
    """Margo's name may be any text."""
    document = read(changed(RC_HELM, ("metadata/name", given)))
    assert document.spec.name == f"margo-{ID}"
    assert document.spec.metadata.annotations[NAME] == given
    assert tolerated(document) == ["metadata.name"]


def test_a_gateway_wildcard_asks_for_one_of_its_devices() -> None:
    """In Margo the gateway chooses one child device; here the orchestrator does."""
    agents = read(changed(RC_HELM, ("metadata/deviceId", "gateway-2/*"))).spec.spec.agents
    assert (agents.devices, agents.count) == (("gateway-2/*",), 1)


def test_a_document_without_a_device_says_what_to_add() -> None:
    """The forms before 1.0-rc have no place for one."""
    (reason,) = refused(PR1)
    assert (reason.path, reason.code) == ("metadata.deviceId", "missing")
    assert reason.hint is not None
    assert "fleetbus/devices" in reason.hint
    assert "--device" in reason.hint


def test_devices_that_are_given_stand_in_what_is_published() -> None:
    """``assigned`` writes them into the document, so that it stays a Margo document on the topic."""
    payload = assigned(json.dumps(PR1).encode(), ["edge-03", "gateway-1/edge-04"])
    document = read_document(payload)
    assert document.margo
    assert document.spec.spec.agents.devices == ("edge-03", "gateway-1/edge-04")


@pytest.mark.parametrize("document", [RC_HELM, {"kind": "DeploymentSpec"}, {"a": 1}, changed(PR1, ("metadata", 1))])
def test_what_names_its_devices_or_is_no_deployment_is_published_as_it_is(document: Any) -> None:
    """Its reader says what is wrong with it."""
    payload = json.dumps(document).encode()
    assert assigned(payload, ["edge-03"]) == payload


def test_other_devices_than_the_document_names_are_refused() -> None:
    """Two answers to the question where it runs: the author must choose. The same one is no conflict."""
    assert [reason.code for reason in refused(RC_HELM, devices=("edge-01",))] == ["conflict"]
    assert read(RC_HELM, devices=("edge-07",)).spec.spec.agents.devices == ("edge-07",)


@pytest.mark.parametrize("ref", ["a/b/c", "edge 1", "*", "/edge", "gateway/", "a" * 64])
def test_a_device_that_cannot_be_one_is_refused(ref: str) -> None:
    """A device is reached through one gateway at most."""
    (reason,) = refused(changed(RC_HELM, ("metadata/deviceId", ref)))
    assert (reason.path, reason.code) == ("metadata.deviceId", "bad-device")


# -- refusals ---------------------------------------------------------------------------------------------

PROFILE = "spec/deploymentProfile"
FIRST = f"{PROFILE}/components/0"


@pytest.mark.parametrize(
    ("path", "value", "code", "where"),
    [
        ("id", MISSING, "missing", "id"),
        ("id", "17", "bad-id", "id"),
        ("id", 17, "bad-id", "id"),
        ("metadata/id", "0f83e682-a35b-4533-ae93-ff3810095f31", "conflict", "metadata.id"),
        ("metadata", MISSING, "missing", "metadata"),
        ("metadata", [], "wrong-type", "metadata"),
        ("metadata/namespace", "Bottling", "invalid", "metadata.namespace"),
        ("metadata/labels", {"a b": "c"}, "invalid", "metadata.labels.a b"),
        ("metadata/labels", {"a": 1}, "wrong-type", "metadata.labels.a"),
        ("spec/applicationId", MISSING, "missing", "spec.applicationId"),
        ("spec/applicationId", "Com.Example", "bad-id", "spec.applicationId"),
        ("spec/applicationId", "a" * 201, "bad-id", "spec.applicationId"),
        (PROFILE, None, "missing", "spec.deploymentProfile"),
        (f"{PROFILE}/type", "wasm", "not-allowed", "spec.deploymentProfile.type"),
        (f"{PROFILE}/components", [], "missing", "spec.deploymentProfile.components"),
        (f"{FIRST}/name", "History", "bad-name", "spec.deploymentProfile.components[0].name"),
        (f"{FIRST}/name", "counter", "duplicate", "spec.deploymentProfile.components[1].name"),
        (f"{FIRST}/properties", None, "missing", "spec.deploymentProfile.components[0].properties"),
        (f"{FIRST}/properties/repository", "charts/historian", "not-allowed",
         "spec.deploymentProfile.components[0].properties.repository"),
        (f"{FIRST}/properties/repository", "oci://" + "r" * 1000, "invalid",
         "spec.deploymentProfile.components[0].properties.repository"),
        (f"{FIRST}/properties/wait", "perhaps", "wrong-type", "spec.deploymentProfile.components[0].properties.wait"),
        (f"{FIRST}/properties/timeout", "soon", "invalid", "spec.deploymentProfile.components[0].properties.timeout"),
        (f"{PROFILE}/deviceConstraints/capacityRequirements/memory", "lots", "invalid",
         "spec.deploymentProfile.deviceConstraints.capacityRequirements.memory"),
        (f"{PROFILE}/deviceConstraints/capacityRequirements/cpu/architectures/0", "sparc", "not-allowed",
         "spec.deploymentProfile.deviceConstraints.capacityRequirements.cpu.architectures[0]"),
        (f"{PROFILE}/deviceConstraints/eligibilityRules/1", {}, "invalid",
         "spec.deploymentProfile.deviceConstraints.eligibilityRules[1]"),
        (f"{PROFILE}/requiredResources", {"memory": "1Gi"}, "conflict", "spec.deploymentProfile.requiredResources"),
        ("spec/parameters/rate/targets/0/pointer", "a..b", "bad-pointer", "spec.parameters.rate.targets[0].pointer"),
        ("spec/parameters/rate/targets/0/components", 3, "wrong-type",
         "spec.parameters.rate.targets[0].components"),
        ("spec/parameters/rate/value", {"a": 1}, "wrong-type", "spec.parameters.rate.value"),
        ("spec/parameters/owner/targets/0/pointer", "sampling.perSecond", "duplicate",
         "spec.parameters.owner.targets[0].pointer"),
        ("spec/parameters/owner/targets/0/pointer", "sampling.perSecond.x", "bad-pointer",
         "spec.parameters.owner.targets[0].pointer"),
        ("apiVersion", "non-margo.org", "unsupported-version", "apiVersion"),
    ],
)  # fmt: skip
def test_a_fault_is_named_by_its_path_in_the_margo_document(path: str, value: Any, code: str, where: str) -> None:
    """One fault, one reason, in the words of the document that was sent."""
    found = [(reason.code, reason.path) for reason in refused(changed(RC_HELM, (path, value)))]
    if path == "metadata":  # and the device that it should hold
        assert (code, where) in found
    else:
        assert found == [(code, where)]


@pytest.mark.parametrize(("value", "code"), [(MISSING, "missing"), ([], "wrong-type")])
def test_a_deployment_by_its_kind_needs_a_spec(value: Any, code: str) -> None:
    """Without kind and spec it would be no Margo document at all."""
    assert (code, "spec") in [(reason.code, reason.path) for reason in refused(changed(PR1, ("spec", value)))]


def test_all_faults_are_named_at_once() -> None:
    """An author sees everything in one answer."""
    document = changed(RC_HELM, ("id", "x"), ("spec/applicationId", "X"), (f"{PROFILE}/type", "wasm"))
    assert len(refused(document)) == 3


def test_a_variable_needs_a_name_that_can_be_one() -> None:
    """A Compose component has an environment, and no dotted values."""
    (reason,) = refused(changed(RC_COMPOSE, ("spec/parameters/copies/targets/0/pointer", "print.copies")))
    assert (reason.path, reason.code) == ("spec.parameters.copies.targets[0].pointer", "bad-pointer")


def test_a_profile_beside_its_place_is_found() -> None:
    """An indentation that is missing makes an empty profile with its members beside it."""
    profile = RC_HELM["spec"]["deploymentProfile"]
    document = changed(RC_HELM, (PROFILE, None), ("spec/type", profile["type"]))
    document["spec"]["components"] = profile["components"]
    (reason,) = refused(document)
    assert reason.path == "spec.deploymentProfile"
    assert reason.hint is not None
    assert "indent" in reason.hint


# -- tolerances -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("spec/parameters/rate/value", MISSING, "spec.parameters.rate.value"),
        ("spec/parameters/rate/value", None, "spec.parameters.rate.value"),
        ("spec/parameters/rate/value", "12", "spec.parameters.rate.value"),
        ("spec/parameters/rate/targets/0/components/1", "elsewhere", "spec.parameters.rate.targets[0].components[1]"),
        ("spec/replicas", 2, "spec.replicas"),
        ("spec/x-acme-extensions", {"tier": 1}, "spec.x-acme-extensions"),
        ("metadata/annotations", {"no key": "x"}, "metadata.annotations.no key"),
        ("metadata/annotations", {"a": 1}, "metadata.annotations.a"),
        (f"{FIRST}/properties/revision", 4.1, "spec.deploymentProfile.components[0].properties.revision"),
        (f"{PROFILE}/type", "helm.v3", "spec.deploymentProfile.type"),
    ],
)
def test_what_can_be_understood_is_taken_with_a_warning(path: str, value: Any, where: str) -> None:
    """The warning names the place, and what it was taken for."""
    assert tolerated(read(changed(RC_HELM, (path, value)))) == [where]


def test_a_number_as_a_text_stays_a_text() -> None:
    """Only the chart knows whether it wants one: "007" may be a line's name."""
    document = read(changed(RC_HELM, ("spec/parameters/rate/value", "007")))
    chart = document.spec.spec.components[1].helm
    assert chart is not None
    assert chart.values["sampling"] == {"perSecond": "007"}


def test_a_parameter_without_a_value_leaves_the_charts_own() -> None:
    """There is nothing to set."""
    chart = read(changed(RC_HELM, ("spec/parameters/rate/value", None))).spec.spec.components[1].helm
    assert chart is not None
    assert "sampling" not in chart.values


def test_annotations_of_the_author_are_kept() -> None:
    """Those that a native spec can carry; the ids have their own."""
    kept = read(changed(RC_HELM, ("metadata/annotations", {"example.com/owner": "line-3"}))).spec.metadata.annotations
    assert kept["example.com/owner"] == "line-3"
    assert kept[DEPLOYMENT] == ID


def test_a_native_document_is_read_as_before() -> None:
    """Without warnings, and never as a Margo one; its agents are its own."""
    native = {
        "apiVersion": "fleetbus/v1", "kind": "DeploymentSpec", "metadata": {"name": "n"},
        "spec": {"agents": {"devices": ["a"]}, "components": [{"name": "c", "helm": {"chart": "oci://r.example/c"}}]},
    }  # fmt: skip
    document = read(native, name="n")
    assert (document.margo, document.warnings) == (False, ())
    assert [reason.code for reason in refused(native, devices=("b",))] == ["conflict"]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"apiVersion": "v1", "id": "com-example-a", "deploymentProfiles": []}, "fleetbus apply -f margo.yaml"),
        ({"kind": "ApplicationDescription"}, "fleetbus apply -f margo.yaml"),
        ({"properties": {"id": "edge-1", "vendor": "v"}}, "its agent says"),
        ({"kind": "DeviceCapabilitiesManifest"}, "its agent says"),
        ({"deploymentId": ID, "status": {"state": "pending"}}, "not read"),
        ({"manifestVersion": 1, "deployments": []}, "its own topic"),
        ({"type": "https://docs.margo.org/x", "title": "t", "status": 400}, "deploys nothing"),
        ({"apiVersion": "non-margo.org", "kind": "ApplicationPackage"}, "fetch the application package"),
        ({"apiVersion": "application.margo.org/v1alpha1", "kind": "Pudding"}, "ApplicationDeployment"),
        ({"apiVersion": "application.margo.org/v1alpha1"}, "ApplicationDeployment"),
    ],
)
def test_documents_of_another_kind_are_told_where_they_belong(document: dict[str, Any], words: str) -> None:
    """What it is, and what to do with it."""
    (reason,) = refused(document)
    assert reason.code == "wrong-kind"
    assert reason.hint is not None
    assert words in reason.hint


def test_values_that_would_not_fit_a_message_are_refused_before_they_are_made() -> None:
    """A text of 100 kB in a hundred places is 10 MB."""
    targets = [{"pointer": f"a.b{number}", "components": ["historian"]} for number in range(100)]
    document = changed(RC_HELM, ("spec/parameters/owner", {"value": "x" * 100_000, "targets": targets}))
    assert [reason.code for reason in refused(document)] == ["too-large"]


@pytest.mark.parametrize(
    ("text", "words"),
    [("id: {{ID}}\nspec: {}\n", "template"), ("id: a: b\n", "indentation"), ("a: 'b\n", "indentation")],
)
def test_what_is_no_yaml_is_told_what_to_do(text: str, words: str) -> None:
    """The place where the parser stopped, and the usual cause."""
    with pytest.raises(ContractError) as caught:
        read_document(text.encode())
    (reason,) = caught.value.reasons
    assert "line" in reason.message
    assert "column" in reason.message
    assert reason.hint is not None
    assert words in reason.hint


def test_the_example_of_the_documentation_is_what_it_says() -> None:
    """No tolerance is needed, and the values are where the table says."""
    page = (Path(__file__).parents[4] / "docs" / "margo.md").read_text()
    document = read_document(page.split("```yaml\n")[1].split("```")[0].encode())
    assert document.warnings == ()
    assert document.spec.name == "oven-watch"
    chart = document.spec.spec.components[0].helm
    assert chart is not None
    assert chart.values == {"alarm": {"celsius": 240}, "podLabels": {"example.com/team": "bakery"}}
