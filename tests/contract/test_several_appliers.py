"""Several appliers behind one port pass the suite of every applier; and what only several of them have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

pytest.register_assert_rewrite("tests.contract.applier_conformance")

from edge_agent.appliers.directory import DirectoryApplier  # noqa: E402 - the line above must come first
from edge_agent.appliers.port import Applier, ApplyError, OptionError, never  # noqa: E402
from edge_agent.appliers.several import SeveralAppliers  # noqa: E402
from edge_agent.bootstrap import applier_of  # noqa: E402
from edge_agent.config import read_config  # noqa: E402
from tests.contract.applier_conformance import (  # noqa: E402
    DEPLOYMENT,
    ApplierConformance,
    Observed,
    Runtime,
    Step,
    deploy,
)
from tests.contract.test_directory_applier import DirectoryRuntime, config_map, died  # noqa: E402
from topics.documents.manifest import Manifest, ManifestComponent  # noqa: E402
from topics.program.options import OptionError as ConfigError  # noqa: E402

OTHER = "other"


class OtherApplier(DirectoryApplier):
    """A real applier for another type: it writes the same files into a folder of its own."""

    types: ClassVar[frozenset[str]] = frozenset({OTHER})


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


class SeveralRuntime(Runtime):
    """Two watched folders; the database goes to the first, everything else to the second."""

    def __init__(self, base: Path) -> None:
        self.first, self.second = (DirectoryRuntime(_made(base / name)) for name in ("first", "second"))

    def applier(self) -> Applier:
        return SeveralAppliers(
            {"directory": DirectoryApplier(self.first.options), "other": OtherApplier(self.second.options)}
        )

    def manifest(
        self, generation: int, components: Mapping[str, str], *, initialization: str = "", deployment: str = DEPLOYMENT
    ) -> Manifest:
        return Manifest(
            action="apply", deployment=deployment, device="edge-01", generation=generation,
            initialization=(config_map("settings", initialization),) if initialization else (),
            components=tuple(
                ManifestComponent(
                    name=name, type="kubernetes" if name == "database" else OTHER, source="spec",
                    objects=(config_map(name, value),),
                )
                for name, value in components.items()
            ),
        )  # fmt: skip

    def observed(self) -> dict[str, Observed]:
        return self.first.observed() | self.second.observed()

    def lose(self, name: str) -> None:
        self._of(name).lose(name)

    def tamper(self, name: str) -> None:
        self._of(name).tamper(name)

    def add_foreign(self) -> str:
        return self.second.add_foreign()

    def occupy(self, manifest: Manifest) -> str:
        deploy(self.applier(), manifest)
        name = next(name for name in sorted(self.observed()) if manifest.components[0].name in name)
        self.applier().remove(manifest.deployment, never)
        (self.first.manifests / name).write_text("kind: Foreign\n")
        return name

    def crashes(self, step: Step, nth: int) -> bool:
        return died(lambda: step.run(self.applier()), nth)

    def rubbish(self) -> list[str]:
        return self.first.rubbish() + self.second.rubbish()

    def check_consistent(self) -> None:
        self.first.check_consistent()
        self.second.check_consistent()

    def _of(self, name: str) -> DirectoryRuntime:
        return self.first if name in self.first.observed() else self.second


class TestSeveralAppliers(ApplierConformance):
    """The suite."""

    @pytest.fixture
    def runtime(self, tmp_path: Path) -> Runtime:
        return SeveralRuntime(tmp_path)


@pytest.fixture
def several(tmp_path: Path) -> SeveralRuntime:
    return SeveralRuntime(tmp_path)


def test_a_component_that_moves_to_another_runtime_leaves_the_first(several: SeveralRuntime) -> None:
    """And so does the last one that an applier had: it has no part in the new generation."""
    deploy(several.applier(), several.manifest(1, {"database": "one"}))
    moved = several.manifest(2, {"panel": "one"})
    deploy(several.applier(), moved)
    assert several.first.observed() == {}
    assert len(several.second.observed()) == 1
    assert all(entry.healthy for entry in several.applier().health(moved))


def test_initialization_goes_to_the_one_for_kubernetes(several: SeveralRuntime) -> None:
    """Also where no component does."""
    manifest = several.manifest(1, {"panel": "one"}, initialization="settings")
    deploy(several.applier(), manifest)
    assert [len(runtime.observed()) for runtime in (several.first, several.second)] == [1, 1]
    assert [entry.healthy for entry in several.applier().health(manifest)] == [True]


def test_components_are_told_in_the_manifests_order(several: SeveralRuntime) -> None:
    """Whoever applied them."""
    manifest = several.manifest(1, {"z": "1", "database": "1", "a": "1"})
    deploy(several.applier(), manifest)
    assert [entry.component for entry in several.applier().health(manifest)] == ["z", "database", "a"]


def test_one_that_cannot_remove_does_not_keep_the_others_from_it(several: SeveralRuntime) -> None:
    """The error is told, and the rest is gone."""
    manifest = several.manifest(1, {"database": "one", "panel": "one"})
    deploy(several.applier(), manifest)
    inventory = several.second.staging / DEPLOYMENT / "inventory.json"
    inventory.write_text("damaged")
    with pytest.raises(ApplyError, match="damaged"):
        several.applier().remove(DEPLOYMENT, never)
    assert several.first.observed() == {}


def test_two_for_one_type_are_refused(several: SeveralRuntime) -> None:
    """Nobody could say which one is meant."""
    with pytest.raises(OptionError, match="'a' and 'b' both take components of type 'kubernetes'"):
        SeveralAppliers({name: DirectoryApplier(several.first.options) for name in "ab"})


def _config(tmp_path: Path, *arguments: str, **environment: str) -> Any:
    always = ["--broker", "mqtt://127.0.0.1", "--device", "edge-01", "--data", str(tmp_path / "data")]
    return read_config([*always, *arguments], environment)


def test_an_agent_is_configured_with_several(tmp_path: Path) -> None:
    """In the order given; each gets its own options; together they take what each of them takes."""
    config = _config(
        tmp_path, "--applier", "directory", "--applier", "compose", "--applier-option", "compose.settle=2",
        "--manifests", str(tmp_path / "m"),
    )  # fmt: skip
    assert list(config.appliers) == ["directory", "compose"]
    assert config.appliers["compose"] == {
        "projects": str(tmp_path / "data" / "compose"), "device": "edge-01", "settle": "2",
    }  # fmt: skip
    assert config.appliers["directory"]["manifests"] == str(tmp_path / "m")
    assert sorted(applier_of(config).types) == ["compose", "kubernetes"]


def test_the_environment_and_the_file_name_several_too(tmp_path: Path) -> None:
    """Comma-separated, and as an array."""
    assert list(_config(tmp_path, FLEETBUS_APPLIER="compose, directory").appliers) == ["compose", "directory"]
    file = tmp_path / "agent.toml"
    file.write_text('applier = ["compose", "directory"]\n[applier-option]\n"compose.engine" = "podman"\n')
    config = _config(tmp_path, "--config", str(file))
    assert config.appliers["compose"]["engine"] == "podman"
    assert list(_config(tmp_path).appliers) == ["directory"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--applier", "compose,compose"], "twice"), (["--applier", ","], "no value"),
        (["--applier", "compose,directory", "--applier-option", "settle=1"], "for which applier"),
    ],
)  # fmt: skip
def test_what_is_not_clear_is_said(tmp_path: Path, arguments: list[str], said: str) -> None:
    """At the start."""
    with pytest.raises(ConfigError, match=said):
        _config(tmp_path, *arguments)
