"""Makes Helm components real as Helm releases: the device installs the chart itself, with its history.

Nothing is imported here: the short-lived process for Helm's SDK (``worker``) needs none of the rest.
"""
