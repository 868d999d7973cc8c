"""Specs that came as Margo documents: their state as Margo's own document, and nothing left of it at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator import margo_status
from tests.unit.orchestrator.simulation import World
from tests.unit.orchestrator.story import GIB, NAME, TOPICS, Story, failure, spec, spec_document, status
from topics import channels
from topics.codec import canonical_json
from topics.documents.status import ComponentStatus
from topics.lifecycle import State
from topics.margo.annotations import DEPLOYMENT, deployment_id
from topics.margo.annotations import NAME as MARGO_NAME

_ID = "0f83e682-a35b-4533-ae93-ff3810095f31"


def margo(device: str = "a", *, revision: str = "1.0.0", memory: str = "1Gi") -> bytes:
    """A deployment in Margo's 1.0-rc form for one device."""
    chart = {"repository": "oci://registry.example/charts/press", "revision": revision}
    return json.dumps({
        "id": _ID,
        "metadata": {"name": "Press monitor", "namespace": "press", "deviceId": device},
        "spec": {
            "applicationId": "com-example-press",
            "deploymentProfile": {
                "type": "helm",
                "components": [{"name": "press", "properties": chart}],
                "deviceConstraints": {"capacityRequirements": {"memory": memory}},
            },
            "parameters": {},
        },
    }).encode()  # fmt: skip


def _document(story: Story, device: str = "a") -> dict[str, Any]:
    found = margo_status.publication(story.context, story.fleet, story.record(), device)
    assert found is not None
    assert found.topic == TOPICS.topic(channels.MARGO_STATUS, deployment=NAME, device=device)
    document: dict[str, Any] = json.loads(found.payload or b"{}")
    return document


def test_the_document_carries_the_ids_of_the_margo_document() -> None:
    """The deployment's, and the device's."""
    document = _document(Story().device("a").spec(margo()))
    assert (document["deploymentId"], document["deviceId"]) == (_ID, "a")
    assert [part["name"] for part in document["components"]] == ["press"]


def test_what_was_tolerated_in_the_document_stands_in_the_answer() -> None:
    """Each tolerance with its place."""
    story = Story().device("a").spec(margo().replace(b'"namespace": "press", ', b""))
    assert [warning.path for warning in story.result().warnings] == ["metadata.namespace"]
    assert story.spec(margo()).result().warnings == ()


def test_a_device_behind_a_gateway_is_named_with_its_path() -> None:
    """As the document named it."""
    assert _document(Story().device("a", gateway="gw").spec(margo("gw/a")))["deviceId"] == "gw/a"


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (None, "pending"),
        (State.PREPARED, "pending"),
        (State.DOWNLOADING, "installing"),
        (State.DEPLOYED, "installed"),
        (State.FAILED, "failed"),
    ],
)
def test_the_states_are_margos(state: State | None, shown: str) -> None:
    """Before the device has spoken it is pending."""
    story = Story().device("a").spec(margo()).rendered()
    if state is not None:
        story.report(status("a", state, 1, 1, failure=failure(1) if state is State.FAILED else None))
    assert _document(story)["status"]["state"] == shown


def test_what_the_device_says_of_components_is_kept() -> None:
    """For Margo specs only: nobody else asks."""
    said = (ComponentStatus(name="press", state="Applying"),)
    story = Story().device("a").spec(margo()).rendered()
    report = status("a", State.CONFIGURATION, 1, 1).model_copy(update={"components": said})
    assert story.report(report).deployment("a").components == said
    native = Story().device("a").spec(spec()).rendered().report(report)
    assert native.deployment("a").components == ()
    assert margo_status.publication(native.context, native.fleet, native.record(), "a") is None


def test_a_device_that_cannot_take_it_has_failed_with_the_reason() -> None:
    """There is no deployment, and its publisher waits for an answer in this form."""
    document = _document(Story().device("a", memory=1).spec(margo()))
    assert document["status"]["state"] == "failed"
    assert document["status"]["error"]["code"] == "memory"


def test_an_update_that_a_device_cannot_take_has_failed_while_the_old_one_runs() -> None:
    """What was asked for last is not there."""
    story = Story().device("a").spec(margo()).rendered().deployed("a", 1).spec(margo(memory="64Gi"))
    assert _document(story)["status"]["state"] == "failed"


def test_a_newer_generation_is_pending_until_the_device_speaks_of_it() -> None:
    """Installed is what runs, not what is wanted."""
    story = Story().device("a").spec(margo()).rendered().deployed("a", 1).spec(margo(revision="2.0.0")).rendered()
    assert _document(story)["status"]["state"] == "pending"


def test_while_a_deleted_deployment_is_taken_off_it_is_removing_and_then_cleared() -> None:
    """The tombstone's sender says so: afterwards nobody knows the ids."""
    topic = TOPICS.topic(channels.MARGO_STATUS, deployment=NAME, device="a")
    story = Story().device("a").spec(margo()).rendered().deployed("a", 1).delete()
    assert json.loads(story.retained[topic])["status"]["state"] == "removing"
    story.gone("a")
    assert story.retained == {}


def test_what_was_said_of_a_device_that_refused_is_cleared_with_the_spec() -> None:
    """Nobody would clear it later."""
    story = Story().device("a", memory=1).spec(margo()).delete()
    assert TOPICS.topic(channels.MARGO_STATUS, deployment=NAME, device="a").removeprefix(TOPICS.root + "/") in (
        story.published
    )


def _package(annotations: dict[str, str] | None = None, **fields: Any) -> bytes:
    """A native spec with annotations: what the command line makes of an application package."""
    document = spec_document(devices=("a",), **fields)
    document["metadata"]["annotations"] = annotations or {}
    return canonical_json(document)


def test_a_package_has_a_status_as_a_document_has() -> None:
    """It carries an id that was made for it."""
    id = deployment_id("com-example-press", NAME)
    payload = _package({DEPLOYMENT: id, MARGO_NAME: NAME})
    story = Story().device("a").spec(payload).rendered().deployed("a", 1)
    document = _document(story)
    assert (document["deploymentId"], document["status"]["state"]) == (id, "installed")
    assert document["components"][0]["name"] == "settings"
    story.spec(_package())
    assert f"deployments/{NAME}/margo/a" in story.published


def test_an_id_that_is_none_makes_no_status() -> None:
    """Annotations are free text."""
    story = Story().device("a").spec(_package({DEPLOYMENT: "press-7"})).rendered()
    assert margo_status.publication(story.context, story.fleet, story.record(), "a") is None


def test_a_spec_that_is_no_margo_document_any_more_has_no_such_status() -> None:
    """It was published again in the native form."""
    story = Story().device("a").spec(margo()).rendered().spec(spec(devices=("a",)))
    assert f"deployments/{NAME}/margo/a" in story.published
    assert margo_status.publication(story.context, story.fleet, story.record(), "a") is None


# -- through the shell ----------------------------------------------------------------------------


@pytest.fixture
def world() -> Iterator[World]:
    made = World(("a", "b"))
    yield made
    made.store.close()


def _retained(world: World, device: str) -> str:
    payload = world.broker.retained.get(TOPICS.topic(channels.MARGO_STATUS, deployment=NAME, device=device))
    return json.loads(payload)["status"]["state"] if payload else ""


def test_the_status_is_published_kept_up_to_date_and_cleared(world: World) -> None:
    """Also when the spec moves to another device."""
    world.publish_spec(NAME, margo())
    world.settle()
    assert _retained(world, "a") == "installed"
    world.publish_spec(NAME, margo("b"))
    world.settle()
    assert (_retained(world, "a"), _retained(world, "b")) == ("", "installed")
    world.publish_spec(NAME, b"")
    world.settle()
    assert not [topic for topic in world.broker.retained if NAME in topic]


def test_a_refusal_is_published_and_taken_back(world: World) -> None:
    """The device has more memory by now."""
    world.publish_spec(NAME, margo(memory="16Gi"))
    world.settle()
    assert _retained(world, "a") == "failed"
    world.devices["a"].memory = 32 * GIB
    world.devices["a"].describe()
    world.settle()
    assert _retained(world, "a") == "installed"


def test_nothing_is_left_of_a_refusal_when_the_spec_is_deleted(world: World) -> None:
    """No device holds it, so it is gone at once."""
    world.publish_spec(NAME, margo(memory="16Gi"))
    world.settle()
    world.publish_spec(NAME, b"")
    world.settle()
    assert not [topic for topic in world.broker.retained if NAME in topic]


def test_statuses_come_again_after_the_broker_lost_everything(world: World) -> None:
    """They stand in the outbox as all that is retained."""
    world.publish_spec(NAME, margo())
    world.settle()
    world.lose_broker()
    world.settle()
    assert _retained(world, "a") == "installed"


def test_a_spec_that_gets_an_id_says_its_state_at_once(world: World) -> None:
    """The same content, applied again by a program that gives ids: no generation, and a status for each device."""
    chart = {"name": "press", "helm": {"chart": "oci://registry.example/charts/press", "version": "1.0.0"}}
    world.publish_spec(NAME, _package(component=chart))
    world.settle()
    assert _retained(world, "a") == ""
    world.publish_spec(NAME, _package({DEPLOYMENT: deployment_id("app", NAME)}, component=chart))
    world.settle()
    assert _retained(world, "a") == "installed"
