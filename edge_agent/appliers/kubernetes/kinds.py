"""Which kinds the cluster knows, and at which paths; asked one group at a time, when a kind is first needed."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

from edge_agent.appliers.kubernetes.objects import Ref
from edge_agent.appliers.kubernetes.problems import ApiError
from edge_agent.appliers.kubernetes.session import Session
from topics.documents.base import JsonObject


class Kind(NamedTuple):
    """One kind of one version: ``plural`` is its name in paths."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str] = frozenset()

    def path(self, namespace: str = "", name: str = "") -> str:
        """The path of an object, or of a list (of all namespaces if none is given)."""
        version = quote(self.api_version)
        base = f"/apis/{version}" if "/" in self.api_version else f"/api/{version}"
        inside = f"/namespaces/{quote(namespace, safe='')}" if self.namespaced and namespace else ""
        return f"{base}{inside}/{quote(self.plural)}" + (f"/{quote(name, safe=':')}" if name else "")


class Kinds:
    """Remembers what was asked. Safe from several threads."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[str, Mapping[str, Kind]] = {}
        self._lock = threading.Lock()

    def find(self, api_version: str, kind: str) -> Kind:
        """The kind. Raises ``ApiError`` (``kind-not-known``) for one that the cluster does not have now."""
        for fresh in (False, True):
            found = self._of(api_version, fresh=fresh).get(kind)
            if found is not None:
                return found
        raise ApiError(
            "kind-not-known",
            f"the cluster has no kind {kind} in {api_version}: install what brings it (its CustomResourceDefinition), "
            "or put it into an earlier component",
            retryable=True,
            status=404,
        )

    def of(self, ref: Ref) -> Kind:
        return self.find(ref.api_version, ref.kind)

    def forget(self, group: str) -> None:
        """Ask for the kinds of a group again."""
        with self._lock:
            for version in [version for version in self._known if version.rpartition("/")[0] == group]:
                del self._known[version]

    def every_namespaced(self) -> list[Kind]:
        """Every kind that lives in namespaces and can be listed, each in its group's preferred version.

        Aggregated APIs that do not answer are left out of their group by the server's own discovery.
        """
        groups = self._session.request("GET", "/apis", "ask for the API groups").get("groups") or ()
        versions = ["v1", *(str(group["preferredVersion"]["groupVersion"]) for group in groups)]
        return [
            kind
            for version in versions
            for kind in self._of(version, fresh=False).values()
            if kind.namespaced and "list" in kind.verbs
        ]

    def _of(self, api_version: str, *, fresh: bool) -> Mapping[str, Kind]:
        with self._lock:
            known = self._known.get(api_version)
        if known is not None and not fresh:
            return known
        base = f"/apis/{quote(api_version)}" if "/" in api_version else f"/api/{quote(api_version)}"
        try:
            answer = self._session.request("GET", base, f"ask for the kinds of {api_version}")
        except ApiError as error:
            if not error.is_missing:
                raise
            answer = {}
        kinds = _kinds(api_version, answer)
        with self._lock:
            if kinds:
                self._known[api_version] = kinds
            else:
                self._known.pop(api_version, None)
        return kinds


def _kinds(api_version: str, answer: JsonObject) -> dict[str, Kind]:
    kinds: dict[str, Kind] = {}
    for item in answer.get("resources") or ():
        name, kind = str(item.get("name")), str(item.get("kind"))
        if "/" not in name and kind not in kinds:  # a slash: a subresource
            verbs = frozenset(str(verb) for verb in item.get("verbs") or ())
            kinds[kind] = Kind(api_version, kind, name, bool(item.get("namespaced")), verbs)
    return kinds
