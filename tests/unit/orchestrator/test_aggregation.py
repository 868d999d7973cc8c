"""The aggregate: decided by all devices together, bounded, and only published when something changed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator import outbound
from orchestrator.aggregation import MOST_DEVICES
from orchestrator.model import DeploymentRecord, Fleet
from tests.unit.orchestrator.story import NAME, Story, failure, spec, status
from topics.codec import encode
from topics.lifecycle import State


def _fleet(*states: State | None, generation: int = 1) -> Story:
    """One device per state, all of generation 1."""
    story = Story()
    for number, _ in enumerate(states):
        story.device(f"d{number}")
    story.spec(spec()).rendered()
    for number, state in enumerate(states):
        if state is not None:
            story.report(status(f"d{number}", state, generation, 3))
    return story


@pytest.mark.parametrize(
    ("states", "phase", "counts"),
    [
        ((), "Pending", {}),
        ((None,), "Progressing", {"Waiting": 1}),
        ((State.DEPLOYED, State.DOWNLOADING), "Progressing", {"Deployed": 1, "Downloading": 1}),
        ((State.DEPLOYED, None), "Progressing", {"Deployed": 1, "Waiting": 1}),
        ((State.DEPLOYED, State.DEPLOYED), "Deployed", {"Deployed": 2}),
        ((State.DEPLOYED, State.DEGRADED), "Degraded", {"Deployed": 1, "Degraded": 1}),
        ((State.DEPLOYED, State.DEGRADED, State.FAILED), "Failed", {"Deployed": 1, "Degraded": 1, "Failed": 1}),
        ((State.DEPLOYED, State.ROLLING_BACK), "Failed", {"Deployed": 1, "RollingBack": 1}),
        ((State.STAGED,), "Progressing", {"Staged": 1}),
    ],
    ids=str,
)
def test_the_phase_is_that_of_all_devices(states: tuple[State | None, ...], phase: str, counts: dict[str, int]) -> None:
    """Whoever reported last decides nothing."""
    aggregate = _fleet(*states).aggregate()
    assert (aggregate.phase, aggregate.counts, aggregate.total) == (phase, counts, len(states))


def test_deployed_of_an_older_generation_is_still_waited_for() -> None:
    """It runs, but not what is wanted."""
    story = _fleet(State.DEPLOYED).spec(spec(rate="20")).rendered()
    assert (story.aggregate().phase, story.aggregate().counts) == ("Progressing", {"Waiting": 1})


def test_a_device_that_was_rolled_back_counts_as_failed() -> None:
    """It is Deployed, of the generation before."""
    story = _fleet(State.DEPLOYED).spec(spec(rate="20")).rendered()
    story.report(status("d0", State.DEPLOYED, 1, 9, desired=2, deployed=1, failure=failure(2)))
    assert (story.aggregate().phase, story.aggregate().counts) == ("Failed", {"Failed": 1})


def test_a_failure_of_an_older_generation_is_over_with_the_newer_one() -> None:
    """Deployed of what is wanted is Deployed."""
    story = _fleet(State.FAILED).spec(spec(rate="20")).rendered()
    story.report(status("d0", State.DEPLOYED, 2, 9, deployed=2, failure=failure(1)))
    assert story.aggregate().phase == "Deployed"


def test_a_paused_rollout_is_paused_until_everything_is_deployed() -> None:
    """Pausing what is done changes nothing."""
    story = _fleet(State.DEPLOYED).command("pause")
    assert story.aggregate().phase == "Deployed"
    assert story.spec(spec(rate="20")).aggregate().phase == "Paused"


def test_a_deleted_spec_is_removing_until_every_device_is_done() -> None:
    """With how many are."""
    story = _fleet(State.DEPLOYED, State.DEPLOYED).delete()
    assert (story.aggregate().phase, story.aggregate().message) == ("Removing", "0 of 2 devices are done")
    story.report(status("d0", State.REMOVED, 2, 3))
    assert story.aggregate().phase == "Removing"
    story.report(status("d0", State.REMOVED, 2, 0))


def test_a_device_being_taken_off_does_not_hold_up_the_others() -> None:
    """It may be offline for ever; the spec is deployed on all devices that it still selects."""
    story = _fleet(State.DEPLOYED, State.DEPLOYED).spec(spec(devices=("d0",))).rendered()
    story.report(status("d0", State.DEPLOYED, 2, 9))
    aggregate = story.aggregate()
    assert (aggregate.phase, aggregate.message) == ("Deployed", "1 of 1 devices are deployed")
    assert [item.device for item in aggregate.devices if item.state is State.DEPLOYED] == ["d1", "d0"]


def test_a_device_that_is_waited_for_is_named() -> None:
    """Also when nothing can be done yet."""
    aggregate = Story().spec(spec(devices=("x", "y"))).aggregate()
    assert (aggregate.phase, aggregate.message, aggregate.waiting_for) == ("Pending", "waits for x, y", ("x", "y"))


def test_the_devices_say_how_old_their_state_is() -> None:
    """Presence, session and time stand beside it."""
    [summary] = _fleet(State.DEPLOYED).aggregate().devices
    assert (summary.online, summary.epoch, summary.last_seen) == (True, 1, "2024-05-01T10:00:00.000Z")


def _many(count: int, failed: int, message: str) -> Fleet:
    story = Story()
    for number in range(count):
        story.device(f"device-{number:05}-with-a-rather-long-name-as-they-have-in-factories")
    story.spec(spec()).rendered()
    for number, record in enumerate(sorted(story.fleet.of_spec(NAME).values(), key=lambda item: item.device)):
        broken = number >= count - failed
        story.fleet.put_deployment(
            record._replace(
                state=State.FAILED if broken else State.DEPLOYED,
                generation=1,
                failure=failure(1, message) if broken else None,
                held=message if broken else None,
            )
        )
    return story.fleet


def test_of_many_devices_those_that_are_not_deployed_are_listed_first() -> None:
    """The counts are over all of them."""
    aggregate = Story(_many(1000, 3, "it broke")).aggregate()
    assert (len(aggregate.devices), aggregate.truncated, aggregate.total) == (MOST_DEVICES, 1000 - MOST_DEVICES, 1000)
    assert aggregate.counts == {"Deployed": 997, "Failed": 3}
    assert [item.state for item in aggregate.devices[:4]] == [State.FAILED] * 3 + [State.DEPLOYED]


def test_an_aggregate_of_1000_broken_devices_can_be_published() -> None:
    """However much each has to say: below a message's limit of 1 MiB."""
    aggregate = Story(_many(1000, 1000, "x" * 2000)).aggregate()
    assert len(encode(aggregate)) < 1024 * 1024
    assert aggregate.devices[0].failure is not None
    assert aggregate.devices[0].failure.message.endswith("…")


def test_an_aggregate_of_1000_refusing_devices_can_be_published() -> None:
    """With every reason of those that are listed."""
    story = Story()
    for number in range(1000):
        story.device(f"d{number}", appliers=())
    story.spec(spec(requirements={"memory": "64Gi", "storage": "9Ti", "cpu": {"architectures": ["arm64"]}}))
    assert story.aggregate().message == "none of 1000 selected devices can take it"
    assert len(encode(story.aggregate())) < 1024 * 1024


def test_when_a_device_was_last_seen_is_no_change_by_itself() -> None:
    """Heartbeats of 1,000 devices must not publish 1,000 aggregates."""
    story = _fleet(State.DEPLOYED)
    before = outbound.aggregate(story.context, story.aggregate())
    story.context = replace(story.context, wall="2024-05-01T11:00:00.000Z")
    story.presence("d0")
    story.fleet.devices["d0"] = replace(story.fleet.devices["d0"], last_seen="2024-05-01T11:00:00.000Z")
    after = outbound.aggregate(story.context, story.aggregate())
    assert before.digest == after.digest
    assert before.payload != after.payload
    story.presence("d0", online=False)
    assert outbound.aggregate(story.context, story.aggregate()).digest != before.digest


def test_a_record_without_a_device_is_summarised_as_offline() -> None:
    """A store may know a deployment whose device has never spoken to it."""
    fleet = _fleet().fleet
    fleet.put_deployment(DeploymentRecord(NAME, "ghost"))
    [summary] = Story(fleet).aggregate().devices
    assert (summary.online, summary.last_seen) == (False, None)
