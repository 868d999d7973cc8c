"""A bus moved by hand: nothing is delivered, connected or lost unless the test says so."""

from __future__ import annotations

from topics.errors import ContractError
from topics.transport.port import Received


class HandBus:
    """Remembers what it was handed. ``too_large``: payloads over so many bytes are refused."""

    def __init__(self) -> None:
        self.is_connected = True
        self.too_large = 1024 * 1024
        self.sent: list[tuple[str, bytes]] = []
        self.tokens: list[int] = []
        self.acknowledged: list[Received] = []
        self.farewell: tuple[str, bytes] | None = None

    @property
    def connected(self) -> bool:
        return self.is_connected

    def start(self) -> None:
        self.is_connected = True

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, token: int) -> None:
        if len(payload) > self.too_large:
            raise ContractError.because("oversize", f"{len(payload)} bytes are too many")
        self.sent.append((topic, payload))
        self.tokens.append(token)

    def acknowledge(self, *messages: Received) -> None:
        self.acknowledged += messages

    def check(self) -> None:
        """Nothing is ever owed."""

    def stop(self, farewell: tuple[str, bytes] | None = None) -> None:
        self.farewell = farewell
        self.is_connected = False
