"""Doors: small adapters that start runs in other systems' ways, or tell other systems of their results."""
