"""Which devices are chosen of those that suit: the same each time, and said in words."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.choice import Candidate, candidate, choose
from tests.unit.orchestrator.story import GIB, Story, spec
from topics.allocation import Share


def _zone(story: Story, device: str, zone: str | None, memory: int = 8) -> Story:
    return story.device(device, {"zone": zone} if zone is not None else {}, memory=memory * GIB)


def test_the_devices_with_the_most_left_are_taken() -> None:
    """After the deployment is there; the scarcest resource decides, and the answer names it."""
    story = Story().device("a").device("b", memory=16 * GIB).device("c", memory=4 * GIB)
    story.spec(spec(count=2, memory="2Gi"))
    assert story.holders() == {"a", "b"}
    assert story.why() == {"b": "1 of 2: most left: memory 87 %", "a": "2 of 2: most left: memory 75 %"}


def test_what_others_were_promised_is_not_left() -> None:
    """The larger device is the fuller one."""
    story = Story().device("a").device("b", memory=16 * GIB)
    story.spec(spec("other", devices=("b",), memory="12Gi"), "other").spec(spec(count=1, memory="1Gi"))
    assert story.holders() == {"a"}


def test_devices_that_have_as_much_left_are_taken_by_their_ids() -> None:
    """So that the choice never depends on who came first."""
    story = Story().device("c").device("b").device("a").spec(spec(count=2))
    assert story.why() == {"a": "1 of 2: most left: cpu 100 %", "b": "2 of 2: most left: cpu 100 %"}


def test_a_device_that_says_nothing_of_its_size_has_nothing_left() -> None:
    """It is taken last, and the answer does not pretend."""
    story = Story().device("a", cpus=(), memory=0, storage=()).device("b").spec(spec(count=2))
    assert story.why() == {"b": "1 of 2: most left: cpu 100 %", "a": "2 of 2: first by its id"}


def test_with_spread_by_each_value_of_the_label_gets_its_turn() -> None:
    """The fewest first, and of those the one with the most left."""
    story = Story()
    for device, zone, memory in (("a1", "a", 16), ("a2", "a", 16), ("b1", "b", 8), ("b2", "b", 4), ("c1", "c", 2)):
        _zone(story, device, zone, memory)
    story.spec(spec(count=4, spread_by="zone", memory="1Gi"))
    assert story.why() == {
        "a1": "1 of 4: zone=a had none; most left: memory 93 %",
        "b1": "2 of 4: zone=b had none; most left: memory 87 %",
        "c1": "3 of 4: zone=c had none; most left: memory 50 %",
        "a2": "4 of 4: zone=a had 1; most left: memory 93 %",
    }


def test_devices_without_the_label_are_one_value() -> None:
    """They are not taken one for each of them."""
    story = Story()
    for device, zone in (("a", None), ("b", None), ("c", "c")):
        _zone(story, device, zone)
    assert story.spec(spec(count=2, spread_by="zone")).holders() == {"a", "c"}
    assert story.why()["a"] == "1 of 2: zone= had none; most left: cpu 100 %"


def test_who_has_it_keeps_it_and_counts_for_its_value() -> None:
    """A device that is emptier moves nothing; the next one goes where there is none."""
    story = _zone(_zone(Story(), "a", "a"), "b", "a").spec(spec(count=1, spread_by="zone")).rendered()
    _zone(_zone(story, "c", "a", 64), "d", "d").spec(spec(count=2, spread_by="zone"))
    assert story.why() == {
        "a": "1 of 2: has it already",
        "d": "2 of 2: zone=d had none; most left: cpu 100 %",
    }


def test_a_smaller_number_keeps_the_spread() -> None:
    """Who stays is chosen by the same rule."""
    story = Story()
    for device, zone in (("a", "x"), ("b", "x"), ("c", "y")):
        _zone(story, device, zone)
    story.spec(spec(count=3, spread_by="zone")).rendered().spec(spec(count=2, spread_by="zone"))
    assert story.holders() == {"a", "c"}


_candidates = st.lists(
    st.builds(
        Candidate,
        st.text("abcdef", min_size=1, max_size=4), st.sampled_from(("", "x", "y", "z")), st.integers(0, 5),
        st.just("cpu"),
    ),
    unique_by=lambda item: item.device, max_size=12,
)  # fmt: skip


def _slow_choice(items: list[Candidate], wanted: int, chosen: list[str], *, spread: bool) -> list[str]:
    """The rule, word by word."""
    rest, taken, found = list(items), Counter(chosen), list[str]()
    while rest and len(found) < wanted:
        best = min(rest, key=lambda item: (taken[item.value] if spread else 0, -item.free, item.device))
        rest.remove(best)
        taken[best.value] += 1
        found.append(best.device)
    return found


@given(_candidates, st.integers(0, 14), st.lists(st.sampled_from(("", "x", "y", "w"))), st.booleans())
def test_the_choice_is_what_the_rule_says(items: list[Candidate], wanted: int, chosen: list[str], spread: bool) -> None:
    """As a slow reading of it chooses, in whatever order the devices come."""
    found = choose(reversed(items), wanted, chosen, "zone" if spread else None)
    assert [item.device for item, _ in found] == _slow_choice(items, wanted, chosen, spread=spread)


def test_what_is_left_is_never_negative() -> None:
    """A device that promised more than it has is as good as full."""
    assert candidate("a", "", Share(memory=10), Share(memory=1), Share(memory=5)).free == 0
