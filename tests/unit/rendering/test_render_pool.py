"""What becomes of a render task whose devices use up the time that a rendering may take."""

from __future__ import annotations

import queue
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from orchestrator.adapters.render_pool import ThreadedRenderPool
from orchestrator.charts.archive import ChartArchive
from orchestrator.charts.store import ChartStore
from orchestrator.decision import Render, Rendered, RenderFailed
from orchestrator.model import SpecRecord
from orchestrator.packages.store import PackageStore
from orchestrator.rendering.helm_errors import timed_out
from orchestrator.rendering.port import RenderContext
from orchestrator.rendering.registry import Renderers
from topics.documents.manifest import ManifestComponent
from topics.documents.spec import Component, DeploymentSpec


class Tired:
    """Takes too long for the devices whose name says so; counts what it was asked."""

    name: ClassVar[str] = "custom"
    kinds: ClassVar[frozenset[str]] = frozenset({"custom"})
    manifest_type: ClassVar[str] = "custom"
    depends_on_device: ClassVar[bool] = True

    def __init__(self) -> None:
        self.asked: list[str] = []

    def render(
        self, component: Component, context: RenderContext, charts: Mapping[str, ChartArchive]
    ) -> ManifestComponent:
        assert context.target is not None
        self.asked.append(context.target.device)
        if "slow" in context.target.device:
            raise timed_out(30.0)
        return ManifestComponent(name=component.name, type="custom", source="spec")


@pytest.mark.parametrize("slow", [2, 3])
def test_few_that_take_too_long_are_refused_alone_and_many_give_the_spec_up(tmp_path: Path, slow: int) -> None:
    """Otherwise a chart that loops would hold a thread for half a minute times the number of devices."""
    renderer = Tired()
    document = DeploymentSpec.model_validate(
        {
            "apiVersion": "fleetbus/v1", "kind": "DeploymentSpec", "metadata": {"name": "press"},
            "spec": {"agents": {"selector": {}},
                     "components": [{"name": "x", "renderer": "custom", "custom": {}}]},
        }
    )  # fmt: skip
    devices = (*(f"slow-{number}" for number in range(slow)), *(f"well-{number}" for number in range(5)))
    answers: queue.Queue[Rendered | RenderFailed] = queue.Queue()
    pool = ThreadedRenderPool(Renderers([renderer]), ChartStore(tmp_path), PackageStore(tmp_path), 1 << 20)
    pool.start(Render("press", 1, devices), SpecRecord("press", 1, "", "", document), {}, answers.put)
    answer = answers.get(timeout=30)
    pool.stop()
    if slow == 2:
        assert isinstance(answer, Rendered)
        assert len(answer.manifests) == 5
        assert {reasons[0].code for reasons in answer.refused.values()} == {"helm-timed-out"}
    else:
        assert isinstance(answer, RenderFailed)
        assert ([reason.code for reason in answer.reasons], answer.retryable) == (["helm-timed-out"], False)
        assert len(renderer.asked) == 3
