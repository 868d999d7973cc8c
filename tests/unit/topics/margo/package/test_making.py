"""The spec of an application: components in order, values at their targets, nothing that was not asked for."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.topics.margo.package.descriptions import description
from topics.codec import canonical_json
from topics.documents.spec import Agents, DeploymentSpec
from topics.errors import ContractError
from topics.margo import DEPLOYMENT, NAME, is_margo
from topics.margo.package import current_values, default_name, settle_parameters, spec_of
from topics.spec_reader import read_spec

APPLICATION = description()
HELM, COMPOSE = APPLICATION.profiles
AGENTS = Agents(devices=("edge-01",))


def made(profile: object = HELM, **values: object) -> DeploymentSpec:
    settled = settle_parameters(APPLICATION, {"url": "https://a.b"} | values, None)
    profile = COMPOSE if profile is COMPOSE else HELM
    return spec_of(APPLICATION, profile, settled, name="press", agents=AGENTS)


def test_values_go_to_their_targets_in_helm() -> None:
    """Each component has what its targets name, by dotted pointers; types are kept."""
    database, press = made(poll="60", limit="2.5", hosts="a,b").spec.components
    assert database.helm is not None
    assert press.helm is not None
    assert database.helm.values == {"settings": {"poll": 60}}
    assert press.helm.values == {
        "settings": {"poll": 60}, "idp": {"url": "https://a.b"}, "limits": {"cpu": 2.5}, "debug": False,
        "hosts": ["a", "b"], "mode": "fast", "free": "x",
    }  # fmt: skip
    assert (database.helm.chart, database.helm.version) == ("oci://registry.example/tsdb", "2.3.7")
    assert (database.helm.timeout, database.helm.wait, press.helm.wait) == ("8m30s", True, False)


def test_values_are_texts_in_a_compose_environment() -> None:
    """Only those whose targets name a component of the profile."""
    [component] = made(COMPOSE, poll="60", hosts="a,b").spec.components
    assert component.compose is not None
    assert component.compose.environment == {"POLL": "60", "IDP_URL": "https://a.b", "HOSTS": "a,b"}
    assert component.compose.package is not None
    assert component.compose.package.repository == "oci://registry.example/compose/press"


def test_the_deployment_has_an_id_that_anyone_can_make_again() -> None:
    """A package has none: a UUID of version 5 of the application's id and the deployment's name."""
    annotations = made().metadata.annotations
    expected = str(uuid.uuid5(uuid.NAMESPACE_URL, "fleetbus:deployment/com-example-press/press"))
    assert (annotations[DEPLOYMENT], annotations[NAME]) == (expected, "press")
    assert is_margo(annotations)
    assert made(poll="60").metadata.annotations[DEPLOYMENT] == expected
    other = spec_of(APPLICATION, COMPOSE, {}, name="press-2", agents=AGENTS).metadata.annotations
    assert other[DEPLOYMENT] != expected


def test_application_requirements_and_ids_come_from_the_description() -> None:
    """The namespace is the default unless one is given."""
    spec = made()
    assert spec.spec.application is not None
    assert (spec.spec.application.id, spec.spec.application.version) == ("com-example-press", "1.2.0")
    assert spec.spec.requirements == HELM.requirements
    assert spec.metadata.annotations["margo.org/profile-id"] == "press-helm"
    assert (spec.workload_namespace, spec.spec.agents) == ("press", AGENTS)
    given = spec_of(APPLICATION, COMPOSE, {}, name="x", agents=AGENTS, namespace="line")
    assert given.workload_namespace == "line"


def test_what_is_deployed_can_be_asked_for_its_values() -> None:
    """They come back as they were settled; of something else nothing is taken."""
    spec = made(poll="60")
    again = read_spec(canonical_json(spec.model_dump(mode="json", by_alias=True, exclude_unset=True)))
    assert again == spec
    values = current_values(again, APPLICATION)
    assert values["poll"] == 60
    assert settle_parameters(APPLICATION, {"poll": "60"}, values)["url"] == "https://a.b"
    with pytest.raises(ContractError, match="is not of this application"):
        current_values(spec, description(id="com-example-other"))


@pytest.mark.parametrize("written", ["", "[]", "{", "[" * 100_000])
def test_an_annotation_of_somebody_elses_says_nothing(written: str) -> None:
    """Nothing is fixed by it, and nothing breaks."""
    spec = made()
    annotations = spec.metadata.annotations | {"margo.org/parameters": written}
    changed = spec.model_copy(update={"metadata": spec.metadata.model_copy(update={"annotations": annotations})})
    assert current_values(changed, APPLICATION) == {}


def test_an_http_repository_has_charts_by_name() -> None:
    """Unless the address is that of an archive."""
    at = "deploymentProfiles__0__components__0__properties__repository"
    for address, chart, repository in (
        ("https://charts.example/stable", "database", "https://charts.example/stable"),
        ("https://charts.example/db-1.tgz", "https://charts.example/db-1.tgz", None),
    ):
        read = description(**{at: address})
        helm = spec_of(read, read.profiles[0], {}, name="x", agents=AGENTS).spec.components[0].helm
        assert helm is not None
        assert (helm.chart, helm.repository) == (chart, repository)


def test_a_component_of_the_package_is_carried() -> None:
    """What stands in the package comes in beside the values."""
    read = description(
        deploymentProfiles__0__components__0__properties__repository="charts/db",
        deploymentProfiles__1__components__0__properties={"repository": "compose.yaml"},
    )
    helm, compose = read.profiles
    assert helm.components[0].local
    spec = spec_of(read, helm, {"poll": 30}, name="x", agents=AGENTS, local={"database": {"archive": "AAAA"}})
    body = spec.spec.components[0].helm
    assert body is not None
    assert (body.archive, body.chart, body.values) == ("AAAA", "charts/db", {"settings": {"poll": 30}})
    project = {"project": {"services": {}}}
    carried = spec_of(read, compose, {"poll": 30}, name="x", agents=AGENTS, local={"press-docker": project})
    [component] = carried.spec.components
    assert component.compose is not None
    assert (component.compose.project, component.compose.environment) == ({"services": {}}, {"POLL": "30"})


def test_the_name_is_the_id_cut_to_a_label() -> None:
    """An id may be longer than a name, and may start with a dash."""
    assert default_name(description()) == "com-example-press"
    assert default_name(description(id="-a-" + "b" * 100)) == "a-" + "b" * 60
    with pytest.raises(ContractError, match="--name"):
        default_name(description(id="---"))


@given(st.from_regex(r"[a-z0-9-]{1,200}", fullmatch=True))
def test_any_id_makes_a_name_or_asks_for_one(id: str) -> None:
    """Never another error."""
    try:
        name = default_name(description(id=id))
    except ContractError:
        assert set(id[:63]) == {"-"}
        return
    assert spec_of(APPLICATION, COMPOSE, {}, name=name, agents=AGENTS).name == name
