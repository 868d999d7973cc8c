"""Helm's Go SDK through ``helm_python``, in a process beside each thread that renders."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

from orchestrator.rendering.helm_chart import (
    RENDER_SECONDS,
    RenderedChart,
    RenderedFile,
    check_installable,
    check_schemas,
)
from orchestrator.rendering.helm_errors import chart_error, crashed, template_error, timed_out, values_error
from orchestrator.rendering.helm_process import HelmProcess, ProcessEndedError
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

    def render(self, archive: bytes, values: JsonObject, release: str, namespace: str) -> RenderedChart:
        """See ``HelmEngine``."""
        if self._own.archive is not archive:
            check_schemas(archive)
            self._own.archive = None
            chart = self._ask({"load": True}, {}, archive)
            check_installable(chart["metadata"], chart["subcharts"])
            self._own.archive = archive
        answer = self._ask({"values": dict(values), "release": release, "namespace": namespace}, values)
        templates = self._own.files.of(answer)
        return RenderedChart(tuple(RenderedFile(path, text) for path, text in answer["crds"]), templates)

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


class _Own(threading.local):
    """A thread's process, the archive that was loaded there last, and the files that it has numbered."""

    process: HelmProcess | None = None
    archive: bytes | None = None

    def __init__(self) -> None:
        self.files = NumberedFiles()

    def drop(self) -> None:
        self.process = self.archive = None


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
