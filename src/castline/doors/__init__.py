"""Doors: small adapters that start runs in other systems' ways, or announce their results to other systems."""
