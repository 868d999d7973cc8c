"""A device's report as Margo's status: the states' mapping, one entry for each component, errors with their source."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topics.documents.status import ComponentStatus, DeploymentStatus, Failure
from topics.errors import Reason
from topics.lifecycle import State
from topics.margo import DEPLOYMENT, MARGO_STATE, NAME, is_margo, status_manifest
from topics.margo.status import MargoState

ID = "5b0c6f0e-32a4-4c4f-9a55-0d8a3f1f7c11"
ANNOTATIONS = {DEPLOYMENT: ID, NAME: "Bottling Line"}
PARTS = ("historian", "counter")
SEVERITY = ("failed", "removing", "installing", "pending", "removed", "installed")


def report(state: State, *components: str, failure: Failure | None = None, generation: int = 2) -> DeploymentStatus:
    """A report with these states of the components."""
    return DeploymentStatus(
        deployment="line", device="edge-07", epoch=1, sequence=1, state=state, generation=generation,
        desired_generation=2, failure=failure,
        components=tuple(ComponentStatus(name=n, state=s) for n, s in zip(PARTS, components, strict=False)),
    )  # fmt: skip


def why(state: State, component: str | None = None, generation: int = 2) -> Failure:
    """A failure in a stage."""
    return Failure(
        stage=state, code="image-missing", message="no such image", retryable=False, generation=generation,
        component=component,
    )  # fmt: skip


def manifest(status: DeploymentStatus | None, **options: Any) -> dict[str, Any]:
    return status_manifest(ANNOTATIONS, status, device="gateway-2/edge-07", components=PARTS, **options)


def states(document: dict[str, Any]) -> tuple[str, ...]:
    """The overall state, then those of the components."""
    return (document["status"]["state"], *(part["state"] for part in document["components"]))


def test_the_document_names_deployment_and_device() -> None:
    """Margo's ids, the device with its gateway, the components in the spec's order; no member is empty."""
    assert manifest(report(State.DEPLOYED, "Healthy", "Healthy")) == {
        "deploymentId": ID,
        "deviceId": "gateway-2/edge-07",
        "status": {"state": "installed"},
        "components": [{"name": "historian", "state": "installed"}, {"name": "counter", "state": "installed"}],
    }


@pytest.mark.parametrize(
    ("state", "components", "found"),
    [
        (State.CREATED, (), ("pending", "pending", "pending")),
        (State.CREATED, ("Healthy", "Healthy"), ("pending", "pending", "pending")),
        (State.PREPARED, (), ("pending", "pending", "pending")),
        (State.DOWNLOADING, ("Healthy", "Waiting"), ("installing", "installing", "installing")),
        (State.STAGED, (), ("installing", "installing", "installing")),
        (State.CONFIGURATION, ("Healthy", "Applying"), ("installing", "installed", "installing")),
        (State.CONFIGURATION, ("Applying", "Waiting"), ("installing", "installing", "pending")),
        (State.CONFIGURATION, ("Waiting", "Waiting"), ("installing", "installing", "installing")),
        (State.CONFIGURATION, ("Healthy", "Healthy"), ("installing", "installing", "installing")),
        (State.CONFIGURATION, ("Healthy", "Unhealthy"), ("installing", "installed", "installing")),
        (State.DEPLOYED, ("Healthy", "Healthy"), ("installed", "installed", "installed")),
        (State.DEGRADED, ("Healthy", "Unhealthy"), ("installed", "installed", "installed")),
        (State.FAILED, ("Healthy", "Failed"), ("failed", "installed", "failed")),
        (State.FAILED, ("Failed", "Waiting"), ("failed", "failed", "pending")),
        (State.FAILED, (), ("failed", "failed", "failed")),
        (State.ROLLING_BACK, ("Healthy", "Failed"), ("installing", "installed", "installing")),
        (State.REMOVING, ("Healthy", "Healthy"), ("removing", "removing", "removing")),
        (State.REMOVED, (), ("removed", "removed", "removed")),
    ],
)
def test_states_are_margos(state: State, components: tuple[str, ...], found: tuple[str, ...]) -> None:
    """The overall state is the mapping's; the components are brought into line with it."""
    assert states(manifest(report(state, *components, failure=why(state) if state is State.FAILED else None))) == found


def test_every_state_has_one_of_margos() -> None:
    """None is left out, and none is made up."""
    assert set(MARGO_STATE) == set(State)
    assert set(MARGO_STATE.values()) == set(get_args(MargoState))


def test_nothing_heard_is_pending() -> None:
    """A device that is offline, or has not answered yet."""
    assert states(manifest(None)) == ("pending", "pending", "pending")


def test_a_device_that_cannot_take_it_has_failed_with_the_reason() -> None:
    """All the reasons are counted, the first is told."""
    reasons = [Reason(path="spec.requirements.memory", code="memory", message="needs 8Gi, has 4Gi")] * 3
    document = manifest(None, reasons=reasons)
    assert states(document) == ("failed", "failed", "failed")
    error = document["status"]["error"]
    assert (error["code"], error["source"]) == ("memory", "Bottling Line")
    assert "needs 8Gi" in error["message"]
    assert "2 more" in error["message"]


def test_a_failure_names_its_component() -> None:
    """The deployment's error has the deployment as its source, a component's the component."""
    document = manifest(report(State.FAILED, "Healthy", "Applying", failure=why(State.CONFIGURATION, "counter")))
    assert document["status"]["error"] == {
        "code": "image-missing", "message": "no such image", "source": "Bottling Line",
    }  # fmt: skip
    assert document["components"] == [
        {"name": "historian", "state": "installed"},
        {
            "name": "counter", "state": "failed",
            "error": {"code": "image-missing", "message": "no such image", "source": "counter"},
        },
    ]  # fmt: skip


def test_degraded_is_installed_with_an_error() -> None:
    """Margo's failed is an installation that failed; this one succeeded, and is not healthy now."""
    document = manifest(report(State.DEGRADED, "Healthy", "Unhealthy"))
    assert document["status"]["state"] == "installed"
    assert "counter" in document["status"]["error"]["message"]
    assert "error" not in document["components"][0]
    assert document["components"][1]["error"]["source"] == "counter"


def test_rolling_back_is_installing_with_the_reason() -> None:
    """Something is being installed, and not what was wanted."""
    document = manifest(report(State.ROLLING_BACK, failure=why(State.CONFIGURATION)))
    assert document["status"]["state"] == "installing"
    assert document["status"]["error"]["code"] == "image-missing"


def test_an_older_generation_that_was_restored_is_a_failure() -> None:
    """The deployment that the document asks for is not installed, although something runs."""
    document = manifest(
        report(State.DEPLOYED, "Healthy", "Healthy", failure=why(State.CONFIGURATION, generation=2), generation=1)
    )
    assert states(document) == ("failed", "failed", "failed")
    assert "generation 1 runs instead" in document["status"]["error"]["message"]


def test_the_name_is_the_source_where_margo_gave_none() -> None:
    """Documents of early 2024 have no name."""
    document = status_manifest(
        {DEPLOYMENT: ID}, report(State.FAILED), device="e", components=(), name="margo-1",
    )  # fmt: skip
    assert document["status"]["error"]["source"] == "margo-1"


def test_only_specs_that_were_margos_have_a_status() -> None:
    """The annotation tells."""
    assert is_margo(ANNOTATIONS)
    assert not is_margo({})


component_states = st.lists(
    st.sampled_from(["Waiting", "Applying", "Healthy", "Unhealthy", "Failed", "Pondering"]), max_size=2
)


@given(st.sampled_from(list(State)), component_states, st.booleans(), st.sampled_from([None, *PARTS]))
def test_the_overall_state_is_the_most_severe_of_the_components(
    state: State, components: list[str], failed: bool, blamed: str | None
) -> None:
    """Whatever a device reports (Margo: Deployment Status); and each failed component has an error."""
    document = manifest(report(state, *components, failure=why(state, blamed) if failed else None))
    overall, *parts = states(document)
    assert overall == min(parts, key=SEVERITY.index)
    assert [part["name"] for part in document["components"]] == list(PARTS)
    assert all("error" in part for part in document["components"] if part["state"] == "failed")
    assert "error" in document["status"] or overall != "failed"
