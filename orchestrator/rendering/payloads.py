"""Manifests as bytes: the same as sealing and encoding them one by one, in a fraction of the time.

The manifests of one generation are mostly the same objects. Each object is encoded once; what is put together
is canonical JSON again, because the members of a mapping stand in the order of their keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from topics.codec import canonical_json, seal
from topics.documents.base import JsonObject
from topics.documents.manifest import Manifest, ManifestComponent

_MOST_PIECES = 20_000
"""Encoded pieces that are kept: of objects that are a device's own there may be any number."""


class ManifestEncoder:
    """Encodes the manifests of one generation. Gives the bytes of ``seal(encode(manifest))``."""

    def __init__(self) -> None:
        self._pieces: dict[int, tuple[object, bytes]] = {}
        self._frames: dict[str, tuple[BaseModel, list[bytes]]] = {}

    def payload(self, manifest: Manifest) -> bytes:
        """The sealed payload."""
        before, between, behind, after = self._shared("", manifest, _OWN)
        return seal(
            b"".join(
                (
                    before, b'"components":[', b",".join(map(self._component, manifest.components)), b"]",
                    between, b'"device":', canonical_json(manifest.device),
                    behind, b'"initialization":', self._list(manifest.initialization), after,
                )
            )
        )  # fmt: skip

    def _shared(self, name: str, document: BaseModel, own: Sequence[str]) -> list[bytes]:
        """What a document shares with those of other devices, in the pieces around its ``own`` fields. ``name`` is the
        component's, empty for the manifest."""
        known = self._frames.get(name)
        if known is None or not _same_frame(known[0], document, own):
            members = document.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=set(own))
            known = self._frames[name] = document, _around(members, own)
        return known[1]

    def _component(self, component: ManifestComponent) -> bytes:
        known = self._pieces.get(id(component))
        if known is None:
            before, after = self._shared(component.name, component, ("objects",))
            piece = before + b'"objects":' + self._list(component.objects) + after
            known = self._keep(component, piece)
        return known[1]

    def _list(self, objects: Iterable[JsonObject]) -> bytes:
        return b"[" + b",".join(map(self._object, objects)) + b"]"

    def _object(self, item: JsonObject) -> bytes:
        known = self._pieces.get(id(item))
        return (known or self._keep(item, canonical_json(item)))[1]

    def _keep(self, item: object, piece: bytes) -> tuple[object, bytes]:
        # The object itself is kept along: its id is only its own as long as it lives.
        if len(self._pieces) >= _MOST_PIECES:
            self._pieces.clear()
        self._pieces[id(item)] = kept = (item, piece)
        return kept


_OWN = ("components", "device", "initialization")


def _same_frame(one: BaseModel, other: BaseModel, own: Sequence[str]) -> bool:
    """Whether two documents of a kind are the same but for the fields in ``own``."""
    return all(
        getattr(one, field) is getattr(other, field) or getattr(one, field) == getattr(other, field)
        for field in type(one).model_fields
        if field not in own
    )


def _around(members: Mapping[str, Any], keys: Sequence[str]) -> list[bytes]:
    """The canonical object of the members, cut where each of ``keys`` (sorted, none of them a member) belongs."""
    pieces: list[bytes] = []
    rest = dict(members)
    for key in keys:
        smaller = {name: rest.pop(name) for name in sorted(rest) if name < key}
        pieces.append(
            (b"," if pieces else b"{") + b"".join(_member(name, item) + b"," for name, item in smaller.items())
        )
    pieces.append(b"".join(b"," + _member(name, rest[name]) for name in sorted(rest)) + b"}")
    return pieces


def _member(name: str, value: Any) -> bytes:
    return canonical_json(name) + b":" + canonical_json(value)
