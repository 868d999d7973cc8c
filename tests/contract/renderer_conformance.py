"""What every renderer must do, whatever it renders for: one suite, subclassed once per renderer.

A subclass gives a ``sample`` fixture. Nothing here knows what the renderer makes.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from orchestrator.charts.archive import ChartArchive
from orchestrator.rendering.port import RenderContext, Renderer, RenderError, Target
from topics.documents.device import Capabilities
from topics.documents.manifest import ManifestComponent
from topics.documents.spec import COMPONENT_KINDS, Component
from topics.policy import DRIVERS

DEVICE = Target("edge-01", {"line": "weld"}, Capabilities(device="edge-01", labels={"line": "weld"}))
CONTEXT = RenderContext("press-monitor", 3, "fleetbus-system", "press", None, DEVICE)


@dataclass(frozen=True)
class Sample:
    """A renderer with a component of one of its kinds that it takes (with ``timeout: 90s``), and one that it refuses."""

    renderer: Renderer
    kind: str
    good: Mapping[str, Any]
    bad: Mapping[str, Any]
    charts: Mapping[str, ChartArchive] = field(default_factory=dict)

    def component(self, *, good: bool = True, **fields: Any) -> Component:
        """The sample component, called ``part``."""
        body = {self.kind: dict(self.good if good else self.bad)}
        return Component.model_validate({"name": "part", "renderer": self.renderer.name, **body, **fields})

    def render(self, component: Component | None = None, context: RenderContext = CONTEXT) -> ManifestComponent:
        """The sample rendered."""
        return self.renderer.render(component or self.component(), context, self.charts)


class RendererConformance:
    """Subclass it as ``Test…`` and give it a ``sample`` fixture."""

    def test_it_says_what_it_is(self, sample: Sample) -> None:
        """A name as a spec writes it, kinds that specs have, and the type that it really makes."""
        renderer = sample.renderer
        assert (
            Component.model_validate({"name": "x", "renderer": renderer.name, "custom": {}}).renderer == renderer.name
        )
        assert renderer.kinds
        assert renderer.kinds <= set(COMPONENT_KINDS)
        assert isinstance(renderer.depends_on_device, bool)
        assert sample.render().type == renderer.manifest_type

    def test_same_input_gives_the_same_bytes(self, sample: Sample) -> None:
        """Also from another instance, and after it rendered something else."""
        fresh = replace(sample, renderer=type(sample.renderer)())
        first = sample.render().model_dump_json()
        sample.render(context=replace(CONTEXT, deployment="other"))
        assert sample.render().model_dump_json() == first == fresh.render().model_dump_json()

    def test_input_is_left_as_it_was(self, sample: Sample) -> None:
        """Renderers change neither the component nor the charts."""
        component = sample.component()
        before = copy.deepcopy((component, dict(sample.charts)))
        sample.render(component)
        assert (component, dict(sample.charts)) == before

    def test_part_says_what_it_is(self, sample: Sample) -> None:
        """Name, where it came from, how long it may take; all of it JSON that a device reads back as the same."""
        part = sample.render()
        assert (part.name, part.timeout_seconds, part.wait) == ("part", 90.0, True)
        assert part.source
        assert part.objects or part.config
        assert ManifestComponent.model_validate_json(part.model_dump_json(by_alias=True)) == part
        assert json.loads(part.model_dump_json())

    def test_every_object_is_marked_named_and_in_its_namespace(self, sample: Sample) -> None:
        """What removal and the inventory go by; drivers of other controllers in the cluster namespace."""
        for item in sample.render().objects:
            assert item["metadata"]["name"]
            labels = item["metadata"]["labels"]
            assert labels["app.kubernetes.io/managed-by"] == "fleetbus"
            assert labels["fleetbus.io/deployment"] == "press-monitor"
            assert labels["fleetbus.io/component"] == "part"
            driver = (item["apiVersion"].rpartition("/")[0], item["kind"]) in DRIVERS
            namespace = "fleetbus-system" if driver else None if item["kind"].startswith("Cluster") else "press"
            assert item["metadata"].get("namespace") == namespace

    def test_generation_is_not_in_the_part(self, sample: Sample) -> None:
        """Or each update would change everything."""
        assert sample.render(context=replace(CONTEXT, generation=4)) == sample.render()

    def test_what_does_not_depend_on_the_device_is_the_same_for_all(self, sample: Sample) -> None:
        """It is then rendered once, and without a device."""
        if sample.renderer.depends_on_device:
            return
        other = Target("edge-02", {}, Capabilities(device="edge-02", vendor="Other"))
        assert sample.render() == sample.render(context=replace(CONTEXT, target=other))
        assert sample.render() == sample.render(context=replace(CONTEXT, target=None))

    def test_refusal_has_reasons_with_paths_in_the_component(self, sample: Sample) -> None:
        """Readable, not retryable, and relative to the component."""
        with pytest.raises(RenderError) as caught:
            sample.render(sample.component(good=False))
        assert caught.value.reasons
        assert not caught.value.retryable
        for reason in caught.value.reasons:
            assert reason.path.partition(".")[0] in (sample.kind, "patches", "renderer")
            assert reason.code
            assert reason.message

    def test_patches_are_never_passed_over(self, sample: Sample) -> None:
        """They are made, handed on, or refused: one that hits nothing is told or stands in the part."""
        patch = {"target": {"kind": "Nowhere", "name": "to-be-found"}, "patch": {"spec": {"marker": 4711}}}
        paths, text = ["patches"], "4711 to-be-found"
        try:
            text = sample.render(sample.component(patches=[patch])).model_dump_json()
        except RenderError as error:
            paths = [reason.path for reason in error.reasons]
        assert all(path.startswith("patches") for path in paths)
        assert "4711" in text
        assert "to-be-found" in text
