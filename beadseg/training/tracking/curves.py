"""The numbers of a run over its epochs, for pages and pictures."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from beadseg.training.tracking.summary import best_of

_FEW = 60  # points that are marked
_GREY, _BLUE, _ORANGE, _GREEN = "0.55", "#1f6fb4", "#e08a2c", "#3a9a5b"


def draw_curve(
    axis: Any,
    rows: Iterable[Mapping[str, Any]],
    field: str,
    times: float = 1.0,
    **style: Any,
) -> None:
    """Draws a field of the rows that have it, over whole epochs.

    Args:
      axis: of matplotlib.
      rows: of `metrics.jsonl`.
      field: of them.
      times: factor on its values.
      **style: for `axis.plot`.
    """
    points = [
        (row["epoch"], times * row[field])
        for row in rows
        if isinstance(row.get(field), int | float) and "epoch" in row
    ]
    if points:
        style.setdefault("marker", "." if len(points) < _FEW else None)
        axis.plot(*zip(*points, strict=True), **style)
    axis.xaxis.get_major_locator().set_params(integer=True)


def draw_run(axes: np.ndarray, rows: Sequence[Mapping[str, Any]]) -> None:
    """Scores of pixels and beads, loss, errors of beads, and descent, by epoch.

    Args:
      axes: of matplotlib, [2, 3].
      rows: of `metrics.jsonl`, also of a run that was cut short.
    """
    trained, held = (
        [row for row in rows if row["kind"] == kind]
        for kind in ("train_epoch", "validation")
    )
    pixels, beads, loss, errors, rate, norm = axes.flat
    for axis, field in ((pixels, "jaccard"), (loss, "loss")):
        draw_curve(axis, trained, field, label="training crops", color=_GREY)
        draw_curve(axis, held, field, label="validation images", color=_BLUE)
    for axis, field, times, label, colour in (
        (pixels, "jaccard_mean_of_images", 1, "mean of images", _ORANGE),
        (beads, "f1", 1, "F1", _BLUE),
        (beads, "bead_precision", 1, "precision", _ORANGE),
        (beads, "bead_recall", 1, "recall", _GREEN),
        (errors, "count_error", 100, "count of an image", _BLUE),
        (errors, "diameter_error", 100, "median diameter", _ORANGE),
    ):
        draw_curve(axis, held, field, times, label=label, color=colour)
    for axis, field in ((rate, "learning_rate"), (norm, "gradient_norm")):
        draw_curve(axis, trained, field, color=_GREY)
        values = axis.lines[0].get_ydata() if axis.lines else [0]
        if max(values) > 10 * min(values) > 0:
            axis.set_yscale("log")
    if held:
        best = best_of(held)
        title = f"best {best['jaccard']:.3f} at epoch {best['epoch']}"
        pixels.set_title(title, fontsize=10)
        for axis in (pixels, beads):
            axis.axvline(best["epoch"], color="0.8", zorder=0)
    labels = ("Jaccard", "Validation beads", "Loss", "Error of validation beads, %")
    labels += ("Learning rate", "Gradient norm before clipping")
    for axis, label in zip(axes.flat, labels, strict=True):
        axis.set(xlabel="Epoch", ylabel=label)
        if axis.get_legend_handles_labels()[0]:
            below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2)}
            axis.legend(**below, ncols=2, frameon=False, fontsize=8)
