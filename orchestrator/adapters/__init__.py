"""The orchestrator's adapters: SQL store, render pool, clock."""
