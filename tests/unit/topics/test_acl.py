"""The access rules as text; ``tests/functional/test_acl.py`` tries them on a real broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from topics.acl import DEFAULT_USERS, may_read, may_write, mosquitto_acl
from topics.channels import COMMAND, MANIFEST, SPEC, STATUS, TABLE, Role
from topics.identifiers import check_device_id

COMMITTED = Path(__file__).parents[3] / "mosquitto" / "acl"


def test_the_committed_file_is_current() -> None:
    """mosquitto/acl is what the topic table generates now (``fleetbus topics --acl mosquitto`` writes it)."""
    assert COMMITTED.read_text(encoding="utf-8") == mosquitto_acl()


def test_every_pattern_that_a_device_writes_is_confined_to_its_own_branch() -> None:
    """Patterns hold for every user, so none may write without the user name as a whole level."""
    patterns = [line for line in mosquitto_acl().splitlines() if line.startswith("pattern write ")]
    assert patterns
    assert all("/devices/%u/" in line for line in patterns)


def test_dashboards_write_nothing() -> None:
    """The block of a dashboard user holds only read and deny lines."""
    block = mosquitto_acl(users={Role.DASHBOARD: ("_wall",)}).split("user _wall\n")[1]
    assert {line.split()[1] for line in block.splitlines() if line} == {"read", "deny"}


def test_secrets_stay_with_those_who_need_them() -> None:
    """Specs, manifests and commands may carry secrets: no dashboard and no publisher reads them."""
    for channel in (SPEC, MANIFEST, COMMAND):
        assert not may_read(Role.DASHBOARD, channel)
        assert not may_read(Role.PUBLISHER, channel)


def test_only_the_table_gives_write_access() -> None:
    """May_write is the writers column, for each role and row."""
    assert all(may_write(role, row) == (role in row.writers) for role in Role for row in TABLE)
    assert may_write(Role.AGENT, STATUS)
    assert not may_write(Role.ORCHESTRATOR, STATUS)


@pytest.mark.parametrize("user", [user for users in DEFAULT_USERS.values() for user in users])
def test_no_role_user_can_be_a_device(user: str) -> None:
    """Whatever name a device is enrolled under, it never gets another role's rights."""
    with pytest.raises(ValueError, match="not a device id"):
        check_device_id(user)


@pytest.mark.parametrize("user", ["dashboard", "edge-01", "", "_", "_a b", "_a:b", "_a+", "_a#", "_a/b", "_a\nuser x"])
def test_role_user_names_that_break_the_rules_are_refused(user: str) -> None:
    """A name that could be a device id, or that would change the meaning of the file, is an error."""
    with pytest.raises(ValueError, match="underscore"):
        mosquitto_acl(users={Role.DASHBOARD: (user,)})


def test_a_user_has_one_role() -> None:
    """The same user under two roles is refused: the rights would silently add up."""
    with pytest.raises(ValueError, match="two roles"):
        mosquitto_acl(users={Role.DASHBOARD: ("_x",), Role.OPERATOR: ("_x",)})


def test_agents_are_not_listed() -> None:
    """Devices come and go without a new file; a list of them is refused."""
    with pytest.raises(ValueError, match="device id"):
        mosquitto_acl(users={Role.AGENT: ("edge-01",)})


def test_a_root_with_a_substitution_is_refused() -> None:
    """Mosquitto would replace %u in the root, too."""
    with pytest.raises(ValueError, match="substitute"):
        mosquitto_acl("site/%u")


def test_another_root_is_used_everywhere() -> None:
    """No rule speaks of the default root when another is given."""
    text = mosquitto_acl("plant/7")
    assert "fleetbus/v1" not in text
    assert "pattern write plant/7/devices/%u/status/+" in text
