"""The folder of one deployment: the files of its projects, which generation staged which, and the inventory.

    <projects>/<deployment>/inventory.json
    <projects>/<deployment>/generation-7.json          the folders that generation 7 staged
    <projects>/<deployment>/<component>-<digest>/      the project and its files

A folder is needed as long as the inventory or a staged generation names it; ``sweep`` removes all others.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from edge_agent.appliers.compose import files, inventory
from edge_agent.appliers.compose.inventory import Inventory
from edge_agent.appliers.compose.project import Project
from edge_agent.appliers.port import ApplyError
from topics.documents.compose import PROJECT_FILE
from topics.identifiers import check_dns_label

_GENERATION = "generation-"


class Staging:
    """The folder of a deployment. Methods raise ``ApplyError``; nothing there is fine."""

    def __init__(self, root: Path, deployment: str) -> None:
        try:
            self.path = root / check_dns_label(deployment)
        except ValueError as error:
            raise ApplyError("bad-name", str(error), retryable=False) from error
        self.deployment = deployment

    def inventory(self) -> Inventory:
        """The inventory; see ``inventory.load``."""
        with files.apply_errors("to read the inventory"):
            return inventory.load(self.path, self.deployment)

    def save(self, changed: Inventory) -> None:
        """Write the inventory durably."""
        with files.apply_errors("to write the inventory"):
            inventory.save(self.path, changed)

    def note(self, generation: int, projects: Iterable[Project]) -> None:
        """Write ahead which folders a generation stages."""
        with files.apply_errors("to stage the projects"):
            files.ensure_folder(self.path)
            names = sorted(project.folder for project in projects)
            files.write_whole(self.path, f"{_GENERATION}{generation:d}.json", json.dumps(names).encode())

    def stage(self, project: Project) -> Path:
        """The folder of a project's files, made if it is not there."""
        content = {PROJECT_FILE: project.content, **project.files}
        with files.apply_errors("to write the project's files", project.component):
            files.ensure_folder(self.path)
            files.make_folder(self.path, project.folder, content)
        return self.path / project.folder

    def forget(self, generations: Iterable[int]) -> None:
        """Forget what generations staged, and remove what nothing needs any more."""
        with files.apply_errors("to tidy what was staged"):
            if not self.path.is_dir():
                return
            for generation in generations:
                (self.path / f"{_GENERATION}{generation:d}.json").unlink(missing_ok=True)
            self._sweep()

    def staged(self) -> list[int]:
        """The generations of which something is staged."""
        with files.apply_errors("to read what was staged"):
            names = [path.name for path in self.path.glob(f"{_GENERATION}*.json")] if self.path.is_dir() else []
        numbers = [name.removeprefix(_GENERATION).removesuffix(".json") for name in names]
        return sorted(int(number) for number in numbers if number.isdecimal())

    def delete(self) -> None:
        """Forget the deployment."""
        with files.apply_errors("to delete what was staged"):
            if self.path.is_dir():
                # Last of all, so that a removal which is killed here is resumed.
                for path in sorted(self.path.iterdir(), key=lambda path: path.name == inventory.FILE):
                    if path.exists():  # one that a crash left goes with the other of its name
                        _delete(path)
                self.path.rmdir()
                files.sync(self.path.parent)

    def _sweep(self) -> None:
        known = inventory.load(self.path, self.deployment)
        needed = {entry.folder for entry in known.components.values()}
        for path in self.path.glob(f"{_GENERATION}*.json"):
            try:
                needed |= {str(name) for name in json.loads(path.read_bytes())}
            except (ValueError, TypeError):
                path.unlink()  # what it named is staged again when it is needed
        for path in self.path.iterdir():
            kept = path.name in needed or path.name == inventory.FILE or path.name.startswith(_GENERATION)
            if not kept and path.exists():
                _delete(path)
        if not any(self.path.iterdir()):
            self.path.rmdir()


def _delete(path: Path) -> None:
    """Delete a file or a folder. A folder loses its name first: half a folder must not look like a whole one."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return
    if not path.name.startswith("."):
        going = path.with_name(f".going-{path.name}")
        if going.is_dir():
            shutil.rmtree(going)
        path = path.rename(going)
    shutil.rmtree(path)
