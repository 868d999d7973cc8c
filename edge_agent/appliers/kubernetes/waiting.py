"""Waits, by watching, until objects are ready or gone, and says what they wait for when they are not in time."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from edge_agent.appliers.kubernetes.cluster import Cluster
from edge_agent.appliers.kubernetes.objects import DEPLOYMENT_LABEL, Key, Ref, label, managers_of, ref_of
from edge_agent.appliers.kubernetes.pods import explain
from edge_agent.appliers.kubernetes.watching import Target, Watches
from edge_agent.appliers.port import ApplyError, CancelCheck, Cancelled
from edge_agent.appliers.readiness import readiness_of, related
from topics.documents.base import JsonObject

_ASK_SECONDS = 0.25
"""How often a waiting step asks whether it is cancelled; the cluster is not asked for that."""
_SHOWN = 5
_SETTLING_SECONDS = 10.0
"""How long a controller has to make a new job of an object that was changed. After that the job it made before counts:
the change was one that it makes no job for."""


def stop_if(cancelled: CancelCheck, component: str | None = None) -> None:
    """Raise ``Cancelled`` if the caller asks for it."""
    if cancelled():
        raise Cancelled("stopped on request", component=component)


def wait_ready(
    cluster: Cluster, refs: Iterable[Ref], seconds: float, cancelled: CancelCheck, *, seen: Mapping[Key, JsonObject]
) -> None:
    """Return when all of them are ready. ``seen`` has objects as an apply left them: they are not asked for again.

    Raises ``ApplyError``: ``job-failed`` or ``component-failed`` as soon as a controller has given one of them up,
    ``not-ready-in-time`` with what each is waiting for, and ``Cancelled``.
    """
    pending: dict[tuple[str, str, str, str], tuple[Ref, str, JsonObject | None]] = {}
    by_key = {ref.key: ref for ref in refs}
    awaited_too: dict[tuple[str, str, str, str], Ref] = {}
    since: dict[tuple[str, str, str, str], JsonObject] = {}
    settled = time.monotonic() + min(_SETTLING_SECONDS, seconds / 2)
    targets: list[Target] = []

    def look(ref: Ref, live: JsonObject | None, *, gone: bool) -> None:
        if live is None or gone:
            pending[ref.key] = (ref, "is gone", None)
            return
        if ref.key in since and _is_older(live, since[ref.key]) and time.monotonic() < settled:
            pending[ref.key] = (ref, "is of an older generation", live)
            return
        readiness = readiness_of(live)
        if readiness.failed:
            raise _failed(cluster, ref, live, readiness.message)
        if readiness.ready:
            pending.pop(ref.key, None)
        else:
            pending[ref.key] = (ref, readiness.message, live)
        also = related(live)
        if also is not None:
            look_too(ref, Ref(*also), live)

    def look_too(ref: Ref, also: Ref, owner: JsonObject) -> None:
        """What the object points to is waited for in its place; it may point to another one than before."""
        before = awaited_too.get(ref.key)
        since[also.key] = owner
        if before == also:
            return
        if before is not None:
            by_key.pop(before.key, None)
            pending.pop(before.key, None)
        awaited_too[ref.key] = by_key[also.key] = also
        other = cluster.get(also)
        look(also, other, gone=False)
        if also.key in pending:
            targets.append(_target(also, other))

    for ref in list(by_key.values()):
        live = seen.get(ref.key) or cluster.get(ref)
        look(ref, live, gone=False)
        if ref.key in pending or ref.key in awaited_too:
            targets.append(_target(ref, live))
    if not pending:
        return

    def noticed(item: JsonObject, gone: bool) -> None:
        ref = by_key.get(ref_of(item).key)
        if ref is not None:
            look(ref, item, gone=gone)

    def finished() -> bool:
        if since and time.monotonic() >= settled:
            for ref, _, live in list(pending.values()):
                if live is not None and ref.key in since:
                    look(ref, live, gone=False)
        return not pending

    if not _wait(cluster, targets, noticed, finished, seconds=seconds, cancelled=cancelled):
        raise _late(cluster, [(ref, message, live) for ref, message, live in pending.values()], seconds)


def _is_older(live: JsonObject, owner: JsonObject) -> bool:
    """Whether an object was made before its owner was last applied.

    By the API server's clock, whose times compare as texts. Within the same second the resource versions decide: what
    nobody has written since the owner was is the older one.
    """
    made = str(live["metadata"].get("creationTimestamp") or "")
    times = (str(entry.get("time") or "") for entry in managers_of(owner) if entry.get("operation") == "Apply")
    applied = max(times, default="")
    if made != applied:
        return made < applied
    versions = [str(item["metadata"].get("resourceVersion")) for item in (live, owner)]
    return all(version.isdecimal() for version in versions) and int(versions[0]) < int(versions[1])


def wait_gone(cluster: Cluster, refs: Iterable[Ref], seconds: float, cancelled: CancelCheck) -> list[JsonObject]:
    """Wait until none of them is there any more; those that still are when the time is up."""
    pending: dict[tuple[str, str, str, str], JsonObject] = {}
    targets = []
    for ref in refs:
        live = cluster.get(ref)
        if live is not None:
            pending[ref.key] = live
            targets.append(_target(ref, live))
    if not pending:
        return []
    uids = {key: live["metadata"]["uid"] for key, live in pending.items()}

    def noticed(item: JsonObject, gone: bool) -> None:
        key = ref_of(item).key
        if key in pending:
            if gone or item["metadata"].get("uid") != uids[key]:
                del pending[key]
            else:
                pending[key] = item

    def look_again() -> None:
        # What vanished between the first look and the list of its watch is in no event.
        for key, live in list(pending.items()):
            now = cluster.get(ref_of(live))
            if now is None or now["metadata"]["uid"] != uids[key]:
                del pending[key]

    _wait(cluster, targets, noticed, lambda: not pending, seconds=seconds, cancelled=cancelled, listed=look_again)
    return list(pending.values())


def blocked_by(live: JsonObject) -> str:
    """Why a deleted object is still there, for a person."""
    metadata = live["metadata"]
    ref = ref_of(live)
    parts = []
    if finalizers := metadata.get("finalizers") or (live.get("spec") or {}).get("finalizers"):
        parts.append(f"waits for {', '.join(map(str, finalizers))}")
    status = live.get("status")
    conditions = status.get("conditions") if isinstance(status, dict) else None
    parts += [
        str(condition.get("message"))
        for condition in (conditions if ref.kind == "Namespace" and isinstance(conditions, list) else [])
        if isinstance(condition, dict) and condition.get("status") == "True" and condition.get("message")
    ]
    return f"{ref} {'; '.join(parts) or 'is still being deleted'}"[:500]


def _wait(
    cluster: Cluster,
    targets: Sequence[Target],
    noticed: Callable[[JsonObject, bool], None],
    finished: Callable[[], bool],
    *,
    seconds: float,
    cancelled: CancelCheck,
    listed: Callable[[], None] = lambda: None,
) -> bool:
    """Feed what the watches see into ``noticed`` on this thread, until ``finished`` or the time is up.

    ``listed`` is called, on this thread too, whenever a watch has looked at everything. ``noticed`` may add targets.
    """
    deadline = time.monotonic() + seconds
    news: queue.SimpleQueue[tuple[JsonObject, bool] | None] = queue.SimpleQueue()
    watches = Watches(
        cluster, lambda item, gone: news.put((item, gone)), initially=True, listed=lambda: news.put(None)
    )  # fmt: skip
    try:
        watches.set(targets)
        while not finished():
            stop_if(cancelled)
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            try:
                new = news.get(timeout=min(_ASK_SECONDS, left))
            except queue.Empty:
                continue
            if new is None:
                listed()
            else:
                noticed(*new)
            watches.set(targets)  # what is noticed may point to more
        return True
    finally:
        watches.close()


def _target(ref: Ref, live: JsonObject | None) -> Target:
    """Objects of a deployment are watched together; one without its label, by its name."""
    deployment = label(live, DEPLOYMENT_LABEL) if live is not None else ""
    if deployment:
        return Target(ref.api_version, ref.kind, ref.namespace, labels=f"{DEPLOYMENT_LABEL}={deployment}")
    return Target(ref.api_version, ref.kind, ref.namespace, fields=f"metadata.name={ref.name}")


def _failed(cluster: Cluster, ref: Ref, live: JsonObject, message: str) -> ApplyError:
    more = explain(cluster, live)
    code = "job-failed" if ref.kind == "Job" else "component-failed"
    text = f"{ref} failed: {message or 'its controller has given it up'}" + (f"; {more}" if more else "")
    return ApplyError(code, f"{text}; it is tried again", retryable=True)


def _late(cluster: Cluster, pending: list[tuple[Ref, str, JsonObject | None]], seconds: float) -> ApplyError:
    parts = []
    for ref, message, live in pending[:_SHOWN]:
        more = explain(cluster, live) if live is not None else ""
        parts.append(f"{ref}: {message or 'not ready'}" + (f" ({more})" if more else ""))
    if len(pending) > _SHOWN:
        parts.append(f"and {len(pending) - _SHOWN} more")
    return ApplyError(
        "not-ready-in-time",
        f"not ready after {seconds:g} s: {'; '.join(parts)}; it is tried again; a longer 'timeout' may help",
        retryable=True,
    )
