"""The header with which the engine fetches from a registry that wants a password, from what ``docker login`` wrote.

``auths`` and credential helpers (``credHelpers``, ``credsStore``) of Docker's ``config.json`` are read anew each time:
an operator's ``docker login`` counts at once. Nothing read here is logged or put into a message.
"""

from __future__ import annotations

import base64
import binascii
import json
import subprocess
from pathlib import Path
from typing import Any

from edge_agent.appliers.port import ApplyError

_HUB = "https://index.docker.io/v1/"
_HELPER_SECONDS = 20.0


def registry_of(image: str) -> str:
    """The registry of an image's name; Docker's own where it names none."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"


def auth_header(image: str, config: Path) -> str | None:
    """The value of ``X-Registry-Auth`` for an image; ``None`` where nobody logged in. Raises ``ApplyError``."""
    registry = registry_of(image)
    keys = (_HUB, "index.docker.io", "docker.io") if registry == "docker.io" else (registry, f"https://{registry}")
    document = _read(config)
    for key in keys:
        helper = _mapping(document, "credHelpers").get(key)
        entry = _mapping(document, "auths").get(key)
        if helper is None and entry is not None:
            helper = document.get("credsStore")
        if isinstance(helper, str):
            found = _from_helper(helper, key)
        elif isinstance(entry, dict):
            found = _from_entry(entry, config)
        else:
            continue
        if found is not None:
            body = json.dumps(found | {"serveraddress": key}).encode()
            return base64.urlsafe_b64encode(body).decode("ascii")
    return None


def _read(config: Path) -> dict[str, Any]:
    try:
        document = json.loads(config.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _unusable(config, type(error).__name__) from None  # the cause may quote the content
    return document if isinstance(document, dict) else {}


def _mapping(document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _from_entry(entry: dict[str, Any], config: Path) -> dict[str, str] | None:
    if isinstance(entry.get("identitytoken"), str) and entry["identitytoken"]:
        return {"identitytoken": entry["identitytoken"]}
    auth = entry.get("auth")
    if not isinstance(auth, str) or not auth:
        return None
    try:
        user, colon, password = base64.b64decode(auth, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise _unusable(config, "an 'auth' that is no base64") from None
    return {"username": user, "password": password} if colon else None


def _from_helper(helper: str, server: str) -> dict[str, str] | None:
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own configuration names the helper
            [program, "get"], input=server.encode(), capture_output=True, timeout=_HELPER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ApplyError(
            "registry-auth", f"{program} gave no credentials: {type(error).__name__}; install it, or docker login again",
            retryable=False,
        ) from error  # fmt: skip
    if done.returncode != 0:
        return None  # nobody logged in there; the registry says whether that matters
    try:
        found = json.loads(done.stdout)
        user, secret = found["Username"], found["Secret"]
    except (ValueError, KeyError, TypeError):
        raise ApplyError("registry-auth", f"{program} answered with something else", retryable=False) from None
    return {"identitytoken": secret} if user == "<token>" else {"username": user, "password": secret}


def _unusable(config: Path, why: str) -> ApplyError:
    return ApplyError("registry-auth", f"{config} cannot be used ({why}); docker login writes it anew", retryable=False)
