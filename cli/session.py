"""The CLI's connection to the broker: subscribe, read what is retained, wait for an answer, publish.

A short-lived client: a clean session and a random client id, so that two calls never share a session
and nothing stays behind on the broker.
"""

from __future__ import annotations

import queue
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

from cli.context import Settings
from cli.exits import CliError, Exit
from cli.messages import Heard, read_message
from topics.errors import ContractError
from topics.identifiers import client_id
from topics.transport.mqtt import MqttBus
from topics.transport.port import BusEvent, Connected, Delivered, Disconnected, Received

CONNECT_SECONDS = 5.0
"""How long CONNACK and SUBACK may take at first."""

SUBSCRIBE_AGAIN_SECONDS = 1.0
"""When to ask for what is retained once more: what came in the instant of the subscription may be lost
(``MqttBus``), and a command that waits would wait for it in vain."""

_CHECK_SECONDS = 0.5


class Session:
    """A subscribed connection; use it as a context manager.

    ``filters`` are asked for with QoS 1. They must not overlap, or brokers deliver a message twice.
    ``stays`` is for commands that run on: they outlive a lost connection; the others end with an error.
    Without ``decoded`` messages keep their payload alone, for a command that reads them itself.
    """

    def __init__(
        self, settings: Settings, filters: Sequence[str], *, stays: bool = False, decoded: bool = True
    ) -> None:
        self._topics = settings.topics
        self._url = settings.broker.url
        self._quiet = settings.quiet
        self._stays = stays
        self._decoded = decoded
        self._events: queue.SimpleQueue[tuple[float, BusEvent]] = queue.SimpleQueue()
        self._early: list[Heard] = []
        self._tokens = 0
        self._delivered: set[int] = set()
        self._live: set[str] = set()
        self._checked = 0.0
        self.lost: str | None = None
        """Why there is no connection at the moment, or ``None``."""
        self._bus = MqttBus(
            settings.broker,
            client_id("cli", secrets.token_hex(6)),
            on_event=lambda event: self._events.put((time.monotonic(), event)),
            subscriptions=[(item, 1) for item in filters],
            clean_session=True,
            subscribe_again_seconds=SUBSCRIBE_AGAIN_SECONDS,
        )

    def __enter__(self) -> Self:
        self._bus.start()
        try:
            self._connect()
        except BaseException:
            self._bus.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bus.stop()

    def publish(self, topic: str, payload: bytes, *, retain: bool, timeout: float) -> None:
        """Publish with QoS 1 and return when the broker has it.

        Raises ``CliError``: too large (usage), not taken over in time (unreachable).
        """
        self._tokens += 1
        token = self._tokens
        try:
            self._bus.publish(topic, payload, qos=1, retain=retain, token=token)
        except ContractError as error:
            raise CliError(Exit.USAGE, str(error)) from error
        deadline = time.monotonic() + timeout
        while token not in self._delivered:
            left = deadline - time.monotonic()
            if left <= 0:
                raise CliError(Exit.UNREACHABLE, f"{self._url} did not confirm {topic} within {timeout:g} s")
            heard = self._next(left)
            if heard is not None:
                self._early.append(heard)

    def send(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 0, not retained: nobody confirms it."""
        self._bus.publish(topic, payload, qos=0, retain=False)

    def collect(self) -> list[Heard]:
        """What is retained now: everything until the quiet period passes without a message."""
        found: list[Heard] = []
        while True:
            heard = self.next(self._quiet)
            if heard is None:
                return found
            found.append(heard)

    def wait_for(self, take: Callable[[Heard], bool], timeout: float) -> bool:
        """Hand every message to ``take`` until it returns true; false when the time is over."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            heard = self.next(left)
            if heard is not None and take(heard):
                return True
        return False

    def stream(self, every: float, timeout: float | None = None) -> Iterator[Heard | None]:
        """Every message as it comes, and ``None`` at least each ``every`` seconds; ends after ``timeout``."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while deadline is None or time.monotonic() < deadline:
            left = every if deadline is None else min(every, max(deadline - time.monotonic(), 0.0))
            yield self.next(left)

    def next(self, timeout: float) -> Heard | None:
        """The next message, or ``None`` when ``timeout`` seconds passed without one."""
        if self._early:
            return self._early.pop(0)
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            heard = self._next(max(left, 0.0))
            if heard is not None or left <= 0:
                return heard

    def _next(self, timeout: float) -> Heard | None:
        """One event, waited for at most ``timeout`` seconds; ``None`` if it is no message, or no news."""
        now = time.monotonic()
        if now - self._checked >= _CHECK_SECONDS:
            self._checked = now
            self._bus.check()
        try:
            at, event = self._events.get(timeout=min(timeout, _CHECK_SECONDS))
        except queue.Empty:
            return None
        if isinstance(event, Received):
            self._bus.acknowledge(event)
            return None if self._is_overtaken(event) else self._read(event, at)
        if isinstance(event, Delivered):
            self._delivered.add(event.token)
        elif isinstance(event, Connected):
            self.lost = None
        elif isinstance(event, Disconnected):
            self.lost = event.reason
            self._live.clear()
            if not self._stays:
                raise CliError(Exit.UNREACHABLE, f"the connection to {self._url} was lost: {event.reason}")
        return None

    def _is_overtaken(self, event: Received) -> bool:
        """Whether a retained message is older than one that came live: NATS may send it after that one."""
        if event.retain:
            return event.topic in self._live
        self._live.add(event.topic)
        return False

    def _read(self, event: Received, at: float) -> Heard:
        if not self._decoded:
            return Heard(event.topic, None, event.payload, event.retain, at)
        return read_message(self._topics, event.topic, event.payload, retained=event.retain, at=at)

    def _connect(self) -> None:
        deadline = time.monotonic() + CONNECT_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            try:
                at, event = self._events.get(timeout=min(left, _CHECK_SECONDS))
            except queue.Empty:
                self._bus.check()
                continue
            if isinstance(event, Connected):
                return
            if isinstance(event, Received):  # retained messages may overtake the SUBACK
                self._bus.acknowledge(event)
                self._early.append(self._read(event, at))
            elif isinstance(event, Disconnected):
                raise CliError(
                    Exit.UNREACHABLE,
                    f"cannot reach the broker: {event.reason}",
                    [f"is it running, and is {self._url} right? (--broker, FLEETBUS_BROKER)"],
                )
        raise CliError(Exit.UNREACHABLE, f"{self._url} took the connection and did not answer within 5 s")
