"""Errors of packages are those of charts under other names: the same servers fail in the same ways."""

from __future__ import annotations

from orchestrator.charts.errors import ChartFetchError
from topics.errors import Reason


def invalid(message: str, hint: str | None = None) -> ChartFetchError:
    """The refusal of what is no Compose package."""
    return ChartFetchError("package-invalid", f"this is not a Compose package: {message}", hint=hint)


def as_package_error(error: ChartFetchError) -> ChartFetchError:
    """An error of the fetching that charts and packages share, in the words of packages."""
    return ChartFetchError(
        error.code.replace("chart-", "package-"),
        error.message.replace("Helm chart", "Compose package").replace("chart", "package"),
        retryable=error.retryable,
        hint=error.hint.replace("chart", "package") if error.hint else None,
        required=error.required,
        available=error.available,
    )


def as_reason(error: ChartFetchError, path: str) -> Reason:
    """The same as a reason at ``path``, always with a package's code."""
    return as_package_error(error).reason(path)
