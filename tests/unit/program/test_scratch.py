"""The place of temporary files."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from topics.program.options import OptionError
from topics.program.scratch import use_own_scratch


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process has its own place again afterwards."""
    monkeypatch.setenv("TMPDIR", tempfile.gettempdir())
    monkeypatch.setattr(tempfile, "tempdir", tempfile.gettempdir())


def test_temporary_files_of_the_program_and_its_children_are_made_below_its_data(tmp_path: Path) -> None:
    """By ``tempfile`` in this process, and by whatever another program takes ``TMPDIR`` for."""
    folder = use_own_scratch(tmp_path)
    with tempfile.TemporaryDirectory() as made:
        assert Path(made).parent == folder == tmp_path / "scratch"
    script = "import tempfile; print(tempfile.gettempdir())"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert Path(told.strip()) == folder
    assert folder.stat().st_mode & 0o077 == 0


def test_what_a_killed_program_left_is_gone_with_the_next_start(tmp_path: Path) -> None:
    """Whole folders as well as files; what else is in the data folder stays."""
    left = use_own_scratch(tmp_path) / "fleetbus-helm-abc" / "values.json"
    left.parent.mkdir()
    left.touch()
    (tmp_path / "journal").touch()
    assert list(use_own_scratch(tmp_path).iterdir()) == []
    assert (tmp_path / "journal").exists()


def test_a_file_in_its_place_is_a_wrong_option(tmp_path: Path) -> None:
    """It is not ours to delete."""
    (tmp_path / "scratch").touch()
    with pytest.raises(OptionError, match=r"--data .*scratch"):
        use_own_scratch(tmp_path)
