"""``castline models``: the engines of this machine, and where weights come from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table

from castline.cli.connect import console, friendly_errors
from castline.cli.shown import escape
from castline.engines.plugins import ROLES, registered
from castline.errors import ModelCorrupt, ModelNotFound
from castline.settings import Settings, settings
from castline.weights.download import available, fetch
from castline.weights.downloads import DOWNLOADS, WHISPER
from castline.weights.facenet import EXPORT_NEEDS, FACENETS, can_export, ensure_facenet
from castline.weights.packages import PACKAGES, packaged

app = typer.Typer(add_completion=False, no_args_is_help=True, help="List and fetch models.")


@app.command("list")
def list_() -> None:
    """Every engine: its size on disk, its licence, what it was trained on, and where it is from.

    Two faces are one person from the similarity "known" on, and may be from "maybe" on (cosine). Below are the
    weights that can be had, with their licences, and from where.
    """
    with friendly_errors():
        config = settings()
        console.print(_engines(config))
        console.print()
        console.print(_weights())


def _engines(config: Settings) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("role", no_wrap=True)
    table.add_column("engine", no_wrap=True)
    table.add_column("", overflow="fold")
    for heading in ("dim", "MB", "known", "maybe"):
        table.add_column(heading, justify="right")
    for heading in ("licence", "here"):
        table.add_column(heading, overflow="fold")
    for engine in (engine for role in ROLES for engine in registered(role)):
        info = engine.survey(config)
        which = f" ({escape(info.reason)})" if info.role == "transcriber" else ""
        here = f"[green]{escape(info.source)}[/]{which}" if info.source else f"[dim]{escape(info.reason)}[/]"
        size = sum(file.stat().st_size for file in engine.files(config))
        limits = engine.thresholds
        table.add_row(
            info.role,
            info.id,
            escape(info.title),
            str(info.dimension or ""),
            f"{size / 1e6:.1f}" if size else "",
            f"{limits.known:.3f}" if limits else "",
            f"{limits.ambiguous:.3f}" if limits else "",
            escape("; ".join(filter(None, (info.licence, info.trained_on)))),
            here,
        )
    return table


def _weights() -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("weights", "licence", "from"):
        table.add_column(heading, overflow="fold")
    for row in (*_carried(), *_downloads()):
        table.add_row(*map(escape, row))
    return table


def _carried() -> Iterator[tuple[str, str, str]]:
    for name, package in PACKAGES.items():
        try:
            state = "installed" if packaged(name) else "not installed"
        except ModelCorrupt:
            state = "installed, and damaged"
        yield name, DOWNLOADS[name][0].licence, f"the package {package.distribution} ({state})"


def _downloads() -> Iterator[tuple[str, str, str]]:
    """Models of one engine, owner and licence in one row: the address without the model's own part is the owner."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for name, files in DOWNLOADS.items():
        engine, _, model = name.partition(":")
        host, owner = files[-1].url.split("/")[2:4]
        rows.setdefault((engine, files[-1].licence, f"{host}/{owner}"), []).append(model)
    for (engine, licence, where), models in rows.items():
        yield (f"{engine}:{', '.join(models)}" if models != [""] else engine), licence, f"{where}, `models fetch`"


@app.command("fetch")
def fetch_(
    name: Annotated[str, typer.Argument(help=f"One of: {', '.join(available())}.")] = WHISPER,
) -> None:
    """Download a model into the models folder (CASTLINE_MODELS_DIR)."""
    with friendly_errors():
        if name in FACENETS and not can_export():
            raise ModelNotFound(EXPORT_NEEDS)
        folder = settings().models_dir
        bar = Progress(TextColumn(name), BarColumn(), DownloadColumn(), console=console)
        with bar:
            task = bar.add_task(name, total=None)
            path = fetch(name, folder, lambda done, total: bar.update(task, completed=done, total=total))
        if name in FACENETS:
            with console.status("exporting to ONNX"):
                path = ensure_facenet(folder, name)
        console.print(f"[green]ready[/] {escape(str(path))}", soft_wrap=True)
