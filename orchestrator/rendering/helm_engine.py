"""What turns a chart and values into rendered text: Helm's own SDK in the process, or the ``helm`` command.

Two engines behind one small protocol. The SDK is the normal one; it has no Linux arm64 wheel, and there
an installed ``helm`` serves. Both render as ``helm template`` does: no cluster, ``lookup`` finds
nothing. Values may be secrets: they are never logged, and taken out of error messages.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, NamedTuple, Protocol

from orchestrator.rendering.helm_errors import chart_error, template_error, values_error
from orchestrator.rendering.helm_schemas import foreign_references
from orchestrator.rendering.kubernetes_yaml import split_documents
from orchestrator.rendering.port import RenderError
from topics.documents.base import JsonObject

KUBERNETES_VERSION = "v1.36.0"
"""What ``.Capabilities.KubeVersion`` says in both engines; the one built into Helm SDK 4.2."""

_CLI_SECONDS = 60.0


class RenderedFile(NamedTuple):
    """Rendered YAML, of one document or several, and the file of the chart it comes from."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class RenderedChart:
    """CRDs as they stand in the chart, and rendered templates; neither is in install order yet."""

    crds: tuple[RenderedFile, ...]
    templates: tuple[RenderedFile, ...]


class HelmEngine(Protocol):
    """Renders a chart archive. Raises ``RenderError`` with paths relative to the component."""

    name: ClassVar[str]

    def render(self, archive: bytes, values: JsonObject, release: str, namespace: str) -> RenderedChart: ...


class SdkEngine:
    """Helm's Go SDK through ``helm_python``.

    A chart with subcharts is loaded anew for each render: rendering takes disabled ones out of the loaded chart
    for good (seen with 0.2.2), so a second render of the same object with other values is wrong. One without
    is kept by each thread until it renders another, for loading takes as long as rendering.
    """

    name: ClassVar[str] = "sdk"

    def __init__(self, sdk: ModuleType) -> None:
        self._sdk = sdk
        self._kept = _Kept()

    def render(self, archive: bytes, values: JsonObject, release: str, namespace: str) -> RenderedChart:
        """See ``HelmEngine``."""
        _check_schemas(archive)
        try:
            chart = self._loaded(archive)
            try:
                files: dict[str, str] = chart.render(dict(values), name=release, namespace=namespace, is_install=True)
                # Read after rendering: only then are the CRDs of disabled subcharts gone.
                crds = self._kept.crds if chart is self._kept.chart else _crds(chart)
            finally:
                if chart is not self._kept.chart:
                    chart.close()
        except self._sdk.HelmValuesError as error:
            raise values_error(str(error), values) from error
        except self._sdk.HelmRenderError as error:
            raise template_error(str(error), values) from error
        except self._sdk.HelmError as error:
            raise chart_error(str(error), values) from error
        templates = tuple(
            RenderedFile(path, content)
            for path, content in files.items()
            if not path.endswith("NOTES.txt") and not path.rpartition("/")[2].startswith("_")
        )
        return RenderedChart(crds, templates)

    def _loaded(self, archive: bytes) -> Any:
        """The chart of the archive, checked; to be closed unless it is the one that this thread keeps."""
        if self._kept.archive is archive:
            return self._kept.chart
        chart = self._sdk.Chart.load_archive(archive)
        try:
            loaded = {item["name"] for item in chart.dependencies}
            _check_installable(chart.metadata, loaded)
        except BaseException:
            chart.close()
            raise
        if not loaded:
            self._kept.keep(archive, chart)
        return chart


class _Kept(threading.local):
    """The chart without subcharts that this thread loaded last."""

    archive: bytes | None = None
    chart: Any = None
    crds: tuple[RenderedFile, ...] = ()

    def keep(self, archive: bytes, chart: Any) -> None:
        if self.chart is not None:
            self.chart.close()
        self.archive, self.chart, self.crds = archive, chart, _crds(chart)


def _crds(chart: Any) -> tuple[RenderedFile, ...]:
    return tuple(RenderedFile(item["filename"], item["data"]) for item in chart.crds)


class CliEngine:
    """The ``helm`` command (3.x or 4.x); values and chart pass through a private temporary folder."""

    name: ClassVar[str] = "cli"

    def __init__(self, binary: str, timeout: float = _CLI_SECONDS) -> None:
        self._binary = binary
        self._timeout = timeout

    def render(self, archive: bytes, values: JsonObject, release: str, namespace: str) -> RenderedChart:
        """See ``HelmEngine``."""
        _check_schemas(archive)
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
            raise RenderError.because(
                "helm-timed-out",
                f"helm did not finish within {self._timeout:g} s",
                path="helm.chart",
                hint="the chart's templates may loop",
            ) from None
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
    sdk = _sdk()
    if sdk is not None:
        return SdkEngine(sdk)
    binary = shutil.which("helm")
    if binary is not None:
        return CliEngine(binary)
    raise RenderError.because(
        "helm-missing",
        "this orchestrator can render no Helm chart: neither the helm-python-sdk package nor the helm command is there",
        path="helm",
        hint="pip install 'fleetbus[orchestrator]' (x86-64), or put the helm command (3.x or 4.x) on the PATH",
    )


def _sdk() -> ModuleType | None:
    """The SDK with its shared library loaded; ``None`` where it is not installed or not for this machine."""
    try:
        sdk = importlib.import_module("helm_python")
    except ModuleNotFoundError:
        return None
    try:
        sdk.helm_sdk_version()
    except sdk.HelmLibraryError:
        return None
    return sdk


def _check_schemas(archive: bytes) -> None:
    foreign = foreign_references(archive)
    if foreign:
        raise RenderError.because(
            "helm-chart",
            f"a schema of the chart leads out of the chart, which rendering does not follow: {'; '.join(foreign[:5])}",
            path="helm.chart",
            hint="put what it refers to into the schema itself, under 'definitions'",
        )


def _check_installable(metadata: Mapping[str, Any], loaded: set[str]) -> None:
    """What ``helm install`` checks before it renders and the SDK's bare render does not."""
    if metadata.get("type") == "library":
        raise chart_error(f"chart {metadata.get('name')!r} is a library chart and installs nothing", {})
    wanted = {item["name"] for item in metadata.get("dependencies") or ()}
    missing = sorted(wanted - loaded)
    if missing:
        raise RenderError.because(
            "helm-chart",
            f"the chart declares dependencies that are not in its charts/ folder: {', '.join(missing)}",
            path="helm.chart",
            hint="run 'helm dependency build' before the chart is packaged",
        )
