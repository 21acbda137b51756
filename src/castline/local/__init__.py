"""The pipeline on this machine: an AWS emulator, a Lambda host with real runtimes, the real template."""

from castline.local.stack import LocalStack, start_detached

__all__ = ["LocalStack", "start_detached"]
