"""Makes manifests real by writing them into a folder that k3s, k0s or a kubelet watches.

The runtime reads the folder in its own time and answers nothing, so "healthy" here means: what is
on disk is what was applied. It must never touch a file that is not in its inventory.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from edge_agent.appliers.directory import files, inventory
from edge_agent.appliers.directory.folder import ManifestFolder, check_writable, stop_if
from edge_agent.appliers.directory.inventory import Entry, Inventory
from edge_agent.appliers.directory.options import DirectoryOptions
from edge_agent.appliers.directory.plan import allot_ranks, plan_component, plan_initialization, plan_parts
from edge_agent.appliers.port import (
    INITIALIZATION,
    ApplyError,
    CancelCheck,
    ComponentHealth,
    ProgressReport,
    never,
)
from topics.documents.manifest import Manifest
from topics.identifiers import check_dns_label

_POLL_SECONDS = 0.1
"""How often a waiting removal asks whether it is cancelled."""


class DirectoryApplier:
    """See ``edge_agent.appliers.port.Applier`` for the methods, ``DirectoryOptions`` for the options.

    Safe from several threads as long as no two work on the same deployment.
    """

    types: ClassVar[frozenset[str]] = frozenset({"kubernetes"})

    def __init__(self, options: Mapping[str, str]) -> None:
        parsed = DirectoryOptions.parse(options)
        self._staging = parsed.staging
        self._prune_grace = parsed.prune_grace
        self._manifests = ManifestFolder(parsed.manifests)

    def check(self, manifest: Manifest) -> None:
        """The components are of a type taken here, can be written as files, and there is room for them."""
        for component in manifest.components:
            if component.type not in self.types:
                raise ApplyError(
                    "unsupported-type",
                    f"the directory applier takes {', '.join(sorted(self.types))}, not {component.type}",
                    retryable=False,
                    component=component.name,
                )
        known = self._inventory(manifest.deployment)
        size = 0
        for _, planned in plan_parts(manifest, _ranks(manifest, known)):
            self._manifests.refuse_foreign(planned, known.files)
            size += sum(
                len(file.content)
                for file in planned
                if file.name not in known.files or known.files[file.name].sha256 != file.sha256
            )
        for folder in (self._manifests.path, self._staging):
            check_writable(folder, size)

    def download(self, manifest: Manifest, progress: ProgressReport, cancelled: CancelCheck) -> None:
        """Stage every file of the generation.

        ``apply`` renders from the manifest, not from here: the staged copy makes a full disk show
        while the old generation still runs, and shows an operator what an activation will write.
        It is not synced, because the journal's manifest gives it again.
        """
        ranks = _ranks(manifest, self._inventory(manifest.deployment))
        folder = self._staged(manifest.deployment, manifest.generation)
        with files.apply_errors("to stage the manifest"):
            files.ensure_folder(folder.parent)
            folder.mkdir(exist_ok=True)
        for part, planned in plan_parts(manifest, ranks):
            total = sum(len(file.content) for file in planned)
            done = 0
            for file in planned:
                stop_if(cancelled, part)
                with files.apply_errors(f"to stage {file.name}", part):
                    if files.sha256_of(folder, file.name) != file.sha256:
                        files.write_whole(folder, file.name, file.content, durable=False)
                done += len(file.content)
                progress(part, done, total)

    def initialize(self, manifest: Manifest, cancelled: CancelCheck) -> None:
        """Claim every file of the generation in the inventory, then write those of the initialization."""
        stop_if(cancelled, INITIALIZATION)
        self._claim(manifest)
        self._manifests.write(plan_initialization(manifest), INITIALIZATION, cancelled)

    def apply(self, manifest: Manifest, component: str, cancelled: CancelCheck) -> None:
        """Write the files of one component; those that are as they should be keep their time stamps."""
        stop_if(cancelled, component)
        claimed = self._inventory(manifest.deployment)
        if claimed.generation != manifest.generation:
            claimed = self._claim(manifest)
        planned = plan_component(manifest, component, claimed.ranks.get(component, 0))
        self._manifests.write(planned, component, cancelled)

    def finish(self, manifest: Manifest) -> None:
        """Remove the files that only other generations had, and what was staged for this and older ones.

        With a prune grace they are emptied now and unlinked by a later ``finish`` or ``remove``: an
        update need not wait for them.
        """
        claimed = self._inventory(manifest.deployment)
        if claimed.generation != manifest.generation:
            # Everything would look left over, and be removed.
            raise ApplyError(
                "not-applied",
                f"generation {manifest.generation} of {manifest.deployment} cannot be finished, because "
                f"generation {claimed.generation} was applied last; apply it first",
                retryable=False,
            )
        self._prune(claimed, manifest)
        with files.apply_errors("to tidy the staging folder"):
            inventory.tidy(self._folder(manifest.deployment))
        for staged in self._staged_generations(manifest.deployment):
            if staged <= manifest.generation:
                self.discard(manifest.deployment, staged)

    def health(self, manifest: Manifest) -> tuple[ComponentHealth, ...]:
        """Compare every file with what was applied; names each that is missing, changed or too many."""
        claimed = self._inventory(manifest.deployment)
        findings: dict[str, list[str]] = {component.name: [] for component in manifest.components}
        if claimed.generation != manifest.generation:
            present = f"generation {claimed.generation}" if claimed.files else "none"
            message = f"generation {manifest.generation} was not applied here; on the device is {present}"
            return tuple(ComponentHealth(name, False, message) for name in findings)
        for name, entry in sorted(claimed.files.items()):
            finding = self._manifests.finding(name, entry, manifest.generation)
            if finding:
                findings.setdefault(entry.part, []).append(finding)
        return tuple(ComponentHealth(part, not found, "; ".join(found)) for part, found in findings.items())

    def remove(self, deployment: str, cancelled: CancelCheck) -> None:
        """Remove every owned file, the last applied first, then the inventory and what was staged."""
        folder = self._folder(deployment)
        names = sorted(self._inventory(deployment).files, reverse=True)
        if self._prune_grace and self._manifests.empty(names, cancelled):
            self._wait(cancelled)
        stop_if(cancelled)
        self._manifests.unlink(names)
        with files.apply_errors("to delete the inventory and what was staged"):
            inventory.delete(folder)
            if folder.is_dir():
                shutil.rmtree(folder)

    def discard(self, deployment: str, generation: int) -> None:
        """Delete the staged files of one generation; nothing there is fine."""
        folder, staged = self._folder(deployment), self._staged(deployment, generation)
        with files.apply_errors("to delete what was staged"):
            if staged.is_dir():
                shutil.rmtree(staged)
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def watch(self, changed: Callable[[str], None]) -> None:
        """Nothing tells of changes to files here; the health is asked for now and then."""

    def close(self) -> None:
        """Nothing is held open."""

    def _folder(self, deployment: str) -> Path:
        try:
            return self._staging / check_dns_label(deployment)
        except ValueError as error:
            raise ApplyError("bad-name", str(error), retryable=False) from error

    def _staged(self, deployment: str, generation: int) -> Path:
        return self._folder(deployment) / f"generation-{generation:d}"

    def _staged_generations(self, deployment: str) -> list[int]:
        folder = self._folder(deployment)
        with files.apply_errors("to read the staging folder"):
            names = [path.name.removeprefix("generation-") for path in folder.iterdir()] if folder.is_dir() else []
        return sorted(int(name) for name in names if name.isdecimal())

    def _inventory(self, deployment: str) -> Inventory:
        """The inventory; one without files and of no generation (-1) if there is none."""
        with files.apply_errors("to read the inventory"):
            return inventory.load(self._folder(deployment), deployment) or Inventory(deployment, -1)

    def _claim(self, manifest: Manifest) -> Inventory:
        """Write ahead which files this generation owns, beside those that others left."""
        known = self._inventory(manifest.deployment)
        ranks = _ranks(manifest, known)
        entries = dict(known.files)
        for part, planned in plan_parts(manifest, ranks):
            self._manifests.refuse_foreign(planned, known.files)
            entries.update({file.name: Entry(part, file.sha256, manifest.generation) for file in planned})
        # A component that is gone keeps its rank while it has files: it may come back before they go.
        kept = {entry.part for entry in entries.values()}
        ranks = {name: rank for name, rank in known.ranks.items() if name in kept} | ranks
        claimed = Inventory(manifest.deployment, manifest.generation, entries, ranks)
        if claimed != known:
            with files.apply_errors("to write the inventory"):
                inventory.save(self._folder(manifest.deployment), claimed)
        return claimed

    def _prune(self, claimed: Inventory, manifest: Manifest) -> None:
        leftovers = {name: entry for name, entry in claimed.files.items() if entry.generation != manifest.generation}
        due = {
            name
            for name, entry in leftovers.items()
            if not self._prune_grace or (entry.emptied and self._manifests.was_emptied_for(name, self._prune_grace))
        }
        waiting = leftovers.keys() - due
        self._manifests.empty(sorted(waiting), never)
        self._manifests.unlink(sorted(due, reverse=True))
        left = {
            name: replace(entry, emptied=entry.emptied or name in waiting)
            for name, entry in claimed.files.items()
            if name not in due
        }
        kept = {entry.part for entry in left.values()} | {component.name for component in manifest.components}
        ranks = {name: rank for name, rank in claimed.ranks.items() if name in kept}
        pruned = replace(claimed, files=left, ranks=ranks)
        if pruned != claimed:
            with files.apply_errors("to write the inventory"):
                inventory.save(self._folder(claimed.deployment), pruned)

    def _wait(self, cancelled: CancelCheck) -> None:
        deadline = time.monotonic() + self._prune_grace
        while (rest := deadline - time.monotonic()) > 0:
            stop_if(cancelled)
            time.sleep(min(_POLL_SECONDS, rest))


def _ranks(manifest: Manifest, known: Inventory) -> dict[str, int]:
    return allot_ranks(tuple(component.name for component in manifest.components), known.ranks)
