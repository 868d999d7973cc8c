"""A record as the journal holds it: JSON with a format number of its own.

``FORMAT`` grows when an old program would misread a new record; fields with defaults may be added
without that.
"""

from __future__ import annotations

import json

from pydantic import TypeAdapter, ValidationError

from edge_agent.model import Deployment
from edge_agent.ports import JournalError

FORMAT = 1

_records: TypeAdapter[Deployment] = TypeAdapter(Deployment)


def to_text(record: Deployment) -> str:
    """The record as text; ``from_text`` gives the same record back."""
    body = _records.dump_json(record, exclude_defaults=True, by_alias=False).decode()
    return f'{{"format":{FORMAT},"record":{body}}}'


def from_text(text: str) -> Deployment:
    """The record of a text. Raises ``JournalError`` for anything else."""
    try:
        held = json.loads(text)
        if held["format"] != FORMAT:
            raise JournalError(f"a record has format {held['format']}, this program knows {FORMAT}; update it")
        return _records.validate_python(held["record"])
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise JournalError(f"a record cannot be read: {error}") from error
