"""What stands behind the agent's ports: SQLite, threads, the clock, the device."""
