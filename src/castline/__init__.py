"""Castline: who is on screen and what is said, on one timeline."""

__version__ = "0.1.0"
