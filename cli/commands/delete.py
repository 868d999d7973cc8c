"""``fleetbus delete``: an empty retained spec, and waiting until nothing of it is left."""

from __future__ import annotations

import time
from collections.abc import Sequence

from cli.commands.apply import worst
from cli.commands.following import Following, filters_for, orchestrator_state
from cli.context import ANSWER_SECONDS, WAIT_SECONDS, Output, Settings
from cli.exits import CliError, Exit
from cli.printing import as_text, note
from cli.session import Session
from topics import channels
from topics.identifiers import check_dns_label

_WANTED = (channels.SPEC, channels.RESULT, channels.AGGREGATE)


def delete(settings: Settings, names: Sequence[str], *, wait: bool) -> Exit:
    """Delete the deployments that exist; those that do not are reported as not found."""
    for name in names:
        _check_name(name)
    deadline = time.monotonic() + settings.within(WAIT_SECONDS if wait else ANSWER_SECONDS)
    with Session(settings, filters_for(settings.topics, _WANTED, names)) as session:
        following = Following(session)
        stored: set[str] = set()
        for heard in session.collect():
            following.take(heard)
            if heard.address is not None and heard.address.channel is channels.SPEC and not heard.cleared:
                stored.add(heard.address.deployment)
        known = [name for name in names if name in stored or name in following.results or name in following.aggregates]
        for name in known:
            topic = settings.topics.topic(channels.SPEC, deployment=name)
            session.publish(topic, b"", retain=True, timeout=max(deadline - time.monotonic(), 1.0))
        outcomes = dict.fromkeys(names, "not found") | _answers(following, known, deadline)
        for name, outcome in outcomes.items():
            _say(name, outcome, following, settings.output)
        codes = [_CODES[outcome] for outcome in outcomes.values()]
        if wait:
            codes += following.until_gone([name for name in known if outcomes[name] != "unanswered"], deadline)
    if settings.output is not Output.TABLE:
        print(as_text(settings.output, [{"name": name, "outcome": word} for name, word in outcomes.items()]), end="")
    return worst(codes)


_CODES = {"deleted": Exit.OK, "not found": Exit.NOT_FOUND, "unanswered": Exit.TIMED_OUT}


def _answers(following: Following, names: Sequence[str], deadline: float) -> dict[str, str]:
    """``deleted`` for each that the orchestrator has taken: it says so, or has cleared its answer already."""
    outcomes = dict.fromkeys(names, "unanswered")
    while True:
        for name in names:
            result, status = following.results.get(name), following.aggregates.get(name)
            removing = status is not None and status.phase in ("Removing", "Removed")
            if removing or name in following.cleared or (result is not None and result.outcome == "deleted"):
                outcomes[name] = "deleted"
        left = deadline - time.monotonic()
        if "unanswered" not in outcomes.values() or left <= 0:
            return outcomes
        following.step(left)


def _say(name: str, outcome: str, following: Following, output: Output) -> None:
    tell = print if output is Output.TABLE else note
    if outcome == "unanswered":
        tell(f"{name}: no answer; {orchestrator_state(following)}")
        tell("  the spec is off the broker; an orchestrator removes the deployment when it comes")
    else:
        tell(f"{name}: {outcome}")


def _check_name(name: str) -> None:
    try:
        check_dns_label(name)
    except ValueError as error:
        raise CliError(Exit.USAGE, str(error)) from error
