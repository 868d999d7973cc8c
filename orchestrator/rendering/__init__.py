"""From the components of a spec to the manifest of a device: pure, deterministic, no network.

Charts come in as pinned archives (``orchestrator.charts``); renderers are plug-ins behind ``port``.
"""
