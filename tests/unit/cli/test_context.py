"""Where the global options come from, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.context import Given, Output
from cli.exits import CliError, Exit


def test_the_command_line_wins_over_environment_and_file(tmp_path: Path) -> None:
    """First the command line, then FLEETBUS_…, then the file."""
    file = tmp_path / "config.toml"
    file.write_text('broker = "mqtt://file"\nusername = "file"\nroot = "file/v1"\n')
    environment = {"FLEETBUS_CONFIG": str(file), "FLEETBUS_BROKER": "mqtt://env", "FLEETBUS_USERNAME": "env"}
    settings = Given({"broker": "mqtt://line"}, environment).settings()
    assert (settings.broker.host, settings.broker.username, settings.topics.root) == ("line", "env", "file/v1")


def test_the_usual_config_file_is_read_where_none_is_named(tmp_path: Path) -> None:
    """It stands in the XDG configuration folder."""
    file = tmp_path / "fleetbus" / "config.toml"
    file.parent.mkdir()
    file.write_text('broker = "mqtt://usual:1884"\noutput = "yaml"\ntimeout = "90s"\n')
    settings = Given({}, {"XDG_CONFIG_HOME": str(tmp_path)}).settings()
    assert (settings.broker.port, settings.output, settings.timeout) == (1884, Output.YAML, 90.0)


def test_a_missing_broker_is_a_usage_error(tmp_path: Path) -> None:
    """It says the three ways to give one."""
    with pytest.raises(CliError, match="FLEETBUS_BROKER") as raised:
        Given({}, {"XDG_CONFIG_HOME": str(tmp_path)}).settings()
    assert raised.value.code is Exit.USAGE


def test_offline_commands_need_no_broker(tmp_path: Path) -> None:
    """``topics`` and ``render`` work anywhere."""
    assert (
        Given({"root": "plant/v1"}, {"XDG_CONFIG_HOME": str(tmp_path)}).settings(offline=True).topics.root == "plant/v1"
    )


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"broker": "http://b"}, "mqtt://"),
        ({"broker": "mqtt://b", "timeout": "soon"}, "duration"),
        ({"broker": "mqtt://b", "root": "a/#"}, "root"),
        ({"broker": "mqtt://b", "config": "/no/such/file"}, "/no/such/file"),
        ({"broker": "mqtts://b", "ca-file": "/no/such/ca.pem"}, "/no/such/ca.pem"),
    ],
)
def test_a_wrong_option_is_named(values: dict[str, str], word: str, tmp_path: Path) -> None:
    """Every wrong value ends as a usage error that says which it is."""
    with pytest.raises(CliError, match=word) as raised:
        Given(values, {"XDG_CONFIG_HOME": str(tmp_path)}).settings()
    assert raised.value.code is Exit.USAGE


def test_markdown_is_refused_where_no_command_prints_it(tmp_path: Path) -> None:
    """Only the topic table is printed as Markdown."""
    given = Given({"output": "markdown"}, {"XDG_CONFIG_HOME": str(tmp_path)})
    assert given.output(Output.MARKDOWN) is Output.MARKDOWN
    with pytest.raises(CliError, match="markdown"):
        given.output()
