"""Helm charts as pinned archives: fetched, checked, cached by digest. Never rendered here."""
