"""Provenance of charts: who signed which archive (https://helm.sh/docs/topics/provenance/).

A provenance file (``.prov``) is a text in OpenPGP clear-signature that names the archive with its SHA-256. With a
keyring configured, every chart that is fetched must have one that a key of the keyring made: a chart whose
file is simply left out must not pass. Helm itself verifies, in the process or as the ``helm`` command.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import ModuleType

from orchestrator.charts.archive import ChartArchive
from orchestrator.charts.errors import ChartFetchError

LAYER = "application/vnd.cncf.helm.chart.provenance.v1.prov"
"""Media type of the provenance file in an OCI registry, beside the chart's own layer."""

MAX_PROVENANCE_BYTES = 1024 * 1024
_SECONDS = 30.0
_HINT = "sign it with 'helm package --sign' and publish the .prov file beside the archive"


def missing(what: str) -> ChartFetchError:
    """The refusal of a chart without provenance."""
    return ChartFetchError(
        "chart-provenance-missing",
        f"{what} has no provenance file, and this orchestrator takes signed charts only (--chart-keyring)",
        hint=_HINT,
    )


def verify(archive: ChartArchive, provenance: bytes, keyring: Path) -> None:
    """Return if a key of the keyring (binary OpenPGP public keys) signed exactly this archive.

    Raises ``ChartFetchError``: ``chart-provenance-invalid``, or ``chart-provenance-unverifiable`` where nothing here
    can tell.
    """
    if not keyring.is_file():
        raise ChartFetchError(
            "chart-provenance-unverifiable", f"the keyring {keyring} of --chart-keyring is no file",
            hint="export the public keys of the chart's authors: gpg --export > keyring.gpg",
        )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="fleetbus-provenance-") as folder:
        # The file that the signature names; neither part can hold a path (they are checked below).
        name = f"{archive.name}-{archive.version}.tgz"
        if Path(name).name != name:
            raise _invalid(archive, f"{name[:100]!r} is no file name")
        path = Path(folder, name)
        path.write_bytes(archive.data)
        path.with_name(name + ".prov").write_bytes(provenance)
        sdk = _sdk()
        if sdk is not None:
            try:
                sdk.verify(path, keyring)
            except sdk.HelmError as error:
                raise _invalid(archive, str(error).replace(folder + "/", "")) from error
            return
        _verify_by_command(archive, path, keyring)


def _verify_by_command(archive: ChartArchive, path: Path, keyring: Path) -> None:
    binary = shutil.which("helm")
    if binary is None:
        raise ChartFetchError(
            "chart-provenance-unverifiable",
            "no Helm is here to verify charts with: neither the helm-python-sdk package nor the helm command",
            hint="pip install 'fleetbus[orchestrator]' (x86-64), or put the helm command on the PATH",
        )
    try:
        done = subprocess.run(  # noqa: S603 - no shell; the binary is the operator's
            [binary, "verify", str(path), "--keyring", str(keyring)],
            capture_output=True, text=True, timeout=_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ChartFetchError(
            "chart-provenance-unverifiable", f"helm did not verify within {_SECONDS:g} s", retryable=True
        ) from error
    if done.returncode != 0:
        raise _invalid(archive, done.stderr.strip().replace(f"{path.parent}/", ""))


def _invalid(archive: ChartArchive, why: str) -> ChartFetchError:
    return ChartFetchError(
        "chart-provenance-invalid",
        f"the provenance of {archive.name} {archive.version} does not verify: {' '.join(why.split())[:500]}",
        required="a signature of this archive by a key of the keyring",
        available=archive.digest,
        hint="the archive was exchanged, or its author's key is not in the keyring of --chart-keyring",
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
