"""The directory applier passes the suite of every applier, on a real file system, with real crashes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("tests.contract.applier_conformance")

from edge_agent.appliers.directory import DirectoryApplier  # noqa: E402 - the line above must come first
from edge_agent.appliers.directory.plan import empty_content  # noqa: E402
from edge_agent.appliers.port import Applier, ApplyError, Cancelled, never  # noqa: E402
from tests.contract.applier_conformance import (  # noqa: E402
    DEPLOYMENT,
    ApplierConformance,
    Observed,
    Runtime,
    Step,
    deploy,
    steps_of,
)
from topics.documents.manifest import Manifest  # noqa: E402

_DIED = 86
_CHANGES = ("open", "write", "fsync", "replace", "unlink", "mkdir", "rmdir")


class DirectoryRuntime(Runtime):
    """A watched folder and a staging folder in a temporary place."""

    def __init__(self, base: Path, **options: str) -> None:
        self.manifests = base / "watched"
        self.staging = base / "data" / "staging"
        self.options = {"manifests": str(self.manifests), "staging": str(self.staging), **options}

    def applier(self) -> Applier:
        return DirectoryApplier(self.options)

    def manifest(
        self, generation: int, components: Mapping[str, str], *, initialization: str = "", deployment: str = DEPLOYMENT
    ) -> Manifest:
        return Manifest.model_validate(
            {
                "action": "apply",
                "deployment": deployment,
                "device": "edge-01",
                "generation": generation,
                "initialization": [config_map("settings", initialization)] if initialization else [],
                "components": [
                    {"name": name, "type": "kubernetes", "source": "spec", "objects": [config_map(name, value)]}
                    for name, value in components.items()
                ],
            }
        )

    def observed(self) -> dict[str, Observed]:
        if not self.manifests.is_dir():
            return {}
        return {
            path.name: Observed(path.read_bytes(), (path.stat().st_mtime_ns, path.stat().st_ino))
            for path in self.manifests.iterdir()
            if not path.name.startswith(".")
        }

    def lose(self, name: str) -> None:
        (self.manifests / name).unlink()

    def tamper(self, name: str) -> None:
        with (self.manifests / name).open("ab") as file:
            file.write(b"# an operator was here\n")

    def add_foreign(self) -> str:
        self.manifests.mkdir(exist_ok=True)
        (self.manifests / "traefik.yaml").write_text("kind: Addon\n")
        (self.manifests / ".hidden").write_text("somebody else's dot-file\n")
        return "traefik.yaml"

    def occupy(self, manifest: Manifest) -> str:
        deploy(self.applier(), manifest)
        name = next(name for name in sorted(self.observed()) if manifest.components[0].name in name)
        self.applier().remove(manifest.deployment, never)
        (self.manifests / name).write_text("kind: Foreign\n")
        return name

    def crashes(self, step: Step, nth: int) -> bool:
        return died(lambda: step.run(self.applier()), nth)

    def rubbish(self) -> list[str]:
        watched = [path.name for path in self.manifests.iterdir()] if self.manifests.is_dir() else []
        staged = [str(path.relative_to(self.staging)) for path in self.staging.rglob("*")]
        inventories = {str(path.relative_to(self.staging)) for path in self.staging.glob("*/inventory.json")}
        folders = {str(path.relative_to(self.staging)) for path in self.staging.glob("*") if path.is_dir()}
        allowed = inventories | {folder for folder in folders if f"{folder}/inventory.json" in inventories}
        return [
            *(name for name in watched if name.startswith(".") and name != ".hidden"),
            *(name for name in staged if name not in allowed),
        ]

    def check_consistent(self) -> None:
        """Every visible file is whole and is either owned or foreign; no inventory is damaged."""
        owned: set[str] = set()
        for path in self.staging.glob("*/inventory.json"):
            owned |= set(json.loads(path.read_bytes())["inventory"]["files"])
        for name, item in self.observed().items():
            if name == "traefik.yaml":
                assert item.content == b"kind: Addon\n"
            else:
                assert name in owned, f"{name} is an orphan"
                assert isinstance(item.content, bytes)
                assert item.content.endswith(b"}\n"), f"{name} is half-written"
        if (self.manifests / "traefik.yaml").exists():
            assert (self.manifests / ".hidden").read_text() == "somebody else's dot-file\n"


def config_map(name: str, value: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}}


def died(work: Callable[[], object], nth: int) -> bool:
    """Do the work in a child process that ends without any clean-up at its ``nth`` change to the disk.

    A write dies half-done. False if the child came to the end of the work before.
    """
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
    # In the child only: every function of os that changes the disk counts, and the nth one never returns.
    count = 0

    def guarded(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            if name == "open" and not args[1] & os.O_CREAT:
                return original(*args, **kwargs)
            count += 1
            if count == nth:
                if name == "write":
                    original(args[0], bytes(args[1])[: len(args[1]) // 2])
                os._exit(_DIED)
            return original(*args, **kwargs)

        return call

    for name in _CHANGES:
        setattr(os, name, guarded(name, getattr(os, name)))


class TestDirectoryApplier(ApplierConformance):
    """The suite, without a prune grace."""

    @pytest.fixture
    def runtime(self, tmp_path: Path) -> Runtime:
        return DirectoryRuntime(tmp_path)


@pytest.fixture
def directory(tmp_path: Path) -> DirectoryRuntime:
    return DirectoryRuntime(tmp_path)


def test_a_killed_process_leaves_nothing_half_written(directory: DirectoryRuntime) -> None:
    """SIGKILL in the middle of a loop of updates, at whatever instant it falls; the next update converges."""
    directory.add_foreign()
    first, second = (directory.manifest(n, {"big": str(n) * 200_000, f"only-{n}": "x"}) for n in (1, 2))
    script = (
        "import sys; from edge_agent.appliers.directory import DirectoryApplier as D\n"
        "from topics.documents.manifest import Manifest as M\n"
        "from edge_agent.appliers.port import never\n"
        "a = D({'manifests': sys.argv[1], 'staging': sys.argv[2]})\n"
        "ms = [M.model_validate_json(open(p).read()) for p in sys.argv[3:]]\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for m in ms:\n"
        "        a.check(m); a.download(m, lambda *_: None, never); a.initialize(m, never)\n"
        "        [a.apply(m, c.name, never) for c in m.components]; a.finish(m)\n"
        "        print('round', flush=True)\n"
    )
    paths = []
    for manifest in (first, second):
        path = directory.manifests.parent / f"{manifest.generation}.json"
        path.write_text(manifest.model_dump_json(by_alias=True))
        paths.append(str(path))
    for rounds in (1, 2, 3, 5):
        arguments = [sys.executable, "-c", script, str(directory.manifests), str(directory.staging), *paths]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(rounds):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        directory.check_consistent()
        deploy(directory.applier(), second)
        assert directory.rubbish() == []
        assert all(entry.healthy for entry in directory.applier().health(second))
    directory.applier().remove(DEPLOYMENT, never)
    assert set(directory.observed()) == {"traefik.yaml"}


# -- prune grace


def test_a_removal_with_grace_empties_first_and_unlinks_later(tmp_path: Path) -> None:
    """k3s sees comment-only files for the whole grace; only then are they unlinked."""
    directory = DirectoryRuntime(tmp_path, **{"prune-grace": "0.3"})
    deploy(directory.applier(), directory.manifest(1, {"database": "one", "bridge": "one"}))
    seen: list[tuple[float, list[object]]] = []

    def watch() -> bool:
        seen.append((time.monotonic(), list(directory.contents().values())))
        return False

    directory.applier().remove(DEPLOYMENT, watch)
    emptied = [when for when, contents in seen if len(contents) == 2 and set(contents) == {empty_content()}]
    assert emptied[-1] - emptied[0] >= 0.15
    assert directory.observed() == {}


def test_a_removal_can_be_cancelled_in_its_grace(tmp_path: Path) -> None:
    """The agent need not wait for the grace to stop; the removal goes on when it is called again."""
    directory = DirectoryRuntime(tmp_path, **{"prune-grace": "3600"})
    deploy(directory.applier(), directory.manifest(1, {"database": "one"}))
    asked = iter([False, False, True])
    started = time.monotonic()
    with pytest.raises(Cancelled):
        directory.applier().remove(DEPLOYMENT, lambda: next(asked, True))
    assert time.monotonic() - started < 30
    assert len(directory.observed()) == 1
    DirectoryApplier({**directory.options, "prune-grace": "0"}).remove(DEPLOYMENT, never)
    assert directory.observed() == {}


def test_finish_with_grace_empties_and_does_not_wait(tmp_path: Path) -> None:
    """A component that is gone leaves a comment-only file; the deployment is healthy with it."""
    directory = DirectoryRuntime(tmp_path, **{"prune-grace": "3600"})
    deploy(directory.applier(), directory.manifest(1, {"database": "one", "bridge": "one"}))
    update = directory.manifest(2, {"database": "one"})
    deploy(directory.applier(), update)
    leftover = next(content for name, content in directory.contents().items() if "bridge" in name)
    assert isinstance(leftover, bytes)
    assert leftover.startswith(b"#")
    assert b"{" not in leftover
    assert all(entry.healthy for entry in directory.applier().health(update))
    back = directory.manifest(3, {"database": "one", "bridge": "two"})
    names = set(directory.observed())
    deploy(directory.applier(), back)
    assert set(directory.observed()) == names
    assert all(entry.healthy for entry in directory.applier().health(back))


def test_finish_unlinks_what_was_emptied_long_enough_ago(tmp_path: Path) -> None:
    """The next finish of the same process after the grace removes the emptied file."""
    directory = DirectoryRuntime(tmp_path, **{"prune-grace": "0.05"})
    applier = directory.applier()
    deploy(applier, directory.manifest(1, {"database": "one", "bridge": "one"}))
    update = directory.manifest(2, {"database": "one"})
    deadline = time.monotonic() + 30
    deploy(applier, update)
    while len(directory.observed()) > 1:
        assert time.monotonic() < deadline
        applier.finish(update)
    assert all(entry.healthy for entry in applier.health(update))


# -- disks that refuse


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB, mounted for one test."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system needs root")
    target = tmp_path / "small"
    target.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(target)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield target
    subprocess.run(["umount", str(target)], check=True)


def test_a_full_disk_is_retryable_and_leaves_the_old_files_whole(small_disk: Path, tmp_path: Path) -> None:
    """Each step that finds the disk full says so; what runs stays whole; with space again it goes through."""
    directory = DirectoryRuntime(tmp_path)
    directory.manifests = small_disk / "watched"
    directory.options["manifests"] = str(directory.manifests)
    first = directory.manifest(1, {"database": "one"})
    deploy(directory.applier(), first)
    before = directory.observed()
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(bytes(1 << 20))
    second = directory.manifest(2, {"database": "two" * 10_000})
    for step in ("check", "apply database"):
        with pytest.raises(ApplyError) as caught:
            next(item for item in steps_of(second) if item.name == step).run(directory.applier())
        assert (caught.value.code, caught.value.retryable) == ("disk-full", True)
        assert "free some space" in caught.value.message
        assert directory.observed() == before
        assert directory.rubbish() == []
    filler.unlink()
    deploy(directory.applier(), second)
    assert all(entry.healthy for entry in directory.applier().health(second))


def test_a_full_data_folder_shows_in_the_download(small_disk: Path, tmp_path: Path) -> None:
    """When the staging folder is full, the download fails and nothing in the watched folder changes."""
    directory = DirectoryRuntime(tmp_path)
    directory.options["staging"] = str(small_disk / "staging")
    manifest = directory.manifest(1, {"database": "x" * 400_000})
    with pytest.raises(ApplyError) as caught:
        directory.applier().download(manifest, lambda *_: None, never)
    assert (caught.value.code, caught.value.retryable) == ("disk-full", True)
    assert directory.observed() == {}
    directory.applier().remove(DEPLOYMENT, never)
    assert list((small_disk / "staging").iterdir()) == []


def test_a_read_only_disk_is_retryable(small_disk: Path, tmp_path: Path) -> None:
    """Remounted read-only, check, apply and remove say so; health still reads."""
    directory = DirectoryRuntime(tmp_path)
    directory.manifests = small_disk / "watched"
    directory.options["manifests"] = str(directory.manifests)
    manifest = directory.manifest(1, {"database": "one"})
    deploy(directory.applier(), manifest)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    update = directory.manifest(2, {"database": "two"})
    assert all(entry.healthy for entry in directory.applier().health(manifest))
    calls: tuple[Callable[[], None], ...] = (
        lambda: directory.applier().check(update),
        lambda: directory.applier().apply(update, "database", never),
        lambda: directory.applier().remove(DEPLOYMENT, never),
    )
    for call in calls:
        with pytest.raises(ApplyError) as caught:
            call()
        assert (caught.value.code, caught.value.retryable) == ("read-only", True)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    directory.applier().remove(DEPLOYMENT, never)
    assert directory.observed() == {}


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A temporary folder that another user can reach; pytest's own are closed to all but its user."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_folder_without_permission_is_a_clear_final_error(open_to_all: Path) -> None:
    """A folder that the agent's user cannot write is named, with what to do."""
    directory = DirectoryRuntime(open_to_all)
    manifest = directory.manifest(1, {"database": "one"})
    directory.manifests.mkdir()
    directory.staging.mkdir(parents=True)
    directory.manifests.chmod(0o555)

    def as_nobody() -> int:
        if os.geteuid() == 0:
            for folder in (directory.staging, directory.staging.parent):
                os.chown(folder, 65534, 65534)
            os.setgid(65534)
            os.setuid(65534)
        codes = []
        calls: tuple[Callable[[], None], ...] = (
            lambda: directory.applier().check(manifest),
            lambda: directory.applier().apply(manifest, "database", never),
        )
        for call in calls:
            with pytest.raises(ApplyError, match=f"{directory.manifests}.*access") as caught:
                call()
            codes.append((caught.value.code, caught.value.retryable))
        return 0 if codes == [("not-writable", False)] * 2 else 3

    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = as_nobody()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_file_in_place_of_the_folder_is_a_clear_final_error(directory: DirectoryRuntime) -> None:
    """The path of the watched folder may be taken by a file."""
    directory.manifests.write_text("")
    with pytest.raises(ApplyError) as caught:
        directory.applier().check(directory.manifest(1, {"database": "one"}))
    assert (caught.value.code, caught.value.retryable) == ("not-a-folder", False)


# -- what only this applier has


def test_a_link_in_place_of_a_file_is_replaced_and_its_target_stays(directory: DirectoryRuntime) -> None:
    """A link with an owned name is drift; healing replaces the link and does not write through it."""
    manifest = directory.manifest(1, {"database": "one"})
    deploy(directory.applier(), manifest)
    (name,) = directory.observed()
    target = directory.manifests.parent / "precious"
    target.write_text("precious")
    directory.lose(name)
    (directory.manifests / name).symlink_to(target)
    (health,) = directory.applier().health(manifest)
    assert health.message == f"{name} was changed"
    deploy(directory.applier(), manifest)
    assert target.read_text() == "precious"
    assert not (directory.manifests / name).is_symlink()


def test_a_folder_in_place_of_a_file_is_a_clear_final_error(directory: DirectoryRuntime) -> None:
    """A folder with an owned name is drift that only a person can clear."""
    manifest = directory.manifest(1, {"database": "one"})
    deploy(directory.applier(), manifest)
    (name,) = directory.observed()
    directory.lose(name)
    (directory.manifests / name).mkdir()
    assert not directory.applier().health(manifest)[0].healthy
    with pytest.raises(ApplyError) as caught:
        deploy(directory.applier(), manifest)
    assert (caught.value.code, caught.value.retryable) == ("not-a-file", False)


@pytest.mark.parametrize("damage", ["{", "[]", '{"sha256": "0", "inventory": {}}', ""])
def test_a_damaged_inventory_deletes_nothing(directory: DirectoryRuntime, damage: str) -> None:
    """With an inventory that cannot be trusted every step is refused, and no file is touched."""
    manifest = directory.manifest(1, {"database": "one"})
    deploy(directory.applier(), manifest)
    before = directory.observed()
    (directory.staging / DEPLOYMENT / "inventory.json").write_text(damage)
    for call in (
        lambda: directory.applier().check(manifest),
        lambda: directory.applier().finish(manifest),
        lambda: directory.applier().health(manifest),
        lambda: directory.applier().remove(DEPLOYMENT, never),
    ):
        with pytest.raises(ApplyError) as caught:
            call()
        assert (caught.value.code, caught.value.retryable) == ("inventory-corrupt", False)
    assert directory.observed() == before


@pytest.mark.parametrize("name", ["../etc", "a/b", "", ".", "..", "UPPER"])
def test_a_deployment_name_cannot_be_a_path(directory: DirectoryRuntime, name: str) -> None:
    """Remove and discard take names, never paths."""
    calls: tuple[Callable[[], None], ...] = (
        lambda: directory.applier().remove(name, never),
        lambda: directory.applier().discard(name, 1),
    )
    for call in calls:
        with pytest.raises(ApplyError) as caught:
            call()
        assert caught.value.code == "bad-name"


def test_finish_of_a_generation_that_was_not_applied_removes_nothing(directory: DirectoryRuntime) -> None:
    """Finish called for the wrong generation is refused: it would see everything as left over."""
    deploy(directory.applier(), directory.manifest(1, {"database": "one"}))
    before = directory.observed()
    with pytest.raises(ApplyError, match="apply it first"):
        directory.applier().finish(directory.manifest(2, {"database": "two"}))
    assert directory.observed() == before


def test_files_can_be_read_by_their_owner_only(directory: DirectoryRuntime) -> None:
    """Manifests may hold secrets, in the watched folder and in staging."""
    manifest = directory.manifest(1, {"database": "one"})
    for step in steps_of(manifest)[:-1]:
        step.run(directory.applier())
    written = [path for root in (directory.manifests, directory.staging) for path in root.rglob("*") if path.is_file()]
    assert len(written) == 3
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}
