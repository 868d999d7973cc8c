"""``fleetbus activate``, ``retry``, ``rollback``, ``cancel``, ``pause`` and ``resume``: one command, and what became of it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from cli.commands.following import Following, orchestrator_state
from cli.context import ANSWER_SECONDS, WAIT_SECONDS, Output, Settings
from cli.exits import CliError, Exit, not_found
from cli.messages import Heard
from cli.printing import as_text, note, visible
from cli.session import Session
from topics import channels
from topics.codec import encode
from topics.documents.base import reasons_of
from topics.documents.command import Action, CommandOutcome, OperatorCommand
from topics.documents.status import DeploymentStatus
from topics.identifiers import check_dns_label

_OPEN = "sent"
"""The outcome of a command that a device has not answered yet."""


def operate(
    settings: Settings, action: str, name: str, devices: Sequence[str], generation: int | None, *, wait: bool
) -> Exit:
    """Send the command; say what the orchestrator made of it, with ``wait`` what every device answered."""
    limit = settings.within(WAIT_SECONDS if wait else ANSWER_SECONDS)
    command = _command(action, name, devices, generation, limit)
    deadline = time.monotonic() + limit
    topics = settings.topics
    filters = [
        topics.filter(channels.AGGREGATE, deployment=name),
        topics.filter(channels.STATUS, deployment=name),
        topics.filter(channels.ORCHESTRATOR_PRESENCE),
    ]
    with Session(settings, filters) as session:
        answers = _Answers(session, command)
        for heard in session.collect():
            answers.take(heard)
        if name not in answers.following.aggregates:
            raise not_found("deployment", name)
        topic = topics.topic(channels.OPERATOR_COMMAND, deployment=name)
        session.publish(topic, encode(command), retain=False, timeout=limit)
        finished = answers.until(wait, deadline)
        return _report(settings.output, name, answers, wait=wait, finished=finished)


class _Answers:
    """The outcomes of one command: ``""`` for the whole deployment, otherwise by device."""

    def __init__(self, session: Session, command: OperatorCommand) -> None:
        self._session = session
        self.command = command
        self.following = Following(session)
        self.outcomes: dict[str, CommandOutcome] = {}

    def take(self, heard: Heard) -> None:
        self.following.take(heard)
        if isinstance(heard.document, DeploymentStatus):
            for outcome in heard.document.commands:
                self._keep(heard.document.device, outcome)
        for status in self.following.aggregates.values():
            for outcome in status.commands:
                # The aggregate names the device in front of the message (``edge-01: done``).
                device, colon, message = outcome.message.partition(": ")
                known = {item.device for item in status.devices}
                if colon and device in known:
                    self._keep(device, outcome.model_copy(update={"message": message}))
                else:
                    self._keep("", outcome)

    def until(self, wait: bool, deadline: float) -> bool:
        """Whether the answer came in time: the first word of the orchestrator, or with ``wait`` the last."""
        while not self._complete(wait):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            heard = self._session.next(left)
            if heard is not None:
                self.take(heard)
        return True

    def _keep(self, device: str, outcome: CommandOutcome) -> None:
        if outcome.id == self.command.id and (outcome.outcome != _OPEN or device not in self.outcomes):
            self.outcomes[device] = outcome

    def _complete(self, wait: bool) -> bool:
        if not self.outcomes or "" in self.outcomes:
            return bool(self.outcomes)
        if not wait:
            return True
        return all(self.outcomes.get(device, _NONE).outcome != _OPEN for device in self.meant())

    def meant(self) -> set[str]:
        """The devices that the command is for."""
        if self.command.devices:
            return set(self.command.devices)
        return {item.device for status in self.following.aggregates.values() for item in status.devices}


_NONE = CommandOutcome(id="none", action=Action.CANCEL, outcome=_OPEN)


def _report(output: Output, name: str, answers: _Answers, *, wait: bool, finished: bool) -> Exit:
    command = answers.command
    if output is not Output.TABLE:
        data: dict[str, Any] = {"id": command.id, "action": str(command.action), "deployment": name, "outcomes": []}
        for device, outcome in sorted(answers.outcomes.items()):
            entry = {"outcome": outcome.outcome, "message": outcome.message}
            data["outcomes"].append(({"device": device} if device else {}) | entry)
        print(as_text(output, data), end="")
    else:
        for device, outcome in sorted(answers.outcomes.items()):
            text = f"{name}: {command.action} {outcome.outcome}" + (f" on {device}" if device else "")
            print(visible(text + (f": {outcome.message}" if outcome.message else "")))
    if any(outcome.outcome not in (_OPEN, "done") for outcome in answers.outcomes.values()):
        return Exit.FAILED
    if finished:
        return Exit.OK
    if not answers.outcomes:
        note(f"{name}: {command.action}: no answer; {orchestrator_state(answers.following)}")
    else:
        silent = sorted(device for device in answers.meant() if answers.outcomes.get(device, _NONE).outcome == _OPEN)
        note(f"{name}: {command.action}: no answer from {', '.join(silent)} in time")
    return Exit.TIMED_OUT


def _command(action: str, name: str, devices: Sequence[str], generation: int | None, limit: float) -> OperatorCommand:
    """The command, valid as long as somebody waits for it, and at least an hour for devices that sleep."""
    try:
        check_dns_label(name)
        return OperatorCommand(
            id=f"cli-{secrets.token_hex(8)}",
            action=Action(action),
            devices=tuple(devices),
            generation=generation,
            expiry_seconds=max(limit, 3600.0),
        )
    except ValidationError as error:
        raise CliError(Exit.USAGE, "not a valid command:", [str(reason) for reason in reasons_of(error)]) from error
    except ValueError as error:
        raise CliError(Exit.USAGE, str(error)) from error
