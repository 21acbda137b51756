"""Doors: small adapters through which other systems start runs, or learn of their results."""
