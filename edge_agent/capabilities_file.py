"""The operator's file about a device: what it adds to what is measured, and what it overrides.

``{"add": {...}, "override": {...}}``. Lists under ``add`` are appended to what was measured and labels are
merged into it; whatever stands under ``override`` replaces what was measured. Sizes are bytes or quantities
(``8Gi``). What the agent knows of itself (its id, its appliers, what it can run) is not for a file.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from edge_agent.probe.source import open_file
from topics.codec import check_depth, check_size, parse_json
from topics.documents.base import Document, Int64, as_contract_error
from topics.documents.device import Capabilities, Cpu, Forbidden, Interface, Peripheral, Policy, Runtime, Volume
from topics.errors import ContractError
from topics.identifiers import DeviceId, LabelKey, LabelValue
from topics.quantity import parse_quantity

LARGEST_BYTES = 64 * 1024
"""It goes into every capabilities message, and no plate on a device says as much."""


class CapabilitiesFileError(Exception):
    """The file cannot be used; the text names the file, the field and what is wrong with it."""


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is not a number")  # noqa: TRY004  # pydantic reports ValueErrors
    return value


def _size(value: object) -> object:
    """Whole bytes of a quantity; what is none is left to the field to refuse."""
    if not isinstance(value, str):
        return _number(value)
    size = parse_quantity(value)
    if size.denominator != 1:
        raise ValueError(f"{value!r:.60} is not a whole number")
    return int(size)


Size = Annotated[Int64, Field(ge=0), BeforeValidator(_size)]
Count = Annotated[Int64, Field(ge=0), BeforeValidator(_number)]

# Messages ignore what they do not know; a person's typing error must show.
_STRICT = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class _Cpu(Cpu):
    model_config = _STRICT
    cores: Count
    physical_cores: Count | None = None


class _Volume(Volume):
    model_config = _STRICT
    capacity: Size


class _Interface(Interface):
    model_config = _STRICT


class _Peripheral(Peripheral):
    model_config = _STRICT


class _Runtime(Runtime):
    model_config = _STRICT
    nodes: Count | None = None
    cpu: Count | None = None
    memory: Size | None = None
    storage: Size | None = None


class _Policy(Policy):
    model_config = _STRICT
    forbid: tuple[Forbidden, ...] = ()


class Additions(Document):
    """What the device has beside what is measured."""

    labels: dict[LabelKey, LabelValue] | None = None
    cpus: tuple[_Cpu, ...] | None = None
    storage: tuple[_Volume, ...] | None = None
    interfaces: tuple[_Interface, ...] | None = None
    peripherals: tuple[_Peripheral, ...] | None = None
    runtimes: tuple[_Runtime, ...] | None = None


class Overrides(Additions):
    """What is true instead of what is measured."""

    memory: Size | None = None
    operating_system: str | None = None
    kernel: str | None = None
    vendor: str | None = None
    model: str | None = None
    serial: str | None = None
    gateway: DeviceId | None = None
    policy: _Policy | None = None


class CapabilitiesOverlay(Document):
    """The whole file."""

    add: Additions = Additions()
    override: Overrides = Overrides()

    def applied_to(self, measured: Capabilities) -> Capabilities:
        """The capabilities with what the file says."""
        merged = measured.model_dump()
        merged |= self.override.model_dump(exclude_none=True)
        for key, added in self.add.model_dump(exclude_none=True).items():
            merged[key] = {**merged[key], **added} if isinstance(added, dict) else (*merged[key], *added)
        return Capabilities.model_validate(merged)


def read_overlay(path: Path, device: str = "") -> tuple[bytes, CapabilitiesOverlay]:
    """The bytes of the file and what they say of the device. Raises ``CapabilitiesFileError``."""
    content = _content(path)
    overlay = _overlay(path, content)
    if device and overlay.override.gateway == device:
        raise CapabilitiesFileError(f"{path}: override.gateway: {device} is this device itself")
    return content, overlay


def _overlay(path: Path, content: bytes) -> CapabilitiesOverlay:
    """What the bytes of the file say; its ending names their form."""
    try:
        check_size(content, LARGEST_BYTES)
        document = _document(path, content.decode())
        check_depth(document)
        # As JSON, for there a list is a list: TOML's dates and infinities are refused on the way.
        return CapabilitiesOverlay.model_validate_json(json.dumps(document, allow_nan=False))
    except ValidationError as error:
        raise CapabilitiesFileError(f"{path}: {as_contract_error(error)}") from error
    except UnicodeDecodeError as error:
        raise CapabilitiesFileError(f"{path}: it is not UTF-8 text (byte {error.start})") from error
    except (ContractError, ValueError, TypeError, RecursionError) as error:
        raise CapabilitiesFileError(f"{path}: {error}") from error


def _content(path: Path) -> bytes:
    try:
        with open_file(path) as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise CapabilitiesFileError(f"{path}: {error.strerror}") from error
    if not content or content.isspace():
        # An editor or a full disk leaves such a file for a moment: all that was said must not be gone for it.
        raise CapabilitiesFileError(f"{path}: it is empty; write {{}} into it if it should say nothing")
    return content


_MOST_DOTS = 300
"""Of one line of TOML. A key of 30,000 names and dots, which fits the file, takes ``tomllib`` a minute."""


def _check_dots(text: str) -> None:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.count(".") > _MOST_DOTS:
            raise ValueError(f"line {number} holds more than {_MOST_DOTS} dots: no key is nested so deeply")


def _document(path: Path, text: str) -> Any:
    match path.suffix.lower():
        case ".json":
            return parse_json(text)
        case ".toml":
            _check_dots(text)
            return tomllib.loads(text)
        case ".yaml" | ".yml":
            try:
                from topics.yaml_loader import load_yaml
            except ImportError as error:
                raise CapabilitiesFileError(
                    f"{path}: YAML needs PyYAML, which is no part of the agent: write it as .json or .toml, or "
                    "install PyYAML beside it"
                ) from error
            return load_yaml(text) or {}
        case _:
            raise CapabilitiesFileError(f"{path}: its name ends neither in .json nor in .toml (nor .yaml)")
