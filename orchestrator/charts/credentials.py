"""Credentials for chart servers, from the file that ``helm registry login`` and ``docker login`` write.

The form is Docker's ``config.json``: ``{"auths": {"host[:port]": {"auth": base64 of "user:password"}}}``.
Credential helpers are not run. Nothing read here is logged or put into a message.
"""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path


class Credentials:
    """User and password by host; none without a file. Raises ``ValueError`` for a file of another form."""

    def __init__(self, file: Path | None = None) -> None:
        self._by_host: dict[str, tuple[str, str]] = {}
        if file is None:
            return
        try:
            auths = json.loads(file.read_text("utf-8")).get("auths", {})
            self._by_host = {_host(key): _decoded(entry["auth"]) for key, entry in auths.items() if entry.get("auth")}
        except (AttributeError, TypeError, KeyError, ValueError):
            # The cause is dropped on purpose: it may quote the content.
            raise ValueError(f"{file} is not a credentials file in the form of Docker's config.json") from None

    def of(self, host: str) -> tuple[str, str] | None:
        """User and password for ``host[:port]``, or ``None``."""
        return self._by_host.get(host)


def _host(key: str) -> str:
    return key.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _decoded(auth: str) -> tuple[str, str]:
    try:
        user, colon, password = base64.b64decode(auth, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("not base64") from error
    if not colon:
        raise ValueError("no colon")
    return user, password
