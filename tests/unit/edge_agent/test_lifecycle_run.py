"""The machine that the agent runs is the table that both sides share."""

from __future__ import annotations

import pytest

from edge_agent.lifecycle_run import ENTRIES, DeploymentMachine, NotAllowedError
from topics.lifecycle import TRANSITIONS, State, Trigger, is_allowed

_TABLE = {(source, trigger): target for trigger, source, target in TRANSITIONS}


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("trigger", list(Trigger))
def test_machine_and_table_agree_on_every_state_and_trigger(state: State, trigger: Trigger) -> None:
    """What the table has is done, everything else is refused and leaves the state as it was."""
    machine = DeploymentMachine(state)
    expected = _TABLE.get((state, trigger))
    if state is State.REMOVED:
        expected = ENTRIES.get(trigger)
    if expected is None:
        with pytest.raises(NotAllowedError, match=f"no '{trigger.value}' in {state.value}"):
            machine.fire(trigger)
        assert machine.state is state
    else:
        assert machine.fire(trigger) is expected
        assert is_allowed(state, expected)


@pytest.mark.parametrize("trigger", list(Trigger))
def test_a_new_deployment_enters_only_where_the_table_says(trigger: Trigger) -> None:
    """Created by a manifest, Removing by a tombstone, nothing else."""
    machine = DeploymentMachine(None)
    if trigger in ENTRIES:
        assert is_allowed(None, machine.fire(trigger))
    else:
        with pytest.raises(NotAllowedError, match="no state"):
            machine.fire(trigger)


def test_a_removed_deployment_may_begin_again() -> None:
    """Removed is final for a machine; the next life has a new one."""
    machine = DeploymentMachine(State.REMOVING)
    assert machine.fire(Trigger.GONE) is State.REMOVED
    assert machine.fire(Trigger.CREATE) is State.CREATED
    assert machine.fire(Trigger.PREPARE) is State.PREPARED


def test_building_a_machine_enters_nothing() -> None:
    """A machine for a record in the middle of its life is simply there."""
    assert DeploymentMachine(State.CONFIGURATION).state is State.CONFIGURATION
