"""Compose packages: fetched from registries and web servers, checked, and kept by digest, as charts are."""
