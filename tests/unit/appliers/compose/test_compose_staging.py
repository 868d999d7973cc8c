"""The folder of a deployment: whole folders only, kept as long as they are needed, and an inventory that is intact."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.appliers.compose import files
from edge_agent.appliers.compose.inventory import Entry, Inventory, Known
from edge_agent.appliers.compose.project import Project, project_of
from edge_agent.appliers.compose.staging import Staging
from edge_agent.appliers.port import ApplyError
from topics.documents.manifest import Manifest, ManifestComponent

CONFIG = {
    "projectName": "press_db", "project": {"services": {"db": {"image": "example/db:1"}}},
    "files": {"conf/a.conf": "text"}, "binaryFiles": {"logo.png": "/9j/"},
}  # fmt: skip


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(tmp_path / "projects", "press")


def project(**config: object) -> Project:
    component = ManifestComponent(name="db", type="compose", config={**CONFIG, **config}, source="spec")
    return project_of(
        Manifest(action="apply", deployment="press", device="edge-01", generation=1, components=(component,)), "db"
    )


def test_a_project_is_staged_with_its_files(staging: Staging) -> None:
    """The project marked with the device, texts and other files beside it; passwords are not for everybody."""
    folder = staging.stage(project())
    assert '"fleetbus.io/device": "edge-01"' in (folder / ".fleetbus-compose.json").read_text()
    assert (folder / "conf/a.conf").read_text() == "text"
    assert (folder / "logo.png").read_bytes() == b"\xff\xd8\xff"[:3]
    assert (staging.path.stat().st_mode & 0o777, (folder / "conf/a.conf").stat().st_mode & 0o777) == (
        0o700,
        0o644,
    )


def test_what_is_in_a_project_is_its_folder(staging: Staging) -> None:
    """The same content has the same folder, any other another."""
    others = [
        project(files={}),
        project(environment={"A": "1"}),
        project(project={"services": {"db": {"image": "other"}}}),
    ]
    assert project().folder == project().folder
    assert len({project().folder, *(other.folder for other in others)}) == 4


def test_a_folder_that_a_crash_left_half_deleted_is_staged_anew(
    staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle of deleting, what is left is not taken for the project."""
    for change in range(1, 20):
        folder = staging.stage(project())
        with monkeypatch.context() as patched:
            ended = _dies_at(patched, change)
            try:
                staging.forget(())
            except _Died:
                pass
            else:
                assert ended() < change
                return
        assert sorted(path.name for path in staging.stage(project()).rglob("*")) == [".fleetbus-compose.json", "a.conf", "conf", "logo.png"]  # fmt: skip
        assert folder.is_dir()
    raise AssertionError("deleting had no end")


class _Died(BaseException):
    pass


def _dies_at(patched: pytest.MonkeyPatch, change: int) -> Callable[[], int]:
    count = 0

    def counting(original: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal count
            count += 1
            if count == change:
                raise _Died
            return original(*args, **kwargs)

        return call

    for name in ("unlink", "rmdir", "rename"):
        patched.setattr(os, name, counting(getattr(os, name)))
    return lambda: count


def test_folders_stay_as_long_as_something_names_them(staging: Staging) -> None:
    """A staged generation, then the inventory; then nothing is left, not even the deployment's folder."""
    staging.note(2, [project()])
    folder = staging.stage(project())
    staging.forget(())
    assert folder.is_dir()
    staging.save(Inventory("press", 2, {"db": Entry("press_db", folder.name, 2, False)}))
    staging.forget((2,))
    assert folder.is_dir()
    assert staging.staged() == []
    staging.delete()
    assert not staging.path.exists()
    staging.delete()


def test_an_inventory_is_read_as_it_was_written(staging: Staging) -> None:
    """Order of the components, containers, and their absence."""
    written = Inventory("press", 7, {
        "z": Entry("press_z", "z-1", 7, True, {"id": Known("press_z-a-1", "mark", True)}), "a": Entry("press_a", "a-1", 6, False),
    })  # fmt: skip
    staging.save(written)
    assert staging.inventory() == written
    assert list(staging.inventory().components) == ["z", "a"]


@pytest.mark.parametrize(
    "damage",
    [lambda text: text[:-30], lambda text: text.replace("press_db", "press_xx"), lambda _: "[]", lambda _: "{}",
     lambda _: "", lambda text: text.replace('"press"', '"other"')],
)  # fmt: skip
def test_a_damaged_inventory_is_no_empty_one(staging: Staging, damage: Callable[[str], str]) -> None:
    """Guessing could take down somebody else's project."""
    staging.save(Inventory("press", 1, {"db": Entry("press_db", "db-1", 1, False)}))
    place = staging.path / "inventory.json"
    place.write_text(damage(place.read_text()))
    with pytest.raises(ApplyError) as caught:
        staging.inventory()
    assert (caught.value.code, caught.value.retryable) == ("inventory-corrupt", False)
    assert str(place) in caught.value.message


def test_a_full_or_forbidden_disk_is_said(staging: Staging, tmp_path: Path) -> None:
    """Before anything is fetched."""
    with pytest.raises(ApplyError) as caught, files.apply_errors("to use the folder"):
        files.check_writable(staging.path, 2**60)
    assert (caught.value.code, caught.value.retryable) == ("disk-full", True)
    (tmp_path / "projects").write_text("in the way")
    with pytest.raises(ApplyError) as caught:
        staging.stage(project())
    assert caught.value.code == "not-a-folder"


@pytest.mark.parametrize(
    "config",
    [{}, {"projectName": "Press", "project": {}}, {"projectName": "a", "project": {"services": 1}},
     {"projectName": "a", "project": {"services": {"b": {}}}}, {**CONFIG, "files": {"../x": ""}},
     {**CONFIG, "files": {"/x": ""}}, {**CONFIG, "files": {".fleetbus-compose.json": ""}}, {**CONFIG, "binaryFiles": {"x": "?"}}],
)  # fmt: skip
def test_a_manifest_without_a_project_is_an_error(config: dict[str, object]) -> None:
    """With the component, and never a crash."""
    component = ManifestComponent(name="db", type="compose", config=config, source="spec")
    manifest = Manifest(action="apply", deployment="press", device="edge-01", generation=1, components=(component,))
    with pytest.raises(ApplyError) as caught:
        project_of(manifest, "db")
    assert (caught.value.code, caught.value.component, caught.value.retryable) == ("invalid-project", "db", False)


def test_services_are_read_as_compose_means_them() -> None:
    """Profiles, replicas, jobs, pull policies."""
    services = {
        "app": {"image": "a", "depends_on": {"job": {"condition": "service_completed_successfully"}}, "deploy": {"replicas": 3}},
        "job": {"image": "a$$b", "pull_policy": "if_not_present"},
        "once": {"image": "a", "restart": "on-failure:3", "scale": 2, "platform": "linux/arm64"},
        "debug": {"image": "a", "profiles": ["debug"]},
    }  # fmt: skip
    found = {service.name: service for service in project(project={"services": services}).services}
    assert {name: (service.one_shot, service.replicas, service.pull) for name, service in found.items()} == {
        "app": (False, 3, "missing"), "job": (True, 1, "missing"), "once": (True, 2, "missing"),
    }  # fmt: skip
    assert (found["job"].image, found["once"].platform) == ("a$b", "linux/arm64")
