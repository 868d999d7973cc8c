"""Where the work of appliers runs: on a few daemon threads, or at once on the caller's for simulations."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeAlias

Job: TypeAlias = Callable[[Callable[[], bool]], None]


class ThreadExecutor:
    """Threads are started when they are first needed: an agent at rest has none.

    They are daemons: a runtime that never answers must not keep the process alive. A job must not
    raise; what it has to say it says itself.
    """

    def __init__(self, threads: int = 4) -> None:
        self._most = threads
        self._threads = 0
        self._idle = 0
        self._waiting: dict[str, deque[tuple[Job, threading.Event]]] = {}
        self._running: dict[str, threading.Event] = {}
        self._ready: deque[str] = deque()
        self._changed = threading.Condition()
        self._stopped = False

    def submit(self, key: str, job: Job) -> None:
        with self._changed:
            if self._stopped:
                return
            jobs = self._waiting.setdefault(key, deque())
            jobs.append((job, threading.Event()))
            if key not in self._running and len(jobs) == 1:
                self._make_ready(key)

    def cancel(self, keys: Iterable[str]) -> None:
        with self._changed:
            for key in keys:
                self._cancel(key)

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            for key in {*self._waiting, *self._running}:
                self._cancel(key)
            self._waiting.clear()
            self._ready.clear()
            self._changed.notify_all()

    def _cancel(self, key: str) -> None:
        if key in self._running:
            self._running[key].set()
        for _, cancelled in self._waiting.get(key, ()):
            cancelled.set()

    def _make_ready(self, key: str) -> None:
        self._ready.append(key)
        if self._idle < len(self._ready) and self._threads < self._most:
            self._threads += 1
            threading.Thread(target=self._work, name=f"worker-{self._threads}", daemon=True).start()
        self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                while not self._ready and not self._stopped:
                    self._changed.wait()
                self._idle -= 1
                if self._stopped:
                    return
                key = self._ready.popleft()
                job, cancelled = self._waiting[key].popleft()
                self._running[key] = cancelled
            try:
                job(cancelled.is_set)
            finally:
                with self._changed:
                    del self._running[key]
                    if self._waiting.get(key):
                        self._ready.append(key)  # this very thread is free to take it
                    else:
                        self._waiting.pop(key, None)


class InlineExecutor:
    """Runs each job at once, on the thread that submits it."""

    def submit(self, key: str, job: Job) -> None:
        job(lambda: False)

    def cancel(self, keys: Iterable[str]) -> None:
        """Nothing runs any more when somebody could cancel it."""

    def stop(self) -> None:
        """Nothing to stop."""
