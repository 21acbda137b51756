"""A load as a picture, and as a page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader

from castline.errors import EvaluationError
from castline.evaluation.plot import BAD, GOOD, check_drawable, figure_of, finish
from castline.workload_generator.patterns import UsageError
from castline.workload_generator.report import LoadReport, Row
from castline.workload_generator.show import count, facts, numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FAINT = "#8a8a8a"
#: 1440 x 960 pixels.
_SIZE_IN, _DPI = (9.6, 6.4), 150
#: Room above the highest point, for what is written there.
_HEADROOM = 1.06


def check_report(path: Path) -> None:
    """Find out before the load whether its report can be made.

    Raises:
        UsageError: another suffix, or matplotlib is not installed.
    """
    try:
        check_drawable(path, ".png", ".html")
    except EvaluationError as error:
        raise UsageError(error.message) from error


def write_report(report: LoadReport, path: Path) -> None:
    """Write the picture (``.png``), or one self-contained page with it and a table (``.html``).

    Raises:
        UsageError: as ``check_report``.
        OSError: it cannot be written.
    """
    check_report(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    page_wanted = path.suffix.lower() == ".html"
    picture = draw(report, title=not page_wanted)  # the page says the same above it
    if not page_wanted:
        path.write_bytes(picture)
        return
    templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    page = templates.get_template("page.html").render(
        report=report,
        facts=list(facts(report)),
        numbers=numbers,
        count=count,
        picture=base64.b64encode(picture).decode(),
    )
    path.write_text(page, encoding="utf-8")


def draw(report: LoadReport, *, title: bool = True) -> bytes:
    """A PNG: latency by when the result came, by media in flight at the upload, and media in flight over time."""
    figure = figure_of(_SIZE_IN, _DPI)
    over_time, by_load, flight, empty = figure.subplots(
        2, 2, height_ratios=[2, 1], width_ratios=[2.6, 1], sharex="col", sharey="row"
    ).flat
    empty.remove()
    by_load.xaxis.set_tick_params(labelbottom=True)
    _latencies(over_time, report)
    _by_load(by_load, report)
    _in_flight(flight, report)
    for axes in (over_time, by_load, flight):
        axes.set_ylim(0, axes.get_ylim()[1] * _HEADROOM)
        axes.set_xlim(left=0)
    return finish(figure, _title(report) if title else "")


def in_flight(rows: Sequence[Row], end_s: float) -> list[tuple[float, int]]:
    """(seconds, media sent and not yet answered from then on), ascending; failed uploads are left out."""
    steps: dict[float, int] = {0.0: 0}
    for row in rows:
        if row.sent_s is not None and row.stored_s is not None:
            steps[row.sent_s] = steps.get(row.sent_s, 0) + 1
            gone_s = row.seen_s if row.seen_s is not None else end_s
            steps[gone_s] = steps.get(gone_s, 0) - 1
    found, level = [], 0
    for at_s, change in sorted(steps.items()):
        level += change
        found.append((at_s, level))
    return found


def _latencies(axes: Axes, report: LoadReport) -> None:
    good = [row for row in report.rows if row.status == "ok"]
    bad = [row for row in report.rows if row.status != "ok" and row.sent_s is not None]
    size = 26 if len(good) <= 200 else 9
    server = [(row.seen_s, row.server_latency_s) for row in good if row.server_latency_s is not None]
    axes.scatter(*_columns(server), s=size * 1.4, facecolors="none", edgecolors=_FAINT, linewidths=0.8,
                 label="object to object, store's clock (±1 s)")  # fmt: skip
    axes.scatter(*_columns([(row.seen_s, row.local_latency_s) for row in good]), s=size, color=GOOD, zorder=3,
                 label="upload to result seen, local clock")  # fmt: skip
    if bad:
        given_up = [((row.sent_s or 0.0) + _lasted(row, report), _lasted(row, report)) for row in bad]
        axes.scatter(*_columns(given_up), s=size * 1.3, color=BAD, marker="x", zorder=3, label="failed or timed out")
    if report.local:
        for name, value, side, shift in (("p50", report.local.p50, "top", -1), ("p90", report.local.p90, "bottom", 1)):
            axes.axhline(value, color=GOOD, linewidth=0.8, linestyle=(0, (4, 3)))
            axes.annotate(f"{name} {value:.1f} s", (1, value), xycoords=("axes fraction", "data"), fontsize=8,
                          color=GOOD, ha="right", va=side, xytext=(0, shift), textcoords="offset points")  # fmt: skip
    axes.set_ylabel("latency, s")
    axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0,
                columnspacing=1.2, handletextpad=0.3)  # fmt: skip


def _by_load(axes: Axes, report: LoadReport) -> None:
    from matplotlib.ticker import MaxNLocator

    levels = in_flight(report.rows, report.duration_s)
    points = []
    for row in report.rows:
        if row.status == "ok" and row.sent_s is not None:
            at_s = row.sent_s
            points.append((next(level for since_s, level in reversed(levels) if since_s <= at_s), row.local_latency_s))
    axes.scatter(*_columns(points), s=18, color=GOOD, alpha=0.6)
    axes.set_xlabel("media in flight at its upload")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))


def _in_flight(axes: Axes, report: LoadReport) -> None:
    from matplotlib.ticker import MaxNLocator

    times, levels = _columns([*in_flight(report.rows, report.duration_s), (report.duration_s, None)])
    levels[-1] = levels[-2] if len(levels) > 1 else 0
    axes.fill_between(times, levels, step="post", color=GOOD, alpha=0.25, linewidth=0)
    axes.step(times, levels, where="post", color=GOOD, linewidth=1)
    axes.set_ylabel("media in flight")
    axes.set_xlabel("seconds since the start")
    axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True))


def _lasted(row: Row, report: LoadReport) -> float:
    """Seconds from a bad row's upload until it was known to be bad."""
    if row.local_latency_s is not None:
        return row.local_latency_s
    return report.timeout_s if row.status == "timeout" else 0.0


def _title(report: LoadReport) -> str:
    pace = "" if report.pattern == "burst" else f" at {report.rate:g}/s"
    speed = "" if report.throughput_per_s is None else f", {report.throughput_per_s:.2f} results/s"
    load, results = count(report.total, "upload"), count(report.ok, "good result")
    return f"{report.input_bucket}: {load}, {report.pattern}{pace}, {results}{speed}"


def _columns(points: Sequence[tuple[float | None, float | None]]) -> tuple[list[float], list[float]]:
    return [x or 0.0 for x, _ in points], [y or 0.0 for _, y in points]
