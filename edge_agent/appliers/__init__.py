"""Appliers make a manifest real in a runtime; each is a plug-in behind ``edge_agent.appliers.port``.

An applier knows the port and its own runtime, never another applier and nothing of the bus.
"""
