"""Helm's Go SDK through ``helm_python``, in a process beside each thread that renders."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar

from orchestrator.rendering.helm_chart import (
    RENDER_SECONDS,
    RenderedChart,
    RenderedFile,
    check_installable,
    check_schemas,
)
from orchestrator.rendering.helm_errors import chart_error, crashed, template_error, timed_out, values_error
from orchestrator.rendering.helm_known import KnownFiles
from orchestrator.rendering.helm_process import HelmProcess, ProcessEndedError
from orchestrator.rendering.helm_reads import Grouping, groups_of
from orchestrator.rendering.port import RenderAbandoned, RenderError
from topics.documents.base import JsonObject

_FAILURES = {"values": values_error, "template": template_error, "chart": chart_error}


class SdkEngine:
    """See ``HelmEngine``. The process of a thread is started when it is first needed, and anew after it was ended."""

    name: ClassVar[str] = "sdk"

    def __init__(self, seconds: float = RENDER_SECONDS) -> None:
        self._seconds = seconds
        self._own = _Own()

    def works(self) -> bool:
        """Whether the SDK's library is one for this machine."""
        try:
            return "ready" in self._process().greeting
        except RenderAbandoned:
            return False

    def render(
        self, archive: bytes, values: JsonObject, release: str, namespace: str, *, anew: bool = False
    ) -> RenderedChart:
        """See ``HelmEngine``."""
        own = self._own
        if own.archive is not archive:
            self._load(archive)
        request = {"values": dict(values), "release": release, "namespace": namespace}
        if own.in_parts is None:
            answer = self._ask(request, values)
            return RenderedChart(_files(answer["crds"]), own.numbered.of(answer))

        def ask(only: Collection[str] | None) -> tuple[RenderedFile, ...]:
            part = {} if only is None else {"only": sorted(only)}
            return own.numbered.of(self._ask(request | part, values))

        return RenderedChart(own.in_parts.crds, own.in_parts.known(release, namespace).files(values, ask, anew=anew))

    def _load(self, archive: bytes) -> None:
        check_schemas(archive)
        self._own.archive = None
        chart = self._ask({"load": True}, {}, archive)
        check_installable(chart["metadata"], chart["subcharts"])
        grouping = groups_of(chart["templates"]) if chart["templates"] is not None else None
        self._own.in_parts = _ChartInParts(chart, grouping) if grouping is not None else None
        self._own.archive = archive

    def _ask(self, request: dict[str, Any], values: JsonObject, archive: bytes | None = None) -> dict[str, Any]:
        process = self._process()
        try:
            answer = process.ask(request, archive)
        except ProcessEndedError as error:
            self._own.drop()
            raise self._abandoned(error) from error
        if "failed" in answer:
            raise self._failure(answer, values)
        return answer

    def _process(self) -> HelmProcess:
        own = self._own
        if own.process is None:
            try:
                own.process = HelmProcess(self._seconds)
            except ProcessEndedError as error:
                raise self._abandoned(error) from error
        return own.process

    def _abandoned(self, error: ProcessEndedError) -> RenderAbandoned:
        return timed_out(self._seconds) if error.timed_out else crashed(str(error))

    def _failure(self, answer: dict[str, Any], values: JsonObject) -> RenderError:
        return _FAILURES[answer["failed"]](answer["text"], values)


class _ChartInParts:
    """A loaded chart that can be rendered in parts, and what is known of it for the last release."""

    def __init__(self, loaded: Mapping[str, Any], grouping: Grouping) -> None:
        self.crds = _files(loaded["crds"])
        self._name: str = loaded["metadata"]["name"]
        self._has_schema: bool = loaded["schema"]
        self._grouping = grouping
        self._release = ("", "")
        self._known = self._nothing_known()

    def known(self, release: str, namespace: str) -> KnownFiles:
        if self._release != (release, namespace):
            self._release, self._known = (release, namespace), self._nothing_known()
        return self._known

    def _nothing_known(self) -> KnownFiles:
        return KnownFiles(self._name, self._grouping, has_schema=self._has_schema)


class _Own(threading.local):
    """A thread's process, the archive that was loaded there last, and the files that it has numbered."""

    process: HelmProcess | None = None
    archive: bytes | None = None
    in_parts: _ChartInParts | None = None
    """The loaded chart, if it can be rendered in parts."""

    def __init__(self) -> None:
        self.numbered = NumberedFiles()

    def drop(self) -> None:
        self.process = self.archive = None


def _files(pairs: Iterable[tuple[str, str]]) -> tuple[RenderedFile, ...]:
    return tuple(RenderedFile(path, text) for path, text in pairs)


class NumberedFiles:
    """The files that the process has sent; it says the number of one that it sends again."""

    def __init__(self) -> None:
        self._files: list[RenderedFile] = []

    def of(self, answer: dict[str, Any]) -> tuple[RenderedFile, ...]:
        if answer["new"]:
            self._files.clear()
        return tuple([self._files[item] if type(item) is int else self._keep(item) for item in answer["files"]])

    def _keep(self, item: tuple[str, str]) -> RenderedFile:
        file = RenderedFile(*item)
        self._files.append(file)
        return file
