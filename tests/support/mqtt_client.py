"""A plain MQTT 3.1.1 client for tests, as any third party would write one: paho, and nothing of the project."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

WAIT_SECONDS = 10.0


class RefusedError(Exception):
    """The broker answered CONNECT with a refusal; the message is its reason."""


class PlainClient:
    """One connected client; every call waits for the broker's answer, and nothing waits longer than 10 s.

    ``messages`` holds what arrived, as (topic, payload, retained), in order. A block makes the client
    connected: ``with PlainClient(broker.url, "me") as client:``.
    """

    def __init__(
        self,
        url: str,
        client_id: str = "",
        *,
        username: str | None = None,
        password: str | None = None,
        tls: ssl.SSLContext | None = None,
        clean_session: bool = True,
        will: tuple[str, bytes] | None = None,
    ) -> None:
        parts = urlsplit(url)
        assert parts.hostname, url
        assert parts.port, url
        self._address = (parts.hostname, parts.port)
        self._changed = threading.Condition()
        self._answers: dict[int, Any] = {}
        self._connack: str | None = None
        self.messages: list[tuple[str, bytes, bool]] = []
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=clean_session,
            protocol=paho.MQTTv311,
            transport="websockets" if parts.scheme.startswith("ws") else "tcp",
            reconnect_on_failure=False,
        )
        if self._client.transport == "websockets":
            self._client.ws_set_options(path=parts.path or "/mqtt")
        if username is not None:
            self._client.username_pw_set(username, password)
        if will is not None:
            self._client.will_set(*will, qos=1)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._client.on_socket_open = _without_delay
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    def connect(self) -> None:
        """Connect and wait for the CONNACK.

        Raises:
            RefusedError: the broker refused it, or closed the connection instead of an answer.
            OSError: no TCP or TLS connection.
            TimeoutError: no CONNACK within 10 s.

        """
        self._client.connect(*self._address, keepalive=30)
        self._client.loop_start()
        self.wait_until(lambda: self._connack is not None, "CONNACK")
        if self._connack != "Success":
            self.close()
            raise RefusedError(self._connack)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def vanish(self) -> None:
        """Break the connection without a DISCONNECT: the broker publishes the will."""
        connection = self._client.socket()
        assert isinstance(connection, socket.socket), "not connected over plain TCP or TLS"
        connection.shutdown(socket.SHUT_RDWR)
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes | str, *, retain: bool = False) -> None:
        """Publish with QoS 1 and wait for the PUBACK."""
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        assert info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS, info.rc
        self.wait_until(lambda: info.mid in self._answers, f"PUBACK for {topic}")

    def subscribe(self, topic_filter: str, qos: int = 1) -> bool:
        """Subscribe and wait for the SUBACK; whether the broker says it granted it."""
        code, mid = self._client.subscribe(topic_filter, qos)
        assert code == MQTTErrorCode.MQTT_ERR_SUCCESS, code
        assert mid is not None
        self.wait_until(lambda: mid in self._answers, f"SUBACK for {topic_filter}")
        return not self._answers[mid][0].is_failure

    def wait_for(self, payload: bytes) -> None:
        """Return when a message with this payload has arrived; ``TimeoutError`` after 10 s."""
        self.wait_until(lambda: payload in self.payloads, f"payload {payload!r}")

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _, payload, _ in self.messages]

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
        """Return when the condition, looked at after each arrival, holds; ``TimeoutError`` otherwise."""
        with self._changed:
            if not self._changed.wait_for(condition, seconds):
                raise TimeoutError(f"no {what} within {seconds:g} s; arrived: {self.messages[-20:]}")

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        with self._changed:
            self._connack = str(reason)
            self._changed.notify_all()

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        with self._changed:
            self._connack = self._connack or f"closed: {reason}"
            self._changed.notify_all()

    def _on_publish(self, _client: Any, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        self._answer(mid, reason)

    def _on_subscribe(self, _client: Any, _data: Any, mid: int, reasons: Any, _properties: Any) -> None:
        self._answer(mid, reasons)

    def _answer(self, mid: int, answer: Any) -> None:
        with self._changed:
            self._answers[mid] = answer
            self._changed.notify_all()

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        with self._changed:
            self.messages.append((message.topic, bytes(message.payload), message.retain))
            self._changed.notify_all()

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _without_delay(_client: Any, _data: Any, opened: object) -> None:
    # paho leaves Nagle's algorithm on: an acknowledgement followed by a publish would cost 40 ms.
    if isinstance(opened, socket.socket):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
