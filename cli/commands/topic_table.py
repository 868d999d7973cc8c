"""``fleetbus topics``: the topic table, and the broker's access rules generated from it."""

from __future__ import annotations

from collections.abc import Sequence

from cli.context import Given, Output
from cli.exits import CliError, Exit
from cli.printing import emit, grid
from topics.acl import DEFAULT_USERS, mosquitto_acl
from topics.channels import Role
from topics.tables import topic_rows, topic_table_markdown

_HEADINGS = ("TOPIC", "WRITER", "READER", "RETAIN", "QOS", "DOCUMENT", "CARRIES")


def show_topics(given: Given) -> Exit:
    """Print the table."""
    output = given.output(Output.MARKDOWN)
    if output is Output.MARKDOWN:
        print(topic_table_markdown(), end="")
        return Exit.OK
    rows = topic_rows(given.settings(offline=True).topics.root)
    emit(
        output,
        lambda: rows,
        lambda: grid(
            _HEADINGS,
            [
                (
                    row["topic"], ",".join(row["writers"]), ",".join(row["readers"]),
                    ("yes" if row["retain"] else "no") + (",will" if row["will"] else ""), str(row["qos"]),
                    row["document"], row["carries"],
                )
                for row in rows
            ],
        ),
    )  # fmt: skip
    return Exit.OK


def show_acl(given: Given, broker: str, users: Sequence[str]) -> Exit:
    """Print the access rules for ``broker``; ``users`` are ``role=name``, replacing the role's default user."""
    if broker != "mosquitto":
        raise CliError(Exit.USAGE, f"--acl {broker}: access rules are generated for mosquitto only")
    try:
        print(mosquitto_acl(given.settings(offline=True).topics.root, _users(users)), end="")
    except ValueError as error:
        raise CliError(Exit.USAGE, str(error)) from error
    return Exit.OK


def _users(pairs: Sequence[str]) -> dict[Role, list[str]]:
    given: dict[Role, list[str]] = {}
    for pair in pairs:
        role, equals, name = pair.partition("=")
        if not equals or role not in set(Role):
            raise ValueError(f"--user {pair!r} is not ROLE=NAME with a role of {', '.join(Role)}")
        given.setdefault(Role(role), []).append(name)
    return {role: list(names) for role, names in DEFAULT_USERS.items()} | given
