"""Real processes and SIGKILL: what must hold afterwards is in ``converged``."""
