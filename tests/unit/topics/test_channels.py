"""The topic table: what is built is parsed again, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topics.channels import DEFAULT_ROOT, PRESENCE, SPEC, STATUS, TABLE, Address, Channel, Topics
from topics.errors import ContractError

TOPICS = Topics()
ROOTS = ("fleetbus/v1", "x", "plant-7/line_2/v1", "fleetbus/v1/devices")

device_ids = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", fullmatch=True)
names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
channels = st.sampled_from(TABLE)


def matches(topic_filter: str, topic: str) -> bool:
    """MQTT's own matching rule (3.1.1, section 4.7) for filters without ``#``."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    return len(wanted) == len(levels) and all(a in ("+", b) for a, b in zip(wanted, levels, strict=True))


def ids_of(channel: Channel, device: str, deployment: str) -> dict[str, str]:
    given_ids = {"device": device, "deployment": deployment}
    return {name: value for name, value in given_ids.items() if f"{{{name}}}" in channel.pattern}


@given(channels, device_ids, names, st.sampled_from(ROOTS))
def test_parsing_undoes_building(channel: Channel, device: str, deployment: str, root: str) -> None:
    """For every row, any valid ids and any root, the parsed topic is the address it was built from."""
    topics = Topics(root)
    ids = ids_of(channel, device, deployment)
    assert topics.parse(topics.topic(channel, **ids)) == Address(channel, **ids)


@given(
    st.lists(
        st.one_of(
            names,
            device_ids,
            st.sampled_from(
                ["*", "+", "#", "", " ", "..", "{device}", "status", "orchestrator", "presence", "devices"]
            ),
            st.text(max_size=4),
        ),
        max_size=6,
    ),
    st.booleans(),
)
def test_no_other_topic_is_parsed(levels: list[str], below_root: bool) -> None:
    """A topic that is parsed at all is exactly the one its address builds; every other one is a contract error."""
    topic = "/".join([DEFAULT_ROOT, *levels] if below_root else levels)
    try:
        address = TOPICS.parse(topic)
    except ContractError as error:
        assert error.reasons[0].code in {"unknown-topic", "bad-id"}  # noqa: PT017 - both outcomes are right
        return
    assert TOPICS.topic(address.channel, device=address.device, deployment=address.deployment) == topic


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        ("fleetbus/v1", "unknown-topic"),
        ("fleetbus/v1/", "unknown-topic"),
        ("fleetbus/v1/specs", "unknown-topic"),
        ("fleetbus/v1/specs/", "bad-id"),
        ("fleetbus/v1/specs/a/", "unknown-topic"),
        ("/fleetbus/v1/specs/a", "unknown-topic"),
        ("fleetbus/v2/specs/a", "unknown-topic"),
        ("fleetbus/v1/specs/a/result/b", "unknown-topic"),
        ("fleetbus/v1/orchestrator/status", "unknown-topic"),
        ("fleetbus/v1/specs/Upper", "bad-id"),
        ("fleetbus/v1/devices/a b/presence", "bad-id"),
        ("fleetbus/v1/devices/e/status/-a", "bad-id"),
        ("fleetbus/v1/devices/" + "e" * 64 + "/presence", "bad-id"),
    ],
)
def test_wrong_topics_say_why(topic: str, code: str) -> None:
    """Each near miss is refused with its own code, and the message names the topic."""
    with pytest.raises(ContractError) as caught:
        TOPICS.parse(topic)
    (reason,) = caught.value.reasons
    assert reason.code == code
    assert repr(topic) in reason.message


@given(channels, channels, device_ids, names)
def test_filters_match_their_own_topics_only(own: Channel, other: Channel, device: str, deployment: str) -> None:
    """A row's filter matches a topic if and only if that topic is the row's."""
    topic = TOPICS.topic(other, **ids_of(other, device, deployment))
    assert matches(TOPICS.filter(own), topic) == (own is other)


@given(device_ids, device_ids, names)
def test_a_narrowed_filter_matches_one_device(wanted: str, device: str, deployment: str) -> None:
    """With a device id, only that device's topics match."""
    topic = TOPICS.topic(STATUS, device=device, deployment=deployment)
    assert matches(TOPICS.filter(STATUS, device=wanted), topic) == (wanted == device)


@given(st.text(max_size=70))
def test_every_id_is_one_level_or_refused(text: str) -> None:
    """Whatever stands in an id, a built topic has the table's number of levels and no wildcard."""
    for channel in (SPEC, PRESENCE):
        try:
            topic = TOPICS.topic(channel, device=text, deployment=text)
        except ValueError as error:
            assert "is not a" in str(error)  # noqa: PT017 - both outcomes are right
            continue
        assert topic.count("/") == channel.pattern.count("/") + DEFAULT_ROOT.count("/") + 1
        assert not set(topic) & set("+#$\x00 ")


def test_a_missing_id_is_refused() -> None:
    """A row that needs an id cannot be built without it."""
    with pytest.raises(ValueError, match="not a device id"):
        TOPICS.topic(PRESENCE)


@pytest.mark.parametrize("value", ["", "#", "a/b", "a+", "++"])
def test_a_filter_takes_valid_ids_and_the_plus_only(value: str) -> None:
    """A narrowing id is checked like any other: it cannot widen the subscription."""
    with pytest.raises(ValueError, match="is not a"):
        TOPICS.filter(STATUS, device=value)


@pytest.mark.parametrize(
    "root", ["", "/", "a/", "/a", "a//b", "a+", "a/#", "$SYS", "a b", "a\tb", "a\n", "a\x00", "\ud800", "a" * 201]
)
def test_a_bad_root_is_refused_with_a_sentence(root: str) -> None:
    """The message says what a root is made of; what it shows of a wrong one is bounded."""
    with pytest.raises(ValueError, match="must be one or more levels without") as caught:
        Topics(root)
    assert len(str(caught.value)) < 1500


def test_rows_differ_in_name_pattern_and_shape() -> None:
    """No two rows share a name or could be taken for each other."""
    assert len({row.name for row in TABLE}) == len({row.pattern for row in TABLE}) == len(TABLE)
    built = {TOPICS.topic(row, **ids_of(row, "a", "a")) for row in TABLE}
    assert len(built) == len(TABLE)


def test_one_writer_for_each_retained_topic_of_a_program() -> None:
    """A retained topic has one writing role, or a ghost comes back; specs have people, and no program, as writers."""
    assert all(len(row.writers) == 1 for row in TABLE if row.retain and row is not SPEC)
