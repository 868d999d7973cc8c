"""``explain`` says why, and what happens next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cli.explaining import DeviceStory, explain, explanation_data, explanation_lines
from cli.fleet import Fleet
from cli.margo_view import margo_statuses
from cli.messages import read_message
from tests.unit.cli.messages import REFUSAL, TOPICS, aggregate, capabilities, heard, presence, status, summary
from tests.unit.orchestrator.story import spec
from topics import channels
from topics.documents.answer import Placed, SpecResult
from topics.documents.device import OrchestratorPresence
from topics.errors import Reason

NOW = datetime(2026, 5, 4, 12, 1, 0, tzinfo=UTC)
FAILURE = {"stage": "Configuration", "code": "not-ready", "message": "timed out", "retryable": True, "generation": 2}


def fleet(*documents: Any, payload: bytes | None = None) -> Fleet:
    """The picture from these messages; ``payload`` is the spec of ``press``."""
    made = Fleet()
    for document in documents:
        made.take(heard(document))
    if payload is not None:
        topic = TOPICS.topic(channels.SPEC, deployment="press")
        made.take(read_message(TOPICS, topic, payload, retained=True, at=0.0))
    return made


def result(**fields: Any) -> SpecResult:
    values: dict[str, Any] = {"deployment": "press", "outcome": "accepted", "generation": 1, "spec_digest": "d"}
    return SpecResult(**(values | fields))


def story(*documents: Any, device: str = "edge-01", payload: bytes | None = None) -> DeviceStory:
    [found] = explain(fleet(*documents, payload=payload), "press", device, NOW).devices
    return found


def test_a_device_that_runs_it_says_why_it_was_chosen_and_how_old_the_news_is() -> None:
    """And that nothing is left to do."""
    placed = Placed(device="edge-01", why="1 of 2: most left: memory 90 %")
    found = story(result(placed=(placed,)), aggregate(summary()), status(), presence())
    assert found.standing == "placed"
    assert found.sentences == (
        "It is to run here: 1 of 2: most left: memory 90 %.",
        "The device reports Deployed, generation 1 (last heard of 60s ago).",
        "Next: nothing; the device runs what is wanted and watches it.",
    )


def test_a_refused_device_is_told_every_reason_and_when_it_could() -> None:
    """For want of room it is enough that somebody leaves."""
    refused = story(result(), aggregate(not_placeable=(REFUSAL,), phase="NotPlaceable"), device="edge-03")
    assert (refused.standing, refused.reasons) == ("refused", REFUSAL.reasons)
    assert refused.sentences[-1] == "It gets it when the device or the spec changes so that it suits."
    room = REFUSAL.model_copy(update={"reasons": (REFUSAL.reasons[0].model_copy(update={"code": "memory-left"}),)})
    full = story(result(), aggregate(not_placeable=(room,), phase="NotPlaceable"), device="edge-03")
    assert full.sentences[-1].startswith("It gets it when enough is free again")


def test_a_device_that_cannot_take_the_new_generation_keeps_the_old_one() -> None:
    """Both stand there: what it runs, and why not more."""
    refusal = REFUSAL.model_copy(update={"device": "edge-01"})
    found = story(result(generation=2), aggregate(summary(), not_placeable=(refusal,), generation=2), status())
    assert found.standing == "refused"
    assert found.sentences[0] == "The device cannot take the wanted generation and keeps what it has:"
    assert "The device reports Deployed, generation 1" in found.sentences[1]


def test_a_device_behind_the_first_hundred_refusals_is_found_in_the_result() -> None:
    """The aggregate is bounded."""
    reason = Reason(path="spec.requirements.memory", code="memory", message="needs more", device="edge-09")
    found = story(result(reasons=(reason,)), aggregate(), device="edge-09")
    assert (found.standing, found.reasons) == ("refused", (reason,))


def test_a_failure_says_when_it_is_tried_again_or_what_to_do() -> None:
    """With the command to type."""
    again = status(state="Failed", generation=2, desired_generation=2, failure=FAILURE | {"next_retry_seconds": 30})
    found = story(result(generation=2), aggregate(summary(desired_generation=2), generation=2), again, presence())
    assert found.sentences[-1] == (
        "Next: it is tried again 30 s after that report. At once: fleetbus retry press --device edge-01"
    )
    assert "Configuration failed (not-ready, attempt 1): timed out; next try in 30 s." in found.sentences
    assert "Generation 1 keeps running meanwhile." in found.sentences
    final = status(state="Failed", generation=2, desired_generation=2, failure=FAILURE)
    found = story(result(generation=2), aggregate(summary(desired_generation=2), generation=2), final, presence())
    assert found.sentences[-1].startswith("Next: nothing by itself.")


def test_what_is_held_says_how_to_go_on() -> None:
    """By hand, with activate."""
    held = status(state="Staged", generation=2, desired_generation=2, held="activation is manual")
    found = story(result(generation=2), aggregate(summary(desired_generation=2), generation=2), held, presence())
    assert found.sentences[-1].endswith("fleetbus activate press --device edge-01")


def test_old_news_of_an_offline_device_is_called_old() -> None:
    """No news is not running."""
    down = summary(online=False, desired_generation=2)
    found = story(result(generation=2), aggregate(down, generation=2), status(), presence(online=False))
    assert "It is offline: this is the last that was known, not what is." in found.sentences
    assert found.sentences[-1].startswith("Next: it goes on when the device is back")


def test_a_paused_rollout_says_so() -> None:
    """For the deployment and for each device that lacks it."""
    paused = aggregate(summary(), phase="Failed", paused=True, generation=2)
    found = explain(fleet(result(generation=2), paused, status(), presence()), "press", None, NOW)
    assert "Nothing new goes out until: fleetbus resume press" in found.sentences
    assert found.devices[0].sentences[-1].endswith("fleetbus resume press")


def test_a_device_that_was_named_and_never_heard_of_is_waited_for() -> None:
    """Until its agent connects."""
    assert story(result(), aggregate(waiting_for=("edge-09",)), device="edge-09").standing == "waiting"


def test_a_device_that_the_spec_passes_over_is_told_why() -> None:
    """By comparing what it is with the spec: not selected, and what it would lack besides."""
    payload = spec(selector={"matchLabels": {"line": "press"}}, requirements={"memory": "64Gi"})
    found = story(result(), aggregate(), capabilities("edge-05", line="paint"), device="edge-05", payload=payload)
    assert found.standing == "not-selected"
    assert [reason.code for reason in found.reasons][1:] == ["memory"]
    assert found.sentences[-1] == "It could not take it either."
    found = story(result(), aggregate(), capabilities("edge-05"), device="edge-05", payload=spec(devices=("edge-01",)))
    assert found.standing == "not-selected"
    surplus = story(
        result(), aggregate(), capabilities("edge-05"), device="edge-05", payload=spec(selector={}, count=2)
    )
    assert surplus.sentences == ("It suits, and 2 others are enough (count).",)


def test_a_device_nobody_knows_is_unknown() -> None:
    """Without its capabilities nothing can be compared."""
    found = story(result(), aggregate(), device="edge-99", payload=spec(selector={}))
    assert found.standing == "unknown"
    assert found.sentences == ("It has never been heard of on this broker. Which there are: fleetbus get devices",)


def test_a_rejected_spec_shows_its_reasons_and_what_stays_in_force() -> None:
    """And whether anybody is there to answer."""
    reason = Reason(path="spec.agents", code="missing", message="is required and missing")
    orchestrator = OrchestratorPresence(online=False, epoch=1)
    found = explain(fleet(result(outcome="rejected", reasons=(reason,)), orchestrator), "press", None, NOW)
    text = "\n".join(explanation_lines(found))
    assert "What is in force is still generation 1." in text
    assert "    spec.agents: is required and missing" in text
    assert "The orchestrator is offline" in text
    assert explain(fleet(aggregate()), "press").sentences[0] == "No orchestrator has answered this spec yet."


def test_a_spec_that_cannot_be_rendered_is_not_said_to_go_on_by_itself() -> None:
    """Neither on a device that is there nor on one that is away; its reasons are told once."""
    reason = Reason(path="spec.components[0].helm", code="chart-not-found", message="there is no such chart")
    placed = tuple(Placed(device=device, why="is named") for device in ("edge-01", "edge-02"))
    waiting = (
        summary(state=None, generation=0, desired_generation=0, deployed_generation=None),
        summary("edge-02", state=None, generation=0, desired_generation=0, deployed_generation=None, online=False),
    )
    made = fleet(
        result(reasons=(reason,), placed=placed),
        aggregate(*waiting, phase="Failed", message=str(reason)), presence(), presence("edge-02", online=False),
    )  # fmt: skip
    found = explain(made, "press", None, NOW)
    assert found.sentences[1] == (
        "The phase is Failed: it cannot be rendered, for the reasons below; it waits for another spec."
    )
    for item in found.devices:
        assert item.sentences[0] == "It is to run here: it is named."
        assert (
            item.sentences[-1] == "Next: its manifest is sent when the spec can be rendered; the reasons stand above."
        )
    assert "It is offline." in found.devices[1].sentences
    assert "\n".join(explanation_lines(found)).count("there is no such chart") == 1


def test_devices_of_which_the_same_is_said_stand_together() -> None:
    """In text; as data each is one."""
    refused = tuple(REFUSAL.model_copy(update={"device": f"edge-{number}"}) for number in range(30))
    found = explain(fleet(result(), aggregate(not_placeable=refused, phase="NotPlaceable")), "press", None, NOW)
    heads = [line for line in explanation_lines(found) if not line.startswith(" ")]
    assert len(heads) == 2
    assert heads[1].endswith("and 10 more:")
    assert len(explanation_data(found)["devices"]) == 30


def test_a_removal_is_told_as_one() -> None:
    """The device takes it off, and says so."""
    going = status(state="Removing", generation=3, desired_generation=3)
    found = story(
        result(outcome="deleted"), aggregate(summary(desired_generation=3), phase="Removing"), going, presence()
    )
    assert found.standing == "leaving"
    assert found.sentences[-1] == "Next: the device takes it off and says so."


def test_text_and_data_say_the_same() -> None:
    """Every sentence and every reason."""
    found = explain(fleet(result(), aggregate(summary(), not_placeable=(REFUSAL,)), status()), "press", None, NOW)
    data = explanation_data(found)
    assert [item["device"] for item in data["devices"]] == ["edge-01", "edge-03"]
    text = "\n".join(explanation_lines(found))
    assert all(sentence in text for item in data["devices"] for sentence in item["sentences"])
    assert "required 8Gi, available 4Gi" in text


def test_margo_statuses_are_those_of_holders_and_refused_devices() -> None:
    """The name stands for the Margo id that a native spec lacks."""
    found = margo_statuses(
        fleet(aggregate(summary(), not_placeable=(REFUSAL,)), status(), payload=spec(devices=("edge-01",)))
    )
    assert [(item["deploymentId"], item["deviceId"], item["status"]["state"]) for item in found] == [
        ("press", "edge-01", "installed"), ("press", "edge-03", "failed"),
    ]  # fmt: skip
    assert found[0]["components"] == [{"name": "settings", "state": "installed"}]
