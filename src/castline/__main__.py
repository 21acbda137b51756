"""``python -m castline``."""

from castline.cli import app

app(prog_name="castline")
