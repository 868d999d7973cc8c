"""What an installation brings along: an agent's holds the agent and nothing of the orchestrator."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("packaging")  # one worker: what they stand on takes long to set up

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, timeout: float = 170) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout, check=False)


def pip(*arguments: str | Path) -> None:
    """Run pip; a host that reaches no package index skips the test with pip's own words."""
    done = run(sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments)
    if done.returncode and "Could not find a version" in done.stderr:
        pytest.skip(f"no package index is reached: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, as a release would hold it."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    (built,) = folder.glob("fleetbus-*.whl")
    return built


def test_the_wheel_holds_the_packages_and_the_three_commands(wheel: Path) -> None:
    """Everything that runs is in the wheel; tests and benchmarks are not."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if name.endswith(".py")} == {
        "topics", "orchestrator", "edge_agent", "cli",
    }  # fmt: skip
    entry_points = next(name for name in names if name.endswith("entry_points.txt"))
    text = zipfile.ZipFile(wheel).read(entry_points).decode()
    for command in ("fleetbus = ", "fleetbus-orchestrator = ", "fleetbus-agent = "):
        assert command in text


def test_an_agents_install_runs_and_holds_nothing_of_the_orchestrator(wheel: Path, tmp_path: Path) -> None:
    """Without extras: the agent starts, the orchestrator's dependencies are absent, the CLI says what it needs."""
    assert run(sys.executable, "-m", "venv", tmp_path / "venv").returncode == 0
    python = tmp_path / "venv" / "bin" / "python"
    done = run(python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", wheel)
    if "Could not find a version" in done.stderr:
        pytest.skip(f"no package index is reached: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    agent = run(tmp_path / "venv" / "bin" / "fleetbus-agent", "--version")
    assert (agent.returncode, agent.stdout.split()[0]) == (0, "fleetbus-agent"), agent.stderr
    listed = run(python, "-m", "pip", "list", "--format", "freeze").stdout.lower()
    for unwanted in ("sqlalchemy", "helm", "yaml", "httpx", "typer", "rich", "nats", "kubernetes"):
        assert unwanted not in listed
    for command, extra in (("fleetbus", "cli"), ("fleetbus-orchestrator", "orchestrator")):
        refused = run(tmp_path / "venv" / "bin" / command, "--help")
        assert refused.returncode == 2
        assert f"fleetbus[{extra}]" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_every_dependency_of_an_agent_has_a_wheel_for_arm64(tmp_path: Path) -> None:
    """Nothing is compiled on a device: pip finds wheels alone for 64-bit ARM."""
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in (17, 28)]
    pip(
        "download", "--quiet", "--only-binary=:all:", "--implementation=cp", "--python-version=3.11", *platforms,
        "--dest", tmp_path, *dependencies,
    )  # fmt: skip
    names = [file.name for file in tmp_path.iterdir()]
    assert any(name.startswith("pydantic_core") and "aarch64" in name for name in names)
    assert not any("x86_64" in name for name in names)
