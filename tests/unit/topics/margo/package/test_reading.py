"""Application descriptions: every form is read, and every inconsistency is told with its place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.topics.margo.package.descriptions import description, document, refusals
from topics.errors import ContractError, Reason
from topics.margo.package import is_description, read_description


def tolerated(**changes: Any) -> list[str]:
    """The paths of what was tolerated."""
    return [reason.path for reason in read_description(document(**changes))[1] if reason.code == "tolerated"]


def test_a_description_of_1_0_is_read_without_a_warning() -> None:
    """Profiles in their order, parameters by name, settings by parameter."""
    read, warnings = read_description(document())
    assert warnings == ()
    assert (read.id, read.name, read.version) == ("com-example-press", "Press", "1.2.0")
    assert [(profile.id, profile.type) for profile in read.profiles] == [
        ("press-helm", "helm"), ("press-compose", "compose"),
    ]  # fmt: skip
    helm = read.profiles[0]
    assert [component.name for component in helm.components] == ["database", "press"]
    assert (helm.requirements.cpu.cores, helm.requirements.memory) == ("1.5", "1Gi")
    assert len(helm.requirements.rules) == 1
    assert read.schema_of("poll") == read.schemas["seconds"]
    assert read.schema_of("free") is None
    assert read.is_immutable("url")
    assert not read.is_immutable("poll")


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"kind": "application"}, "kind"),
        ({"apiVersion": ...}, "apiVersion"),
        ({"metadata__version": 1.0}, "metadata.version"),
        ({"metadata__catalog": ...}, "metadata.catalog"),
        ({"deploymentProfiles__0__type": "helm.v3"}, "deploymentProfiles[0].type"),
        ({"deploymentProfiles__1__type": "docker-compose"}, "deploymentProfiles[1].type"),
        ({"deploymentProfiles__0__id": ...}, "deploymentProfiles[0].id"),
        ({"deploymentProfiles__0__components__0__properties__wait": "true"},
         "deploymentProfiles[0].components[0].properties.wait"),
        ({"deploymentProfiles__0__components__0__properties__revision": 2},
         "deploymentProfiles[0].components[0].properties.revision"),
        ({"deploymentProfiles__1__components__0__properties": {"packageLocation": "https://example.com/p.tar.gz"}},
         "deploymentProfiles[1].components[0].properties.packageLocation"),
        ({"deploymentProfiles__0__deviceConstraints__capacityRequirements__cpu__architectures": ["x86_64"]},
         "deploymentProfiles[0].deviceConstraints.capacityRequirements.cpu.architectures[0]"),
        ({"parameters__poll__targets__1__pointer": "ENV.POLL"}, "parameters.poll.targets[1].pointer"),
        ({"parameters__poll__targets": []}, "parameters.poll.targets"),
        ({"parameters__poll__targets__0__components": "press"}, "parameters.poll.targets[0].components"),
        ({"configuration__schema__0__dataType": "int"}, "configuration.schema[0].dataType"),
        ({"configuration__schema__0__maxLength": 3}, "configuration.schema[0].maxLength"),
        ({"configuration__schema__0__minValue": "30"}, "configuration.schema[0].minValue"),
        ({"configuration__schema__0__colour": "red"}, "configuration.schema[0].colour"),
        ({"vendor": 1}, "vendor"),
    ],
)  # fmt: skip
def test_what_can_be_understood_is_tolerated_by_name(changes: dict[str, Any], path: str) -> None:
    """Older forms and small slips are taken, and the warning says where."""
    assert path in tolerated(**changes)


def test_the_id_may_stand_where_it_stood_before() -> None:
    """In the metadata until PR1; then in its annotations; two different ones are refused."""
    assert "metadata.id" in tolerated(id=..., metadata__id="a-b")
    assert "metadata.annotations.id" in tolerated(id=..., metadata__annotations={"id": "a-b"})
    assert [reason.code for reason in refusals(document(metadata__id="other"))] == ["conflict"]
    assert [reason.code for reason in refusals(document(id=...))] == ["missing"]


PROPERTIES = "deploymentProfiles__0__components__0__properties"


@pytest.mark.parametrize(
    ("changes", "path", "code"),
    [
        ({"id": "Bad_Id"}, "id", "bad-id"),
        ({"id": "a" * 201}, "id", "bad-id"),
        ({"apiVersion": "fleetbus/v1"}, "apiVersion", "unsupported-version"),
        ({"kind": "ApplicationDeployment"}, "kind", "wrong-kind"),
        ({"metadata": ...}, "metadata", "missing"),
        ({"metadata__version": ...}, "metadata.version", "missing"),
        ({"deploymentProfiles": []}, "deploymentProfiles", "missing"),
        ({"deploymentProfiles__1__id": "press-helm"}, "deploymentProfiles[1].id", "duplicate"),
        ({"deploymentProfiles__1__type": "snap"}, "deploymentProfiles[1].type", "not-allowed"),
        ({"deploymentProfiles__0__components": []}, "deploymentProfiles[0].components", "missing"),
        ({"deploymentProfiles__0__components__1__name": "database"}, "deploymentProfiles[0].components[1].name",
         "duplicate"),
        ({"deploymentProfiles__0__components__1__name": "Press.1"}, "deploymentProfiles[0].components[1].name",
         "bad-name"),
        ({f"{PROPERTIES}__repository": ...}, "deploymentProfiles[0].components[0].properties.repository", "missing"),
        ({f"{PROPERTIES}__repository": "file:///etc"}, "deploymentProfiles[0].components[0].properties.repository",
         "not-allowed"),
        ({f"{PROPERTIES}__timeout": "soon"}, "deploymentProfiles[0].components[0].properties.timeout", "invalid"),
        ({"deploymentProfiles__0__requiredResources": {}}, "deploymentProfiles[0].requiredResources", "conflict"),
        ({"deploymentProfiles__0__deviceConstraints__capacityRequirements__memory": "much"},
         "deploymentProfiles[0].deviceConstraints.capacityRequirements.memory", "invalid"),
        ({"deploymentProfiles__0__deviceConstraints__eligibilityRules__0": {}},
         "deploymentProfiles[0].deviceConstraints.eligibilityRules[0]", "invalid"),
        ({"parameters__poll__targets__0__components": ["pres"]}, "parameters.poll.targets[0].components[0]",
         "unknown-component"),
        ({"parameters__poll__targets__0__pointer": "a..b"}, "parameters.poll.targets[0].pointer", "bad-pointer"),
        ({"parameters__poll__targets__1__pointer": "no name"}, "parameters.poll.targets[1].pointer", "bad-pointer"),
        ({"parameters__free__targets__0__pointer": "mode"}, "parameters.free.targets[0].pointer", "duplicate"),
        ({"parameters__free__targets__0__pointer": "mode.x"}, "parameters.free.targets[0].pointer", "bad-pointer"),
        ({"parameters__poll__value": {"a": 1}}, "parameters.poll.value", "wrong-type"),
        ({"configuration__sections__0__settings__0__parameter": "pol"},
         "configuration.sections[0].settings[0].parameter", "unknown-parameter"),
        ({"configuration__sections__0__settings__0__schema": "second"}, "configuration.sections[0].settings[0].schema",
         "unknown-schema"),
        ({"configuration__sections__0__settings__0__parameter": "url"},
         "configuration.sections[0].settings[1].parameter", "duplicate"),
        ({"configuration__schema__1__name": "seconds"}, "configuration.schema[1].name", "duplicate"),
        ({"configuration__schema__0__dataType": "date"}, "configuration.schema[0].dataType", "not-allowed"),
        ({"configuration__schema__0__minValue": 361}, "configuration.schema[0].minValue", "conflict"),
        ({"configuration__schema__0__minValue": "x"}, "configuration.schema[0].minValue", "wrong-type"),
        ({"configuration__schema__1__maxLength": -1}, "configuration.schema[1].maxLength", "not-allowed"),
        ({"configuration__schema__1__regexMatch": "("}, "configuration.schema[1].regexMatch", "bad-pattern"),
        ({"configuration__schema__1__regexMatch": "(?=a)b"}, "configuration.schema[1].regexMatch", "bad-pattern"),
        ({"configuration__schema__6__options": []}, "configuration.schema[6].options", "wrong-type"),
        ({"configuration__schema__6__options": [{}]}, "configuration.schema[6].options[0]", "wrong-type"),
    ],
)  # fmt: skip
def test_every_inconsistency_is_refused_with_its_place(changes: dict[str, Any], path: str, code: str) -> None:
    """A name that leads nowhere, one that is used twice, a value that cannot be."""
    assert (path, code) in [(reason.path, reason.code) for reason in refusals(document(**changes))]


def test_all_inconsistencies_are_told_at_once() -> None:
    """An author mends a document once."""
    found = refusals(document(id="A", deploymentProfiles__1__type="snap", configuration__schema__0__minValue=999))
    assert {"id", "deploymentProfiles[1].type", "configuration.schema[0].minValue"} <= {item.path for item in found}


def test_what_names_nothing_says_what_is_near() -> None:
    """Typing errors are what it mostly is."""
    [reason] = refusals(document(parameters__poll__targets__0__components=["pres"]))
    assert reason.hint == "did you mean press or press-docker?"


def test_a_default_that_breaks_its_own_schema_is_a_warning() -> None:
    """The application can be deployed with another value."""
    _, [warning] = read_description(document(parameters__poll__value=5))
    assert (warning.path, warning.code) == ("parameters.poll.value", "bad-default")
    assert "5 is less than 30" in warning.message
    _, [warning] = read_description(document(parameters__poll__value=""))
    assert "is empty" in warning.message


def test_a_prototype_of_2024_becomes_a_profile() -> None:
    """Sources and properties were what profiles and parameters are; the first step of a pointer was the component."""
    read, warnings = read_description(
        {
            "apiVersion": "margo.org/v1-alpha1", "kind": "ApplicationDescription",
            "metadata": {"id": "example.hello", "name": "Hello", "version": "1"},
            "sources": [{"name": "hello", "type": "helm.v3", "properties": {"repository": "oci://r.example/hello"}}],
            "minimumResourceRequirements": {"cpu": 0.5, "memory": 16384},
            "properties": {"greeting": {"value": "Hello", "targets": [{"pointer": "/hello/env/APP.GREETING"}]}},
            "configuration": {
                "sections": [{"name": "All", "settings": [
                    {"property": "greeting", "name": "Greeting", "inputType": "text", "schema": "text"}]}],
                "schema": [{"name": "text", "appliesTo": "text", "maxLength": 45}],
            },
        }
    )  # fmt: skip
    assert read.profiles[0].requirements.cpu.cores == "0.5"
    assert read.profiles[0].requirements.memory is None
    [target] = read.parameters["greeting"].targets
    assert (target.pointer, target.components) == ("env.APP\\.GREETING", ("hello",))
    assert read.schema_of("greeting") == read.schemas["text"]
    assert "minimumResourceRequirements.memory" in [reason.path for reason in warnings]


def test_a_description_is_told_by_its_kind_or_its_profiles() -> None:
    """1.0-rc has no kind; a deployment of Margo has another one, and one profile."""
    assert is_description({"kind": "application"})
    assert is_description({"apiVersion": "v1", "deploymentProfiles": []})
    assert not is_description({"kind": "ApplicationDeployment", "spec": {"deploymentProfile": {}}})
    assert not is_description({"kind": "DeploymentSpec", "deploymentProfiles": []})
    assert not is_description([])
    assert not is_description({"kind": ["application"]})


@pytest.mark.parametrize("value", [None, [], "text", 3, {"id": None}, {1: 2}])
def test_what_is_no_description_at_all_is_refused(value: object) -> None:
    """Never with another exception."""
    assert refusals(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.text(st.characters(), max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in _places(item, (*path, key)))]


@given(st.data())
def test_any_value_in_any_place_is_read_or_refused(data: st.DataObject) -> None:
    """No document makes the reader raise anything but a contract error; its reasons are bounded and printable."""
    value: Any = document()
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(_places(value)[1:]))
        owner = value
        for step in place[:-1]:
            owner = owner[step]
        owner[place[-1]] = data.draw(JSON)
    reasons, accepted = outcome(value)
    assert accepted or 0 < len(reasons) <= 101
    assert all(str(reason).encode() for reason in reasons)


def outcome(value: object) -> tuple[tuple[Reason, ...], bool]:
    """The warnings of a document that is accepted, or the reasons against it."""
    try:
        return read_description(value)[1], True
    except ContractError as error:
        return error.reasons, False


def test_a_document_with_a_million_faults_has_a_hundred_reasons() -> None:
    """And says how many there are more."""
    names = {f"p{number}": {"value": {}, "targets": 3} for number in range(900)}
    found = refusals(document(parameters=names, configuration=...))
    assert len(found) == 101
    assert "more problems" in found[-1].message


def test_the_number_of_targets_is_bounded() -> None:
    """With the bounds of a pointer it bounds what the values can become."""
    targets = [{"pointer": f"a{number}", "components": ["press"]} for number in range(2001)]
    assert "too-many" in [reason.code for reason in refusals(document(parameters__poll__targets=targets))]


def test_descriptions_compare_by_content() -> None:
    """Reading is deterministic."""
    assert description() == description()
