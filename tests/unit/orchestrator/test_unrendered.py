"""Devices that a generation cannot be rendered for: refused with every reason, while the others go on."""

from __future__ import annotations

from orchestrator.decision import Rendered
from tests.unit.orchestrator.story import NAME, Story, manifest, spec
from topics.errors import Reason

WHY = (Reason(path="spec.components[0]", code="placeholder-missing", message="no label 'line'", device="b"),)


def rendered(story: Story, generation: int, *, made: str = "", refused: str = "", content: str = "") -> Story:
    """What came of a render: manifests for the devices of ``made``, reasons for those of ``refused``."""
    return story.timed(
        Rendered(
            NAME, generation, {device: manifest(NAME, device, generation, content=content) for device in made},
            refused=dict.fromkeys(refused, WHY),
        )
    )  # fmt: skip


def test_the_others_go_on_and_the_reason_is_said() -> None:
    """In the result and in the aggregate, with the device; nothing is published for it."""
    story = Story().device("a").device("b").spec(spec())
    rendered(story, 1, made="a", refused="b")
    assert story.manifest("a").generation == 1
    assert not any("/b/manifests/" in topic for topic in story.retained)
    assert [(reason.device, reason.code) for reason in story.result().reasons] == [("b", "placeholder-missing")]
    status = story.aggregate()
    assert [(item.device, item.reasons[0].code) for item in status.not_placeable] == [("b", "placeholder-missing")]
    assert status.phase == "Progressing"


def test_it_holds_nobody_up() -> None:
    """The deployment is deployed when all are that can be."""
    story = Story().device("a").device("b").spec(spec())
    rendered(story, 1, made="a", refused="b").deployed("a", 1)
    assert story.aggregate().phase == "Deployed"


def test_if_no_device_can_have_it_that_is_the_phase() -> None:
    """Not a progress that never ends."""
    story = Story().device("b").spec(spec())
    rendered(story, 1, refused="b")
    assert story.aggregate().phase == "NotPlaceable"


def test_it_is_tried_again_when_the_device_is_something_else() -> None:
    """The label is there now: the same generation reaches it."""
    story = Story().device("a").device("b").spec(spec())
    rendered(story, 1, made="a", refused="b").capabilities_of("b", {"line": "weld"})
    assert story.renders == [(1, ("b",))]
    rendered(story, 1, made="b")
    assert story.manifest("b").generation == 1
    assert story.result().reasons == ()
    assert story.aggregate().not_placeable == ()


def test_it_is_tried_again_with_the_next_generation() -> None:
    """The spec may have a default now."""
    story = Story().device("a").device("b").spec(spec())
    rendered(story, 1, made="a", refused="b").spec(spec(rate="20"))
    assert story.renders == [(2, ("a", "b"))]
    rendered(story, 2, made="ab")
    assert story.result().reasons == ()


def test_who_has_an_older_generation_keeps_it() -> None:
    """As a device does that does not suit the new one."""
    story = Story().device("a").device("b").spec(spec())
    rendered(story, 1, made="ab").deployed("a", 1).deployed("b", 1).spec(spec(rate="20"))
    rendered(story, 2, made="a", refused="b")
    assert story.manifest("b").generation == 1
    assert "1 keep an older generation" in story.aggregate().message


def test_of_a_number_of_devices_another_is_chosen() -> None:
    """One that can have no manifest makes room."""
    story = Story().device("a").device("b").spec(spec(count=1))
    assert story.renders == [(1, ("a",))]
    rendered(story, 1, refused="a")
    assert story.renders == [(1, ("b",))]
    assert [item.device for item in story.result().placed] == ["b"]


def test_a_generation_never_stands_for_other_bytes() -> None:
    """Rendered twice because a label changed in between: who has this generation keeps what it has."""
    story = Story().device("a").spec(spec())
    rendered(story, 1, made="a", content="first")
    before = story.sent[:]
    rendered(story, 1, made="a", content="second")
    assert [topic for topic, _ in story.sent[len(before) :] if "/manifests/" in topic] == []
    assert story.manifest("a").components[0].objects[0]["kind"] == "first"


def test_a_late_refusal_says_nothing_about_a_device_that_has_it() -> None:
    """It was rendered from what the device was before."""
    story = Story().device("a").spec(spec())
    rendered(story, 1, made="a")
    rendered(story, 1, refused="a")
    assert story.result().reasons == ()


def test_an_orchestrator_that_starts_again_tries_again() -> None:
    """The reasons are not stored: they are found again."""
    from orchestrator.decision import RenderDue

    story = Story().device("b").spec(spec())
    rendered(story, 1, refused="b")
    restarted = Story(story.fleet)
    restarted.timed(RenderDue(NAME))
    assert restarted.renders == [(1, ("b",))]
