"""Bounded HTTP downloads: a size limit, a deadline, cancellation, and errors a person can act on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from orchestrator.charts.errors import ChartFetchError

_READ_SECONDS = 10.0
_USER_AGENT = "fleetbus"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a fetch may take in all (seconds, monotonic clock), and how it is cancelled."""

    timeout: float
    cancelled: Callable[[], bool]
    started: float = field(default_factory=time.monotonic)

    def remaining(self, what: str) -> float:
        """Seconds left. Raises ``ChartFetchError`` when there are none, or when cancelled."""
        if self.cancelled():
            raise ChartFetchError("chart-cancelled", f"fetching {what} was cancelled", retryable=True)
        left = self.started + self.timeout - time.monotonic()
        if left <= 0:
            raise timed_out(what, self.timeout)
        return left


def timed_out(what: str, seconds: float) -> ChartFetchError:
    """The refusal of a fetch that took too long."""
    return ChartFetchError(
        "chart-timed-out",
        f"{what} did not answer completely within {seconds:g} s",
        retryable=True,
        hint="check the server and the network between; it is tried again",
    )


def shown(url: str | httpx.URL) -> str:
    """A URL as it may stand in a message: without user, password and query."""
    try:
        return str(httpx.URL(str(url)).copy_with(username="", password="", query=None, fragment=None))
    except httpx.InvalidURL:
        return "the chart's address"


class Downloader:
    """Downloads through one ``httpx`` client (connections are kept; several threads may use it)."""

    def __init__(self, ca_file: Path | None = None) -> None:
        """``ca_file``: certificates (PEM) of authorities that are trusted beside the system's.

        Raises ``OSError`` for a file that cannot be read or holds none.
        """
        trust = httpx.create_ssl_context()
        if ca_file is not None:
            trust.load_verify_locations(ca_file)
        self._client = httpx.Client(
            verify=trust,
            follow_redirects=True,
            max_redirects=5,
            # An archive must arrive as its digest was taken, so no transfer compression is asked for.
            headers={"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"},
        )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def get(
        self,
        url: str,
        limits: Limits,
        max_bytes: int,
        *,
        auth: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """The body of ``url``. Raises ``ChartFetchError``."""
        with self.open(url, limits, auth=auth, headers=headers) as response:
            return read(response, limits, max_bytes)

    @contextmanager
    def open(
        self,
        url: str,
        limits: Limits,
        *,
        auth: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        expect_unauthorized: bool = False,
    ) -> Iterator[httpx.Response]:
        """A response with status 200 whose body is still to be read (or 401, where that is expected)."""
        what = shown(url)
        seconds = limits.remaining(what)
        timeout = httpx.Timeout(min(_READ_SECONDS, seconds))
        try:
            with self._client.stream("GET", url, auth=auth, headers=headers, timeout=timeout) as response:
                if url.startswith("https:") and response.url.scheme != "https":
                    raise ChartFetchError("chart-unreachable", f"{what} redirects to an address without encryption")
                if not (response.status_code == 200 or (expect_unauthorized and response.status_code == 401)):
                    raise _refused(what, response.status_code)
                yield response
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ChartFetchError("chart-reference-invalid", f"{what} is not a usable address: {error}") from error
        except httpx.TimeoutException as error:
            raise timed_out(what, timeout.read or seconds) from error
        except httpx.RemoteProtocolError as error:
            raise ChartFetchError(
                "chart-truncated", f"{what}: the server ended the answer too early: {error}", retryable=True
            ) from error
        except (httpx.TransportError, httpx.TooManyRedirects) as error:
            raise ChartFetchError(
                "chart-unreachable",
                f"{what} cannot be reached: {error}",
                retryable=True,
                hint="check the address, the name's resolution, and that the server is up",
            ) from error


def read(response: httpx.Response, limits: Limits, max_bytes: int) -> bytes:
    """The raw body, at most ``max_bytes``; the deadline is checked between pieces."""
    what = shown(response.request.url)
    body = bytearray()
    # Without a chunk size: httpx would wait for a full chunk, and a dripping server never trip the deadline.
    for piece in response.iter_raw():
        body += piece
        if len(body) > max_bytes:
            raise ChartFetchError(
                "chart-too-large", f"{what} is larger than {max_bytes // (1024 * 1024)} MiB; reading stopped there"
            )
        limits.remaining(what)
    return bytes(body)


def _refused(what: str, status: int) -> ChartFetchError:
    if status in (401, 403):
        return ChartFetchError(
            "chart-auth-refused",
            f"{what} refuses access (HTTP {status})",
            hint="give the orchestrator credentials for this host, or make the chart readable",
        )
    if status in (404, 410):
        return ChartFetchError("chart-not-found", f"{what} does not exist (HTTP {status})")
    return ChartFetchError(
        "chart-server-error", f"{what} answers HTTP {status}", retryable=status >= 500 or status in (408, 429)
    )
