"""``fleetbus query``: a device measures itself now and answers.

The question carries an id and the answer the same, so this works on any MQTT 3.1.1 broker. Questions and answers
have QoS 0: one that is lost is asked again, with the same id.
"""

from __future__ import annotations

import secrets
import time

from cli.context import ANSWER_SECONDS, Output, Settings
from cli.device_text import allocatable_lines, capability_lines
from cli.exits import CliError, Exit, not_found
from cli.messages import Heard
from cli.printing import as_text, precise, visible
from cli.session import Session
from topics import channels
from topics.codec import encode
from topics.documents.device import Presence
from topics.documents.query import Answer, Query

ASK_AGAIN_SECONDS = 3.0
"""Measuring takes a second or two where runtimes have to be asked."""


def query(settings: Settings, device: str) -> Exit:
    """Ask a device what it is now, and print the answer."""
    try:
        filters = [settings.topics.filter(channel, device=device) for channel in (channels.ANSWER, channels.PRESENCE)]
    except ValueError as error:
        raise CliError(Exit.USAGE, str(error)) from error
    with Session(settings, filters) as session:
        presence = _presence(session, device)
        answer = _ask(settings, session, device)
    if answer is None:
        epoch = f"its presence says online (session epoch {presence.epoch})"
        raise CliError(
            Exit.TIMED_OUT,
            f"{device} did not answer within {settings.within(ANSWER_SECONDS):g} s",
            [f"{epoch}; it may just have lost its connection, or its agent knows no questions"],
        )
    if answer.problem or answer.capabilities is None:
        raise CliError(Exit.FAILED, f"{device} could not measure itself: {answer.problem or 'it does not say why'}")
    _print(settings, answer)
    return Exit.OK


def answer_lines(answer: Answer) -> list[str]:
    """An answer in lines."""
    lines = [f"Name:         {answer.device}", f"Measured:     {precise(answer.age_seconds)} before it answered"]
    lines += capability_lines(answer.capabilities) if answer.capabilities is not None else []
    return lines + (allocatable_lines(answer.allocatable) if answer.allocatable is not None else [])


def _presence(session: Session, device: str) -> Presence:
    """What the device last said of itself. Raises ``CliError`` if it cannot answer now."""
    found: Presence | None = None
    for heard in session.collect():
        if isinstance(heard.document, Presence):
            found = heard.document
    if found is None:
        raise not_found("device", device)
    if not found.online:
        raise CliError(
            Exit.TIMED_OUT,
            f"{device} is offline and cannot be asked",
            [f"what it said when it was last here: fleetbus describe device {device}"],
        )
    return found


def _ask(settings: Settings, session: Session, device: str) -> Answer | None:
    id = f"cli-{secrets.token_hex(8)}"
    question = encode(Query(id=id))
    topic = settings.topics.topic(channels.QUERY, device=device)
    answers: list[Answer] = []

    def take(heard: Heard) -> bool:
        if isinstance(heard.document, Answer) and heard.document.query == id:
            answers.append(heard.document)
        return bool(answers)

    deadline = time.monotonic() + settings.within(ANSWER_SECONDS)
    while not answers and (left := deadline - time.monotonic()) > 0:
        session.send(topic, question)
        session.wait_for(take, min(left, ASK_AGAIN_SECONDS))
    return answers[0] if answers else None


def _print(settings: Settings, answer: Answer) -> None:
    if settings.output is Output.TABLE:
        for line in answer_lines(answer):
            print(visible(line))
    elif settings.output is Output.MARGO:
        from topics.margo import capabilities_manifest

        assert answer.capabilities is not None, "an answer without them is a problem"
        print(as_text(Output.JSON, capabilities_manifest(answer.capabilities)), end="")
    else:
        print(as_text(settings.output, answer.model_dump(mode="json", by_alias=True, exclude_none=True)), end="")
