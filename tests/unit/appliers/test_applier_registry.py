"""Appliers are found by name among the installed plug-ins, and refuse options they cannot use."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.appliers.directory import DirectoryApplier
from edge_agent.appliers.port import OptionError
from edge_agent.appliers.registry import applier_names, load_applier


def install(folder: Path, value: str, distribution: str = "plug", name: str = "thing") -> None:
    """A distribution's metadata as an installer leaves it, with one applier entry point."""
    info = folder / f"{distribution}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[fleetbus.appliers]\n{name} = {value}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_the_directory_applier_is_installed(tmp_path: Path) -> None:
    """The name in the entry points gives the applier, built with its options."""
    assert "directory" in applier_names()
    options = {"manifests": str(tmp_path / "m"), "staging": str(tmp_path / "s"), "prune-grace": "30"}
    assert isinstance(load_applier("directory", options), DirectoryApplier)


def test_an_unknown_name_lists_what_is_installed() -> None:
    """A typing error is answered with the names there are."""
    with pytest.raises(OptionError, match=r"no applier 'direktory'; installed: .*directory"):
        load_applier("direktory", {})


def test_an_applier_that_cannot_be_imported_is_named(site: Path) -> None:
    """A plug-in with a missing dependency says which one."""
    install(site, "no_such_module_anywhere:Thing")
    with pytest.raises(OptionError, match=r"'thing' .*no_such_module_anywhere.* cannot be imported"):
        load_applier("thing", {})


def test_something_else_is_not_taken_for_an_applier(site: Path) -> None:
    """The object must have the port's methods."""
    install(site, "builtins:dict")
    with pytest.raises(OptionError, match="lacks methods"):
        load_applier("thing", {})


def test_a_name_registered_twice_is_refused(site: Path) -> None:
    """Which of two would be taken is nobody's guess."""
    install(site, "builtins:dict", "plug_one")
    install(site, "builtins:list", "plug_two")
    with pytest.raises(OptionError, match="uninstall one"):
        load_applier("thing", {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"staging": "/s"}, "needs the option 'manifests'"),
        ({"manifests": "/m"}, "needs the option 'staging'"),
        ({"manifests": "", "staging": "/s"}, "needs the option 'manifests'"),
        ({"manifests": "/m", "staging": "/s", "manifest": "/x"}, "no option 'manifest'; it has manifests, staging"),
        ({"manifests": "/m", "staging": "/s", "prune-grace": "soon"}, "'prune-grace' is 'soon'"),
        ({"manifests": "/m", "staging": "/s", "prune-grace": "-1"}, "'prune-grace' is '-1'"),
        ({"manifests": "/m", "staging": "/s", "prune-grace": "nan"}, "'prune-grace' is 'nan'"),
        ({"manifests": "/m", "staging": "/m/s"}, "must not lie in each other"),
        ({"manifests": "/m", "staging": "/m"}, "must not lie in each other"),
        ({"manifests": "/s/m", "staging": "/s"}, "must not lie in each other"),
    ],
)
def test_unusable_options_are_refused_at_once(options: dict[str, str], message: str) -> None:
    """The agent does not start with an applier that could not work."""
    with pytest.raises(OptionError, match=message):
        DirectoryApplier(options)
