"""Every harness takes every nasty input, without the fuzzer: refused as documented, or accepted and usable."""

from __future__ import annotations

import pytest

from tests.fuzz.corpus import CORPUS
from tests.fuzz.harnesses import HARNESSES


@pytest.mark.parametrize("name", HARNESSES)
def test_nothing_but_the_documented_errors_comes_out(name: str) -> None:
    """The inputs of all harnesses: what is nasty for one is often nasty for another."""
    for number, data in enumerate(CORPUS):
        try:
            HARNESSES[name](data)
        except Exception as error:
            raise AssertionError(f"input {number} of the corpus, {data[:80]!r}") from error
