"""The command group: global options in any place, errors as one line and an exit code.

``fleetbus get specs -o json`` must mean the same as ``fleetbus -o json get specs``: people add the
option where they stand. The parser only knows options of the command it is in, so global ones are
moved to the front before it starts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from cli.exits import CliError, Exit

GLOBAL_OPTIONS = frozenset(
    {
        "--broker", "-b", "--config", "--username", "--password-file", "--ca-file", "--cert-file", "--key-file",
        "--root", "--output", "-o", "--timeout", "-t", "--quiet-period",
    }
)  # fmt: skip
"""The options of ``cli.main.main``; each takes a value."""


def hoist(arguments: Sequence[str], options: frozenset[str] = GLOBAL_OPTIONS) -> list[str]:
    """The arguments with every global option and its value in front, otherwise in the same order.

    What follows ``--`` is left alone, and so is an option without a value at the end: the parser
    reports that better.
    """
    front: list[str] = []
    rest: list[str] = []
    index = 0
    while index < len(arguments):
        argument = arguments[index]
        if argument == "--":
            rest += arguments[index:]
            break
        if argument in options and index + 1 < len(arguments):
            front += arguments[index : index + 2]
            index += 2
            continue
        if argument.split("=", 1)[0] in options and "=" in argument and argument.startswith("--"):
            front.append(argument)
        elif argument[:2] in options and len(argument) > 2 and not argument.startswith("--"):
            front.append(argument)  # -ojson
        else:
            rest.append(argument)
        index += 1
    return front + rest


class Commands(TyperGroup):
    """The group behind ``fleetbus``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, hoist(args))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CliError as error:
            print(f"fleetbus: {error}", file=sys.stderr)
            for line in error.details:
                print(f"  {line}", file=sys.stderr)
            raise typer.Exit(error.code) from error
        except BrokenPipeError:
            # The reader (``| head``) has gone. What Python still holds for it must not be written at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(Exit.OK) from None
