"""What the device is, read from the machine itself and never from a configured file.

One module per family of sources. Each reads below an injectable root, takes what the kernel shows,
and leaves out what it does not show: nothing that is missing may raise.
"""

from edge_agent.probe.capabilities import probe_capabilities
from edge_agent.probe.resources import FreeResources, measure_free

__all__ = ["FreeResources", "measure_free", "probe_capabilities"]
