"""A picture of a verification: how similar pairs are, and what every threshold would cost."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from castline.errors import EvaluationError
from castline.evaluation.faces import Scores, Verification, error_rates

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, GOOD, BAD = "#2b2b2b", "#1f6f8b", "#c8553d"
_PAPER, _GRID = "white", "#e3e3e3"
#: 880 x 704 pixels: sharp on a page, and below 100 kB as PNG.
_SIZE_IN, _DPI = (8.0, 6.4), 110
_BINS = 70
#: Room above the highest bar, for the text there.
_HEADROOM = 1.4


def check_drawable(path: Path) -> None:
    """Check before the work that a plot can be made.

    Raises:
        EvaluationError: matplotlib is not installed, or the file would not be a PNG.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise EvaluationError("a plot needs matplotlib, which is not installed: pip install matplotlib")
    if path.suffix.lower() != ".png":
        raise EvaluationError(f"{path.name}: plots are written as .png")


def draw(path: Path, title: str, same: Scores, different: Scores, measured: Verification) -> None:
    """Write the plot: histograms of both kinds of pairs above, FAR and FRR below, over one axis of similarity.

    Args:
        path: a ``.png``; its folder is created.
        same, different: shape (n,), float64, cosine similarities, what ``measured`` was made from.

    Raises:
        EvaluationError: as ``check_drawable``, or the file cannot be written.
    """
    check_drawable(path)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Not pyplot: it would look for a display and keep the figure.
    figure = Figure(figsize=_SIZE_IN, dpi=_DPI, facecolor=_PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.1])
    _histograms(above, same, different)
    _rates(below, same, different)
    _thresholds(above, below, measured)
    figure.align_ylabels()
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color=_GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(colors=INK, labelsize=9)
    # Names of folders may contain dollar signs, which are not formulas here.
    figure.suptitle(title, x=0.012, ha="left", fontsize=12, fontweight="bold", color=INK, parse_math=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png", metadata={"Software": None})  # equal numbers give equal bytes
    except OSError as error:
        raise EvaluationError(f"{path} cannot be written: {error.strerror or error}") from error


def _histograms(axes: Axes, same: Scores, different: Scores) -> None:
    both = np.concatenate([same, different])
    low, high = float(both.min()), float(both.max())
    highest = 0.0
    edges = np.linspace(low, high if high > low else low + 1e-3, _BINS + 1)
    for scores, colour, label in (
        (different, BAD, f"{len(different):,} pairs of two people"),
        (same, GOOD, f"{len(same):,} pairs of one person"),
    ):
        share = np.histogram(scores, edges)[0] / len(scores) * 100
        first, last = np.flatnonzero(share)[[0, -1]]
        mine = slice(first, last + 1), slice(first, last + 2)
        axes.stairs(share[mine[0]], edges[mine[1]], fill=True, color=colour, alpha=0.25)
        axes.stairs(share[mine[0]], edges[mine[1]], color=colour, linewidth=1.4, label=label)
        highest = max(highest, float(share.max()))
    axes.set_ylabel("share of its pairs, %", color=INK)
    axes.set_ylim(0, highest * _HEADROOM)
    axes.legend(loc="upper left", frameon=False, fontsize=9, labelcolor=INK)


def _rates(axes: Axes, same: Scores, different: Scores) -> None:
    values = np.unique(np.concatenate([same, different]))
    thresholds = np.append(values, np.nextafter(values[-1], np.inf))
    far, frr = error_rates(same, different, thresholds)
    # A logarithm shows the small rates that matter; a rate of zero leaves the panel at the bottom. Rates
    # only change at a similarity that occurs, so they are drawn as steps.
    for rate, colour, label in (
        (far, BAD, "FAR: two people taken for one"),
        (frr, GOOD, "FRR: one person taken for two"),
    ):
        visible = np.maximum(rate, 1e-12) * 100
        axes.plot(thresholds, visible, color=colour, linewidth=1.8, label=label, drawstyle="steps-pre")
    axes.set_yscale("log")
    axes.set_ylim(50 / max(len(same), len(different)), 140)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylabel("errors, %", color=INK)
    axes.set_xlabel("cosine similarity (threshold)", color=INK)
    axes.legend(loc="lower left", frameon=False, fontsize=9, labelcolor=INK)


def _thresholds(above: Axes, below: Axes, measured: Verification) -> None:
    """Both thresholds as lines through both panels, with their error rates in the upper one."""
    for point, side, style in zip(measured.at, ("right", "left"), ("--", "-"), strict=True):
        for axes in (above, below):
            axes.axvline(point.threshold, color=INK, linewidth=1.1, linestyle=style)
        shift = -5 if side == "right" else 5
        above.annotate(
            f"{point.name} {point.threshold:.3f}\nFAR {point.far:.2%}\nFRR {point.frr:.2%}",
            xy=(point.threshold, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(shift, -2),
            textcoords="offset points",
            ha=side,
            va="top",
            fontsize=9,
            color=INK,
            bbox={"facecolor": _PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
        )
