"""Fetches one image through the engine and adds up the bytes of its layers as they come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from edge_agent.appliers.compose.credentials import auth_header
from edge_agent.appliers.compose.engine import Engine, EngineError, cut_when
from edge_agent.appliers.compose.failures import failure
from edge_agent.appliers.compose.options import ComposeOptions
from edge_agent.appliers.port import ApplyError, CancelCheck, Cancelled

STALLED_SECONDS = 300.0
"""An engine that says nothing for so long is given up; it repeats failed layers itself within that time."""

_FETCHED = frozenset({"Verifying Checksum", "Download complete", "Extracting", "Pull complete"})
_HERE = "Already exists"
_NO_LAYER = ("Pulling from ", "Digest: ", "Status: ")


class Layers:
    """The layers of one image: how much of each is here. Fed with the lines of the engine's stream.

    ``total`` is unknown (``None``) until the size of every layer is: the engine tells the size of a layer when it
    begins with it, and a total that grows would let a percentage fall.
    """

    def __init__(self) -> None:
        self._sizes: dict[str, int | None] = {}
        self._done: dict[str, int] = {}

    def take(self, line: dict[str, Any]) -> None:
        """Read one line of the stream."""
        layer, status = line.get("id"), line.get("status")
        if not isinstance(layer, str) or not isinstance(status, str) or status.startswith(_NO_LAYER):
            return
        self._sizes.setdefault(layer, None)
        detail = line.get("progressDetail")
        current, total = (detail.get("current"), detail.get("total")) if isinstance(detail, dict) else (None, None)
        if status == "Downloading" and isinstance(current, int):
            if isinstance(total, int) and total > 0:
                self._sizes[layer] = total
            self._done[layer] = max(current, self._done.get(layer, 0))
        elif status == _HERE:
            self._sizes[layer], self._done[layer] = 0, 0
        elif status in _FETCHED:
            # A small layer comes without a word about its size.
            size = self._sizes[layer]
            self._sizes[layer] = self._done[layer] = self._done.get(layer, 0) if size is None else size

    @property
    def done(self) -> int:
        return sum(self._done.values())

    @property
    def total(self) -> int | None:
        known = [size for size in self._sizes.values() if size is not None]
        return sum(known) if self._sizes and len(known) == len(self._sizes) else None


def split_reference(image: str) -> tuple[str, str]:
    """Name, and tag or digest; an image without either is ``latest``, as for ``docker pull``."""
    name, at, digest = image.partition("@")
    if at:
        # With a tag and a digest the digest counts.
        head, slash, last = name.rpartition("/")
        return f"{head}{slash}{last.partition(':')[0]}", digest
    head, slash, last = image.rpartition("/")
    last, _, tag = last.partition(":")
    return f"{head}{slash}{last}", tag or "latest"


@dataclass(frozen=True, slots=True)
class Wanted:
    """An image that a component needs; ``platform`` as ``linux/arm64``, or the engine's own."""

    image: str
    platform: str | None
    component: str


def pull(
    engine: Engine,
    options: ComposeOptions,
    wanted: Wanted,
    report: Callable[[int, int | None], None],
    cancelled: CancelCheck,
) -> int:
    """Fetch an image; the bytes that came. ``report`` gets the bytes so far and in all. Raises ``ApplyError``."""
    image, component = wanted.image, wanted.component
    name, tag = split_reference(image)
    query = {"fromImage": name, "tag": tag} | ({"platform": wanted.platform} if wanted.platform else {})
    auth = auth_header(image, options.registry_config)
    layers = Layers()
    what = f"to fetch the image {image}"
    try:
        path = f"/images/create?{urlencode(query)}"
        headers = {"X-Registry-Auth": auth} if auth else {}
        with engine.stream("POST", path, headers, STALLED_SECONDS) as stream, cut_when(cancelled, stream):
            for line in stream:
                if "error" in line:
                    raise failure(str(line["error"]), what, component=component, engine_says=True)
                layers.take(line)
                report(layers.done, layers.total)
    except EngineError as error:
        raise failure(str(error), what, component=component, engine_says=True) from error
    except (ApplyError, ValueError) as error:
        if cancelled():
            raise Cancelled(f"fetching {image} was cancelled", component=component) from error
        if isinstance(error, ValueError):
            raise ApplyError(
                "engine-down", f"it was not possible {what}: the engine's answer was cut off ({error}); it is tried again",
                retryable=True, component=component,
            ) from error  # fmt: skip
        if error.component is None:
            raise ApplyError(error.code, error.message, retryable=error.retryable, component=component) from error
        raise
    if cancelled():
        raise Cancelled(f"fetching {image} was cancelled", component=component)
    if not engine.has_image(image):
        raise ApplyError(
            "pull-failed", f"it was not possible {what}: the engine ended without an error, and it is not there; "
            "look into the engine's log", retryable=True, component=component,
        )  # fmt: skip
    return layers.done
