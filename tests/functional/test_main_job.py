"""x"""
from pathlib import Path
from tests.support.brokers import Broker
from tests.support.processes import Site, spec
import time
def test_a(broker: Broker, tmp_path: Path) -> None:
    t0=time.monotonic()
    with Site(broker, tmp_path) as site:
        site.start("edge-01", "edge-02")
        print("ready", time.monotonic()-t0)
        site.publish(spec("app"))
        site.observer.wait_phase("app", "Deployed", 1)
        print("deployed", time.monotonic()-t0)
        print(site.agents["edge-01"].objects(), site.agents["edge-01"].stamps(), sep="\n")
        print([m for m in site.observer.transitions("edge-01","app")])
        print(site.observer.aggregate("app"))
    print("end", time.monotonic()-t0)
