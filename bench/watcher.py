"""A bare paho client that publishes, and notes when each message came.

It is the subscriber of the figures and the baseline beside them: nothing of the project is in it.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

WAIT_SECONDS = 60.0


class Watcher:
    """Subscribed to ``filters`` (QoS 1) inside a ``with`` block.

    ``wait_for`` returns the monotonic time of the first message since the last ``forget`` that matches.
    """

    def __init__(self, port: int, filters: Sequence[str]) -> None:
        self._filters = [(text, 1) for text in filters]
        self._changed = threading.Condition()
        self._messages: list[tuple[float, str, bytes]] = []
        self._ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        self._client.max_inflight_messages_set(0)
        self._client.on_socket_open = _without_delay
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message
        self._port = port

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert self._ready.wait(10), "the broker does not grant the subscriptions"
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> float:
        """Publish with QoS 1; the monotonic time just before."""
        now = time.monotonic()
        self._client.publish(topic, payload, qos=1, retain=retain)
        return now

    def forget(self) -> None:
        with self._changed:
            self._messages.clear()

    def wait_for(
        self, what: str, matches: Callable[[str, bytes], bool], *, count: int = 1, seconds: float = WAIT_SECONDS
    ) -> float:
        """When the ``count``-th matching message came. Raises ``AssertionError`` if it does not come."""
        deadline = time.monotonic() + seconds
        looked, found = 0, 0
        while True:
            with self._changed:
                while looked == len(self._messages):
                    left = deadline - time.monotonic()
                    assert left > 0, f"{what}: only {found} of {count} came within {seconds:g} s"
                    self._changed.wait(left)
                fresh = self._messages[looked:]
            looked += len(fresh)
            for at, topic, payload in fresh:
                if matches(topic, payload):
                    found += 1
                    if found == count:
                        return at

    def _on_connect(self, *_: Any) -> None:
        self._client.subscribe(self._filters)

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        at = time.monotonic()
        with self._changed:
            self._messages.append((at, message.topic, bytes(message.payload)))
            self._changed.notify_all()


def _without_delay(_client: Any, _data: Any, connection: Any) -> None:
    # As every program here does: a PUBACK must not wait for the delayed acknowledgement of TCP.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
