"""What renderer and applier agreed on for components of type ``compose``: the ``config`` of a ManifestComponent.

The project is complete: every ``${NAME}`` is filled in (a ``$`` that is left is written ``$$``), every file that it
names lies in ``files`` or ``binaryFiles``, and nothing in it has to be built or fetched except images.

The project's name is ``<deployment>_<component>``. Neither part can hold a ``_``, so two components never share a
project; Compose's own rule for names (``[a-z0-9][a-z0-9_-]*``) holds for every such pair.
"""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError

from topics.documents.base import JsonObject, Message, as_contract_error
from topics.documents.manifest import ManifestComponent

TYPE = "compose"
DEPLOYMENT_LABEL = "fleetbus.io/deployment"
COMPONENT_LABEL = "fleetbus.io/component"
DEVICE_LABEL = "fleetbus.io/device"
"""Labels of every container: whose it is. The first two are the renderer's, the device's is added by the agent."""

PROJECT_FILE = ".fleetbus-compose.json"
"""The project's own name in its folder on the device; what relates to the folder (``./conf``) lies beside it."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,126}\Z")
_MAX_PATH = 255


def project_name(deployment: str, component: str) -> str:
    """The name of the Compose project of a component, unlike that of any other."""
    return f"{deployment}_{component}"


def check_file_path(path: str) -> str:
    """Return the path if it is that of a file in the project's folder, in its shortest spelling.

    Raises ``ValueError`` saying why not: an absolute path, one that leads out, a character that no file system likes.
    """
    parts = PurePosixPath(path).parts
    if not parts or len(path) > _MAX_PATH or any(ord(char) < 32 or char in '\\"' for char in path):
        raise ValueError(f'{path[:80]!r} is no path of a file: 1 to {_MAX_PATH} printable characters without \\ and "')
    if path.startswith("/") or ".." in parts or "/".join(parts) != path:
        raise ValueError(f"{path[:80]!r} is not a path within the project's folder, without '.', '..' and '//'")
    if parts[0] == PROJECT_FILE:
        raise ValueError(f"{PROJECT_FILE!r} is the project itself on the device")
    return path


def _project_name(name: str) -> str:
    if not _NAME.match(name):
        raise ValueError(f"{name[:80]!r} is not a project name of a-z, 0-9, '_' and '-' that starts with no '_' or '-'")
    return name


def _base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"is not base64: {error}") from error
    return text


FilePath = Annotated[str, AfterValidator(check_file_path)]


class ComposeConfig(Message):
    """A Compose project as the device gets it.

    ``environment`` is there for what Compose fills in by itself on the device (variables in an ``env_file``).
    ``files`` (text) and ``binary_files`` (base64) lie beside the project, by path. ``package`` says which package
    the project came from, with its digest. ``remove_volumes`` lets a removal take the named volumes along.
    """

    project_name: Annotated[str, AfterValidator(_project_name)]
    project: JsonObject
    environment: dict[str, str] = Field(default_factory=dict)
    files: dict[FilePath, str] = Field(default_factory=dict)
    binary_files: dict[FilePath, Annotated[str, AfterValidator(_base64)]] = Field(default_factory=dict)
    package: str | None = None
    remove_volumes: bool = False


def compose_config(component: ManifestComponent) -> ComposeConfig:
    """The config of a component of type ``compose``. Raises ``ContractError`` for one that does not hold it."""
    try:
        return ComposeConfig.model_validate(component.config)
    except ValidationError as error:
        raise as_contract_error(error, prefix="config.") from error
