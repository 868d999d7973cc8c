"""The program that renders with Helm's SDK, in a process that can be killed: a template may loop, or want all memory.

It is started by ``helm_process.py`` and answers one request after the other until its input ends. A frame is a length
(4 bytes, big-endian) and so many bytes: of JSON in a request, of ``marshal`` in an answer (the same interpreter, and
no text has to be escaped); after a request ``load`` comes a frame with the chart's archive:

    {"load": true}                                        → {"metadata": …, "subcharts": […], "schema": bool,
                                                             "templates": {name: text}, "crds": [[path, text]]}
    {"values": …, "release": …, "namespace": …}           → {"new": bool, "files": […], "crds": [[path, text]]}

A file is ``(path, text)`` and numbered from 0 on, in the order of the answers; one that is the same as an earlier one
is its number. With ``new`` the numbers begin again. What makes no objects (notes, partials) is left out.

Templates and CRDs are said of a chart without subcharts that is not large (else both are null), and such a chart may be
rendered in part: with ``"only": [name]``, as if it had no other templates. A part is loaded once and kept.

An answer may be ``{"failed": "chart" | "values" | "template", "text": …}`` instead, and the first frame is
``{"ready": version}``. It imports nothing of the project: the orchestrator takes a second to import, and this may be
started often.
"""

from __future__ import annotations

import ctypes
import gzip
import io
import json
import marshal
import os
import resource
import struct
import sys
import tarfile
from typing import Any, BinaryIO

MAX_MEMORY = 1 << 30
"""Bytes that it may allocate. Rendering the largest public charts takes a tenth of it, with the library."""

MAX_OUTPUT = 16 * 1024 * 1024
"""Characters of one rendering; a manifest may have 1 MiB, but a patch or a policy may still take objects out."""

MOST_NUMBERED = 16 * 1024 * 1024
"""Characters of files that are numbered, which the other side keeps."""

LARGE_CHART = 4 * 1024 * 1024
"""Bytes of all files of a chart beyond which it is not rendered in part: each part has all of its other files."""

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9


def main(parent: int) -> int:
    """Serve until the input ends. ``parent`` is the process that asks: with its end this one ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL)
        if os.getppid() != parent:
            return 1
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # whatever the library prints must not get between
        import helm_python as helm

        try:
            answer: dict[str, Any] = {"ready": helm.helm_sdk_version()}
        except helm.HelmLibraryError as error:
            answer = {"failed": "library", "text": str(error)}
        _write(answers, answer)
        charts = _Charts(helm)
        while (request := _read(sys.stdin.buffer)) is not None:
            _write(answers, _answer(helm, charts, json.loads(request)))
    return 0


def _answer(helm: Any, charts: _Charts, request: dict[str, Any]) -> dict[str, Any]:
    try:
        if "load" in request:
            return charts.load(_read(sys.stdin.buffer) or b"")
        return charts.render(**request)
    except helm.HelmValuesError as error:
        return {"failed": "values", "text": str(error)}
    except helm.HelmRenderError as error:
        return {"failed": "template", "text": str(error)}
    except helm.HelmError as error:
        return {"failed": "chart", "text": str(error)}


class _Charts:
    """The chart that was loaded last.

    One with subcharts is loaded anew for each rendering: rendering takes disabled ones out of the loaded chart for
    good (seen with 0.2.2), so a second one of the same object with other values is wrong. Others are kept, for
    loading takes as long as rendering.
    """

    def __init__(self, helm: Any) -> None:
        self._helm = helm
        self._archive = b""
        self._chart: Any = None
        self._parts: dict[tuple[str, ...], Any] = {}
        self._numbered = Numbered()

    def load(self, archive: bytes) -> dict[str, Any]:
        self._drop()
        self._archive, self._chart = archive, self._helm.Chart.load_archive(archive)
        self._subcharts = sorted({item["name"] for item in self._chart.dependencies})
        # Only disabled subcharts take CRDs along.
        self._crds = self._crds_of(self._chart) if not self._subcharts else None
        in_parts = not self._subcharts and _size(archive) <= LARGE_CHART
        return {
            "metadata": self._chart.metadata,
            "subcharts": self._subcharts,
            "schema": self._chart.schema is not None,
            "templates": {item["name"]: item["data"] for item in self._chart.templates} if in_parts else None,
            "crds": self._crds if in_parts else None,
        }

    def render(
        self, values: dict[str, Any], release: str, namespace: str, only: list[str] | None = None
    ) -> dict[str, Any]:
        if self._chart is None:
            self._chart = self._helm.Chart.load_archive(self._archive)
        chart = self._chart if only is None else self._part(tuple(only))
        try:
            files = chart.render(values, name=release, namespace=namespace, is_install=True)
            # Read after rendering: only then are those of disabled subcharts gone.
            crds = self._crds if self._crds is not None else self._crds_of(self._chart)
        finally:
            if self._subcharts:
                self._drop()
        size = sum(map(len, files.values())) + sum(len(text) for _, text in crds)
        if size > MAX_OUTPUT:
            text = f"they make {size} characters, and at most {MAX_OUTPUT} are taken"
            return {"failed": "template", "text": text}
        return self._numbered.answer(files) | {"crds": crds}

    def _part(self, only: tuple[str, ...]) -> Any:
        if only not in self._parts:
            self._parts[only] = self._helm.Chart.load_archive(_part_of(self._archive, frozenset(only)))
        return self._parts[only]

    @staticmethod
    def _crds_of(chart: Any) -> list[list[str]]:
        return [[item["filename"], item["data"]] for item in chart.crds]

    def _drop(self) -> None:
        for chart in (self._chart, *self._parts.values()):
            if chart is not None:
                chart.close()
        self._chart = None
        self._parts.clear()


class Numbered:
    """The files that were sent: of many devices' most are the same, and a text takes long to send and to read."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], int] = {}
        self._size = 0

    def answer(self, files: dict[str, str]) -> dict[str, Any]:
        new = not self._numbers or self._size > MOST_NUMBERED
        if new:
            self._numbers.clear()
            self._size = 0
        sent: list[int | tuple[str, str]] = []
        for file in files.items():
            number = self._numbers.get(file)
            if number is not None:
                sent.append(number)
            elif _makes_objects(file[0]):
                self._numbers[file] = len(self._numbers)
                self._size += len(file[1])
                sent.append(file)
        return {"new": new, "files": sent}


def _makes_objects(path: str) -> bool:
    return not path.endswith("NOTES.txt") and not path.rpartition("/")[2].startswith("_")


def _size(archive: bytes) -> int:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r|gz") as files:
        return sum(member.size for member in files)


def _part_of(archive: bytes, templates: frozenset[str]) -> bytes:
    """The archive without all other templates."""
    part = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive), mode="r|gz") as files,
        tarfile.open(fileobj=part, mode="w") as kept,
    ):
        for member in files:
            name = member.name.partition("/")[2]
            if member.isreg() and (name in templates or not name.startswith("templates/")):
                kept.addfile(member, files.extractfile(member))
    return gzip.compress(part.getvalue(), compresslevel=1)


def _read(stream: BinaryIO) -> bytes | None:
    head = stream.read(4)
    return stream.read(*struct.unpack(">I", head)) if len(head) == 4 else None


def _write(stream: BinaryIO, answer: dict[str, Any]) -> None:
    data = marshal.dumps(answer)
    stream.write(struct.pack(">I", len(data)) + data)
    stream.flush()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
