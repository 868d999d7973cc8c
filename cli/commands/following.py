"""Following what the orchestrator says of some deployments until they are where they should be."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from cli.exits import Exit
from cli.fleet import failure_text
from cli.messages import Heard
from cli.printing import note, visible
from cli.session import Session
from topics import channels
from topics.channels import Channel, Topics
from topics.documents.answer import AggregateStatus, DeviceSummary, SpecResult
from topics.documents.device import OrchestratorPresence
from topics.lifecycle import State

_MOST_SINGLE_FILTERS = 3
"""Beyond so many names one wildcard is asked for: brokers bound the subscriptions of a client."""


def filters_for(topics: Topics, wanted: Sequence[Channel], names: Sequence[str]) -> list[str]:
    """The filters for these channels of these deployments, and for the orchestrator's presence."""
    each = names if len(names) <= _MOST_SINGLE_FILTERS else ["+"]
    filters = [topics.filter(channel, deployment=name) for channel in wanted for name in each]
    return [*filters, topics.filter(channels.ORCHESTRATOR_PRESENCE)]


class Following:
    """Results and aggregates as they come in on a session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.results: dict[str, SpecResult] = {}
        self.aggregates: dict[str, AggregateStatus] = {}
        self.orchestrator: OrchestratorPresence | None = None
        self.cleared: set[str] = set()
        """The deployments whose result was cleared while we listened."""
        self._told: dict[str, str] = {}

    def take(self, heard: Heard) -> None:
        """Keep what a message says; a cleared topic is forgotten."""
        if heard.problem is not None:
            note(f"undecodable message on {heard.topic}: {heard.problem}")
        if heard.address is None or heard.problem is not None:
            return
        name = heard.address.deployment
        if isinstance(heard.document, OrchestratorPresence):
            self.orchestrator = heard.document
        elif isinstance(heard.document, SpecResult):
            self.results[name] = heard.document
        elif isinstance(heard.document, AggregateStatus):
            self.aggregates[name] = heard.document
        elif heard.cleared and heard.address.channel is channels.RESULT:
            self.results.pop(name, None)
            self.cleared.add(name)
        elif heard.cleared and heard.address.channel is channels.AGGREGATE:
            self.aggregates.pop(name, None)

    def step(self, timeout: float) -> None:
        """Take the next message, if one comes within ``timeout`` seconds."""
        heard = self._session.next(timeout)
        if heard is not None:
            self.take(heard)

    def until_deployed(self, generations: Mapping[str, int], deadline: float) -> list[Exit]:
        """Wait until each deployment is Deployed in at least its generation; one code for each.

        Remarks go to standard error whenever something changes. A failure that the device will try
        again by itself is waited for; at the deadline it counts as failed.
        """
        codes: dict[str, Exit] = {}
        while True:
            for name, generation in generations.items():
                if name not in codes and (code := self._judge(name, generation)) is not None:
                    codes[name] = code
            left = deadline - time.monotonic()
            if len(codes) == len(generations):
                break
            if left <= 0:
                for name in set(generations) - set(codes):
                    codes[name] = self._late(name, generations[name])
                break
            self.step(left)
        return list(codes.values())

    def until_gone(self, names: Sequence[str], deadline: float) -> list[Exit]:
        """Wait until result and aggregate of each are cleared; one code for each."""
        while (left := deadline - time.monotonic()) > 0:
            remaining = [name for name in names if name in self.results or name in self.aggregates]
            if not remaining:
                break
            for name in remaining:
                status = self.aggregates.get(name)
                if status is not None and status.phase in ("Removing", "Removed"):  # not the news of before
                    self._tell(name, _progress(status))
            self.step(left)
        codes = []
        for name in names:
            gone = name not in self.results and name not in self.aggregates
            note(f"{name}: gone from every device" if gone else f"{name}: not gone yet; {self._where(name)}")
            codes.append(Exit.OK if gone else Exit.TIMED_OUT)
        return codes

    def _judge(self, name: str, generation: int) -> Exit | None:
        """The final code of a deployment, or ``None`` while it is on its way."""
        status = self.aggregates.get(name)
        if status is None or status.generation < generation:
            return None
        if status.phase == "Deployed":
            note(f"{name}: deployed (generation {status.generation}) on {status.total} device(s)")
            self._details(_refusals(status))
            return Exit.OK
        # A device that restored its last good generation is Deployed again, and has failed all the same.
        failed = [item for item in status.devices if item.state is State.FAILED or item.failure is not None]
        if status.phase == "NotPlaceable" or (
            status.phase == "Failed"
            and not any(item.failure and item.failure.next_retry_seconds is not None for item in failed)
        ):
            note(f"{name}: {status.phase}" + (f": {status.message}" if status.message else ""))
            self._details(_refusals(status) + [_line(item) for item in failed])
            return Exit.FAILED
        self._tell(name, _progress(status))
        return None

    def _late(self, name: str, generation: int) -> Exit:
        status = self.aggregates.get(name)
        known = status is not None and status.generation >= generation
        note(f"{name}: not deployed in time; {self._where(name) if known else orchestrator_state(self)}")
        if status is None or not known:
            return Exit.TIMED_OUT
        self._details([_line(item) for item in status.devices if item.state is not State.DEPLOYED])
        return Exit.FAILED if status.phase == "Failed" else Exit.TIMED_OUT

    def _where(self, name: str) -> str:
        status = self.aggregates.get(name)
        return _progress(status) if status is not None else orchestrator_state(self)

    def _tell(self, name: str, text: str) -> None:
        if self._told.get(name) != text:
            self._told[name] = text
            note(f"{name}: {text}")

    @staticmethod
    def _details(lines: Sequence[str]) -> None:
        for line in lines:
            note(f"  {line}")


def orchestrator_state(following: Following) -> str:
    """What the orchestrator's presence says, in words for a person who waits."""
    presence = following.orchestrator
    if presence is None:
        return "no orchestrator has ever announced itself on this broker (is --root right?)"
    if not presence.online:
        return "the orchestrator is offline"
    return "the orchestrator says it is online and has not answered"


def _progress(status: AggregateStatus) -> str:
    counts = ", ".join(f"{count} {state}" for state, count in sorted(status.counts.items()) if count)
    offline = [item.device for item in status.devices if not item.online and item.state is not State.DEPLOYED]
    waiting = f"; waiting for {', '.join(offline)} (offline)" if offline else ""
    unknown = f"; never heard of {', '.join(status.waiting_for)}" if status.waiting_for else ""
    return f"{status.phase} (generation {status.generation}): {counts or 'no device yet'}{waiting}{unknown}"


def _refusals(status: AggregateStatus) -> list[str]:
    return [f"{item.device}: {reason.message}" for item in status.not_placeable for reason in item.reasons]


def _line(item: DeviceSummary) -> str:
    what = failure_text(item.failure) if item.failure else "" if item.online else "the device is offline"
    return visible(f"{item.device}: {item.state or 'no report yet'}" + (f": {what}" if what else ""))
