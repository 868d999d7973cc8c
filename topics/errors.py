"""The errors of the contract: every refusal says what, where and what to do.

A ``ContractError`` is the peer's fault. It is answered with its reasons and never stops a program.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Reason(BaseModel):
    """One reason for a refusal, in words a person can act on.

    ``path`` is the place in the document (``spec.components[0].helm.chart``; empty for the whole
    document), ``code`` is stable for programs, ``required`` and ``available`` stand where the
    refusal compares two things, ``device`` where it holds for one device only.
    """

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    path: str
    code: str
    message: str
    required: str | None = None
    available: str | None = None
    hint: str | None = None
    device: str | None = None

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        on = f"[{self.device}] " if self.device else ""
        then = f" ({self.hint})" if self.hint else ""
        return f"{on}{where}{self.message}{then}"


class ContractError(Exception):
    """A message that breaks the contract; carries every reason at once."""

    def __init__(self, reasons: Iterable[Reason]) -> None:
        self.reasons: tuple[Reason, ...] = tuple(reasons)
        super().__init__("; ".join(str(reason) for reason in self.reasons))

    @classmethod
    def because(cls, code: str, message: str, *, path: str = "", hint: str | None = None) -> ContractError:
        """A contract error with a single reason."""
        return cls((Reason(path=path, code=code, message=message, hint=hint),))
