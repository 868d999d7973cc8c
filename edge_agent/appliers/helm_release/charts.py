"""Charts on the device: fetched by Helm, compared with their digest, and kept until their generation is gone.

Below ``.helm-release`` in the staging folder (other appliers may use that, too, with a folder for each deployment; no
deployment has a dot in its name) each deployment has a folder with ``charts/<sha256>.tgz`` and one
``generation-<n>.json`` for each generation that was downloaded, which names its charts. A chart that no generation
names is deleted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from edge_agent.appliers.helm_release.engine import Helm, Login
from edge_agent.appliers.port import ApplyError, CancelCheck
from topics.documents.release import HelmReleaseConfig
from topics.identifiers import check_dns_label

_FETCH_SECONDS = 300.0
_HALF = ".incoming-"
"""What a file is called until it is whole; one that a crash left is deleted when its deployment is finished."""


class ChartFolder:
    """The charts of all deployments. Safe from several threads as long as no two work on the same deployment."""

    def __init__(self, staging: Path, credentials: Path | None) -> None:
        self._staging = staging / ".helm-release"
        self._credentials = credentials

    def archive(self, deployment: str, config: HelmReleaseConfig) -> Path | None:
        """The chart's archive if it is here, whole."""
        path = self._path(deployment, config.digest)
        try:
            return path if _digest(path.read_bytes()) == config.digest else None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _disk_error("to read a chart", error) from error

    def fetch(
        self, helm: Helm, deployment: str, config: HelmReleaseConfig, component: str, cancelled: CancelCheck
    ) -> Path:
        """The chart's archive, fetched if it is not here. Raises ``ApplyError`` and ``Cancelled``."""
        found = self.archive(deployment, config)
        if found is not None:
            return found
        path = self._path(deployment, config.digest)
        with _disk("to keep a chart"):
            path.parent.mkdir(parents=True, exist_ok=True)
        data = self._carried(config, component) if config.archive else self._pulled(helm, config, component, cancelled)
        if _digest(data) != config.digest:
            raise ApplyError(
                "chart-digest-mismatch",
                f"chart {config.chart_name} {config.version} is not the one that the orchestrator rendered: wanted "
                f"{config.digest}, got {_digest(data)} ({len(data)} bytes); what is served under this version was "
                "exchanged: publish the spec again to take the new one",
                retryable=False,
                component=component,
            )
        with _disk("to keep a chart"):
            _write(path, data)
        return path

    def remember(self, deployment: str, generation: int, digests: list[str]) -> None:
        """Write down which charts a generation has."""
        with _disk("to write down what was downloaded"):
            _write(self._folder(deployment) / f"generation-{generation:d}.json", json.dumps(sorted(digests)).encode())

    def keep_since(self, deployment: str, generation: int) -> None:
        """Forget all generations but this one, newer ones, and the one before it, to which a rollback may lead."""
        older = [number for number in self._generations(deployment) if number < generation]
        for number in older[:-1]:
            self.discard(deployment, number)
        with _disk("to tidy what was downloaded"):
            for path in self._folder(deployment).glob(f"{_HALF}*"):
                path.unlink()

    def discard(self, deployment: str, generation: int) -> None:
        """Forget a generation, and delete the charts that only it had."""
        folder = self._folder(deployment)
        if not folder.is_dir():
            return
        with _disk("to delete what was downloaded"):
            (folder / f"generation-{generation:d}.json").unlink(missing_ok=True)
            kept = {digest for number in self._generations(deployment) for digest in self._named(deployment, number)}
            charts = folder / "charts"
            for path in charts.iterdir() if charts.is_dir() else ():
                if f"sha256:{path.stem}" not in kept:
                    path.unlink()
            if not self._generations(deployment):
                shutil.rmtree(folder)

    def remove(self, deployment: str) -> None:
        """Delete all that a deployment has."""
        folder = self._folder(deployment)
        with _disk("to delete what was downloaded"):
            if folder.is_dir():
                shutil.rmtree(folder)

    def _generations(self, deployment: str) -> list[int]:
        found = [path.stem.removeprefix("generation-") for path in self._folder(deployment).glob("generation-*.json")]
        return sorted(int(number) for number in found if number.isdecimal())

    def _named(self, deployment: str, generation: int) -> list[str]:
        try:
            found = json.loads((self._folder(deployment) / f"generation-{generation:d}.json").read_bytes())
        except (FileNotFoundError, ValueError):
            return []  # its charts are fetched again if they are needed
        return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []

    def _folder(self, deployment: str) -> Path:
        try:
            return self._staging / check_dns_label(deployment)
        except ValueError as error:
            raise ApplyError("bad-name", str(error), retryable=False) from error

    def _path(self, deployment: str, digest: str) -> Path:
        return self._folder(deployment) / "charts" / f"{digest.removeprefix('sha256:')}.tgz"

    def _carried(self, config: HelmReleaseConfig, component: str) -> bytes:
        try:
            return base64.b64decode(config.archive or "", validate=True)
        except binascii.Error as error:
            raise ApplyError(
                "chart-invalid",
                f"the chart in the manifest is not base64: {error}",
                retryable=False,
                component=component,
            ) from error

    def _pulled(self, helm: Helm, config: HelmReleaseConfig, component: str, cancelled: CancelCheck) -> bytes:
        with tempfile.TemporaryDirectory(prefix="fleetbus-chart-") as name:
            folder = Path(name)
            login = self._login(config)
            helm.pull(config, folder, cancelled, component=component, login=login, seconds=_FETCH_SECONDS)
            found = sorted(folder.glob("*.tgz"))
            if len(found) != 1:
                raise ApplyError(
                    "chart-invalid",
                    f"Helm fetched {len(found)} archives for chart {config.chart_name} {config.version}, not one",
                    retryable=False,
                    component=component,
                )
            with _disk("to read the fetched chart"):
                return found[0].read_bytes()

    def _login(self, config: HelmReleaseConfig) -> Login | None:
        """User and password for an HTTP server; registries are logged in to by Helm itself, from the same file."""
        if self._credentials is None or config.chart.startswith("oci://"):
            return None
        host = urlsplit(config.repository or config.chart).netloc.rpartition("@")[2]
        try:
            auths = json.loads(self._credentials.read_text("utf-8")).get("auths") or {}
            entry = next((value for key, value in auths.items() if _host(key) == host), None)
            if entry is None:
                return None
            user, _, password = base64.b64decode(entry["auth"], validate=True).decode("utf-8").partition(":")
        except (OSError, AttributeError, TypeError, KeyError, ValueError):
            # The cause is dropped on purpose: it may quote the content.
            raise ApplyError(
                "chart-credentials-invalid",
                f"{self._credentials} is not a credentials file in the form of Docker's config.json; write it with "
                "'helm registry login'",
                retryable=False,
            ) from None
        return Login(user, password)


def _host(key: str) -> str:
    return key.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _write(path: Path, data: bytes) -> None:
    # Beside its place and then renamed: half of it is never found. Not synced: it can be had again.
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(
        prefix=_HALF, dir=path.parent.parent if path.parent.name == "charts" else path.parent
    )
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def _disk(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _disk_error(what, error) from error


def _disk_error(what: str, error: OSError) -> ApplyError:
    full = error.errno in (28, 122)  # ENOSPC, EDQUOT
    hint = "free some space" if full else "see to it that the agent can write there"
    return ApplyError(
        "disk-full" if full else "not-writable",
        f"{what}: {error.filename or 'the staging folder'}: {error.strerror or error}; {hint}",
        retryable=True,
    )
