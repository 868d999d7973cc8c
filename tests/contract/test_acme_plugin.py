"""A third party's renderer and applier: installed beside Fleetbus, they pass both suites and work in the whole chain.

``tests/plugins/acme`` is the whole of what the third party wrote; nothing in Fleetbus knows of it.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("tests.contract.applier_conformance", "tests.contract.renderer_conformance")

from edge_agent.appliers.port import Applier, never  # noqa: E402 - the line above must come first
from edge_agent.appliers.registry import load_applier  # noqa: E402
from orchestrator.rendering.registry import load_renderers  # noqa: E402
from tests.contract.applier_conformance import (  # noqa: E402
    DEPLOYMENT,
    ApplierConformance,
    Observed,
    Runtime,
    Step,
    deploy,
)
from tests.contract.renderer_conformance import RendererConformance, Sample  # noqa: E402
from tests.support.brokers import NatsBroker  # noqa: E402
from tests.support.processes import REPOSITORY, Site  # noqa: E402
from topics.documents.manifest import Manifest  # noqa: E402
from topics.documents.spec import Component  # noqa: E402

_DIED = 86


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The plug-in, built and installed by pip into a folder of its own, which is on the path meanwhile."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the plug-in, is not installed")
    base = tmp_path_factory.mktemp("acme")
    source, folder = base / "source", base / "site"
    shutil.copytree(REPOSITORY / "tests" / "plugins" / "acme", source, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation",
         "--disable-pip-version-check", "--target", str(folder), str(source)],
        check=True, timeout=120,
    )  # fmt: skip
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme_fleetbus"]:
        del sys.modules[name]


class TestAcmeRenderer(RendererConformance):
    """The suite of renderers."""

    @pytest.fixture
    def sample(self, installed: Path) -> Sample:
        good, bad = {"config": {"recipe": {"speed": 3}}, "timeout": "90s"}, {"config": {}}
        component = Component.model_validate({"name": "part", "renderer": "acme", "custom": good})
        return Sample(load_renderers().renderer_of(component), "custom", good, bad)


class AcmeRuntime(Runtime):
    """A station's database."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "station.db"

    def applier(self) -> Applier:
        return load_applier("acme", {"database": str(self.database)})

    def manifest(
        self, generation: int, components: Mapping[str, str], *, initialization: str = "", deployment: str = DEPLOYMENT
    ) -> Manifest:
        first = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": initialization}}
        return Manifest.model_validate(
            {
                "action": "apply",
                "deployment": deployment,
                "device": "edge-01",
                "generation": generation,
                "initialization": [first] if initialization else [],
                "components": [
                    {
                        "name": name,
                        "type": "acme-station",
                        "source": "spec",
                        "config": {"recipe": {"of": name, "is": value}},
                    }
                    for name, value in components.items()
                ],
            }
        )

    def observed(self) -> dict[str, Observed]:
        return {
            name: Observed(content, mark)
            for name, content, mark in self._rows("SELECT name, content, version FROM recipes")
        }

    def lose(self, name: str) -> None:
        self._rows("DELETE FROM recipes WHERE name = ?", name)

    def tamper(self, name: str) -> None:
        self._rows("UPDATE recipes SET content = content || '?' WHERE name = ?", name)

    def add_foreign(self) -> str:
        self.applier().remove("nobody", never)  # makes the table
        self._rows("INSERT OR IGNORE INTO recipes VALUES ('theirs', 'them', 'x', 1)")
        return "theirs"

    def occupy(self, manifest: Manifest) -> str:
        deploy(self.applier(), manifest)
        self.applier().remove(manifest.deployment, never)
        name = f"{manifest.deployment}/{manifest.components[0].name}"
        self._rows("INSERT INTO recipes VALUES (?, 'them', 'x', 1)", name)
        return name

    def crashes(self, step: Step, nth: int) -> bool:
        return _died(lambda: step.run(self.applier()), nth)

    def rubbish(self) -> list[str]:
        return []  # everything that there is can be observed

    def check_consistent(self) -> None:
        assert self._rows("PRAGMA integrity_check") == [("ok",)]

    def _rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.database, timeout=30, isolation_level=None)) as rows:
            known = rows.execute("SELECT 1 FROM sqlite_master WHERE name = 'recipes'").fetchone()
            return rows.execute(statement, values).fetchall() if known or "PRAGMA" in statement else []


def _died(work: Callable[[], object], nth: int) -> bool:
    """Do the work in a child process that ends at its ``nth`` SQL statement; false if it came to its end before."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _die_at(nth)
            work()
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, _DIED), f"the child ended with {status}"
    return status == _DIED


def _die_at(nth: int) -> None:
    # In the child only: every connection counts its statements, and the nth one is not executed.
    connect, count = sqlite3.connect, 0

    def counted(statement: str) -> None:
        nonlocal count
        count += 1
        if count == nth:
            os._exit(_DIED)

    def connected(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection = connect(*args, **kwargs)
        connection.set_trace_callback(counted)
        return connection

    sqlite3.connect = connected  # type: ignore[assignment]


class TestAcmeApplier(ApplierConformance):
    """The suite of appliers."""

    @pytest.fixture
    def runtime(self, installed: Path, tmp_path: Path) -> Runtime:
        return AcmeRuntime(tmp_path)


def test_without_it_the_spec_is_refused_by_name() -> None:
    """Nothing of it is part of Fleetbus; asked in a process of its own, which has never seen it."""
    script = (
        "from orchestrator.offers import unrenderable\n"
        "from orchestrator.rendering.registry import load_renderers\n"
        "from topics.documents.spec import Component\n"
        "component = Component.model_validate({'name': 'part', 'renderer': 'acme', 'custom': {}})\n"
        "print(unrenderable(component, load_renderers().offers))\n"
    )
    asked = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "no renderer 'acme' is installed" in asked.stdout
    assert "fleetbus.renderers" in asked.stdout


def test_it_works_in_the_whole_chain(
    installed: Path, nats: NatsBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spec, broker, renderer, manifest, applier, Deployed, update, removal, with the programs as they are."""
    monkeypatch.setenv("PYTHONPATH", str(installed))
    databases = {device: tmp_path / f"{device}.db" for device in ("edge-01", "edge-02")}

    def recipes(device: str) -> dict[str, str]:
        runtime = AcmeRuntime(tmp_path)
        runtime.database = databases[device]
        return {name: str(item.content) for name, item in runtime.observed().items()}

    def document(speed: int) -> dict[str, Any]:
        config = {"recipe": {"speed": speed, "line": "${device.labels.line:-none}"}}
        return {
            "apiVersion": "fleetbus/v1",
            "kind": "DeploymentSpec",
            "metadata": {"name": "drilling"},
            "spec": {
                "agents": {"selector": {}},
                "workload": {"create": False},
                "components": [{"name": "drill", "renderer": "acme", "custom": {"config": config}}],
            },
        }

    with Site(nats, tmp_path) as site:
        site.start_orchestrator()
        site.start_agent(
            "edge-01",
            "--applier",
            "acme",
            "--applier-option",
            f"database={databases['edge-01']}",
            "--label",
            "line=weld",
        )
        site.start_agent("edge-02", "--applier", "acme", "--applier-option", f"database={databases['edge-02']}")
        site.publish(document(3))
        site.observer.wait_phase("drilling", "Deployed", 1)
        assert '"line": "weld", "speed": 3' in recipes("edge-01")["drilling/drill"]
        assert '"station": "edge-02"' in recipes("edge-02")["drilling/drill"]
        assert '"line": "none"' in recipes("edge-02")["drilling/drill"]
        site.publish(document(4))
        site.observer.wait_phase("drilling", "Deployed", 2)
        assert '"speed": 4' in recipes("edge-01")["drilling/drill"]
        site.delete("drilling")
        site.observer.wait("the recipes gone", lambda: not recipes("edge-01") and not recipes("edge-02"))
