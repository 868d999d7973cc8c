"""Applies the objects of one part in order; jobs once for each content, and anew when they failed or changed."""

from __future__ import annotations

from collections.abc import Callable

from edge_agent.appliers.kubernetes.applying import Writer, is_immutable
from edge_agent.appliers.kubernetes.cluster import Cluster
from edge_agent.appliers.kubernetes.inventory import Inventory
from edge_agent.appliers.kubernetes.objects import Ref, digest, is_job, is_namespace, ref_of
from edge_agent.appliers.kubernetes.parts import Part
from edge_agent.appliers.kubernetes.problems import ApiError
from edge_agent.appliers.kubernetes.removing import remove_and_wait
from edge_agent.appliers.kubernetes.waiting import stop_if, wait_ready
from edge_agent.appliers.port import CancelCheck
from edge_agent.appliers.readiness import readiness_of, related
from topics.documents.base import JsonObject


class Run:
    """One step's work on a part. ``save`` keeps an inventory in which a job is done."""

    def __init__(
        self,
        cluster: Cluster,
        writer: Writer,
        inventory: Inventory,
        cancelled: CancelCheck,
        *,
        save: Callable[[Inventory], None],
    ) -> None:
        self._cluster = cluster
        self._writer = writer
        self._inventory = inventory
        self._cancelled = cancelled
        self._save = save
        self._applied: dict[tuple[str, str, str, str], JsonObject] = {}

    def apply(self, part: Part, *, jobs_wait: bool) -> None:
        """Apply every object. ``jobs_wait``: each job runs to its end before the next object is applied."""
        for item in part.items:
            stop_if(self._cancelled, part.name)
            if not is_job(item):
                self._keep(self._writer.apply(item))
            elif not self._is_done(item):
                self._start(item)
                if jobs_wait:
                    self.wait(part._replace(items=(item,)), part.seconds)
                    self.record_done(part._replace(items=(item,)))

    def wait(self, part: Part, seconds: float) -> None:
        """Return when the part is ready: without its jobs that were done before, and may be gone since."""
        awaited = [ref_of(item) for item in part.items if not self._is_done(item) and not is_namespace(item)]
        pending = [ref for ref in awaited if not self._was_ready(ref)]
        wait_ready(self._cluster, pending, seconds, self._cancelled, seen=self._applied)

    def record_done(self, part: Part) -> None:
        """Remember that the part's jobs ran to completion with this content."""
        done = self._inventory
        for item in part.items:
            if is_job(item):
                done = done.with_done(ref_of(item), digest(item))
        if done != self._inventory:
            self._save(done)
            self._inventory = done

    def _keep(self, live: JsonObject | None) -> None:
        if live is not None:
            self._applied[ref_of(live).key] = live

    def _was_ready(self, ref: Ref) -> bool:
        """Whether the object was ready as the apply left it: most kinds are ready as soon as they are there."""
        live = self._applied.get(ref.key)
        return live is not None and related(live) is None and readiness_of(live).ready

    def _is_done(self, item: JsonObject) -> bool:
        entry = self._inventory.find(ref_of(item))
        return is_job(item) and entry is not None and entry.done == digest(item)

    def _start(self, job: JsonObject) -> None:
        live = self._writer.look(ref_of(job))
        if live is not None and readiness_of(live).failed and not live["metadata"].get("deletionTimestamp"):
            self._take_off(job)
        try:
            self._keep(self._writer.apply(job))
        except ApiError as error:
            if not is_immutable(error):
                raise
            # A job's template cannot be changed, and its content did: it runs anew.
            self._take_off(job)
            self._keep(self._writer.apply(job))

    def _take_off(self, job: JsonObject) -> None:
        remove_and_wait(self._cluster, self._writer, [ref_of(job)], self._cancelled)
