"""A subscriber that records everything below the root and waits for conditions.

It is a plain MQTT client, as any dashboard is one: what it sees is what the contract promises. It
connects again by itself, because brokers die in the tests that use it.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.mqtt_client import PlainClient

ROOT = "fleetbus/v1"
WAIT_SECONDS = 20.0
RECENT = 25
"""How many of the newest messages a failed wait shows."""
QUIET_SECONDS = 0.3
"""A broker that has sent no further retained message for this long has sent them all (they come at once)."""

Json = dict[str, Any]


class Observer:
    """Records (topic, payload) in the order of arrival, topics without the root."""

    def __init__(self, url: str, still_possible: Callable[[], None] = lambda: None) -> None:
        """``still_possible`` is called while waiting and raises when what is waited for can no longer come."""
        self.url = url
        self._still_possible = still_possible
        self._changed = threading.Condition()
        self._messages: list[tuple[str, bytes]] = []
        self._recent: deque[tuple[float, str, bytes]] = deque(maxlen=RECENT)
        self._last: dict[str, bytes] = {}
        self._subscribed = 0
        self._client = paho.Client(CallbackAPIVersion.VERSION2, clean_session=True, protocol=paho.MQTTv311)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        parts = urlsplit(self.url)
        self._client.connect_async(parts.hostname or "", parts.port or 0, keepalive=30)
        self._client.loop_start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    # -- what was seen ---------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many messages have arrived; a mark for ``since``."""
        with self._changed:
            return len(self._messages)

    def last(self, topic: str) -> Json | None:
        """The newest document on a topic; ``None`` if there is none or it was cleared."""
        with self._changed:
            payload = self._last.get(topic)
        return json.loads(payload) if payload else None

    def documents(self, topic: str, since: int = 0) -> list[Json]:
        """Every document that arrived on a topic, in order."""
        with self._changed:
            found = [payload for name, payload in self._messages[since:] if name == topic]
        return [json.loads(payload) for payload in found if payload]

    def topics(self, since: int = 0) -> set[str]:
        with self._changed:
            return {name for name, _ in self._messages[since:]}

    def status(self, device: str, deployment: str) -> Json:
        """The newest status; empty if there is none."""
        return self.last(f"devices/{device}/status/{deployment}") or {}

    def aggregate(self, deployment: str) -> Json:
        return self.last(f"deployments/{deployment}/status") or {}

    def result(self, deployment: str) -> Json:
        return self.last(f"specs/{deployment}/result") or {}

    def transitions(self, device: str, deployment: str) -> list[Json]:
        """The transition events by sequence; a second delivery must say the same."""
        by_sequence: dict[int, Json] = {}
        for event in self.documents(f"devices/{device}/events/{deployment}"):
            assert by_sequence.setdefault(event["sequence"], event) == event
        return [by_sequence[number] for number in sorted(by_sequence)]

    # -- waiting ---------------------------------------------------------------------------------

    def wait(
        self, what: str, holds: Callable[[], bool], shown: Callable[[], object] = str, seconds: float = WAIT_SECONDS
    ) -> None:
        """Return when ``holds`` (looked at after each arrival and now and then); fails otherwise."""
        deadline = time.monotonic() + seconds
        while not holds():
            self._still_possible()
            assert time.monotonic() < deadline, (
                f"waited {seconds:g} s for {what}; last: {shown()}\nnewest messages:\n{self._newest()}"
            )
            with self._changed:
                self._changed.wait(0.05)  # files and stores change without a message

    def wait_connected(self) -> None:
        self.wait("the observer's subscription", lambda: self._client.is_connected() and self._subscribed > 0)

    def wait_aggregate(self, deployment: str, what: str, holds: Callable[[Json], bool]) -> Json:
        return self._wait_document(f"{what} in the aggregate of {deployment}", self.aggregate, deployment, holds)

    def wait_phase(self, deployment: str, phase: str, generation: int | None = None) -> Json:
        return self.wait_aggregate(
            deployment,
            f"{phase} of generation {generation or 'any'}",
            lambda found: found["phase"] == phase and generation in (None, found["generation"]),
        )

    def wait_result(self, deployment: str, what: str, holds: Callable[[Json], bool]) -> Json:
        return self._wait_document(f"{what} in the result of {deployment}", self.result, deployment, holds)

    def wait_status(self, device: str, deployment: str, what: str, holds: Callable[[Json], bool]) -> Json:
        return self._wait_document(
            f"{what} in the status of {deployment} on {device}",
            lambda name: self.status(device, name), deployment, holds,
        )  # fmt: skip

    def wait_state(self, device: str, deployment: str, state: str, generation: int | None = None) -> Json:
        return self.wait_status(
            device, deployment, f"{state} of generation {generation or 'any'}",
            lambda found: found["state"] == state and generation in (None, found["generation"]),
        )  # fmt: skip

    def _wait_document(
        self, what: str, read: Callable[[str], Json], deployment: str, holds: Callable[[Json], bool]
    ) -> Json:
        found: Json = {}

        def reached() -> bool:
            nonlocal found
            found = read(deployment)
            return bool(found) and holds(found)

        self.wait(what, reached, lambda: found)
        return found

    def _newest(self) -> str:
        now = time.monotonic()
        with self._changed:
            recent = list(self._recent)
        return "\n".join(f"{arrived - now:+.2f} s {topic} {payload[:160]!r}" for arrived, topic, payload in recent)

    # -- paho's thread ---------------------------------------------------------------------------

    def _on_connect(self, client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if not reason.is_failure:
            client.subscribe(f"{ROOT}/#", 1)

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        with self._changed:
            self._subscribed += not reasons[0].is_failure
            self._changed.notify_all()

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        with self._changed:
            topic = message.topic.removeprefix(ROOT + "/")
            self._messages.append((topic, bytes(message.payload)))
            self._last[topic] = bytes(message.payload)
            self._recent.append((time.monotonic(), topic, bytes(message.payload)))
            self._changed.notify_all()


def publish(url: str, topic: str, payload: bytes | str, *, retain: bool = False) -> None:
    """Publish below the root as a stranger would (``mosquitto_pub -q 1``) and wait for the PUBACK."""
    with PlainClient(url) as client:
        client.publish(f"{ROOT}/{topic}", payload, retain=retain)


def retained(url: str) -> dict[str, bytes]:
    """What the broker keeps below the root, as a fresh subscriber gets it: payloads by topic, without the root."""
    with PlainClient(url) as client:
        client.subscribe(f"{ROOT}/#")
        return dict(_until_quiet(client))


def _until_quiet(client: PlainClient) -> Iterator[tuple[str, bytes]]:
    seen = -1
    while seen < len(client.messages):
        seen = before = len(client.messages)
        with contextlib.suppress(TimeoutError):  # then it is quiet, and the loop ends
            client.wait_until(partial(_has_more, client, before), "message", QUIET_SECONDS)
    for topic, payload, kept in list(client.messages):
        if kept:
            yield topic.removeprefix(ROOT + "/"), payload


def _has_more(client: PlainClient, count: int) -> bool:
    return len(client.messages) > count
