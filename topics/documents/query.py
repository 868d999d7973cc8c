"""Asking a device what it is now: a question and its answer, told apart by the question's id.

Request and response without MQTT 5: who asks subscribes to the device's answers first, then publishes the
question, and takes the answer that carries its id.
"""

from __future__ import annotations

from typing import Literal

from topics.documents.base import Document, Message
from topics.documents.command import CommandId
from topics.documents.device import Allocatable, Capabilities
from topics.identifiers import DeviceId


class Query(Document):
    """A question on ``devices/<device>/queries``. The device measures itself anew before it answers."""

    id: CommandId
    about: Literal["capabilities"] = "capabilities"


class Answer(Message):
    """The answer on ``devices/<device>/answers``; ``query`` is the question's id.

    ``age_seconds`` is how long before the answer the capabilities were measured, on a clock that never
    jumps; ``problem`` says why there are none.
    """

    query: CommandId
    device: DeviceId
    capabilities: Capabilities | None = None
    allocatable: Allocatable | None = None
    age_seconds: float = 0.0
    problem: str = ""
