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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Protocol

from orchestrator.rendering.kubernetes_yaml import split_documents
from orchestrator.rendering.port import RenderError
from topics.documents.base import JsonObject

KUBERNETES_VERSION = "v1.36.0"
"""What ``.Capabilities.KubeVersion`` says in both engines; the one built into Helm SDK 4.2."""

_CLI_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """One YAML document out of a chart, and the file of the chart it comes from."""

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

    The archive is loaded anew for each render. Rendering takes disabled subcharts out of the loaded
    chart for good (seen with 0.2.2), so a second render of the same object with other values is wrong.
    """

    name: ClassVar[str] = "sdk"

    def __init__(self, sdk: ModuleType) -> None:
        self._sdk = sdk

    def render(self, archive: bytes, values: JsonObject, release: str, namespace: str) -> RenderedChart:
        """See ``HelmEngine``."""
        try:
            with self._sdk.Chart.load_archive(archive) as chart:
                _check_installable(chart.metadata, {item["name"] for item in chart.dependencies})
                files: dict[str, str] = chart.render(dict(values), name=release, namespace=namespace, is_install=True)
                # Read after rendering: only then are the CRDs of disabled subcharts gone.
                crds = [
                    RenderedFile(item["filename"], text)
                    for item in chart.crds
                    for text in split_documents(item["data"])
                ]
        except self._sdk.HelmValuesError as error:
            raise _values_error(str(error), values) from error
        except self._sdk.HelmRenderError as error:
            raise _template_error(str(error), values) from error
        except self._sdk.HelmError as error:
            raise _chart_error(str(error), values) from error
        templates = [
            RenderedFile(path, text)
            for path, content in sorted(files.items())
            if not path.endswith("NOTES.txt") and not path.rpartition("/")[2].startswith("_")
            for text in split_documents(content)
        ]
        return RenderedChart(tuple(crds), tuple(templates))


class CliEngine:
    """The ``helm`` command (3.x or 4.x); values and chart pass through a private temporary folder."""

    name: ClassVar[str] = "cli"

    def __init__(self, binary: str, timeout: float = _CLI_SECONDS) -> None:
        self._binary = binary
        self._timeout = timeout

    def render(self, archive: bytes, values: JsonObject, release: str, namespace: str) -> RenderedChart:
        """See ``HelmEngine``."""
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
            raise _values_error(text, values)
        if "chart" in text.lower() and "template" not in text:
            raise _chart_error(text, values)
        raise _template_error(text, values)


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


def _check_installable(metadata: Mapping[str, Any], loaded: set[str]) -> None:
    """What ``helm install`` checks before it renders and the SDK's bare render does not."""
    if metadata.get("type") == "library":
        raise _chart_error(f"chart {metadata.get('name')!r} is a library chart and installs nothing", {})
    wanted = {item["name"] for item in metadata.get("dependencies") or ()}
    missing = sorted(wanted - loaded)
    if missing:
        raise RenderError.because(
            "helm-chart",
            f"the chart declares dependencies that are not in its charts/ folder: {', '.join(missing)}",
            path="helm.chart",
            hint="run 'helm dependency build' before the chart is packaged",
        )


def _values_error(text: str, values: JsonObject) -> RenderError:
    return RenderError.because(
        "helm-values",
        _readable(text, values),
        path="helm.values",
        hint="the chart's values.schema.json says which values it takes",
    )


def _template_error(text: str, values: JsonObject) -> RenderError:
    return RenderError.because("helm-template", f"a template fails: {_readable(text, values)}", path="helm")


def _chart_error(text: str, values: JsonObject) -> RenderError:
    return RenderError.because("helm-chart", f"Helm refuses the chart: {_readable(text, values)}", path="helm.chart")


_SECRET_KEY = re.compile(r"pass|secret|token|key|cred|auth|cert|private", re.IGNORECASE)
_MAX_MESSAGE = 1000


def _readable(text: str, values: JsonObject) -> str:
    """One bounded line without the values whose key says that they are secret."""
    for secret in sorted(_secrets(values, False), key=len, reverse=True):
        text = text.replace(secret, "***")
    line = " ".join(text.split())
    return line if len(line) <= _MAX_MESSAGE else line[: _MAX_MESSAGE - 3] + "..."


def _secrets(value: Any, secret: bool) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _secrets(item, secret or _SECRET_KEY.search(str(key)) is not None)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets(item, secret)
    elif secret and isinstance(value, str) and value:
        yield value
