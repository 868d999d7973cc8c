"""The port between a program and the broker: what may be asked, and what may happen.

Everything that happens arrives as a ``BusEvent`` through one callback, on the adapter's own thread;
programs put it into their inbox and decide on their own thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class Connected:
    """The session is up and every subscription is granted; ``session_present`` is false where the
    broker knows nothing of an earlier session (first contact, or it lost everything)."""

    epoch: int
    session_present: bool


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection is gone; the adapter is already trying again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Received:
    """A message. With QoS 1 the broker keeps it until ``Bus.acknowledge`` is called with it.

    ``retain`` is set on messages that were stored before the subscription.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    packet_id: int
    connection: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """The broker has taken over the message that was published with this token."""

    token: int


BusEvent: TypeAlias = Connected | Disconnected | Received | Delivered


class Bus(Protocol):
    """What a program may ask of the broker connection. All calls return at once."""

    @property
    def connected(self) -> bool:
        """Whether the session is up. ``publish`` is for connected buses: keep messages until then."""

    def start(self) -> None: ...

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, token: int) -> None:
        """Hand a message to the broker; ``Delivered(token)`` follows once it has it, also over a
        reconnect. Raises ``ContractError`` for a packet over the size limit."""

    def acknowledge(self, *messages: Received) -> None:
        """Tell the broker that the messages are durable here. Many at once cost little more than one."""

    def check(self) -> None:
        """Called at least every second: gives up on a connection that owes an answer for too long."""

    def stop(self, farewell: tuple[str, bytes] | None = None) -> None:
        """Publish the farewell (retained, QoS 1), wait for its acknowledgement briefly, disconnect."""
