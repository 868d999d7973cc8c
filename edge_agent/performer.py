"""Performs the effects that reach the runtime: work, health checks, discards, probing.

Everything that comes of it returns through ``report``, on a worker's thread; nothing here knows the
records or the journal.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from edge_agent.appliers.port import Applier, ApplyError, CancelCheck
from edge_agent.happenings import CheckHealth, Event, StartWork
from edge_agent.model import Step
from edge_agent.ports import Clock, Executor, Probe
from edge_agent.work import look, perform, suits_device
from topics.documents.device import Capabilities
from topics.documents.manifest import Manifest
from topics.program.logs import EventLog

PROGRESS_SECONDS = 0.5
"""The least time between two progress messages of a deployment."""

CLOSE_SECONDS = 2.0
"""How long an applier may take to let go of its connections when the agent ends."""

_PROBE = "(probe)"  # no deployment can be called so


@dataclass(frozen=True, slots=True)
class Happened:
    """An event for a deployment, from a worker."""

    deployment: str
    event: Event


@dataclass(frozen=True, slots=True)
class Noticed:
    """The runtime says that something of a deployment may have changed."""

    deployment: str


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far a download is, in bytes."""

    deployment: str
    generation: int
    component: str
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Probed:
    """What the device is now; ``began`` is when the measurement started (monotonic seconds)."""

    capabilities: Capabilities
    began: float


@dataclass(frozen=True, slots=True)
class NotProbed:
    """The measurement failed, for a reason that no measurement should fail for."""

    problem: str


News: TypeAlias = Happened | Noticed | Progressed | Probed | NotProbed


class Performer:
    """Gives jobs to the executor. Checks wait until the device is known (``learn``)."""

    def __init__(
        self,
        applier: Applier,
        probe: Probe,
        executor: Executor,
        *,
        report: Callable[[News], None],
        clock: Clock,
        log: EventLog,
    ) -> None:
        self._applier = applier
        self._probe = probe
        self._executor = executor
        self._report = report
        self._clock = clock
        self._log = log
        self._looks: set[str] = set()
        self._capabilities: Capabilities | None = None
        self._held: dict[str, Callable[[], None]] = {}

    def learn(self, capabilities: Capabilities) -> None:
        """What the device is from now on; checks that waited for the first measurement are made."""
        self._capabilities = capabilities
        held, self._held = self._held, {}
        for start in held.values():
            start()

    def start(self, name: str, effect: StartWork, payload: bytes, *, at_work: bool) -> None:
        """Do a step. ``at_work``: something of the deployment may be at work on the device, and uses its share."""
        capabilities = self._capabilities
        if capabilities is None and effect.work.step is Step.CHECK:
            self._held[name] = partial(self.start, name, effect, payload, at_work=at_work)
            return
        last = [0.0]

        def progress(component: str, done: int, total: int | None) -> None:
            now = time.monotonic()
            # The end of a component's download is told in any case: a short one has nothing else.
            if not last[0] or now - last[0] >= PROGRESS_SECONDS or (done and done == total):
                last[0] = now
                self._report(Progressed(name, effect.generation, component, done, total))

        def suits(manifest: Manifest) -> None:
            assert capabilities is not None, "only a check asks, and it is held until they are known"
            suits_device(manifest, capabilities, None if at_work else self._probe.free(capabilities))

        def job(cancelled: CancelCheck) -> None:
            event = perform(
                effect.work, name, payload, self._applier,
                progress=progress, cancelled=cancelled, suits=suits, log=self._log,
            )  # fmt: skip
            if event is not None:
                self._report(Happened(name, event))

        self._executor.submit(name, job)

    def check_health(self, name: str, effect: CheckHealth, payload: bytes) -> None:
        if effect.noticed and name in self._looks:
            return  # a look that has not begun yet sees what this one would

        def job(cancelled: CancelCheck) -> None:
            self._looks.discard(name)
            self._report(Happened(name, look(effect, payload, self._applier, self._log)))

        self._looks.add(name)
        self._executor.submit(name, job)

    def discard(self, name: str, generation: int) -> None:
        def job(cancelled: CancelCheck) -> None:
            try:
                self._applier.discard(name, generation)
            except ApplyError as error:
                # It is in nobody's way, and the next update or the removal takes it along.
                self._log.warning("not discarded", deployment=name, generation=generation, reason=str(error))

        self._executor.submit(name, job)

    def watch(self) -> None:
        """Let the runtime say, as ``Noticed``, when something of a deployment may have changed."""
        self._applier.watch(lambda name: self._report(Noticed(name)))

    def cancel(self, name: str) -> None:
        self._held.pop(name, None)
        self._executor.cancel((name,))

    def probe(self) -> None:
        """Measure the device anew; ``Probed`` or ``NotProbed`` follows."""

        def job(cancelled: CancelCheck) -> None:
            began = self._clock.monotonic()
            try:
                news: News = Probed(self._measure(), began)
            except Exception as error:
                # A bug of the probe must not cost the deployments their agent.
                self._log.error("the device could not be measured", trace=True)  # an EventLog
                news = NotProbed(f"{type(error).__name__}: {error}")
            self._report(news)

        self._executor.submit(_PROBE, job)

    def stop(self) -> None:
        self._executor.stop()
        # A runtime that does not answer must not hold the process up.
        closing = threading.Thread(target=self._applier.close, name="closing", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)

    def _measure(self) -> Capabilities:
        time_of_measurement = self._clock.wall()
        return self._probe.capabilities().model_copy(update={"time": time_of_measurement})
