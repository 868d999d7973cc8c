"""Both programs clear away what a killed one left in their temporary folder."""

from __future__ import annotations

from pathlib import Path

from tests.support.brokers import NatsBroker
from tests.support.processes import Site


def test_both_programs_clear_their_scratch_folder_when_they_start(tmp_path: Path) -> None:
    """As a kill -9 leaves it: a folder with somebody's values."""
    with NatsBroker(tmp_path / "broker") as broker, Site(broker, tmp_path) as site:
        folders = [data / "scratch" for data in (site.orchestrator.data, site.agent("edge-01").data)]
        for folder in folders:
            (folder / "fleetbus-helm-abc").mkdir(parents=True)
            (folder / "fleetbus-helm-abc" / "values.json").touch()
        site.start("edge-01")
        assert [list(folder.iterdir()) for folder in folders] == [[], []]
