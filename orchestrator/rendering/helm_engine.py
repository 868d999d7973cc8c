"""What turns a chart and values into rendered text: Helm's own SDK (``helm_sdk``), or the ``helm`` command.

The SDK is the normal one; it has no Linux arm64 wheel, and there an installed ``helm`` serves. Both render as
``helm template`` does, in a process that can be ended: no cluster, ``lookup`` finds nothing. Values may be secrets:
they are never logged, and taken out of error messages.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import ClassVar

from orchestrator.rendering.helm_chart import (
    KUBERNETES_VERSION,
    RENDER_SECONDS,
    HelmEngine,
    RenderedChart,
    RenderedFile,
    check_schemas,
)
from orchestrator.rendering.helm_errors import chart_error, template_error, timed_out, values_error
from orchestrator.rendering.helm_sdk import SdkEngine
from orchestrator.rendering.kubernetes_yaml import split_documents
from orchestrator.rendering.port import RenderError
from topics.documents.base import JsonObject


class CliEngine:
    """The ``helm`` command (3.x or 4.x); values and chart pass through a private temporary folder."""

    name: ClassVar[str] = "cli"

    def __init__(self, binary: str, timeout: float = RENDER_SECONDS) -> None:
        self._binary = binary
        self._timeout = timeout

    def render(
        self, archive: bytes, values: JsonObject, release: str, namespace: str, *, anew: bool = False
    ) -> RenderedChart:
        """See ``HelmEngine``. It remembers nothing: ``anew`` is always so."""
        check_schemas(archive)
        with tempfile.TemporaryDirectory(prefix="fleetbus-helm-") as folder:
            chart, file = Path(folder, "chart.tgz"), Path(folder, "values.json")
            chart.write_bytes(archive)
            file.touch(mode=0o600)
            file.write_text(json.dumps(values), "utf-8")
            output = self._run(
                [self._binary, "template", release, str(chart), "--namespace", namespace, "--values", str(file),
                 "--include-crds", "--kube-version", KUBERNETES_VERSION],
                folder, values,
            )  # fmt: skip
        crds: list[RenderedFile] = []
        templates: list[RenderedFile] = []
        for text in split_documents(output):
            match = _SOURCE.search(text)
            path = match.group(1) if match else ""
            (crds if "/crds/" in f"/{path}" and "/templates/" not in path else templates).append(
                RenderedFile(path, text)
            )
        return RenderedChart(tuple(crds), tuple(templates))

    def _run(self, command: list[str], folder: str, values: JsonObject) -> str:
        # A home of its own: neither the user's repositories nor plug-ins take part.
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": folder,
            "TMPDIR": folder,
            **{f"HELM_{name}_HOME": folder for name in ("CACHE", "CONFIG", "DATA")},
        }
        try:
            done = subprocess.run(  # noqa: S603 - no shell; the binary is the operator's
                command, capture_output=True, env=environment, timeout=self._timeout, check=False
            )
        except subprocess.TimeoutExpired:
            # The cause is dropped on purpose: it carries the command with its temporary paths.
            raise timed_out(self._timeout) from None
        if done.returncode == 0:
            return done.stdout.decode("utf-8", "replace")
        text = done.stderr.decode("utf-8", "replace").replace(folder + "/", "")
        text = re.sub(r"^(?:Error|level=\S+): ?", "", text.strip())
        if "schema" in text and "meet the specifications" in text:
            raise values_error(text, values)
        if "chart" in text.lower() and "template" not in text:
            raise chart_error(text, values)
        raise template_error(text, values)


_SOURCE = re.compile(r"^# Source: (.+?)\s*$", re.MULTILINE)


def find_engine() -> HelmEngine:
    """The SDK, else the ``helm`` command. Raises ``RenderError`` (``helm-missing``) if there is neither."""
    if importlib.util.find_spec("helm_python") is not None and (sdk := SdkEngine()).works():
        return sdk
    binary = shutil.which("helm")
    if binary is not None:
        return CliEngine(binary)
    raise RenderError.because(
        "helm-missing",
        "this orchestrator can render no Helm chart: neither the helm-python-sdk package nor the helm command is there",
        path="helm",
        hint="pip install 'fleetbus[orchestrator]' (x86-64), or put the helm command (3.x or 4.x) on the PATH",
    )
