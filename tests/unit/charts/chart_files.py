"""Charts for tests: small real ones, written as files or packed as archives."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

WEB: dict[str, str] = {
    "Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.2.3\n",
    "values.yaml": "replicas: 1\nport: 80\n",
    "templates/_names.tpl": '{{- define "name" }}{{ .Release.Name }}-web{{ end }}',
    "templates/NOTES.txt": "Open port {{ .Values.port }}.",
    "templates/deployment.yaml": (
        'apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {{ include "name" . }}\n'
        "spec:\n  replicas: {{ .Values.replicas }}\n"
        "  template: {metadata: {labels: {app: web}}, spec: {containers: []}}\n"
    ),
    "templates/service.yaml": (
        'apiVersion: v1\nkind: Service\nmetadata:\n  name: {{ include "name" . }}\n'
        "spec:\n  ports: [{port: {{ .Values.port }}}]\n"
    ),
}
"""One Deployment and one Service."""


def chart(version: str = "1.2.3", name: str = "web", **changes: str) -> dict[str, str]:
    """The files of ``WEB`` in another version or under another name; ``changes`` replaces whole files."""
    files = {**WEB, "Chart.yaml": f"apiVersion: v2\nname: {name}\nversion: {version}\n"}
    return {**files, **changes}


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write the files below ``folder``."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def archive(files: Mapping[str, str | bytes], top: str = "web") -> bytes:
    """The files as a ``.tgz``, made with the standard library and not with the code under test."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(f"{top}/{name}" if top else name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=0)
