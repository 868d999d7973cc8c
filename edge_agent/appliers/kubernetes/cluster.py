"""What the applier does with single objects on the cluster: get, list, apply, delete."""

from __future__ import annotations

from typing import NamedTuple

from edge_agent.appliers.kubernetes.kinds import Kind, Kinds
from edge_agent.appliers.kubernetes.objects import Ref, ref_of
from edge_agent.appliers.kubernetes.options import KubernetesOptions
from edge_agent.appliers.kubernetes.problems import ApiError
from edge_agent.appliers.kubernetes.session import APPLY, Session
from topics.documents.base import JsonObject

_PAGE = 200
_HEADS = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_OWNERS = frozenset({"apps", "batch"})
"""Groups whose objects own pods. They are deleted in the foreground: gone means that the pods are, too."""


class Listed(NamedTuple):
    """Objects, and the version of the list from which a watch goes on."""

    items: list[JsonObject]
    version: str


class Cluster:
    """One API server, seen as objects. Safe from several threads."""

    def __init__(self, options: KubernetesOptions) -> None:
        self.options = options
        self.session = Session(options)
        self.kinds = Kinds(self.session)

    def version(self) -> str:
        """The server's version; raises ``ApiError`` when it does not answer."""
        return str(self.session.request("GET", "/version", "ask for the server's version").get("gitVersion"))

    def get(self, ref: Ref) -> JsonObject | None:
        """The live object; ``None`` if it, its namespace or its kind is not there."""
        try:
            kind = self.kinds.of(ref)
            return self.session.request("GET", kind.path(ref.namespace, ref.name), f"get {ref}")
        except ApiError as error:
            if error.is_missing:
                return None
            raise

    def list(self, kind: Kind, namespace: str, *, labels: str = "", fields: str = "", most: int = 0) -> Listed:
        """The objects of a kind in a namespace (empty: everywhere), page by page; at most ``most`` if it is given."""
        query = {"limit": str(most or _PAGE)}
        if labels:
            query["labelSelector"] = labels
        if fields:
            query["fieldSelector"] = fields
        items: list[JsonObject] = []
        while True:
            where = f" in {namespace}" if namespace else ""
            page = self.session.request("GET", kind.path(namespace), f"list {kind.plural}{where}", query=query)
            # The entries of a list say neither version nor kind.
            items += [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in page.get("items") or ()]
            metadata = page.get("metadata") or {}
            query["continue"] = str(metadata.get("continue") or "")
            if not query["continue"] or most:
                return Listed(items, str(metadata.get("resourceVersion") or ""))

    def heads(self, api_version: str, kind: str, namespace: str) -> dict[str, JsonObject] | None:
        """The objects of a kind in a namespace by name, each with its metadata alone; ``None`` if there are many."""
        try:
            found = self.kinds.find(api_version, kind)
            page = self.session.request(
                "GET", found.path(namespace), f"list {found.plural} in {namespace}", query={"limit": str(_PAGE)},
                accept=_HEADS,
            )  # fmt: skip
        except ApiError as error:
            if error.is_missing:
                return {}
            raise
        if (page.get("metadata") or {}).get("continue"):
            return None
        return {
            item["metadata"]["name"]: {"apiVersion": api_version, "kind": kind, "metadata": item["metadata"]}
            for item in page.get("items") or ()
        }

    def apply(self, item: JsonObject, *, force: bool = False, dry_run: bool = False) -> JsonObject:
        """Server-side apply of a prepared object; the object as it then is. Raises ``ApiError``."""
        ref = ref_of(item)
        query = {"fieldManager": self.options.field_manager, "force": "true" if force else "false"}
        if dry_run:
            query["dryRun"] = "All"
        path = self.kinds.of(ref).path(ref.namespace, ref.name)
        return self.session.request("PATCH", path, f"apply {ref}", query=query, body=item, content_type=APPLY)

    def create(self, item: JsonObject) -> JsonObject:
        """Create an object that must not be there yet. Raises ``ApiError``."""
        ref = ref_of(item)
        query = {"fieldManager": self.options.field_manager}
        return self.session.request(
            "POST", self.kinds.of(ref).path(ref.namespace), f"create {ref}", query=query, body=item
        )

    def replace(self, item: JsonObject) -> JsonObject:
        """Replace an object, if its ``resourceVersion`` is still the live one. Raises ``ApiError``."""
        ref = ref_of(item)
        query = {"fieldManager": self.options.field_manager}
        path = self.kinds.of(ref).path(ref.namespace, ref.name)
        return self.session.request("PUT", path, f"update {ref}", query=query, body=item)

    def delete(self, live: JsonObject, *, wait_for_owned: bool) -> None:
        """Delete exactly this object; one that is gone, or was made anew by somebody else, is fine."""
        ref = ref_of(live)
        foreground = wait_for_owned and ref.group in _OWNERS
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Foreground" if foreground else "Background",
            "preconditions": {"uid": live["metadata"]["uid"]},
        }
        path = self.kinds.of(ref).path(ref.namespace, ref.name)
        try:
            self.session.request("DELETE", path, f"delete {ref}", body=options)
        except ApiError as error:
            if not (error.is_missing or (error.status == 409 and error.code == "write-conflict")):
                raise

    def close(self) -> None:
        self.session.close()
