"""Why a chart could not be had: one error type with a stable code.

The codes: ``chart-not-found``, ``chart-auth-refused``, ``chart-unreachable``, ``chart-timed-out``,
``chart-too-large``, ``chart-digest-mismatch``, ``chart-version-mismatch``, ``chart-invalid`` (it is no
chart), ``chart-truncated``, ``chart-reference-invalid``, ``chart-server-error``, ``chart-cancelled``.
"""

from __future__ import annotations

from topics.errors import Reason


class ChartFetchError(Exception):
    """A chart could not be fetched.

    ``retryable`` says whether the same request may succeed later without anybody changing the spec;
    ``required`` and ``available`` stand where a digest or version was compared.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool = False,
        hint: str | None = None,
        required: str | None = None,
        available: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.hint = hint
        self.required = required
        self.available = available

    def reason(self, path: str) -> Reason:
        """The same as a reason at ``path`` (``spec.components[0].helm``)."""
        return Reason(
            path=path,
            code=self.code,
            message=self.message,
            required=self.required,
            available=self.available,
            hint=self.hint,
        )
