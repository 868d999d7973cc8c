"""The state machine that a deployment runs, generated from the table both sides share.

python-statemachine 3.2 reserves some attribute names (``configuration``, ``prepare`` and others), so
states are called ``in_<name>`` and events ``on_bus_<name>`` here and only their values are the wire's.
``StateMachine`` raises for what is not allowed; the library's ``StateChart`` would swallow errors.
A machine is bound to a holder that has its state already: giving ``start_value`` would enter the
state once more.
"""

from __future__ import annotations

from typing import Any

from statemachine import State as MachineState
from statemachine import StateMachine
from statemachine.exceptions import TransitionNotAllowed

from topics.lifecycle import TRANSITIONS, State, Trigger

ENTRIES: dict[Trigger, State] = {Trigger.CREATE: State.CREATED, Trigger.REMOVE: State.REMOVING}
"""How a deployment enters: by a manifest, or by a tombstone for something this device never had."""


class NotAllowedError(Exception):
    """A trigger that the lifecycle does not have in this state: a bug of the agent, never of a peer."""

    def __init__(self, state: State | None, trigger: Trigger) -> None:
        super().__init__(f"the lifecycle has no {trigger.value!r} in {state.value if state else 'no state'}")
        self.state = state
        self.trigger = trigger


class _Holder:
    """Holds the state for the machine (its "model")."""

    def __init__(self, state: State) -> None:
        self.state: str = state.value


def _event(trigger: Trigger) -> str:
    return f"on_bus_{trigger.value}"


def _machine_class() -> Any:
    states = {
        state: MachineState(
            state.value, value=state.value, initial=state is State.CREATED, final=state is State.REMOVED
        )
        for state in State
    }
    namespace: dict[str, Any] = {f"in_{state.name.lower()}": machine_state for state, machine_state in states.items()}
    for trigger, source, target in TRANSITIONS:
        move = states[source].to(states[target])
        name = _event(trigger)
        namespace[name] = namespace[name] | move if name in namespace else move
    metaclass: Any = type(StateMachine)
    return metaclass("LifecycleMachine", (StateMachine,), namespace)


_LifecycleMachine: Any = _machine_class()


class DeploymentMachine:
    """The machine of one deployment, in the state its record has (``None``: not known yet).

    Removed is final: what comes back gets a new machine. Building one takes 0.2 ms, so they live as
    long as a decision and a device pays no memory for deployments at rest.
    """

    def __init__(self, state: State | None) -> None:
        self._state = state
        self._holder: _Holder | None = None
        self._machine: Any = None

    @property
    def state(self) -> State | None:
        return self._state

    def fire(self, trigger: Trigger) -> State:
        """Make the transition; the new state. Raises ``NotAllowedError``, and then the state is as before."""
        if self._state in (None, State.REMOVED):
            if trigger not in ENTRIES:
                raise NotAllowedError(self._state, trigger)
            self._machine = None
            self._state = ENTRIES[trigger]
            return self._state
        if self._machine is None:
            self._holder = _Holder(State(self._state))
            self._machine = _LifecycleMachine(model=self._holder)
        try:
            self._machine.send(_event(trigger))
        except TransitionNotAllowed as error:
            raise NotAllowedError(self._state, trigger) from error
        assert self._holder is not None
        self._state = State(self._holder.state)
        return self._state
