"""Writes docs/terminal-*.svg: what the command prints in a terminal of 80 columns, as it prints it.

    python3 scripts/terminal_pictures.py

Each picture is the real output of a real command in a library of its own. Run this again whenever the output changes.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
COLUMNS = 80
#: Commands by the picture's name. They use the same library, one after the other.
PICTURES = {
    "run": ("run", "examples/demo.mp4"),
    "search": ("search", "navy"),
}
# No picture loads a font from a server.
_FORMAT = re.sub(r"@font-face \{\{.*?\n    \}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "examples").symlink_to(ROOT / "examples")
        environment = {**os.environ, "COLUMNS": str(COLUMNS), "FORCE_COLOR": "1", "TTY_INTERACTIVE": "0"}
        environment |= {"CASTLINE_STATE_DIR": f"{folder}/library", "CASTLINE_PORT": "0"}
        for name, words in PICTURES.items():
            done = subprocess.run(
                [sys.executable, "-m", "castline", *words],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=True,
            )
            console = Console(record=True, width=COLUMNS, file=io.StringIO())
            console.print(Text.from_ansi(f"$ castline {' '.join(words)}\n{done.stdout}".rstrip()))
            picture = console.export_svg(title="castline", code_format=_FORMAT, unique_id=name)
            (ROOT / "docs" / f"terminal-{name}.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
