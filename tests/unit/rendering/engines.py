"""Both Helm engines, for tests that hold for each."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

from orchestrator.rendering.helm_chart import HelmEngine
from orchestrator.rendering.helm_engine import CliEngine, SdkEngine
from tests.unit.rendering import helm_stand_in


def engine_named(name: str, folder: Path) -> HelmEngine:
    """``sdk`` or ``cli``; skips with the reason where it cannot run."""
    installed = shutil.which("helm")
    if name == "cli" and installed:
        return CliEngine(installed)
    if importlib.util.find_spec("helm_python") is None:
        pytest.skip("helm-python-sdk is not installed" + (" and neither is helm" if name == "cli" else ""))
    if name == "sdk":
        return SdkEngine()
    script = folder / "helm"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {helm_stand_in.__file__} "$@"\n')
    script.chmod(0o755)
    return CliEngine(str(script))
