"""The profile is the first that the devices support; otherwise every reason is told per profile and device."""

from __future__ import annotations

import pytest

from tests.unit.topics.margo.package.descriptions import description, device
from topics.documents.device import Cpu
from topics.errors import ContractError, Reason
from topics.margo.package import choose_profile

APPLICATION = description()
HELM = device("helm-01")
COMPOSE = device("compose-01", deployment_types=("compose",))
SMALL = device("small-01", memory=2**28, cpus=(Cpu(architecture="arm64", cores=1),), interfaces=())


def refused(*args: object, **options: object) -> tuple[Reason, ...]:
    with pytest.raises(ContractError) as raised:
        choose_profile(APPLICATION, *args, **options)  # type: ignore[arg-type]
    return raised.value.reasons


def test_the_first_profile_that_every_device_supports_is_taken() -> None:
    """In the order of the document."""
    assert choose_profile(APPLICATION, [HELM]).profile.id == "press-helm"
    assert choose_profile(APPLICATION, [HELM, device("helm-02")]).profile.id == "press-helm"


def test_a_profile_that_is_passed_over_says_why() -> None:
    """The choice is explained, not only the refusal."""
    choice = choose_profile(APPLICATION, [COMPOSE])
    assert choice.profile.id == "press-compose"
    [reason] = choice.passed_over
    assert (reason.path, reason.device, reason.code) == ("deploymentProfiles[0].type", "compose-01", "deployment-type")


def test_devices_of_two_kinds_have_no_profile_in_common() -> None:
    """Named devices all have to run it; of selected ones one is enough."""
    assert {(reason.path, reason.device) for reason in refused([HELM, COMPOSE])} == {
        ("deploymentProfiles[0].type", "compose-01"), ("deploymentProfiles[1].type", "helm-01"),
        ("deploymentProfiles", None),
    }  # fmt: skip
    assert choose_profile(APPLICATION, [COMPOSE, HELM], every=False).profile.id == "press-helm"


def test_constraints_count_and_name_their_place_in_the_description() -> None:
    """Capacity and rules, each with what is required and what there is."""
    found = {reason.path: reason for reason in refused([SMALL])}
    at = "deploymentProfiles[0].deviceConstraints"
    assert found[f"{at}.capacityRequirements.memory"].required == "1Gi"
    assert f"{at}.capacityRequirements.cpu.architectures" in found
    assert any(path.startswith(f"{at}.eligibilityRules[0].propertySelector") for path in found)
    assert found["deploymentProfiles[1].type"].available == "helm, kubernetes"


def test_a_profile_that_is_named_is_taken_as_it_is() -> None:
    """By id or by type; the orchestrator still says what a device lacks."""
    assert choose_profile(APPLICATION, [SMALL], wanted="press-compose").profile.type == "compose"
    assert choose_profile(APPLICATION, [], wanted="helm").profile.id == "press-helm"
    [reason] = refused([HELM], wanted="snap")
    assert reason.hint == "there are press-helm (helm), press-compose (compose)"


def test_of_several_profiles_of_a_type_the_first_that_suits_is_taken() -> None:
    """A type leaves a choice; it is made as without it."""
    second = {
        "type": "helm", "id": "press-small",
        "components": [{"name": "press", "properties": {"repository": "oci://registry.example/press"}}],
    }  # fmt: skip
    application = description(
        deploymentProfiles__1=second, parameters__poll__targets=[], parameters__url__targets=[],
        parameters__hosts__targets=[],
    )  # fmt: skip
    assert choose_profile(application, [SMALL], wanted="helm").profile.id == "press-small"


def test_without_a_known_device_nothing_is_chosen() -> None:
    """A guess would be found out on the device."""
    [reason] = refused([])
    assert reason.code == "no-devices"
    assert "--profile" in str(reason.hint)


def test_a_device_that_does_not_say_its_types_is_told_by_its_appliers() -> None:
    """An agent of version 0.1 takes Kubernetes objects, which is what a chart becomes."""
    old = device("old-01", deployment_types=(), appliers=("kubernetes",))
    assert choose_profile(APPLICATION, [old]).profile.id == "press-helm"


def test_reasons_against_many_devices_are_bounded() -> None:
    """A thousand devices that do not suit are no thousand lines."""
    crowd = [device(f"edge-{number}", deployment_types=("kubernetes",)) for number in range(1000)]
    assert len(refused(crowd)) <= 101
