"""A program on the bus for the tests: connects with a will, says so on standard output, and waits to be ended.

Arguments: broker URL, topic, first epoch. A line on standard input ends it in order, with a farewell.
"""

from __future__ import annotations

import itertools
import sys

from topics.transport.mqtt import MqttBus
from topics.transport.port import BusEvent, Connected
from topics.transport.settings import broker_settings


def main() -> None:
    url, topic, first = sys.argv[1:]
    epochs = itertools.count(int(first))

    def tell(event: BusEvent) -> None:
        if isinstance(event, Connected):
            print(f"connected {event.epoch}", flush=True)

    bus = MqttBus(
        broker_settings(url),
        "dying-program",
        on_event=tell,
        epoch=lambda: next(epochs),
        will=lambda epoch: (topic, f"will {epoch}".encode()),
    )
    bus.start()
    sys.stdin.readline()
    bus.stop((topic, b"farewell"))


if __name__ == "__main__":
    main()
