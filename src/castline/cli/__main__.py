"""``python -m castline.cli``."""

from castline.cli import app

app()
