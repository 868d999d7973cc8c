"""``describe`` leaves no reason out."""

from __future__ import annotations

from cli.commands.describe import deployment_lines, device_lines, spec_lines
from cli.fleet import Fleet
from cli.messages import read_message
from tests.unit.cli.messages import REFUSAL, TOPICS, aggregate, capabilities, heard, presence, status, summary
from topics import channels
from topics.documents.answer import SpecResult
from topics.documents.device import Allocatable, Promise
from topics.errors import Reason


def test_a_deployment_shows_every_refusal_with_what_was_required() -> None:
    """Required and available stand beside the sentence."""
    fleet = Fleet()
    fleet.take(heard(aggregate(summary(), not_placeable=(REFUSAL,), waiting_for=("edge-09",))))
    text = "\n".join(deployment_lines(fleet, "press"))
    assert "needs 8Gi memory, the device has 4Gi" in text
    assert "required 8Gi, available 4Gi" in text
    assert "edge-09 (named in the spec, never heard of)" in text


def test_a_deployment_shows_each_component_and_failure() -> None:
    """The device's own status is shown in full."""
    failure = {
        "stage": "Configuration", "code": "not-ready", "message": "timed out", "retryable": False, "generation": 2,
    }  # fmt: skip
    components = [{"name": "db", "state": "Failed", "message": "CrashLoopBackOff"}]
    fleet = Fleet()
    fleet.take(heard(aggregate(summary(desired_generation=2), phase="Failed", generation=2)))
    fleet.take(
        heard(status(state="Failed", generation=2, desired_generation=2, failure=failure, components=components))
    )
    text = "\n".join(deployment_lines(fleet, "press"))
    assert "Configuration failed (not-ready, attempt 1): timed out" in text
    assert "db: Failed: CrashLoopBackOff" in text
    assert "runs generation 1" in text


def test_a_rejected_spec_shows_reasons_and_why_it_cannot_be_read() -> None:
    """What is on the broker may be anything."""
    fleet = Fleet()
    topic = TOPICS.topic(channels.SPEC, deployment="press")
    fleet.take(read_message(TOPICS, topic, b"- a\n- list\n", retained=True, at=0.0))
    reason = Reason(path="", code="malformed", message="a spec is a mapping, this is a list")
    fleet.take(
        heard(SpecResult(deployment="press", outcome="rejected", generation=0, spec_digest="d", reasons=(reason,)))
    )
    text = "\n".join(spec_lines(fleet, "press"))
    assert "Spec:         cannot be read: a spec is a mapping, this is a list" in text
    assert "Result:       rejected, generation 0" in text


def test_a_device_shows_what_it_is_and_what_it_has_left() -> None:
    """With what is promised to whom."""
    fleet = Fleet()
    promise = Promise(deployment="press", cpu=500, memory=2**29)
    left = Allocatable(device="edge-01", epoch=1, cpu=1500, memory=2**31, storage=2**35, promised=(promise,))
    for document in (presence(), capabilities(line="press"), left, status()):
        fleet.take(heard(document))
    [row] = fleet.devices()
    text = "\n".join(device_lines(row, fleet.rows()))
    assert "Labels:       line=press" in text
    assert "Left:         1500m cores, 2Gi memory, 32Gi storage" in text
    assert "promised to press: 500m cores, 512Mi memory" in text
    assert "press  Deployed  generation 1" in text
