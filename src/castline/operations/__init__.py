"""What people do to a deployment: run again, find lost events, delete. Works on AWS and locally."""

from castline.operations.delete import Deletion, delete_media
from castline.operations.reconcile import reconcile
from castline.operations.redrive import DeadLetter, read_dead_letters, redrive
from castline.operations.rerun import rerun

__all__ = ["DeadLetter", "Deletion", "delete_media", "read_dead_letters", "reconcile", "redrive", "rerun"]
