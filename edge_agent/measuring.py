"""When the device is measured, who asked for it, and what is told of it: capabilities and what is left.

For the deciding thread alone. Measuring itself runs on a worker and comes back as ``Probed``; at most one
is under way, whatever the number of questions.
"""

from __future__ import annotations

from edge_agent.deliberation import Deliberation
from edge_agent.incoming import BadQuestion, read_question
from edge_agent.performer import NotProbed, Performer, Probed
from edge_agent.ports import Clock
from edge_agent.reports import Reports
from topics.allocation import Share, left_of
from topics.documents.device import Capabilities
from topics.errors import ContractError
from topics.program.logs import EventLog
from topics.transport.port import Bus

ALLOCATABLE_SECONDS = 1.0
"""The least time between two messages of what is left."""

SOON_SECONDS = 15.0
"""The first regular measurement: a device that has just booted may still be starting its runtimes. Each
further pause is twice as long, up to the period that was set."""

SPACING_SECONDS = 1.0
"""The least time between the starts of two measurements: programs are started for each, and nobody who asks
again and again may take the device's processor."""

LONGEST_SECONDS = 60.0
"""After how long a measurement counts as stuck: no source of it takes a third of that, but a read of a dead
network disk or a broken driver never ends. Whoever asks is told so; there is no second one beside it."""

MOST_WAITING = 32
"""Questions that wait for one measurement; further ones are told to come again."""


class Measuring:
    """Keeps the device's own description current on the broker, and answers questions about it."""

    def __init__(
        self,
        *,
        probe_seconds: float,
        performer: Performer,
        minds: Deliberation,
        reports: Reports,
        bus: Bus,
        clock: Clock,
        log: EventLog,
    ) -> None:
        self._probe_seconds = probe_seconds
        self._performer = performer
        self._minds = minds
        self._reports = reports
        self._bus = bus
        self._clock = clock
        self._log = log
        self._measured_at = 0.0
        self._told: Capabilities | None = None  # until the first measurement is done
        self._running = False
        self._pause = min(SOON_SECONDS, probe_seconds) / 2  # doubled when the first one starts
        self._next_regular = self._earliest = self._began = clock.monotonic()
        self._in_doubt = False
        self._waiting: list[str] = []  # for the next measurement
        self._asked: list[str] = []  # for the one under way
        self._answers: list[tuple[str, str]] = []  # question and problem, empty if there is none
        self._left: tuple[Share, tuple[tuple[str, Share], ...]] | None = None
        self._next_left = 0.0

    def next_due(self) -> float:
        """When ``tick`` has something to do (monotonic seconds)."""
        wanted = self._next_left or float("inf")
        if not self._running:
            return min(wanted, self._earliest if self._waiting else max(self._next_regular, self._earliest))
        return min(wanted, self._began + LONGEST_SECONDS) if self._asked or self._waiting else wanted

    def greet(self) -> None:
        """A new session: the broker may have lost what was told."""
        if self._told is not None:
            self._minds.publish(self._reports.capabilities(self._told))
        self._left = None

    def hear(self, payload: bytes, *, stored: bool) -> None:
        """A question came in; its answer follows the next measurement that starts.

        Raises ``ContractError`` for one that nobody can be answered for: no id can be read in it, or it is a
        stored one, which would be asked again with every connection when who wanted to know is long gone.
        """
        if stored:
            raise ContractError.because("stored-question", "it is stored: publish questions without retain")
        question = read_question(payload)
        name = question.id
        if isinstance(question, BadQuestion):
            self._log.debug("question not understood", query=name, reason=question.problem)
            self._answers.append((name, question.problem))
        elif name in self._waiting:
            self._log.debug("question is waiting already", query=name)
        elif len(self._waiting) >= MOST_WAITING:
            self._answers.append((name, f"{MOST_WAITING} questions are waiting already; ask again in a while"))
        else:
            self._waiting.append(name)

    def tick(self, now: float) -> None:
        """Start the measurement that is due, and publish what is left if that changed."""
        if not self._running and now >= self._earliest and (self._waiting or now >= self._next_regular):
            self._asked, self._waiting = self._waiting, []
            self._running = True
            self._began = now
            self._earliest = now + SPACING_SECONDS
            if now >= self._next_regular:
                self._pause = min(2 * self._pause, self._probe_seconds)
            self._next_regular = now + self._pause
            self._performer.probe()
        if self._running and now >= self._began + LONGEST_SECONDS:
            self._asked += self._waiting
            self._waiting = []
            self._finish(f"a measurement has been under way for {now - self._began:.0f} s and does not end")
        self._publish_left(now)

    def probed(self, news: Probed) -> None:
        """The device was measured."""
        self._running = False
        if self._is_doubtful(news.capabilities):
            self._log.info("a runtime does not answer, it is asked again before that is told")
            self._next_regular = self._clock.monotonic() + min(SOON_SECONDS, self._probe_seconds)
            return
        self._measured_at = news.began
        self._learn(news.capabilities)
        self._finish("")

    def not_probed(self, news: NotProbed) -> None:
        """The device could not be measured; what was told stays."""
        self._running = False
        self._finish(f"the device could not be measured: {news.problem}")

    def send_answers(self) -> None:
        """Publish the finished answers, after what is retained: who hears the answer finds it there."""
        answers, self._answers = self._answers, []
        for name, problem in answers:
            if self._bus.connected:  # else nobody waits any more
                topic, payload = (
                    self._answer(name, self._told)
                    if self._told is not None and not problem
                    else self._reports.answer_problem(name, problem)
                )
                self._bus.publish(topic, payload, qos=0, retain=False, token=0)

    def _is_doubtful(self, found: Capabilities) -> bool:
        """Whether a runtime that was there is missing for the first time.

        It may just be starting again, perhaps with the whole device, and a deployment must not be moved away for that. Who asked is told
        the plain truth at once.
        """
        gone = self._minds.runtimes - {runtime.name for runtime in found.runtimes}
        self._in_doubt = bool(gone) and not self._in_doubt and not self._asked
        return self._in_doubt

    def _learn(self, found: Capabilities) -> None:
        before, self._told = self._told, found
        if before is None or not _same(found, before):
            self._minds.describe(found)
            self._left = None
            self._log.info("capabilities changed" if before else "capabilities are known")
            self._minds.publish(self._reports.capabilities(found))
        self._performer.learn(found)

    def _publish_left(self, now: float) -> None:
        if self._told is None or not (self._left is None or self._minds.changed_records or self._next_left):
            return
        current = self._what_is_left()
        if current == self._left:
            self._next_left = 0.0
            return
        if self._left is not None and now < self._next_left:
            return
        self._left = current
        self._next_left = now + ALLOCATABLE_SECONDS
        self._minds.publish(self._reports.allocatable(*current))

    def _what_is_left(self) -> tuple[Share, tuple[tuple[str, Share], ...]]:
        promises = self._minds.promises()
        return left_of(self._minds.capacity, (share for _, share in promises)), promises

    def _answer(self, name: str, told: Capabilities) -> tuple[str, bytes]:
        age = max(0.0, self._clock.monotonic() - self._measured_at)
        return self._reports.answer(name, told, *self._what_is_left(), age)

    def _finish(self, problem: str) -> None:
        self._answers.extend((name, problem) for name in self._asked)
        self._asked = []


def _same(one: Capabilities, other: Capabilities) -> bool:
    """Whether they say the same of the device; when they were measured is no difference."""
    return one.model_copy(update={"time": ""}) == other.model_copy(update={"time": ""})
