"""``fleetbus apply``: publish specs, say what the orchestrator answers, wait until it is so."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.commands.following import Following, filters_for, orchestrator_state
from cli.context import ANSWER_SECONDS, WAIT_SECONDS, Given, Output, Settings
from cli.exits import Exit
from cli.margo_packages import MargoOptions
from cli.printing import as_text, note
from cli.session import Session
from cli.spec_files import SpecFile, load_documents
from topics import channels
from topics.codec import digest_of
from topics.documents.answer import AggregateStatus, SpecResult

REPEAT_SECONDS = 1.0
"""The orchestrator does not answer a document again that it has answered; then its old answer counts."""


@dataclass(slots=True)
class Applied:
    """One spec on its way: ``result`` once answered, ``outcome`` one word for it."""

    file: SpecFile
    digest: str
    result: SpecResult | None = None
    earlier: SpecResult | None = None
    unchanged: bool = False
    status: AggregateStatus | None = None
    published: float = 0.0

    @property
    def outcome(self) -> str:
        if self.result is None:
            return "unanswered"
        return "unchanged" if self.unchanged and self.result.outcome == "accepted" else self.result.outcome


def apply(given: Given, paths: Sequence[Path], *, wait: bool, options: MargoOptions | None = None) -> Exit:
    """Publish every spec in ``paths`` and report; the exit code is that of the worst of them.

    ``options`` are for the application packages among them.
    """
    given.output()
    settings = given.settings()
    items = [Applied(file, digest_of(file.payload)) for file in load_documents(given, paths, options)]
    names = [item.file.name for item in items]
    limit = settings.within(WAIT_SECONDS if wait else ANSWER_SECONDS)
    deadline = time.monotonic() + limit
    wanted = [channels.SPEC, channels.RESULT] + ([channels.AGGREGATE] if wait else [])
    with Session(settings, filters_for(settings.topics, wanted, names)) as session:
        following = Following(session)
        _publish(settings, session, following, items, deadline)
        _answers(following, items, deadline, patient=wait)
        for item in items:
            _say(item, following, settings.output)
        codes = [_code_of(item) for item in items]
        if wait:
            accepted = [item for item in items if item.result is not None and item.result.outcome == "accepted"]
            codes += following.until_deployed(
                {item.file.name: item.result.generation for item in accepted if item.result}, deadline
            )
            for item in items:
                item.status = following.aggregates.get(item.file.name)
    if settings.output is not Output.TABLE:
        print(as_text(settings.output, [_data(item) for item in items]), end="")
    return worst(codes)


def worst(codes: Sequence[Exit]) -> Exit:
    """The code that speaks for several: a definite failure before a time-out."""
    return next((code for code in (Exit.FAILED, Exit.NOT_FOUND, Exit.TIMED_OUT) if code in codes), Exit.OK)


def _publish(
    settings: Settings, session: Session, following: Following, items: Sequence[Applied], deadline: float
) -> None:
    """Send what is not already there and answered."""
    stored: dict[str, bytes] = {}
    for heard in session.collect():
        following.take(heard)
        if heard.address is not None and heard.address.channel is channels.SPEC:
            stored[heard.address.deployment] = heard.payload
    for item in items:
        name = item.file.name
        earlier = following.results.get(name)
        if earlier is not None and earlier.spec_digest == item.digest:
            item.earlier = earlier
            if earlier.outcome == "accepted" and stored.get(name) == item.file.payload:
                item.result, item.unchanged = earlier, True
                continue
        following.results.pop(name, None)
        topic = settings.topics.topic(channels.SPEC, deployment=name)
        session.publish(topic, item.file.payload, retain=True, timeout=max(deadline - time.monotonic(), 1.0))
        item.published = time.monotonic()


def _answers(following: Following, items: Sequence[Applied], deadline: float, *, patient: bool) -> None:
    """Wait for the result of every spec. ``patient``: say that none comes, and wait on."""
    remark_at = time.monotonic() + ANSWER_SECONDS
    while True:
        now = time.monotonic()
        for item in items:
            fresh = following.results.get(item.file.name)
            if item.result is None and fresh is not None and fresh.spec_digest == item.digest:
                item.result = fresh
            elif item.result is None and item.earlier is not None and now > item.published + REPEAT_SECONDS:
                item.result, item.unchanged = item.earlier, True
        open_items = [item for item in items if item.result is None]
        if not open_items or now >= deadline:
            return
        if patient and now >= remark_at:
            remark_at = deadline
            note(f"no answer yet: {orchestrator_state(following)}; still waiting")
        if any(item.earlier for item in open_items):
            following.step(min(deadline - now, 0.1))
        else:
            following.step(min(deadline - now, remark_at - now if patient else deadline - now))


def _say(item: Applied, following: Following, output: Output) -> None:
    """The answer for people: on standard output as the result itself, or as a remark beside JSON and YAML."""
    tell = print if output is Output.TABLE else note
    result, name = item.result, item.file.name
    if result is None:
        tell(f"{name}: no answer; {orchestrator_state(following)}")
        tell("  the spec stays on the broker and is taken when an orchestrator comes")
        return
    generation = f" (generation {result.generation})" if result.generation else ""
    tell(f"{name}: {item.outcome}{generation}")
    for reason in result.reasons:
        tell(f"  {reason}")


def _code_of(item: Applied) -> Exit:
    if item.result is None:
        return Exit.TIMED_OUT
    return Exit.OK if item.result.outcome == "accepted" else Exit.FAILED


def _data(item: Applied) -> dict[str, Any]:
    data: dict[str, Any] = {"name": item.file.name, "source": item.file.source, "outcome": item.outcome}
    for key, document in (("result", item.result), ("status", item.status)):
        if document is not None:
            data[key] = document.model_dump(mode="json", by_alias=True, exclude_none=True)
    return data
