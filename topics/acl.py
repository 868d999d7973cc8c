"""The broker's access rules, generated from the topic table: who may write and read which topic.

Mosquitto's ACL file knows two kinds of rule. A ``user`` block holds for one user. A ``pattern`` line
holds for *every* user, with ``%u`` standing for the user name: that is how any number of devices is
confined to ``devices/<own id>/`` without a line for each. Two consequences are dealt with here:

- A pattern would also let user ``dashboard`` write ``devices/dashboard/…``, and a device that is
  enrolled as ``orchestrator`` would get the orchestrator's rights. So the names of the two kinds never
  meet: a device's user name is its device id, which starts with a letter or digit; the users of all
  other roles start with ``_``. And each of them is denied the branch that the patterns open for it.
- A channel that agents read and that has no device level (the orchestrator's presence) is granted
  to every user. Roles that have no part in it are denied it; only its writer may read it in excess of
  the table, which is its own message.

Rules for NATS are not generated: its static configuration has no user-name pattern, so it would need
a block for each device, and a restart for each new one. This module does no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from topics.channels import DEFAULT_ROOT, TABLE, Channel, Role, Topics

# One user for each role; a site with several people or programs in a role gives more names.
DEFAULT_USERS: Mapping[Role, Sequence[str]] = {
    Role.ORCHESTRATOR: ("_orchestrator",),
    Role.PUBLISHER: ("_publisher",),
    Role.OPERATOR: ("_operator",),
    Role.DASHBOARD: ("_dashboard",),
}

# No colon: it separates the fields of a password file. No wildcard, level separator or substitution.
_ROLE_USER = re.compile(r"_[A-Za-z0-9][A-Za-z0-9._@-]{0,61}\Z")


def mosquitto_acl(root: str = DEFAULT_ROOT, users: Mapping[Role, Sequence[str]] = DEFAULT_USERS) -> str:
    """The content of Mosquitto's ``acl_file``; what it does not grant is denied.

    ``users`` names the users of each role but the agents', whose user name is their device id (from the
    password file, or from the certificate's common name with ``use_identity_as_username``).

    Raises:
        ValueError: a user name that could be a device id or cannot stand in the file, one that has
            two roles, users for ``Role.AGENT``, or a root that holds a substitution.
    """
    _check(root, users)
    topics = Topics(root)
    lines = [
        "# Generated from the topic table by: fleetbus topics --acl mosquitto. Do not edit: change the",
        "# table, or the users with --user, and generate it again.",
        "",
        "# Devices. Patterns hold for every user; %u is the user name, which is the device id.",
    ]
    lines += [f"pattern {access} {_own(topics, channel)}" for access, channel in _rules(Role.AGENT)]
    for role in Role:
        for user in users.get(role, ()):
            lines += ["", f"# Role {role}.", f"user {user}", f"topic deny {root}/devices/{user}/#"]
            lines += [
                f"topic deny {topics.filter(channel)}"
                for channel in _open_to_everyone()
                if not _takes_part(role, channel)
            ]
            lines += [f"topic {access} {topics.filter(channel)}" for access, channel in _rules(role)]
    return "\n".join(lines) + "\n"


def may_write(role: Role, channel: Channel) -> bool:
    """Whether the table lets the role publish on the channel (an agent: of its own device)."""
    return role in channel.writers


def may_read(role: Role, channel: Channel) -> bool:
    """Whether the broker delivers the channel to the role (an agent: of its own device).

    That is what the table says, and the one excess that the module's docstring explains.
    """
    return role in channel.readers or (role in channel.writers and channel in _open_to_everyone())


def _rules(role: Role) -> Iterator[tuple[str, Channel]]:
    """Mosquitto's word for each access that the table gives the role, with its channel."""
    for channel in TABLE:
        match role in channel.readers, role in channel.writers:
            case True, True:
                yield "readwrite", channel
            case True, False:
                yield "read", channel
            case False, True:
                yield "write", channel


def _own(topics: Topics, channel: Channel) -> str:
    """The filter of a channel with the device level replaced by the user name."""
    return "/".join((topics.root, *("%u" if level == "{device}" else _wild(level) for level in channel.levels)))


def _wild(level: str) -> str:
    return "+" if level.startswith("{") else level


def _open_to_everyone() -> list[Channel]:
    return [channel for _, channel in _rules(Role.AGENT) if "{device}" not in channel.levels]


def _takes_part(role: Role, channel: Channel) -> bool:
    return role in channel.readers or role in channel.writers


def _check(root: str, users: Mapping[Role, Sequence[str]]) -> None:
    if "%" in root:
        raise ValueError(f"topic root {root!r} must not hold '%': Mosquitto would substitute it in the access rules")
    if users.get(Role.AGENT):
        raise ValueError("agents need no user here: a device's user name is its device id")
    seen: dict[str, Role] = {}
    for role, names in users.items():
        for name in names:
            if not _ROLE_USER.match(name):
                raise ValueError(
                    f"user {name!r} of role {role} must be '_' and then 1 to 62 characters from A-Z, a-z, 0-9, '.', "
                    "'_', '@', '-', the first a letter or digit: the underscore keeps it apart from every device id"
                )
            if name in seen:
                raise ValueError(f"user {name!r} has two roles, {seen[name]} and {role}: give each its own user")
            seen[name] = role
