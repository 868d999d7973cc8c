"""What every applier must do, whatever its runtime: one suite, subclassed once per applier.

A subclass gives a ``runtime`` fixture, a ``Runtime`` that builds the applier and looks at the real
runtime past it. Nothing here knows how an applier does its work.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, NamedTuple

import pytest

from edge_agent.appliers.port import Applier, ApplyError, Cancelled, never
from tests.support.thorough import THOROUGH
from topics.documents.manifest import Manifest

DEPLOYMENT = "press"


class Observed(NamedTuple):
    """One thing in the runtime: what it is, and a mark that changes whenever it is written again."""

    content: object
    mark: object


class Step(NamedTuple):
    """One call of the port, as the agent makes it."""

    name: str
    run: Callable[[Applier], object]


class Runtime(ABC):
    """A real runtime of its own for one test, and the manifests that it can take."""

    @abstractmethod
    def applier(self) -> Applier:
        """A fresh applier, as after a restart of the agent."""

    @abstractmethod
    def manifest(
        self, generation: int, components: Mapping[str, str], *, initialization: str = "", deployment: str = DEPLOYMENT
    ) -> Manifest:
        """A manifest with these components; each value makes the content differ, ``initialization`` too."""

    @abstractmethod
    def observed(self) -> dict[str, Observed]:
        """All that is visible to the runtime, foreign things too, by name."""

    @abstractmethod
    def lose(self, name: str) -> None:
        """Delete one observed thing behind the applier's back."""

    @abstractmethod
    def tamper(self, name: str) -> None:
        """Change one observed thing behind the applier's back."""

    @abstractmethod
    def add_foreign(self) -> str:
        """Put something of somebody else's beside the applier's, and return its name."""

    @abstractmethod
    def occupy(self, manifest: Manifest) -> str:
        """Put something of somebody else's exactly where the manifest's first component goes; its name."""

    @abstractmethod
    def crashes(self, step: Step, nth: int) -> bool:
        """Run the step in another process that dies at its ``nth`` change (from 1); false if it ended before."""

    @abstractmethod
    def rubbish(self) -> list[str]:
        """Half-written or forgotten things that a crash left and no call has cleaned."""

    @abstractmethod
    def check_consistent(self) -> None:
        """Assert what must hold at any instant, also right after a crash."""

    stride: ClassVar[int] = 1
    """Of how many changes one is a place to die at, unless all are asked for (``THOROUGH``): where each death costs
    seconds, every third tells nearly as much."""

    def contents(self) -> dict[str, object]:
        return {name: item.content for name, item in self.observed().items()}


def steps_of(manifest: Manifest) -> list[Step]:
    """The calls that bring a manifest to Deployed, in order."""
    return [
        Step("check", lambda applier: applier.check(manifest)),
        Step("download", lambda applier: applier.download(manifest, _ignore, never)),
        Step("initialize", lambda applier: applier.initialize(manifest, never)),
        *(Step(f"apply {c.name}", _apply(manifest, c.name)) for c in manifest.components),
        Step("finish", lambda applier: applier.finish(manifest)),
    ]


def deploy(applier: Applier, manifest: Manifest) -> None:
    """Every step, as the agent does them."""
    for step in steps_of(manifest):
        step.run(applier)


def _apply(manifest: Manifest, component: str) -> Callable[[Applier], object]:
    return lambda applier: applier.apply(manifest, component, never)


def _ignore(component: str, done: int, total: int | None) -> None:
    """A progress report that nobody reads."""


class ApplierConformance:
    """Subclass it as ``Test…`` and give it a ``runtime`` fixture."""

    FIRST: ClassVar[dict[str, str]] = {"database": "one", "bridge": "one"}
    SECOND: ClassVar[dict[str, str]] = {"database": "two", "panel": "one"}  # one changed, one gone, one new

    @pytest.fixture
    def first(self, runtime: Runtime) -> Manifest:
        return runtime.manifest(1, self.FIRST, initialization="settings")

    @pytest.fixture
    def second(self, runtime: Runtime) -> Manifest:
        return runtime.manifest(2, self.SECOND, initialization="settings")

    def _alone(self, runtime: Runtime, manifest: Manifest) -> dict[str, object]:
        """What the runtime shows after the manifest was deployed without any trouble; it is empty again after."""
        deploy(runtime.applier(), manifest)
        contents = runtime.contents()
        runtime.applier().remove(manifest.deployment, never)
        return contents

    # -- the plain way

    def test_it_is_an_applier(self, runtime: Runtime) -> None:
        """The object has the port's methods, and names the types it takes."""
        applier = runtime.applier()
        assert isinstance(applier, Applier)
        assert applier.types

    def test_a_deployed_manifest_is_healthy(self, runtime: Runtime, first: Manifest) -> None:
        """After all steps every component is healthy, in the manifest's order, without a message."""
        deploy(runtime.applier(), first)
        health = runtime.applier().health(first)
        assert [entry.component for entry in health] == list(self.FIRST)
        assert all(entry.healthy and not entry.message for entry in health)

    def test_check_and_download_show_the_runtime_nothing(self, runtime: Runtime, first: Manifest) -> None:
        """Before initialize, the runtime sees nothing of the generation."""
        for step in steps_of(first)[:2]:
            step.run(runtime.applier())
        assert runtime.observed() == {}

    def test_what_runs_is_untouched_until_initialize(self, runtime: Runtime, first: Manifest, second: Manifest) -> None:
        """Checking and downloading an update leaves the running generation exactly as it is, and healthy."""
        deploy(runtime.applier(), first)
        before = runtime.observed()
        for step in steps_of(second)[:2]:
            step.run(runtime.applier())
        assert runtime.observed() == before
        assert all(entry.healthy for entry in runtime.applier().health(first))

    def test_components_appear_one_after_the_other(self, runtime: Runtime, first: Manifest) -> None:
        """Initialize and each apply add something, and none brings what belongs to a later step."""
        applier = runtime.applier()
        seen = [len(runtime.observed())]
        for step in steps_of(first)[2:-1]:
            step.run(applier)
            seen.append(len(runtime.observed()))
        assert seen == sorted(set(seen))

    def test_progress_grows_and_ends_at_its_total(self, runtime: Runtime, first: Manifest) -> None:
        """Reports never go back, and the last one of each component is complete."""
        reports: dict[str, list[tuple[int, int | None]]] = {}
        runtime.applier().download(first, lambda c, done, total: reports.setdefault(c, []).append((done, total)), never)
        assert set(self.FIRST) <= set(reports)
        for done in reports.values():
            assert [bytes_so_far for bytes_so_far, _ in done] == sorted(bytes_so_far for bytes_so_far, _ in done)
            assert done[-1][1] in (None, done[-1][0])

    # -- idempotence, update, rollback, removal

    def test_each_step_twice_has_the_effect_of_once(self, runtime: Runtime, first: Manifest) -> None:
        """A repeated step writes nothing again: contents and marks stay."""
        for step in steps_of(first):
            step.run(runtime.applier())
            before = runtime.observed()
            step.run(runtime.applier())
            assert runtime.observed() == before, step.name

    def test_a_whole_deployment_twice_writes_nothing_again(self, runtime: Runtime, first: Manifest) -> None:
        """All steps again, with a fresh applier, change no mark."""
        deploy(runtime.applier(), first)
        before = runtime.observed()
        deploy(runtime.applier(), first)
        assert runtime.observed() == before

    def test_an_unchanged_component_is_not_written_by_an_update(self, runtime: Runtime, first: Manifest) -> None:
        """A new generation leaves alone what is the same in it."""
        deploy(runtime.applier(), first)
        before = runtime.observed()
        deploy(runtime.applier(), runtime.manifest(2, {**self.FIRST, "bridge": "two"}, initialization="settings"))
        after = runtime.observed()
        assert set(after) == set(before)
        assert len([name for name in after if after[name] != before[name]]) == 1

    def test_an_update_changes_adds_and_prunes(self, runtime: Runtime, first: Manifest, second: Manifest) -> None:
        """After the update there is as much as the update alone gives, and it is healthy."""
        alone = self._alone(runtime, second)
        deploy(runtime.applier(), first)
        deploy(runtime.applier(), second)
        assert sorted(map(repr, runtime.contents().values())) == sorted(map(repr, alone.values()))
        assert all(entry.healthy for entry in runtime.applier().health(second))

    def test_pruning_waits_for_finish(self, runtime: Runtime, first: Manifest, second: Manifest) -> None:
        """Until finish, what only the old generation had is still there."""
        deploy(runtime.applier(), first)
        before = set(runtime.observed())
        for step in steps_of(second)[:-1]:
            step.run(runtime.applier())
        assert before <= set(runtime.observed())

    def test_the_old_generation_can_be_restored(self, runtime: Runtime, first: Manifest, second: Manifest) -> None:
        """Applying an older generation after a newer one, half applied, gives the older one again."""
        deploy(runtime.applier(), first)
        before = runtime.contents()
        for step in steps_of(second)[:-2]:
            step.run(runtime.applier())
        for step in steps_of(first)[2:]:
            step.run(runtime.applier())
        assert runtime.contents() == before
        assert all(entry.healthy for entry in runtime.applier().health(first))

    def test_health_of_another_generation_is_bad(self, runtime: Runtime, first: Manifest, second: Manifest) -> None:
        """A generation that is not the applied one is unhealthy in every component, with the reason."""
        assert not any(entry.healthy for entry in runtime.applier().health(first))
        deploy(runtime.applier(), second)
        health = runtime.applier().health(first)
        assert health
        assert all(not entry.healthy and entry.message for entry in health)

    def test_removal_leaves_nothing(self, runtime: Runtime, first: Manifest) -> None:
        """After remove the runtime is empty, and a second remove is fine."""
        deploy(runtime.applier(), first)
        runtime.applier().remove(DEPLOYMENT, never)
        assert runtime.observed() == {}
        runtime.applier().remove(DEPLOYMENT, never)
        assert runtime.rubbish() == []

    def test_removal_of_a_half_applied_update_leaves_nothing(
        self, runtime: Runtime, first: Manifest, second: Manifest
    ) -> None:
        """What either generation had is removed."""
        deploy(runtime.applier(), first)
        for step in steps_of(second)[:-1]:
            step.run(runtime.applier())
        runtime.applier().remove(DEPLOYMENT, never)
        assert runtime.observed() == {}

    def test_removal_of_nothing_is_fine(self, runtime: Runtime) -> None:
        """remove, and discard, of what never was does nothing."""
        runtime.applier().remove("never-was", never)
        runtime.applier().discard("never-was", 7)
        assert runtime.observed() == {}
        assert runtime.rubbish() == []

    def test_a_discarded_generation_leaves_nothing(self, runtime: Runtime, first: Manifest, second: Manifest) -> None:
        """Discard throws away what was downloaded, and touches nothing that runs."""
        deploy(runtime.applier(), first)
        before = runtime.observed()
        for step in steps_of(second)[:2]:
            step.run(runtime.applier())
        runtime.applier().discard(DEPLOYMENT, 2)
        runtime.applier().discard(DEPLOYMENT, 2)
        assert runtime.observed() == before
        assert runtime.rubbish() == []

    def test_deployments_do_not_touch_each_other(self, runtime: Runtime, first: Manifest) -> None:
        """Deployment and component names that run together alike are still two things."""
        other = runtime.manifest(1, {"b-c": "x"}, deployment="a")
        alike = runtime.manifest(1, {"c": "y"}, deployment="a-b")
        for manifest in (first, other, alike):
            deploy(runtime.applier(), manifest)
        before = runtime.observed()
        runtime.applier().remove("a", never)
        assert all(entry.healthy for manifest in (first, alike) for entry in runtime.applier().health(manifest))
        assert set(runtime.observed()) < set(before)

    def test_deployments_are_applied_at_the_same_time(self, runtime: Runtime) -> None:
        """One applier serves several deployments from several threads."""
        applier = runtime.applier()
        manifests = [runtime.manifest(1, {"main": str(number)}, deployment=f"app-{number}") for number in range(8)]
        failures: list[BaseException] = []

        def work(manifest: Manifest) -> None:
            try:
                deploy(applier, manifest)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(manifest,)) for manifest in manifests]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert failures == []
        assert all(entry.healthy for manifest in manifests for entry in applier.health(manifest))

    # -- drift and foreign things

    def test_a_lost_thing_is_noticed_and_healed(self, runtime: Runtime, first: Manifest) -> None:
        """Each lost thing makes health bad with its name in the message; applying again heals it."""
        deploy(runtime.applier(), first)
        whole = runtime.contents()
        for name in whole:
            runtime.lose(name)
            findings = [entry for entry in runtime.applier().health(first) if not entry.healthy]
            assert len(findings) == 1
            assert name in findings[0].message
            deploy(runtime.applier(), first)
            assert runtime.contents() == whole
            assert all(entry.healthy for entry in runtime.applier().health(first))

    def test_a_changed_thing_is_noticed_and_healed(self, runtime: Runtime, first: Manifest) -> None:
        """The same for a changed one."""
        deploy(runtime.applier(), first)
        whole = runtime.contents()
        for name in whole:
            runtime.tamper(name)
            findings = [entry for entry in runtime.applier().health(first) if not entry.healthy]
            assert len(findings) == 1
            assert name in findings[0].message
            deploy(runtime.applier(), first)
            assert runtime.contents() == whole

    def test_foreign_things_stay(self, runtime: Runtime, first: Manifest, second: Manifest) -> None:
        """Install, update and removal do not touch what is somebody else's."""
        name = runtime.add_foreign()
        before = runtime.observed()[name]
        deploy(runtime.applier(), first)
        deploy(runtime.applier(), second)
        runtime.applier().remove(DEPLOYMENT, never)
        assert runtime.observed() == {name: before}

    def test_a_taken_place_is_refused_and_stays(self, runtime: Runtime, first: Manifest) -> None:
        """Somebody else's thing in the way is a final error that names it, and it is not overwritten."""
        name = runtime.occupy(first)
        before = runtime.observed()
        for attempt in (lambda: runtime.applier().check(first), lambda: deploy(runtime.applier(), first)):
            with pytest.raises(ApplyError) as caught:
                attempt()
            assert not caught.value.retryable
            assert name in caught.value.message
        runtime.applier().remove(DEPLOYMENT, never)
        assert runtime.observed() == before

    # -- errors

    def test_a_foreign_type_is_refused(self, runtime: Runtime, first: Manifest) -> None:
        """A component of a type the applier does not take is a final error of that component."""
        strange = first.components[1].model_copy(update={"type": "punched-cards"})
        with pytest.raises(ApplyError) as caught:
            runtime.applier().check(first.model_copy(update={"components": (first.components[0], strange)}))
        assert (caught.value.retryable, caught.value.component) == (False, strange.name)

    def test_an_unknown_component_is_refused(self, runtime: Runtime, first: Manifest) -> None:
        """Apply for a component that the manifest has not is a final error."""
        applier = runtime.applier()
        applier.initialize(first, never)
        with pytest.raises(ApplyError) as caught:
            applier.apply(first, "nobody", never)
        assert not caught.value.retryable

    # -- cancellation

    def test_cancelling_stops_each_step_and_resuming_ends_well(self, runtime: Runtime, first: Manifest) -> None:
        """A cancelled step raises Cancelled; the same step called again completes."""
        alone = self._alone(runtime, first)
        applier = runtime.applier()
        applier.check(first)
        cancellable: list[Callable[[Callable[[], bool]], object]] = [
            lambda cancelled: applier.download(first, _ignore, cancelled),
            lambda cancelled: applier.initialize(first, cancelled),
            *(_cancellable_apply(applier, first, component.name) for component in first.components),
        ]
        for call in cancellable:
            with pytest.raises(Cancelled):
                call(lambda: True)
            call(never)
        applier.finish(first)
        assert runtime.contents() == alone
        with pytest.raises(Cancelled):
            applier.remove(DEPLOYMENT, lambda: True)
        applier.remove(DEPLOYMENT, never)
        assert runtime.observed() == {}

    # -- crashes

    def test_a_crash_in_an_installation_is_resumed(self, runtime: Runtime, first: Manifest) -> None:
        """For every step and every change it makes: killed there, started again, it ends as without the crash."""
        foreign = runtime.add_foreign()
        expected = {**self._alone(runtime, first), foreign: runtime.contents()[foreign]}
        for _ in self._crash_everywhere(runtime, None, steps_of(first)):
            assert runtime.contents() == expected
            assert all(entry.healthy for entry in runtime.applier().health(first))

    def test_a_crash_in_an_update_is_resumed(self, runtime: Runtime, first: Manifest, second: Manifest) -> None:
        """The same for an update that changes, adds and prunes."""
        runtime.add_foreign()
        deploy(runtime.applier(), first)
        deploy(runtime.applier(), second)
        expected = runtime.contents()
        runtime.applier().remove(DEPLOYMENT, never)
        for _ in self._crash_everywhere(runtime, first, steps_of(second)):
            assert runtime.contents() == expected
            assert all(entry.healthy for entry in runtime.applier().health(second))

    def test_a_crash_in_a_removal_is_resumed(self, runtime: Runtime, first: Manifest) -> None:
        """A removal that was killed anywhere ends in nothing when it is called again."""
        foreign = runtime.add_foreign()
        removal = Step("remove", lambda applier: applier.remove(DEPLOYMENT, never))
        for _ in self._crash_everywhere(runtime, first, [removal]):
            assert set(runtime.observed()) == {foreign}

    def test_a_removal_after_a_crash_leaves_nothing(self, runtime: Runtime, first: Manifest, second: Manifest) -> None:
        """Killed anywhere in an update and then removed instead of resumed, nothing is left."""
        foreign = runtime.add_foreign()
        for index, step in enumerate(steps_of(second)):
            for nth in _counting(runtime):
                deploy(runtime.applier(), first)
                for before in steps_of(second)[:index]:
                    before.run(runtime.applier())
                crashed = runtime.crashes(step, nth)
                runtime.check_consistent()
                runtime.applier().remove(DEPLOYMENT, never)
                assert (set(runtime.observed()), runtime.rubbish()) == ({foreign}, []), (step.name, nth)
                if not crashed:
                    break

    def test_a_restoration_after_a_crash_leaves_no_trace(
        self, runtime: Runtime, first: Manifest, second: Manifest
    ) -> None:
        """Killed anywhere in an update and then taken back to the old generation, all is as before the update."""
        deploy(runtime.applier(), first)
        before = runtime.contents()
        for index, step in enumerate(steps_of(second)):
            for nth in _counting(runtime):
                for earlier in steps_of(second)[:index]:
                    earlier.run(runtime.applier())
                crashed = runtime.crashes(step, nth)
                for restoring in steps_of(first)[2:]:
                    restoring.run(runtime.applier())
                runtime.applier().discard(DEPLOYMENT, 2)
                assert (runtime.contents(), runtime.rubbish()) == (before, []), (step.name, nth)
                if not crashed:
                    break

    def _crash_everywhere(self, runtime: Runtime, running: Manifest | None, steps: list[Step]) -> Iterator[None]:
        """Kill each step at each of its changes; yields when the steps from that one on were run again."""
        crashes = 0
        for index, step in enumerate(steps):
            for nth in _counting(runtime):
                if running is not None:
                    deploy(runtime.applier(), running)
                for before in steps[:index]:
                    before.run(runtime.applier())
                crashed = runtime.crashes(step, nth)
                runtime.check_consistent()
                for after in steps[index:]:
                    after.run(runtime.applier())
                runtime.check_consistent()
                assert runtime.rubbish() == [], (step.name, nth)
                yield
                runtime.applier().remove(DEPLOYMENT, never)
                if not crashed:
                    break
                crashes += _stride(runtime)
        assert crashes > len(steps), "the steps changed too little for this test to mean anything"


def _stride(runtime: Runtime) -> int:
    return 1 if THOROUGH else runtime.stride


def _counting(runtime: Runtime) -> Iterator[int]:
    return iter(range(1, 1000, _stride(runtime)))


def _cancellable_apply(applier: Applier, manifest: Manifest, component: str) -> Callable[[Callable[[], bool]], object]:
    return lambda cancelled: applier.apply(manifest, component, cancelled)
