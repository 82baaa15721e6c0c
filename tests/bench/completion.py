"""What `beadseg complete` proposes where half of the beads are not labelled.

  python -m tests.bench.completion generated --write
  BEADSEG_REAL_DATA=DIR python -m tests.bench.completion emps_spheres_dev \
      drop_random:0.5 --run RUN    # trained on the masks of that row

Beads are left out of the masks in every way of `tests.bench.partial`, the model (of
--run, else the default one) proposes what is missing, and the truth judges: a proposal
is right if its intersection over union with a bead that nobody labelled is 0.5 or more.
"accepted" is what --accept would take at each expected precision, beside the precision
that it has, the share of the missing beads among them and the share of all beads that
the masks then hold. "review" is a person played by the truth who begins with what was
accepted at --review: touches delete what is wrong, accept what is right, draw what
nobody proposed, and reject the rest of an image at once, image by image until the masks
hold 99.5 % of the beads.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from beadseg.config import base_config
from beadseg.data.masks.beads import on_border
from beadseg.data.masks.labels import read_labels
from beadseg.partial.completed import names
from beadseg.partial.completion import Predict, complete, load_predict
from beadseg.partial.proposals import certain
from beadseg.partial.review.annotation_log import AnnotationLog
from tests.bench.partial import ROWS, make
from tests.bench.record import keep
from tests.partial.book_mask import book_mask

HALF = tuple(row for row in ROWS if row.endswith(":0.5"))
PRECISIONS = (0.9, 0.95, 0.96, 0.97, 0.98, 0.99)
ENOUGH = 0.995  # of all beads, where the review ends


class Judged(NamedTuple):
    """An image with its proposals."""

    beads: int
    labelled: int
    scores: np.ndarray  # f64[N]
    right: np.ndarray  # bool[N]
    whole: tuple[int, int]  # beads, and labelled ones, that the border does not cut
    right_whole: np.ndarray  # bool[N]: right, and of such a bead


def judge(truth: np.ndarray, book: AnnotationLog) -> Judged:
    """Compares the proposals of an image with the truth."""
    manual = np.unique(truth[(book_mask(book) > 0) & (truth > 0)])
    areas = np.bincount(truth.ravel())
    cut = on_border(truth)
    scores, right, right_whole = [], [], []
    for number, facts in book.about["beads"].items():
        own = book.proposals == int(number)
        under, shared = np.unique(truth[own & (truth > 0)], return_counts=True)
        union = areas[under] + own.sum() - shared
        hits = under[2 * shared >= union]
        scores.append(facts["score"])
        right.append(bool(len(hits)) and hits[0] not in manual)
        right_whole.append(right[-1] and hits[0] not in cut)
    beads = np.unique(truth[truth > 0])
    return Judged(
        len(beads),
        len(manual),
        np.array(scores),
        np.array(right, bool),
        tuple(len(np.setdiff1d(some, cut)) for some in (beads, manual)),
        np.array(right_whole, bool),
    )


def accepted(images: list[Judged], precision: float) -> dict:
    """What --accept takes at an expected precision, and what that is worth."""
    scores = np.concatenate([image.scores for image in images])
    right = np.concatenate([image.right for image in images])
    beads = sum(image.beads for image in images)
    labelled = sum(image.labelled for image in images)
    right_whole = np.concatenate([image.right_whole for image in images])
    whole, labelled_whole = (
        sum(n) for n in zip(*(i.whole for i in images), strict=True)
    )
    least = certain(scores.tolist(), precision)
    taken = np.zeros(len(scores), bool) if least is None else scores >= least
    return {
        "stated": precision,
        "accepted": int(taken.sum()),
        "expected": round(float(scores[taken].mean()), 4) if taken.any() else None,
        "true": round(float(right[taken].mean()), 4) if taken.any() else None,
        "recall": round(float((right & taken).sum() / (beads - labelled)), 4),
        "beads_in_masks": round(float(labelled + (right & taken).sum()) / beads, 4),
        "whole_beads_in_masks": round(
            float(labelled_whole + (right_whole & taken).sum()) / whole, 4
        ),
    }


def review(images: list[Judged], precision: float) -> dict:
    """Touches until the masks hold `ENOUGH`, of a person who knows the truth."""
    scores = np.concatenate([image.scores for image in images])
    least = certain(scores.tolist(), precision) or np.inf
    beads = sum(image.beads for image in images)
    held = sum(i.labelled + (i.right & (i.scores >= least)).sum() for i in images)
    touches = dict.fromkeys(("deleted", "accepted", "drawn", "rejected_at_once"), 0)
    for image in images:
        if held >= ENOUGH * beads:
            break
        taken = image.scores >= least
        waiting = image.right & ~taken
        drawn = image.beads - image.labelled - image.right.sum()
        touches["deleted"] += int((taken & ~image.right).sum())
        touches["accepted"] += int(waiting.sum())
        touches["drawn"] += int(drawn)
        touches["rejected_at_once"] += int((~taken & ~image.right).any())
        held += int(waiting.sum() + drawn)
    share = sum(touches.values()) / beads
    return {
        "began_at": precision,
        **touches,
        "touches_per_bead": round(share, 4),
        "beads_in_masks": round(float(held) / beads, 4),
    }


def measure(data: str, row: str, run: str, predict: Predict, options) -> dict:
    """Makes the masks of a row, completes them, and judges."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, new = Path(temporary, "data"), Path(temporary, "completed")
        make(data, row, folder, options.small)
        settings = base_config().data
        settings.dir = str(folder)
        done = complete(settings, new, run, predict, None)
        images = []
        for name in names(new):
            truth = next((folder / "truth").glob(f"{name}.*"))
            images.append(judge(read_labels(truth), AnnotationLog(new, name)))
    right = np.concatenate([image.right for image in images])
    missing = sum(image.beads - image.labelled for image in images)
    return {
        "row": row,
        "images": len(images),
        "beads": sum(image.beads for image in images),
        "labelled": sum(image.labelled for image in images),
        "proposed": len(right),
        "right": int(right.sum()),
        "expected": done["expected"],
        "recall": round(float(right.sum() / missing), 4),
        "accepted": [accepted(images, precision) for precision in PRECISIONS],
        "review": review(images, options.review),
    }


def remembered(predict: Predict) -> Predict:
    """The same model, which looks at each image once."""
    seen = {}

    def of(image: np.ndarray):
        key = image.tobytes()
        if key not in seen:
            seen[key] = predict(image)
        return seen[key]

    return of


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="generated, or a set in $BEADSEG_REAL_DATA")
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(HALF)} (all)")
    parser.add_argument("--run", type=Path, help="run folder (the default model)")
    parser.add_argument("--name", help="of the model in results (its folder's name)")
    parser.add_argument("--review", type=float, default=0.95, help="accepted before")
    parser.add_argument("--small", action="store_true", help="a minute on two cores")
    parser.add_argument("--write", action="store_true", help="keep in results/")
    options = parser.parse_args()
    model = options.name or (options.run.name if options.run else "default")
    predict = remembered(load_predict(options.run))
    started, rows = time.monotonic(), []
    for row in options.rows or HALF:
        rows.append(measure(options.data, row, model, predict, options))
        print(rows[-1], flush=True)
        if options.write:
            minutes = round((time.monotonic() - started) / 60, 1)
            found = {"model": model, "rows": rows, "minutes": minutes}
            keep(f"completion_{options.data}_{model}", found)


if __name__ == "__main__":
    main()
