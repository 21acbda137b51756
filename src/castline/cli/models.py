"""``castline models``: the engines on this machine, and where their weights come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from castline.cli.connect import answer, console, friendly_errors, print_json
from castline.cli.plain import AsJson, Commands
from castline.cli.shown import escape
from castline.engines.plugins import ROLES, downloads, registered
from castline.engines.report import homely
from castline.errors import ModelCorrupt, ModelNotFound
from castline.settings import Settings, settings
from castline.weights.download import fetch
from castline.weights.downloads import DOWNLOADS, WHISPER
from castline.weights.facenet import EXPORT_NEEDS, FACENETS, can_export, ensure_facenet
from castline.weights.packages import PACKAGES, packaged

app = Commands(no_args_is_help=True, help="List and fetch models.")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List every engine: its size on disk, its licence, what it was trained on, and where it comes from.

    Two faces are one person from the similarity "known" on, and may be from "maybe" on (cosine). Below are the
    available weights, with their licences and sources.
    """
    with friendly_errors():
        config = settings()
        if as_json:
            print_json({"engines": list(_described(config)), "weights": list(_weights_described())})
            return
        answer.print(_engines(config))
        answer.print()
        answer.print(_weights())


def _described(config: Settings) -> Iterator[dict[str, object]]:
    for engine in (engine for role in ROLES for engine in registered(role)):
        info, limits = engine.survey(config), engine.thresholds
        yield {
            "role": info.role,
            "engine": info.id,
            "title": info.title,
            "dimension": info.dimension,
            "bytes": sum(file.stat().st_size for file in engine.files(config)),
            "known": limits.known if limits else None,
            "maybe": limits.ambiguous if limits else None,
            "licence": info.licence,
            "trained_on": info.trained_on,
            "here": info.source or None,
            "reason": info.reason,
        }


def _weights_described() -> Iterator[dict[str, str]]:
    for name, licence, where in (*_carried(), *_downloads()):
        yield {"weights": name, "licence": licence, "from": where}


def _engines(config: Settings) -> Group:
    """A block for each engine: its name and numbers in a row, and below it the text over the whole width."""
    rows = [_row(found) for found in _described(config)]
    widths = [max(len(row[index]) for row in (_HEADINGS, *rows)) for index in range(len(_HEADINGS))]
    lines: list[RenderableType] = [f"[bold]{_aligned(_HEADINGS, widths)}[/]"]
    for row, found in zip(rows, _described(config), strict=True):
        lines.append(escape(_aligned(row, widths)))
        lines += [Padding(text, (0, 0, 0, 4)) for text in _texts(found)]
    return Group(*lines)


_HEADINGS = ("role", "engine", "dim", "MB", "known", "maybe")


def _row(found: Mapping[str, Any]) -> tuple[str, ...]:
    size = f"{found['bytes'] / 1e6:.1f}" if found["bytes"] else ""
    limits = (f"{found[name]:.3f}" if found[name] is not None else "" for name in ("known", "maybe"))
    return found["role"], found["engine"], str(found["dimension"] or ""), size, *limits


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    """Names to the left, numbers to the right."""
    cells = zip(row, widths, range(len(widths)), strict=True)
    return "  ".join(cell.ljust(width) if index < 2 else cell.rjust(width) for cell, width, index in cells).rstrip()


def _texts(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{escape(found['title'])}; {escape('; '.join(filter(None, (found['licence'], found['trained_on']))))}"
    here, reason = (escape(homely(found[name] or "")) for name in ("here", "reason"))
    which = f" ({reason})" if found["role"] == "transcriber" else ""
    yield f"[green]{here}[/]{which}" if here else f"[dim]{reason}[/]"


def _weights() -> Group:
    lines: list[RenderableType] = ["[bold]weights[/]"]
    for name, licence, where in (*_carried(), *_downloads()):
        lines.append(escape(name))
        lines.append(Padding(escape(f"{licence}; {where}"), (0, 0, 0, 4)))
    return Group(*lines)


def _carried() -> Iterator[tuple[str, str, str]]:
    for name, package in PACKAGES.items():
        try:
            state = "installed" if packaged(name) else "not installed"
        except ModelCorrupt:
            state = "installed, and damaged"
        yield name, DOWNLOADS[name][0].licence, f"the package {package.distribution} ({state})"


def _downloads() -> Iterator[tuple[str, str, str]]:
    """Models with the same engine, owner and licence share a row; the owner is the common part of the address."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for name, files in downloads().items():
        engine, _, model = name.partition(":")
        _, _, host, *path = files[-1].url.split("/")
        where = f"{host}/{path[0]}" if len(path) > 1 else host
        rows.setdefault((engine, files[-1].licence, where), []).append(model)
    for (engine, licence, where), models in rows.items():
        yield (f"{engine}:{', '.join(models)}" if models != [""] else engine), licence, f"{where}, `models fetch`"


@app.command("fetch")
def fetch_(
    name: Annotated[
        str, typer.Argument(help=f"One of: {', '.join(sorted(DOWNLOADS))}; or what another package's engine declares.")
    ] = WHISPER,
) -> None:
    """Download a model into the models folder (CASTLINE_MODELS_DIR)."""
    with friendly_errors():
        if name in FACENETS and not can_export():
            raise ModelNotFound(EXPORT_NEEDS)
        folder = settings().models_dir
        bar = Progress(TextColumn(name), BarColumn(), DownloadColumn(), console=console)
        with bar:
            task = bar.add_task(name, total=None)
            path = fetch(name, folder, lambda done, total: bar.update(task, completed=done, total=total), downloads())
        if name in FACENETS:
            with console.status("exporting to ONNX"):
                path = ensure_facenet(folder, name)
        console.print(f"[green]ready[/] {escape(str(path))}", soft_wrap=True)
