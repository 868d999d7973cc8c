"""paho's client, made cheaper per message where a backlog is drained.

paho makes four ``recv`` calls, a ``select`` and two ``send`` calls for each message that it receives and
acknowledges, and gives the interpreter's lock away in each of them. Here one ``recv`` takes what has
arrived, and the acknowledgements of a batch are one packet for paho. Both go through paho's own queues
and states: with a paho that is built otherwise ``_create_socket`` is never called and all is as without it.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTErrorCode

_READ_BYTES = 16_384
_READS_PER_TURN = 200
"""Packets read before the loop looks at what it has to write and at its keep-alive again."""


class _ReadAheadSocket(socket.socket):
    """A socket that reads ahead. ``pending`` says how many bytes it holds, as that of TLS sockets does."""

    def __init__(self, plain: socket.socket) -> None:
        super().__init__(plain.family, plain.type, plain.proto, fileno=plain.detach())
        self._ahead = b""
        self._at = 0

    def pending(self) -> int:
        return len(self._ahead) - self._at

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        if self._at == len(self._ahead):
            if size >= _READ_BYTES:
                return super().recv(size, flags)
            self._ahead = super().recv(_READ_BYTES, flags)
            self._at = 0
        piece = self._ahead[self._at : self._at + size]
        self._at += len(piece)
        return piece


class BatchingClient(mqtt.Client):
    """``mqtt.Client`` with ``acknowledge`` for many messages."""

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """Send PUBACK for each packet id, in order. For QoS 1 messages of a client with ``manual_ack``."""
        packets = b"".join(struct.pack("!BBH", mqtt.PUBACK, 2, packet_id) for packet_id in packet_ids)
        if packets:
            self._packet_queue(mqtt.PUBACK, packets, packet_ids[-1], 1)

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        result = super().loop_read(max_packets)
        for _ in range(_READS_PER_TURN):
            connection: Any = self._sock
            if result or connection is None or not hasattr(connection, "pending") or not connection.pending():
                break
            result = super().loop_read(max_packets)
        return result

    def _create_socket(self) -> Any:
        connection: Any = super()._create_socket()
        return _ReadAheadSocket(connection) if type(connection) is socket.socket else connection
