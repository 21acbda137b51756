"""Output that the parts of ``castline eval`` share."""

from __future__ import annotations

from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from castline.cli.connect import console
from castline.cli.shown import escape
from castline.errors import EvaluationError
from castline.records import Record


def progress(what: str) -> Progress:
    return Progress(
        TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console, transient=True
    )


def write(path: Path, report: Record) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise EvaluationError(f"{path} cannot be written: {error.strerror or error}") from error
    console.print(f"numbers: {escape(str(path))}", soft_wrap=True)


def table_of(*headings: str, padding: int = 2) -> Table:
    table = Table(box=None, padding=(0, padding, 0, 0), header_style="bold")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left", overflow="fold")
    return table
