"""The ``castline`` command: one file per group of commands, one place (``connect``) that finds S3."""

from castline.cli.main import app

__all__ = ["app"]
