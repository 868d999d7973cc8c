"""Applies single objects: never over what is somebody else's, and over somebody's edits only by policy."""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.appliers.kubernetes.cluster import Cluster
from edge_agent.appliers.kubernetes.inventory import Inventory
from edge_agent.appliers.kubernetes.objects import (
    DEPLOYMENT_LABEL,
    Ref,
    is_job,
    is_namespace,
    is_ours,
    label,
    managers_of,
    owner_text,
    ref_of,
)
from edge_agent.appliers.kubernetes.problems import ApiError
from edge_agent.appliers.kubernetes.waiting import blocked_by
from edge_agent.appliers.port import ApplyError
from topics.documents.base import JsonObject
from topics.documents.spec import Drift

_WORTH_A_LIST = 3
_CONTROLLERS = frozenset({"kube-controller-manager", "kube-scheduler", "kubelet"})
"""Managers that write what they decided, again and again: their fields do not belong into a spec."""


class Writer:
    """Applies objects of one deployment, for the length of one step.

    ``drift`` says whether somebody's edit may be put right.
    """

    def __init__(self, cluster: Cluster, deployment: str, known: Inventory | None, drift: Drift) -> None:
        self._cluster = cluster
        self._deployment = deployment
        self.known = known
        self._drift = drift
        self._looked: dict[tuple[str, str, str, str], JsonObject | None] = {}

    def look_ahead(self, refs: Sequence[Ref]) -> None:
        """``look`` at all of them now, also for an ``apply`` of the same step that follows.

        Several of a kind in a namespace are one request. Raises as ``look`` does.
        """
        by_place: dict[tuple[str, str, str], list[Ref]] = {}
        for ref in refs:
            by_place.setdefault((ref.api_version, ref.kind, ref.namespace), []).append(ref)
        for (api_version, kind, namespace), some in by_place.items():
            there = None
            if namespace and len(some) >= _WORTH_A_LIST:
                there = self._cluster.heads(api_version, kind, namespace)
            for ref in some:
                live = there.get(ref.name) if there is not None else self._cluster.get(ref)
                self._looked[ref.key] = self._not_foreign(ref, live)

    def look(self, ref: Ref) -> JsonObject | None:
        """The live object if it is this deployment's, or a namespace that is shared; ``None`` if there is none.

        Raises ``ApplyError`` (``foreign-object``) for somebody else's.
        """
        return self._not_foreign(ref, self._cluster.get(ref))

    def _not_foreign(self, ref: Ref, live: JsonObject | None) -> JsonObject | None:
        if live is None or self.owns(ref, live) or ref.is_namespace:
            return live  # a namespace that exists is used as it is
        hint = "rename it in the spec, or delete the other one"
        if not label(live, DEPLOYMENT_LABEL):
            hint += f", or hand it over: label it {DEPLOYMENT_LABEL}={self._deployment}"
        raise ApplyError(
            "foreign-object", f"{ref} is there already and belongs to {owner_text(live)}; {hint}", retryable=False
        )

    def owns(self, ref: Ref, live: JsonObject) -> bool:
        inventoried = self.known is not None and self.known.find(ref) is not None
        return is_ours(live, self._deployment, self._cluster.options.field_manager, inventoried=inventoried)

    def apply(self, item: JsonObject, *, dry_run: bool = False) -> JsonObject | None:
        """Apply one prepared object; the object as it then is, or would be.

        ``None`` where there is nothing to do or to say: a shared namespace, a dry run of a job that has to be made
        anew. Raises ``ApplyError``.
        """
        ref = ref_of(item)
        live = self._looked.pop(ref.key) if ref.key in self._looked else self.look(ref)
        if live is not None:
            if live["metadata"].get("deletionTimestamp"):
                raise ApplyError(
                    "namespace-terminating" if is_namespace(item) else "still-being-deleted",
                    f"{blocked_by(live)}; it is tried again until it is gone",
                    retryable=True,
                )
            if not self.owns(ref, live):
                return None
        try:
            return self._cluster.apply(item, force=self._cluster.options.force_conflicts, dry_run=dry_run)
        except ApiError as error:
            if live is not None and self._may_put_right(live, error):
                return self._cluster.apply(item, force=True, dry_run=dry_run)
            if is_job(item) and live is not None and dry_run and is_immutable(error):
                return None
            raise

    def _may_put_right(self, live: JsonObject, error: ApiError) -> bool:
        """Whether all that stands against an apply are edits of an object that this deployment had applied.

        A field that another server-side applier has declared, or that a controller keeps writing, would be fought
        over for ever: that is a conflict for a person.
        """
        if not error.conflicts or self._drift != "heal":
            return False
        editors = {entry.get("manager") for entry in managers_of(live) if entry.get("operation") == "Update"}
        appliers = {entry.get("manager") for entry in managers_of(live) if entry.get("operation") == "Apply"}
        return all(
            conflict.manager in editors
            and conflict.manager not in appliers
            and conflict.manager not in _CONTROLLERS
            and not conflict.subresource
            for conflict in error.conflicts
        )


def is_immutable(error: ApiError) -> bool:
    """Whether an object cannot be changed into what is wanted, only made anew."""
    return error.status == 422 and any("immutable" in message for _, _, message in error.causes)
