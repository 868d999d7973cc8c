"""Commands: what an operator asks for, and what one device is told."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from topics.documents.base import Document, Int64, Message
from topics.identifiers import DeploymentName, DeviceId


class Action(StrEnum):
    """What a command asks for.

    ``pause`` and ``resume`` are the orchestrator's (no new manifests while paused); ``replay`` is
    its own request to a device to repeat transitions that it missed.
    """

    PAUSE = "pause"
    RESUME = "resume"
    ACTIVATE = "activate"
    RETRY = "retry"
    ROLLBACK = "rollback"
    CANCEL = "cancel"
    REPLAY = "replay"


ROLLOUT_ACTIONS = frozenset({Action.PAUSE, Action.RESUME})
DEVICE_ACTIONS = frozenset({Action.ACTIVATE, Action.RETRY, Action.ROLLBACK, Action.CANCEL})

CommandId = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9._-]+$")]


class OperatorCommand(Document):
    """A command on ``deployments/<deployment>/commands``.

    ``devices`` narrows it (default: all of the deployment's); ``generation`` makes it void for any
    other generation; after ``expiry_seconds`` on the orchestrator's clock it is no longer sent.
    """

    id: CommandId
    action: Action
    devices: tuple[DeviceId, ...] = ()
    generation: Annotated[Int64, Field(ge=1)] | None = None
    expiry_seconds: Annotated[float, Field(gt=0, le=30 * 86400)] = 3600.0

    @model_validator(mode="after")
    def _is_for_operators(self) -> OperatorCommand:
        if self.action is Action.REPLAY:
            raise ValueError("replay is the orchestrator's own request")
        return self


class Command(Message):
    """A one-shot command to one device. ``generation`` is the generation it is meant for."""

    id: CommandId
    deployment: DeploymentName
    device: DeviceId
    action: Action
    generation: Int64
    from_sequence: Int64 | None = None


class CommandOutcome(Message):
    """What became of a command: ``done``, or ``refused`` / ``expired`` with the reason."""

    id: str
    action: str
    outcome: str
    message: str = ""
