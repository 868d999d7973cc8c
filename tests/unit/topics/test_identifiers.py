"""Names that become topic levels, client ids and object names."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topics.identifiers import check_device_id, check_dns_label, check_label_key, check_label_value, client_id

device_ids = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", fullmatch=True)
tricky_ids = st.text(alphabet="aEF25._-", min_size=1, max_size=8).filter(
    lambda text: text[0] in "aEF25" and text[-1] in "aEF25"
)


@given(device_ids | tricky_ids, device_ids | tricky_ids)
def test_two_devices_never_share_a_client_id(one: str, other: str) -> None:
    """The client id is injective: a shared one would make two devices throw each other off the broker."""
    assert (client_id("agent", one) == client_id("agent", other)) == (one == other)


@given(device_ids)
def test_client_ids_have_the_characters_every_broker_takes(device: str) -> None:
    """Only ``[A-Za-z0-9_-]``: NATS refuses dots and spaces."""
    assert re.fullmatch(r"[A-Za-z0-9_-]+", client_id("agent", device))


@given(st.text(max_size=70))
def test_a_taken_device_id_is_one_topic_level(text: str) -> None:
    """What passes has no separator, wildcard, space or control character; what fails is shown bounded."""
    try:
        check_device_id(text)
    except ValueError as error:
        assert len(str(error)) < 1200  # noqa: PT017 - both outcomes are right
    else:
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,63}", text)


@pytest.mark.parametrize(
    ("check", "good"),
    [
        (check_dns_label, ["a", "0", "press-monitor", "a" * 63, "x--y"]),
        (check_device_id, ["a", "Edge-01", "edge.plant_7", "9", "A" * 63]),
        (check_label_key, ["line", "example.com/line", "A_b.c", "x" * 63, "a.b/" + "x" * 63]),
        (check_label_value, ["", "press", "A_b.c-1", "x" * 63]),
    ],
)
def test_good_names_are_taken_unchanged(check: Callable[[str], str], good: list[str]) -> None:
    """The check returns the very name."""
    assert [check(name) for name in good] == good


@pytest.mark.parametrize(
    ("check", "bad"),
    [
        (check_dns_label, ["", "A", "-a", "a-", "a.b", "a_b", "a" * 64, "a\n", "ä", "a b", "٣"]),
        (check_device_id, ["", ".a", "a.", "_a", "a/b", "a+", "a#", "$a", "a\n", "a" * 64, "a b", "é", "a\x00"]),
        (check_label_key, ["", "/a", "a/", "A.com/a", "a/b/c", "x" * 64, "-a", "a" * 254 + "/x", "a\n"]),
        (check_label_value, ["-a", "a ", "x" * 64, "a/b", "a\n"]),
    ],
)
def test_bad_names_are_refused_with_a_sentence(check: Callable[[str], str], bad: list[str]) -> None:
    """Each refusal quotes the name and says which characters are meant."""
    for name in bad:
        with pytest.raises(ValueError, match=r"is not|has a prefix"):
            check(name)
