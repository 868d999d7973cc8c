"""Options: where a value comes from, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topics.program.options import BROKER_OPTIONS, LOG_OPTIONS, Option, OptionError, parse_pairs, read_options

OPTIONS = (
    Option("broker", "broker URL", required=True),
    Option("max-size", "a number", int, default=7),
    Option("label", "labels", repeated=True),
    Option("dry-run", "only say", flag=True, default=False),
)


def read(
    *arguments: str, env: dict[str, str] | None = None, options: tuple[Option, ...] = OPTIONS
) -> dict[str, object]:
    return read_options("prog", "a program", options, list(arguments), env or {})


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "fleetbus.toml"
    file.write_text('broker = "file"\nmax-size = 3\ndry_run = true\n[label]\nline = "press"\n')
    return file


def test_command_line_before_environment_before_file_before_default(config: Path) -> None:
    """Taking away the strongest source each time brings up the next."""
    env = {"FLEETBUS_MAX_SIZE": "2", "FLEETBUS_BROKER": "env"}
    assert read("--max-size", "1", "--config", str(config), env=env)["max_size"] == 1
    assert read("--config", str(config), env=env)["max_size"] == 2
    assert read("--config", str(config))["max_size"] == 3
    assert read("--broker", "b")["max_size"] == 7


def test_the_config_file_may_be_named_in_the_environment(config: Path) -> None:
    """And the command line's file wins over it."""
    assert read(env={"FLEETBUS_CONFIG": str(config)})["broker"] == "file"
    assert read("--config", str(config), env={"FLEETBUS_CONFIG": "/nowhere"})["broker"] == "file"


def test_an_empty_environment_variable_is_none() -> None:
    """Compose files set unused variables to nothing."""
    assert read("--broker", "b", env={"FLEETBUS_MAX_SIZE": ""})["max_size"] == 7


def test_pairs_come_from_every_source(config: Path) -> None:
    """Several on the command line, commas in the environment, a table in the file; one source wins as a whole."""
    assert read("--broker", "b", "--label", "a=1", "--label", "b=2=3")["label"] == {"a": "1", "b": "2=3"}
    assert read("--broker", "b", env={"FLEETBUS_LABEL": "a=1, b=,"})["label"] == {"a": "1", "b": ""}
    assert read("--config", str(config))["label"] == {"line": "press"}
    assert read("--config", str(config), "--label", "a=1")["label"] == {"a": "1"}
    assert read("--broker", "b")["label"] == {}


def test_flags(config: Path) -> None:
    """A flag takes no value on the command line, and a truth value elsewhere."""
    assert read("--broker", "b", "--dry-run")["dry_run"] is True
    assert read("--broker", "b")["dry_run"] is False
    assert read("--config", str(config))["dry_run"] is True
    assert read("--config", str(config), env={"FLEETBUS_DRY_RUN": "off"})["dry_run"] is False


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        ((), {}, "--broker is missing: broker URL (also FLEETBUS_BROKER or the config file)"),
        (("--broker", "b", "--max-size", "x"), {}, "--max-size: invalid literal"),
        (("--broker", "b"), {"FLEETBUS_MAX_SIZE": "x"}, "FLEETBUS_MAX_SIZE: invalid literal"),
        (("--broker", "b", "--label", "line"), {}, "--label: 'line' is not key=value"),
        (("--broker", "b"), {"FLEETBUS_DRY_RUN": "perhaps"}, "FLEETBUS_DRY_RUN: 'perhaps' is neither true nor false"),
        (("--config", "/nowhere/x.toml"), {}, "config file /nowhere/x.toml: No such file or directory"),
    ],
    ids=range(6),
)
def test_wrong_values_name_their_source(arguments: tuple[str, ...], env: dict[str, str], said: str) -> None:
    """The message says which option, where it came from, and what is wrong."""
    with pytest.raises(OptionError) as caught:
        read(*arguments, env=env)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"brokr = 'x'", "unknown option 'brokr'; known: broker, dry-run, dry_run, label, max-size, max_size"),
        (b"broker = ", "Invalid value"),
        (b"broker = '\xff'", "utf-8"),
        (b"broker = 'b'\nmax-size = 'x'", "'max-size' in the config file: invalid literal"),
        (b"broker = 'b'\nlabel = 'x'", "'label' in the config file: 'x' is not key=value"),
        (b"broker = 'b'\nmax-size = 1\nmax_size = 2", "stands there twice"),
        (b"broker = ['b']", "'broker' in the config file: ['b'] is not a single value"),
    ],
    ids=range(7),
)
def test_a_wrong_file_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    """An unknown key is an error, for it may be a known one mistyped; so is the same option twice."""
    file = tmp_path / "c.toml"
    file.write_bytes(content)
    with pytest.raises(OptionError) as caught:
        read("--config", str(file))
    assert said in str(caught.value)


def test_unknown_arguments_end_with_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """As any program; abbreviations are unknown too, for they break when options are added."""
    with pytest.raises(SystemExit) as caught:
        read("--brok", "b")
    assert caught.value.code == 2
    assert "--brok" in capsys.readouterr().err


def test_help_names_every_option_and_its_variable(capsys: pytest.CaptureFixture[str]) -> None:
    """A person finds out everything from --help."""
    options = (*BROKER_OPTIONS, *LOG_OPTIONS)
    with pytest.raises(SystemExit) as caught:
        read("--help", options=options)
    assert caught.value.code == 0
    text = "".join(capsys.readouterr().out.split())
    for option in options:
        assert f"--{option.name}" in text
        assert option.env in text


@given(st.dictionaries(st.from_regex(r"[a-z.]{1,8}", fullmatch=True), st.from_regex(r"[a-z=]{0,8}", fullmatch=True)))
def test_pairs_are_read_as_they_are_written(pairs: dict[str, str]) -> None:
    """Values may hold further equals signs; commas separate."""
    assert parse_pairs(",".join(f"{key}={value}" for key, value in pairs.items())) == pairs
