"""Rendering a chart for many devices, each with values of its own: the figure of the issue.

Ten Deployments, ten Services, ten ConfigMaps. Each device has its own station (one ConfigMap) and one of ten
log levels (ten Deployments and ten ConfigMaps), as a plant has. The baseline is Helm's engine alone, called once
for each device with the chart already loaded. Below it a tenth of the devices with a chart in which every template
has the station in it, so that nothing is the same on two devices.

    python -m bench.charts [--devices 1000]
"""

from __future__ import annotations

import argparse
import gzip
import io
import itertools
import json
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping

import psutil

from bench.figures import ROUNDS, Figure, milliseconds, show
from orchestrator.charts.archive import open_archive
from orchestrator.rendering.helm_engine import find_engine
from orchestrator.rendering.manifests import ManifestFactory
from orchestrator.rendering.port import Target
from orchestrator.rendering.registry import load_renderers
from topics.codec import canonical_json, encode, seal
from topics.documents.device import Capabilities
from topics.spec_reader import read_spec

TARGET_SECONDS = 1.0
LEVELS = ("debug", "info", "warning", "error", "off", "trace", "fatal", "audit", "quiet", "all")

_DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}-part-NUMBER
  labels: {app: part-NUMBER}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: part-NUMBER}}
  template:
    metadata: {labels: {app: part-NUMBER}}
    spec:
      containers:
        - name: main
          image: "{{ .Values.image }}:1.0.NUMBER"
          env:
            - {name: LEVEL, value: {{ .Values.level | quote }}}
          resources:
            requests: {cpu: 100m, memory: 64Mi}
            limits: {cpu: 200m, memory: 128Mi}
          ports: [{containerPort: 8080, name: http}]
          volumeMounts: [{name: config, mountPath: /etc/app}]
      volumes:
        - name: config
          configMap: {name: part-NUMBER}
"""
_SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}-part-NUMBER}
spec:
  selector: {app: part-NUMBER}
  ports: [{port: 80, targetPort: http, name: http}]
"""
_CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: part-NUMBER}
data:
  level: {{ .Values.level | quote }}
"""


def chart_archive(*, alike: bool = True) -> bytes:
    """The chart: 30 objects in 30 files; without ``alike`` the station is in each."""
    files = {
        "Chart.yaml": "apiVersion: v2\nname: plant\nversion: 1.0.0\n",
        "values.yaml": "replicas: 1\nimage: example/app\nlevel: info\nstation: none\n",
    }
    for number in range(10):
        for name, text in (("deployment", _DEPLOYMENT), ("service", _SERVICE), ("map", _CONFIG_MAP)):
            files[f"templates/{name}-{number}.yaml"] = text.replace("NUMBER", str(number))
            if not alike:
                files[f"templates/{name}-{number}.yaml"] = "# {{ .Values.station }}\n" + text.replace(
                    "NUMBER", str(number)
                )
    files["templates/map-0.yaml"] += "  station: {{ .Values.station | quote }}\n"
    return _packed(files)


def measure(devices: int = 1_000) -> Iterator[Figure]:
    """In processor time: what one core does, whatever else runs on the machine."""
    taken, bare, size = _rendered(chart_archive(), devices)
    yield Figure(
        f"a chart of 30 objects rendered for {devices:,} devices with values of their own, sealed and encoded "
        f"({size // 1024} KiB each; processor time)",
        milliseconds(taken), f"Helm's engine alone {milliseconds(bare)}",
        target=f"{TARGET_SECONDS * devices / 1000:g} s", met=taken < TARGET_SECONDS * devices / 1000,
    )  # fmt: skip
    taken, bare, _ = _rendered(chart_archive(alike=False), devices // 10)
    yield Figure(
        f"the same with no file alike on two devices, {devices // 10:,} devices (processor time)",
        milliseconds(taken), f"Helm's engine alone {milliseconds(bare)}",
    )  # fmt: skip


def _rendered(chart: bytes, devices: int) -> tuple[float, float, int]:
    """Seconds of all the work, seconds of Helm's engine alone, bytes of a payload."""
    renderers = load_renderers()
    archive = open_archive(chart)
    # Each round has a spec of another name, which is in every object: nothing is known of an earlier round.
    documents = (read_spec(canonical_json(_spec(f"fleet-{number}"))) for number in itertools.count())
    targets = [_target(number) for number in range(devices)]
    factory: ManifestFactory
    payloads: list[bytes] = []

    def render() -> None:
        nonlocal factory
        payloads.clear()
        factory = ManifestFactory(next(documents), 1, "sha256:0", renderers, {"plant": archive})
        payloads.extend(factory.payload_of(factory.manifest_for(target)) for target in targets)

    taken = _processor_seconds(render)
    for target, payload in list(zip(targets, payloads, strict=True))[:20]:
        manifest = factory.manifest_for(target)
        assert payload == seal(encode(manifest)), "the encoder must give what encoding gives"
        assert len(manifest.components[0].objects) == 30
        assert json.dumps(target.device) in payload.decode(), "each device has values of its own"
    assert len(set(payloads)) == devices

    engine = find_engine()

    def engine_alone() -> None:
        for number in range(devices):
            values = {"station": f"sim-{number:04}", "level": LEVELS[number % 10]}
            engine.render(archive.data, values, "fleet-plant", "fleet", anew=True)

    return taken, _processor_seconds(engine_alone), len(payloads[0])


def _spec(name: str) -> dict[str, object]:
    levels = [
        {"selector": {"matchLabels": {"level": level}}, "values": {"level": level}}
        for level in LEVELS
        if level != "info"
    ]
    helm = {"chart": "plant", "values": {"station": "${device.id}"}, "deviceValues": levels}
    return {
        "apiVersion": "fleetbus/v1",
        "kind": "DeploymentSpec",
        "metadata": {"name": name},
        "spec": {"agents": {"selector": {}}, "components": [{"name": "plant", "helm": helm}]},
    }


def _target(number: int) -> Target:
    labels = {"level": LEVELS[number % len(LEVELS)]}
    return Target(f"sim-{number:04}", labels, Capabilities(device=f"sim-{number:04}", labels=labels))


def _processor_time() -> float:
    """Of this process and of the one that renders beside it."""
    children = [child.cpu_times() for child in psutil.Process().children()]
    return time.process_time() + sum(times.user + times.system for times in children)


def _processor_seconds(action: Callable[[], object]) -> float:
    taken = []
    for _ in range(ROUNDS):
        began = _processor_time()
        action()
        taken.append(_processor_time() - began)
    return min(taken)


def _packed(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"plant/{name}")
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return gzip.compress(buffer.getvalue(), mtime=0)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--devices", type=int, default=1_000)
    show(measure(arguments.parse_args().devices))


if __name__ == "__main__":
    main()
