"""What a person does to a deployment: run again what failed, and find what was lost. Works on AWS and here."""

from castline.operations.reconcile import reconcile
from castline.operations.redrive import DeadLetter, read_dead_letters, redrive

__all__ = ["DeadLetter", "read_dead_letters", "reconcile", "redrive"]
