"""Places where a test can kill a program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.support.agents import ROOT
from topics.program import failpoints

_PROGRAM = "from topics.program.failpoints import reach\nfor n in range(5): print(n, flush=True); reach('here')"


def test_places_are_read_with_their_counts() -> None:
    """The first visit is the default."""
    assert failpoints.parse("a=kill:3, agent.state.Staged=kill,") == {"a": 3, "agent.state.Staged": 1}


@pytest.mark.parametrize("text", ["a", "a=stop", "=kill", "a=kill:", "a=kill:0", "a=kill:x"])
def test_a_wrong_place_is_refused(text: str) -> None:
    """A typing error must not make a fault test pass."""
    with pytest.raises(ValueError, match="FLEETBUS_FAILPOINTS"):
        failpoints.parse(text)


def test_the_program_dies_at_the_visit_that_was_named() -> None:
    """Without cleaning up, as kill -9 does; without the variable it runs on."""

    def run(text: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, failpoints.VARIABLE: text}
        return subprocess.run(
            [sys.executable, "-c", _PROGRAM], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )

    killed, alive = run("here=kill:3,there=kill"), run("")
    assert (killed.returncode, killed.stdout.split()) == (-signal.SIGKILL, ["0", "1", "2"])
    assert (alive.returncode, len(alive.stdout.split())) == (0, 5)
