"""Commands of operators: passed on to the devices that are meant, and their outcomes kept."""

from __future__ import annotations

import pytest

from orchestrator.commands import KEPT_PER_DEPLOYMENT
from orchestrator.decision import CommandExpired, ExpireCommand
from tests.unit.orchestrator.story import NAME, Story, spec, status
from topics.documents.command import Action, CommandOutcome
from topics.lifecycle import State


def _two() -> Story:
    return Story().device("a").device("b").spec(spec()).rendered()


@pytest.mark.parametrize("action", ["activate", "retry", "rollback", "cancel"])
def test_a_command_goes_to_every_device_of_the_deployment(action: str) -> None:
    """With the generation it is meant for, and a deadline."""
    story = _two().command(action, expiry_seconds=60)
    for device in ("a", "b"):
        [sent] = story.commands_to(device)
        assert (sent.action, sent.generation, sent.id) == (Action(action), 1, "c1")
    assert story.effects(ExpireCommand) == [ExpireCommand("c1", "a", 60.0), ExpireCommand("c1", "b", 60.0)]


def test_a_command_may_name_its_devices() -> None:
    """The others do not hear of it."""
    story = _two().command("retry", devices=["b"])
    assert (len(story.commands_to("a")), len(story.commands_to("b"))) == (0, 1)


def test_a_command_is_not_retained() -> None:
    """It happens once."""
    assert all(not publication.retain for publication in _two().command("retry").last.publications)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"devices": ["c"]}, "c does not hold press"),
        ({"generation": 7}, "is for generation 7, wanted is 1"),
    ],
)
def test_a_command_that_fits_nobody_is_refused_with_the_reason(fields: dict[str, object], why: str) -> None:
    """Nothing is sent, and the aggregate says why."""
    story = _two().command("retry", **fields)
    assert story.last.publications == []
    [outcome] = story.aggregate().commands
    assert (outcome.outcome, outcome.message) == ("refused", why)


def test_a_command_for_a_deployment_without_devices_is_refused() -> None:
    """There is nobody it could go to."""
    story = Story().spec(spec()).command("retry")
    assert story.aggregate().commands[0].message == "no device holds press"


@pytest.mark.parametrize("action", ["pause", "retry"])
def test_a_command_for_an_unknown_deployment_is_noted_and_leaves_nothing(action: str) -> None:
    """No aggregate may come into being for it."""
    story = Story().command(action)
    assert (story.notes, story.last.records, story.last.touched) == (["command refused"], [], set())
    story = _two().delete().command(action)
    assert (story.notes, story.last.records, story.last.touched) == (["command refused"], [], set())


def test_an_offline_device_gets_it_when_it_comes_back() -> None:
    """It is not queued at the broker: it may have expired by then."""
    story = _two().presence("b", online=False).command("retry")
    assert (len(story.commands_to("a")), story.commands_to("b")) == (1, [])
    [sent] = story.presence("b", epoch=2).commands_to("b")
    assert (sent.id, sent.action) == ("c1", Action.RETRY)


def test_an_expired_command_is_not_sent_any_more() -> None:
    """And the aggregate shows that nobody answered."""
    story = _two().presence("b", online=False).command("retry", devices=["b"]).timed(CommandExpired("c1", "b"))
    assert story.aggregate().commands[0].outcome == "expired"
    assert story.presence("b", epoch=2).commands_to("b") == []


def test_an_answered_command_does_not_expire() -> None:
    """The timer comes anyway."""
    story = _two().command("retry", devices=["a"])
    answer = CommandOutcome(id="c1", action="retry", outcome="done", message="tried")
    story.report(status("a", State.CREATED, 1, 1, commands=(answer,))).timed(CommandExpired("c1", "a"))
    assert story.aggregate().commands[0].outcome == "done"


def test_the_first_answer_of_a_device_is_its_outcome() -> None:
    """A status repeats its last outcomes."""
    story = _two().command("retry")
    for outcome in ("refused", "done"):
        answer = CommandOutcome(id="c1", action="retry", outcome=outcome, message="because")
        story.report(status("a", State.CREATED, 1, 1, commands=(answer,)))
    assert [(item.outcome, item.message) for item in story.aggregate().commands] == [
        ("refused", "a: because"), ("sent", "b: "),
    ]  # fmt: skip


def test_a_command_delivered_twice_is_done_once() -> None:
    """By its id."""
    story = _two().command("retry").command("retry")
    assert (story.last.publications, story.last.records) == ([], [])


def test_an_id_used_for_another_deployment_is_refused_in_the_log() -> None:
    """It is no duplicate, and must not be taken for one in silence."""
    story = _two().spec(spec("oven"), "oven").rendered().command("retry").command("retry", name="oven")
    assert (story.notes, story.last.publications) == (["command refused"], [])
    assert story.outcomes() == {"c1": "sent"}


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"\xff", b"{", b"[]", b"{}", b'{"id": "x", "action": "explode"}', b'{"id": "x", "action": "replay"}',
        b'{"id": "a b", "action": "retry"}', b'{"id": "x", "action": "retry", "colour": 1}',
        b'{"id": "x", "action": "retry", "expirySeconds": 1e999}',
    ],
)  # fmt: skip
def test_a_malformed_command_is_refused(payload: bytes) -> None:
    """In the aggregate of its deployment, where whoever sent it can see why."""
    story = _two().message(f"fleetbus/v1/deployments/{NAME}/commands", payload)
    assert [item.outcome for item in story.aggregate().commands] == (["refused"] if payload else [])


def test_a_malformed_command_of_no_deployment_leaves_nothing() -> None:
    """There is no aggregate to show it in."""
    for story in (Story(), Story().spec(spec()).delete()):
        story.message(f"fleetbus/v1/deployments/{NAME}/commands", b"{")
        assert (story.last.records, story.last.touched) == ([], set())


def test_answered_commands_are_forgotten_beyond_a_number() -> None:
    """Whoever sends commands for ever does not fill the memory; open ones stay."""
    story = _two().presence("b", online=False).command("retry", "open", devices=["b"])
    for number in range(KEPT_PER_DEPLOYMENT + 50):
        story.command("pause", f"p{number}")
    assert len(story.fleet.commands) <= KEPT_PER_DEPLOYMENT + 1
    assert [sent.id for sent in story.presence("b", epoch=2).commands_to("b")] == ["open"]


def test_the_aggregate_shows_the_newest_commands() -> None:
    """A bounded number of them."""
    story = _two()
    for number in range(20):
        story.command("pause", f"p{number}")
    assert list(story.outcomes()) == [f"p{number}" for number in range(12, 20)]
