"""The options of a program: command line, then environment, then config file, then default.

Each option is declared once. ``--label`` is ``FLEETBUS_LABEL`` in the environment and ``label`` in
the TOML file named by ``--config`` or ``FLEETBUS_CONFIG``. An unknown key in the file is an error:
a typing mistake must not silently mean the default.
"""

from __future__ import annotations

import argparse
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topics import __version__
from topics.channels import DEFAULT_ROOT

ENV_PREFIX = "FLEETBUS_"


class OptionError(Exception):
    """An option is missing or wrong; the text says which, where it came from, and what it must be."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option. ``parse`` turns its text into its value and raises ``ValueError`` for a wrong one.

    ``repeated`` options are ``key=value`` pairs: several on the command line, comma-separated in the
    environment, a table in the file. ``listed`` options are several values, in order: several on the command line,
    comma-separated in the environment, an array in the file. ``flag`` options take no value on the command line.
    """

    name: str
    help: str
    parse: Callable[[str], Any] = str
    default: Any = None
    required: bool = False
    repeated: bool = False
    listed: bool = False
    flag: bool = False

    @property
    def key(self) -> str:
        return self.name.replace("-", "_")

    @property
    def env(self) -> str:
        return ENV_PREFIX + self.key.upper()


BROKER_OPTIONS: tuple[Option, ...] = (
    Option("broker", "broker URL: mqtt://, mqtts://, ws:// or wss://host[:port]", required=True),
    Option("username", "user name at the broker"),
    Option("password-file", "file that holds the password", Path),
    Option("ca-file", "certificate authority of the broker (PEM)", Path),
    Option("cert-file", "client certificate (PEM)", Path),
    Option("key-file", "key of the client certificate (PEM)", Path),
    Option("root", "topic root", default=DEFAULT_ROOT),
)


def one_of(*words: str) -> Callable[[str], str]:
    """A parser that takes these words only, in any case."""

    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"{text!r} is none of {', '.join(words)}")
        return text.lower()

    return parse


LOG_OPTIONS: tuple[Option, ...] = (
    Option("log-level", "debug, info, warning or error", one_of("debug", "info", "warning", "error"), default="info"),
    Option("log-format", "text or json", one_of("text", "json"), default="text"),
)


def read_options(
    program: str,
    description: str,
    options: Sequence[Option],
    arguments: Sequence[str] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> dict[str, Any]:
    """The value of every option by its key. Raises ``OptionError``; ``--help`` exits as argparse does."""
    given = vars(_parser(program, description, options).parse_args(arguments))
    path = given.pop("config") or environment.get(ENV_PREFIX + "CONFIG")
    in_file = _read_file(Path(path), options) if path else {}
    return {option.key: _value(option, given[option.key], environment, in_file) for option in options}


def parse_pairs(text: str) -> dict[str, str]:
    """``a=b,c=d`` as a dict. Raises ``ValueError`` for a part without ``=``."""
    pairs: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"{part!r} is not key=value")
        pairs[key] = value
    return pairs


def _parser(program: str, description: str, options: Sequence[Option]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog="Every option may also stand in the environment (FLEETBUS_..., in capitals) or in the TOML "
        "file given with --config; the command line wins over the environment, that over the file.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{program} {__version__}")
    parser.add_argument("--config", metavar="FILE", help="TOML file with options (FLEETBUS_CONFIG)")
    for option in options:
        default = ",".join(option.default) if option.listed else option.default
        note = f" (default: {default})" if default not in (None, False) else ""
        text = f"{option.help}{note} [{option.env}]"
        if option.flag:
            parser.add_argument(f"--{option.name}", dest=option.key, action="store_const", const="true", help=text)
        elif option.repeated:
            parser.add_argument(f"--{option.name}", dest=option.key, action="append", metavar="KEY=VALUE", help=text)
        else:
            action = "append" if option.listed else "store"
            parser.add_argument(
                f"--{option.name}", dest=option.key, action=action, metavar=option.key.upper(), help=text
            )
    return parser


def _read_file(path: Path, options: Sequence[Option]) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"config file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"config file {path}: {error}") from error
    known = {option.name for option in options} | {option.key for option in options}
    unknown = sorted(set(content) - known)
    if unknown:
        raise OptionError(f"config file {path}: unknown option {unknown[0]!r}; known: {', '.join(sorted(known))}")
    values = {key.replace("-", "_"): value for key, value in content.items()}
    if len(values) != len(content):
        raise OptionError(f"config file {path}: one option stands there twice, with '-' and with '_'")
    return values


def _value(option: Option, given: Any, environment: Mapping[str, str], in_file: Mapping[str, Any]) -> Any:
    if given is not None:
        source, raw = f"--{option.name}", given
    elif environment.get(option.env):
        source, raw = option.env, environment[option.env]
    elif option.key in in_file:
        source, raw = f"{option.name!r} in the config file", in_file[option.key]
    elif option.required:
        raise OptionError(f"--{option.name} is missing: {option.help} (also {option.env} or the config file)")
    else:
        return {} if option.repeated else option.default
    try:
        if option.repeated:
            return _pairs(raw)
        if option.flag:
            return _truth(raw)
        if option.listed and not isinstance(raw, Mapping):
            return tuple(option.parse(text) for text in _texts(raw))
        if isinstance(raw, list | Mapping):
            raise OptionError(f"{source}: {raw!r:.80} is not a single value")
        return option.parse(str(raw))
    except ValueError as error:
        raise OptionError(f"{source}: {error}") from error


def _pairs(raw: Any) -> dict[str, str]:
    if isinstance(raw, Mapping):
        return {str(key): str(value) for key, value in raw.items()}
    if isinstance(raw, list):
        return {key: value for part in raw for key, value in parse_pairs(str(part)).items()}
    return parse_pairs(str(raw))


def _texts(raw: Any) -> list[str]:
    parts = raw if isinstance(raw, list) else [raw]
    texts = [text for part in parts for text in (piece.strip() for piece in str(part).split(",")) if text]
    if not texts:
        raise ValueError("no value is given")
    return texts


def _truth(raw: Any) -> bool:
    text = str(raw).lower()
    if text not in ("true", "1", "yes", "on", "false", "0", "no", "off"):
        raise ValueError(f"{raw!r} is neither true nor false")
    return text in ("true", "1", "yes", "on")
