"""Plots of a prediction, on the page and as files for a paper."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from beadseg.analysis.prediction.distributions import PERCENTS
from beadseg.page import BLUE, COLOURS, GREY, ORANGE, Page, log_axis
from beadseg.quoting import for_plot

FOLDER = "plots"
_BINS = (8, 60)  # least and most
_WIDE = 4.0  # D90 / D10, from which sizes are shown on a log axis
_DOTS = 2000  # beads of a scatter plot
_CURVES = 12  # groups that are drawn
_POINTS = 300  # of a curve


def plot_sizes(page: Page, sizes: np.ndarray, unit: str, folder: Path) -> None:
    """Histogram and cumulative curves of f64[N]."""
    label = f"diameter ({unit})"
    edges, log = _edges(sizes)
    caption = (
        "Left: share of the beads in each class of size. Right: share of the beads, "
        "and of their volume, up to a size."
    )
    with _plot(page, caption, folder / "sizes", columns=2) as (left, right):
        _bars(left, sizes, edges)
        left.axvline(np.median(sizes), color=ORANGE, label="median")
        left.set(xlabel=label, ylabel="share of beads (%)")
        left.legend()
        for weights, colour, name in (
            (np.ones_like(sizes), BLUE, "by number"),
            ((sizes / sizes.max()) ** 3, ORANGE, "by volume"),
        ):
            right.plot(*_cumulative(sizes, weights), color=colour, label=name)
        right.set(xlabel=label, ylabel="up to this size (%)", ylim=(0, 101))
        right.legend(loc="upper left")
        if log:
            log_axis(left)
            log_axis(right)


def plot_shapes(page: Page, beads: dict, unit: str, folder: Path) -> None:
    """Circularity, intensity, and intensity over size."""
    shown = np.arange(len(beads["size"]))
    caption = "Circularity, mean intensity, and intensity over size"
    if len(shown) > _DOTS:
        shown = np.random.default_rng(0).choice(shown, _DOTS, replace=False)
        caption += f"; of the last {_DOTS:,} beads drawn at random are shown"
    with _plot(page, f"{caption}.", folder / "shapes", columns=3, height=2.8) as axes:
        for axis, name in zip(axes, ("circularity", "mean_intensity"), strict=False):
            values = beads[name][np.isfinite(beads[name])]
            if len(values):
                _bars(axis, values, _edges(values, False)[0])
            axis.set(xlabel=name.replace("_", " "), ylabel="share of beads (%)")
        dots = beads["size"][shown], beads["mean_intensity"][shown]
        axes[2].plot(*dots, ".", markersize=2.5, alpha=0.5, markeredgewidth=0)
        axes[2].set(xlabel=f"diameter ({unit})", ylabel="mean intensity")
        if _edges(beads["size"])[1]:
            log_axis(axes[2])


def plot_groups(
    page: Page,
    sizes: dict[str, np.ndarray],
    medians: dict[str, np.ndarray],
    unit: str,
    folder: Path,
) -> None:
    """Cumulative curves of groups, and the median of each of their images."""
    names = [name for name in sizes if len(sizes[name])][:_CURVES]
    if not names:
        return
    caption = (
        "Left: share of the beads up to a size. Right: each dot is the median of an "
        "image, each bar that of its group's images."
    )
    more = {"columns": 2, "height": 3.4 + 0.12 * len(names)}
    with _plot(page, caption, folder / "groups", **more) as (left, right):
        for i, name in enumerate(names):
            colour = COLOURS[i % len(COLOURS)]
            line = "-" if i < len(COLOURS) else "--"
            curve = _cumulative(sizes[name], np.ones_like(sizes[name]))
            left.plot(*curve, line, color=colour, label=for_plot(name))
            at = i + np.linspace(-0.2, 0.2, len(medians[name]) + 2)[1:-1]
            right.plot(at, medians[name], "o", color=colour, markersize=4)
            middle = np.median(medians[name])
            right.plot([i - 0.3, i + 0.3], [middle, middle], color=GREY)
        left.set(xlabel=f"diameter ({unit})", ylabel="up to this size (%)")
        if _edges(np.concatenate(list(sizes.values())))[1]:
            log_axis(left)
        left.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2, fontsize=8
        )
        ticks = [
            for_plot(name if len(name) < 16 else f"{name[:14]}…") for name in names
        ]
        right.set_xticks(range(len(names)), ticks, rotation=30, ha="right")
        right.set(ylabel=f"median diameter ({unit})")


@contextmanager
def _plot(page: Page, caption: str, save: Path, **options) -> Iterator:
    with warnings.catch_warnings():
        # The letters of a name that the font lacks are boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        with page.plot(caption, save=save, **options) as axes:
            yield axes


def _edges(values: np.ndarray, may_log: bool = True) -> tuple[np.ndarray, bool]:
    """Edges of classes by Freedman and Diaconis (1981), and whether they are log."""
    low, high = float(values.min()), float(values.max())
    if not high > low:
        around = max(abs(low) * 0.05, 0.05)
        return np.linspace(low - around, high + around, 4), False
    d10, d25, _, d75, d90 = np.percentile(values, PERCENTS)
    width = 2 * (d75 - d25) / len(values) ** (1 / 3)
    # Areas are whole pixels: classes narrower than their steps would be a comb.
    most = np.clip(len(np.unique(values)) // 2, *_BINS)
    bins = int(np.clip((high - low) / width if width > 0 else most, _BINS[0], most))
    if may_log and low > 0 and d90 / d10 > _WIDE:
        return np.geomspace(low, high, bins + 1), True
    return np.linspace(low, high, bins + 1), False


def _bars(axes, values: np.ndarray, edges: np.ndarray) -> None:
    counts, _ = np.histogram(values, edges)
    axes.stairs(100 * counts / len(values), edges, fill=True, color=BLUE, alpha=0.75)


def _cumulative(
    sizes: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sizes, and the percentage of the weight up to them; it rises from 0."""
    order = np.argsort(sizes, kind="stable")
    below = np.cumsum(weights[order])
    by_rank = np.linspace(0, len(sizes) - 1, _POINTS).round().astype(int)
    by_weight = np.searchsorted(below, np.linspace(0, below[-1], _POINTS))
    at = np.unique(np.concatenate((by_rank, by_weight.clip(max=len(sizes) - 1))))
    sizes = sizes[order][at]
    return np.append(sizes[0], sizes), np.append(0, 100 * below[at] / below[-1])
