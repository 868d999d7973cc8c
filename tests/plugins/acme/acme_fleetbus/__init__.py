"""Recipes for ACME stations: an example of a renderer and an applier that Fleetbus knows nothing of."""

MANIFEST_TYPE = "acme-station"
"""What renderer and applier agree on; ``config`` holds ``station`` and ``recipe``."""
