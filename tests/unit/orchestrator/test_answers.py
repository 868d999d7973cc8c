"""The result of a spec as its placement changes, and what it says about who takes it."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.answers import MOST_REASONS, accepted
from tests.unit.orchestrator.story import NAME, Story, spec
from topics.codec import encode
from topics.documents.answer import SpecResult
from topics.errors import Reason

_RESULT = f"specs/{NAME}/result"


def test_the_answer_names_who_takes_it_and_why() -> None:
    """Named, or selected."""
    assert Story().device("a").spec(spec(devices=("a",))).why() == {"a": "is named"}
    assert Story().device("a").spec(spec()).why() == {"a": "is selected, and all that suit take it"}


def test_a_device_that_joins_is_added_to_the_answer() -> None:
    """With the digest of the spec that it answers, and its generation."""
    story = Story().device("a").spec(spec(count=2))
    before = story.result()
    story.device("b")
    assert story.why() == {"a": "1 of 2: most left: cpu 100 %", "b": "2 of 2: suits, and only 1 had it"}
    assert (story.result().spec_digest, story.result().generation) == (before.spec_digest, 1)


def test_a_device_that_comes_and_does_not_suit_is_added_to_the_reasons() -> None:
    """The first answer could not know it."""
    story = Story().spec(spec(memory="4Gi"))
    assert story.result().reasons == ()
    story.device("a", memory=1)
    assert [(reason.device, reason.code) for reason in story.result().reasons] == [("a", "memory")]


def test_an_answer_that_says_nothing_new_is_not_published_again() -> None:
    """The device changed, its part in the placement did not."""
    story = Story().device("a").spec(spec())
    count = len(story.sent)
    story.capabilities_of("a", kernel="6.9")
    assert [topic for topic, _ in story.sent[count:] if topic.endswith("/result")] == []


def test_the_answer_to_a_rejected_spec_stands_whatever_becomes_of_the_one_in_force() -> None:
    """Its publisher may read it later; the next message is answered again."""
    story = Story().device("a").spec(spec()).spec(b"{}").device("b")
    assert story.holders() == {"a", "b"}
    assert story.result().outcome == "rejected"
    story.spec(spec())
    assert (story.result().outcome, set(story.why())) == ("accepted", {"a", "b"})


def test_a_render_that_fails_does_not_overwrite_the_answer_to_a_rejected_spec() -> None:
    """The aggregate says what is wrong with the one in force."""
    story = Story().device("a").spec(spec()).spec(b"{}").render_failed(1, retryable=False)
    assert story.result().outcome == "rejected"
    assert story.aggregate().phase == "Failed"


def test_the_devices_in_an_answer_are_bounded() -> None:
    """The first by their ids."""
    story = Story()
    for number in range(MOST_REASONS + 50):
        story.device(f"d{number:04}")
    placed = story.spec(spec()).result().placed
    assert (len(placed), placed[0].device, placed[-1].device) == (MOST_REASONS, "d0000", f"d{MOST_REASONS - 1:04}")


def test_the_tolerances_used_to_read_a_spec_are_in_every_answer() -> None:
    """Also in those that follow when something changes."""
    story = Story().device("a").spec(spec())
    warning = Reason(path="metadata", code="tolerated", message="was read in spite of it")
    publication = accepted(story.fleet, replace(story.record(), warnings=(warning,)), story.context)
    assert SpecResult.model_validate_json(publication.payload).warnings == (warning,)


def test_a_default_that_is_written_down_makes_no_generation() -> None:
    """Neither does a field that a newer program knows."""
    story = Story().device("a").spec(spec()).spec(spec(count="all", on_mismatch="keep", requirements={"rules": []}))
    assert story.record().generation == 1
    assert "onMismatch" not in encode(story.result()).decode()
