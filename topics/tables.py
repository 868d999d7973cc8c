"""The topic table as people and programs read it: Markdown for the documentation, rows for the CLI."""

from __future__ import annotations

from typing import TypedDict

from topics.channels import DEFAULT_ROOT, TABLE


class TopicRow(TypedDict):
    """One channel, ready for JSON: ``topic`` is the whole topic with ``<device>`` and ``<deployment>``."""

    name: str
    topic: str
    writers: list[str]
    readers: list[str]
    retain: bool
    qos: int
    will: bool
    document: str
    carries: str


def topic_rows(root: str = DEFAULT_ROOT) -> list[TopicRow]:
    """The table's rows in its order, below ``root``."""
    return [
        TopicRow(
            name=channel.name,
            topic=f"{root}/{_shown(channel.pattern)}",
            writers=[str(role) for role in channel.writers],
            readers=[str(role) for role in channel.readers],
            retain=channel.retain,
            qos=channel.qos,
            will=channel.will,
            document=channel.document,
            carries=channel.carries,
        )
        for channel in TABLE
    ]


def topic_table_markdown() -> str:
    """The table in Markdown, with topics below the root, ending in a newline."""
    lines = [
        "| topic under ROOT | writer → reader | retain | QoS | document | carries |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for channel in TABLE:
        who = f"{', '.join(channel.writers)} → {', '.join(channel.readers)}"
        retain = ("yes" if channel.retain else "no") + (", will" if channel.will else "")
        lines.append(
            f"| `{_shown(channel.pattern)}` | {who} | {retain} | {channel.qos} | {channel.document} | {channel.carries} |"
        )
    return "\n".join(lines) + "\n"


def _shown(pattern: str) -> str:
    return pattern.replace("{", "<").replace("}", ">")
