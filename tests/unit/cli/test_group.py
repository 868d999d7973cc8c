"""Where global options may stand, and how errors end a command."""

from __future__ import annotations

from typing import Any

import typer

import cli.main  # noqa: F401 - it adds the commands
from cli.app import app
from cli.group import GLOBAL_OPTIONS, hoist


def test_global_options_are_moved_to_the_front() -> None:
    """An option after the command means the same as before it."""
    assert hoist(["get", "specs", "-o", "json", "--broker", "mqtt://b"]) == [
        "-o", "json", "--broker", "mqtt://b", "get", "specs",
    ]  # fmt: skip


def test_joined_forms_are_moved_too() -> None:
    """``--broker=URL`` and ``-ojson`` are recognised."""
    assert hoist(["get", "devices", "--broker=mqtt://b", "-ojson"]) == ["--broker=mqtt://b", "-ojson", "get", "devices"]


def test_options_of_the_command_keep_their_place_and_order() -> None:
    """What is not global stays with its command."""
    assert hoist(["apply", "-f", "a.yaml", "-t", "5s", "--wait"]) == ["-t", "5s", "apply", "-f", "a.yaml", "--wait"]


def test_nothing_is_moved_from_behind_a_double_dash() -> None:
    """After ``--`` everything is an argument."""
    assert hoist(["delete", "--", "-o", "json"]) == ["delete", "--", "-o", "json"]


def test_an_option_without_its_value_is_left_to_the_parser() -> None:
    """The parser knows how to say that a value is missing."""
    assert hoist(["get", "specs", "--output"]) == ["get", "specs", "--output"]


def test_the_list_of_global_options_is_that_of_the_application() -> None:
    """A new global option must be movable, and no command may use one of their names."""
    group: Any = typer.main.get_command(app)
    valued = {name for param in group.params if not param.is_flag for name in param.opts}
    assert valued - {"--install-completion", "--show-completion"} == GLOBAL_OPTIONS
    for command in group.commands.values():
        assert not GLOBAL_OPTIONS & {name for param in command.params for name in param.opts}
