"""``castline models``: the engines of this machine."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table

from castline.cli.connect import console, friendly_errors
from castline.models import WHISPER, available, ensure_facenet, fetch, survey
from castline.settings import settings
from castline.speech import survey_transcribers

app = typer.Typer(no_args_is_help=True, help="List and fetch models.")


@app.command("list")
def list_() -> None:
    """Every engine, its licence, and where it comes from on this machine."""
    with friendly_errors():
        config = settings()
        table = Table(box=None, padding=(0, 2, 0, 0))
        for heading in ("role", "engine", "", "dim", "licence", "here"):
            table.add_column(heading, overflow="fold")
        for info in (*survey(config), *survey_transcribers(config)):
            here = f"[green]{escape(info.source)}[/]" if info.source else f"[dim]{escape(info.reason)}[/]"
            size = str(info.dimension or "")
            table.add_row(info.role, info.id, escape(info.title), size, escape(info.licence), here)
        console.print(table)


@app.command("fetch")
def fetch_(
    name: Annotated[str, typer.Argument(help=f"One of: {', '.join(available())}")] = WHISPER,
) -> None:
    """Download a model into the models folder (CASTLINE_MODELS_DIR)."""
    with friendly_errors():
        folder = settings().models_dir
        bar = Progress(TextColumn(name), BarColumn(), DownloadColumn(), console=console)
        with bar:
            task = bar.add_task(name, total=None)
            path = fetch(name, folder, lambda done, total: bar.update(task, completed=done, total=total))
        if name == "facenet-vggface2":
            with console.status("exporting to ONNX"):
                path = ensure_facenet(folder)
        console.print(f"[green]ready[/] {escape(str(path))}", soft_wrap=True)
