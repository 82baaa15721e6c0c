"""Pictures of a run: learning curves, and validation images beside what was found."""

import warnings
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from beadseg.colours import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE, UNKNOWN
from beadseg.files import open_whole, writing
from beadseg.quoting import for_plot
from beadseg.training.evaluation import Evaluation, Sample
from beadseg.training.tracking.curves import draw_run

matplotlib.use("agg")

from matplotlib import pyplot as plt  # noqa: E402


def panels(samples: list[Sample], threshold: float) -> dict[str, np.ndarray]:
    """Image, truth, probability and errors side by side: u8 [H, 4 W, 3] by title."""
    return {
        f"{s.name}: Jaccard {s.jaccard:.3f}": np.concatenate(
            [(255 * part).astype(np.uint8) for part in _parts(s, threshold)], axis=1
        )
        for s in samples
    }


def draw_samples(found: Evaluation, file: Path) -> None:
    """Writes `samples.png`: the worst, the median and the best validation images."""
    titles = (
        "image",
        "truth",
        "probability",
        "true positives, false negatives, false positives",
    )
    rows = len(found.samples)
    figure, axes = plt.subplots(
        rows, 4, figsize=(12, 3.0 * rows), squeeze=False, layout="compressed"
    )
    for line, sample in zip(axes, found.samples, strict=True):
        parts = _parts(sample, found.threshold)
        for axis, part, title in zip(line, parts, titles, strict=True):
            axis.imshow(part, interpolation="nearest")
            axis.set_axis_off()
            axis.set_title(title, fontsize=9)
        title = f"{for_plot(sample.name)}: Jaccard {sample.jaccard:.3f}"
        line[0].set_title(title, fontsize=9)
    figure.supxlabel(
        "green: true positive orange: false negative red: false positive   grey: "
        f"unknown   (threshold {found.threshold:.2f})",
        fontsize=9,
    )
    _save(figure, file)


def draw_curves(rows: list[dict[str, Any]], file: Path) -> None:
    """Writes `curves.png`: scores of pixels and beads, loss and descent by epoch."""
    figure, axes = plt.subplots(2, 3, figsize=(14, 6.4), layout="constrained")
    draw_run(axes, rows)
    for axis in axes.flat:
        axis.grid(alpha=0.25)
    _save(figure, file)


def _parts(sample: Sample, threshold: float) -> list[np.ndarray]:
    """Image, truth, probability and errors, each f32 [H, W, 3] in 0..1."""
    grey = np.clip(sample.image, 0, 1)[..., None] * np.ones(3, np.float32)
    true, found = sample.mask > 0.5, sample.probability >= threshold
    known = sample.weight > 0
    truth = np.where(true, 1.0, 0.0)[..., None] * np.ones(3, np.float32)
    truth[~known] = UNKNOWN
    probability = plt.colormaps["viridis"](sample.probability)[..., :3]
    errors = 0.6 * grey
    for colour, where in (
        (TRUE_POSITIVE, true & found),
        (FALSE_NEGATIVE, true & ~found),
        (FALSE_POSITIVE, ~true & found),
        (UNKNOWN, np.ones_like(true)),
    ):
        where = where & (~known if colour is UNKNOWN else known)
        errors[where] = 0.45 * grey[where] + 0.55 * np.array(colour)
    return [grey, truth, probability.astype(np.float32), errors]


def _save(figure, file: Path) -> None:
    try:
        with writing(file), open_whole(file) as content, warnings.catch_warnings():
            # The letters of a file's name that the font lacks are boxes.
            warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
            figure.savefig(content, format="png", dpi=110, bbox_inches="tight")
    finally:
        plt.close(figure)
