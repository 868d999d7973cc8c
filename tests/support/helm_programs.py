"""What plays Helm in the tests: its SDK, and the ``helm`` command in two major versions where it is there."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

ENGINES = ("sdk", "helm-4", "helm-3")


def helm_program(major: str) -> Path | None:
    """The helm command that ``tests/setup/helm.sh`` fetched, if it did."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    found = cache / "fleetbus" / "helm" / major / "helm"
    return found if os.access(found, os.X_OK) else None


def helm_options(engine: str) -> dict[str, str]:
    """The options of the helm-release applier for one of ``ENGINES``; skips with the reason where it is not there."""
    if engine == "sdk":
        if importlib.util.find_spec("helm_python") is None:
            pytest.skip("helm-python-sdk is not installed")
        return {}
    program = helm_program(engine.removeprefix("helm-"))
    if program is None:
        pytest.skip(f"no {engine}: run tests/setup/helm.sh")
    return {"helm": str(program)}
