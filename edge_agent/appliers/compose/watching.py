"""Follows the engine's events of containers that Fleetbus started, and says which deployment something happened to."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlencode

from edge_agent.appliers.compose.engine import Engine, EngineError, Stream
from edge_agent.appliers.port import ApplyError
from topics.documents.compose import DEPLOYMENT_LABEL, DEVICE_LABEL

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_EVENTS = ["die", "kill", "stop", "pause", "unpause", "destroy", "rename", "update", "start", "oom", "health_status"]
_OF_PODMAN = ("died", "remove", "cleanup")
"""What Podman calls some of them, also where it serves Docker's API; asked for Docker's names it tells nothing."""

_SECONDS = 5.0


class Watcher:
    """One thread that reads the stream of events, and opens it again with back-off when it ends.

    Every time it is opened all deployments are reported: what happened in between nobody knows. ``deployments`` are
    the names of those on this device.
    """

    def __init__(self, engine: Engine, device: str, deployments: Callable[[], Iterable[str]], *, docker: bool) -> None:
        self._engine = engine
        self._device = device
        self._docker = docker
        self._deployments = deployments
        self._stopped = threading.Event()
        self._guard = threading.Lock()
        self._stream: Stream | None = None
        self._thread: threading.Thread | None = None

    def start(self, changed: Callable[[str], None]) -> None:
        """Begin to call ``changed``; returns at once."""
        self._thread = threading.Thread(target=self._run, args=(changed,), name="compose-events", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; nothing is called any more when this returns."""
        self._stopped.set()
        with self._guard:
            if self._stream is not None:
                self._stream.cut()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_SECONDS)

    def _run(self, changed: Callable[[str], None]) -> None:
        pause = _FIRST_PAUSE
        while not self._stopped.is_set():
            # An engine that is down shows in the health, which is asked for in any case.
            with contextlib.suppress(ApplyError, EngineError, ValueError):
                for event in self._events(changed):
                    pause = _FIRST_PAUSE
                    self._take(event, changed)
            if self._stopped.wait(pause):
                return
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _events(self, changed: Callable[[str], None]) -> Iterable[dict[str, Any]]:
        filters = {"type": ["container"]}
        if self._docker:
            filters |= {"event": _EVENTS, "label": [DEPLOYMENT_LABEL]}
        path = f"/events?{urlencode({'filters': json.dumps(filters)})}"
        with self._engine.stream("GET", path, {}, None) as stream:
            with self._guard:
                self._stream = stream
                if self._stopped.is_set():
                    return
            try:
                for deployment in self._deployments():
                    changed(deployment)
                yield from stream
            finally:
                with self._guard:
                    self._stream = None

    def _take(self, event: dict[str, Any], changed: Callable[[str], None]) -> None:
        actor = event.get("Actor")
        marks = actor.get("Attributes") if isinstance(actor, dict) else None
        action = str(event.get("Action") or event.get("status")).partition(":")[0]
        if not isinstance(marks, dict) or action not in (*_EVENTS, *_OF_PODMAN) or self._stopped.is_set():
            return
        device, deployment = marks.get(DEVICE_LABEL), marks.get(DEPLOYMENT_LABEL)
        if isinstance(deployment, str) and device in (self._device, None, ""):
            changed(deployment)
