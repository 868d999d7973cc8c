"""The contract between orchestrator, edge agents, operators and dashboards.

Everything two programs must agree on lives here and nowhere else: topic names, documents, the
lifecycle of a deployment, and how bytes become documents. The modules directly in this package and
in ``documents`` do no I/O and read no clock; ``transport`` and ``program`` are the shell that the
programs share.
"""

__version__ = "0.1.0"
