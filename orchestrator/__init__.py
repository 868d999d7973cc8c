"""The orchestrator: takes deployment specs, publishes one manifest per device, watches what becomes of them."""
