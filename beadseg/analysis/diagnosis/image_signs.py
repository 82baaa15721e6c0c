"""Signs of what ails a run that its validation images show.

Each judge returns a `Sign`, or None where there is none. Limits are where healthy runs
stop (tests/bench/diagnosis.py).
"""

import numpy as np

from beadseg.analysis.diagnosis.evidence import Evidence
from beadseg.analysis.diagnosis.signs import TRAIN, Sign, beyond, in_vain
from beadseg.quoting import as_sentence, counted, percent
from beadseg.training.completeness import PARTIAL
from beadseg.training.tracking.summary import SKILL


def background_loss(e: Evidence) -> Sign | None:
    half = e.curve[-1]["jaccard_at_0.5"] if e.curve else 1.0
    learning = e.undecided and not in_vain(e)
    if e.skill >= SKILL or not (e.silent or half < 0.02 and not learning):
        return None
    name = e.config.get("loss", {}).get("name", "?")
    where = f"threshold {e.threshold:.2f}" if e.silent else "threshold 0.5"
    return Sign(
        0.98,
        f"At {where} hardly anything is predicted, and no threshold does better than a "
        f"Jaccard of {e.best[0]:.2f}, where calling everything bead gives "
        f"{e.trivial:.2f}: the network tells nothing apart (loss: {name}).",
        f"{TRAIN} --config.loss.name=dice",
    )


def background_calibration(e: Evidence) -> Sign | None:
    best, threshold = e.best
    if not e.silent or e.skill < SKILL:
        return None
    return Sign(
        0.97,
        f"Nearly nothing is predicted at threshold {e.threshold:.2f}, but at "
        f"{threshold:.2f} the same network reaches a Jaccard of {best:.2f}.",
        f"beadseg predict IMAGES --run RUN --threshold {max(threshold, 0.01):.2f}",
    )


def threshold(e: Evidence) -> Sign | None:
    best, threshold = e.best
    gain = best - e.jaccard_at(e.threshold)
    lost = e.share("false_negative")
    if e.silent or gain < 0.04 or threshold >= e.threshold:
        return None
    if lost < 0.05 and e.predicted_share > 0.85 or e.skill < SKILL:
        return None
    if e.false_negative_probability < max(3 * e.background_probability, 0.1):
        return None
    return Sign(
        beyond(gain, 0.04, 0.2),
        f"Threshold {e.threshold:.2f} gives a Jaccard of "
        f"{e.jaccard_at(e.threshold):.2f}, {threshold:.2f} would give {best:.2f}; "
        f"missed beads have a mean probability of {e.false_negative_probability:.2f}, "
        f"the background {e.background_probability:.2f}.",
        f"beadseg predict IMAGES --run RUN --threshold {threshold:.2f}",
    )


def partial(e: Evidence) -> Sign | None:
    if e.silent:
        return None
    extra = e.total("beadlike") / max(e.total("beadlike") + e.total("truth"), 1)
    signs: dict[str, float] = {}
    if extra > 0.1 and e.skill >= SKILL:
        because = (
            f"{e.total('beadlike'):.0f} predictions off the masks have the size, "
            "contrast and probability of beads that are labelled "
            f"({e.total('truth'):.0f})"
        )
        signs[because] = beyond(extra, 0.1, 0.25)
    if e.partial:
        because = (
            "of the beads seen without masks in training images "
            f"{percent(e.labelled)} are labelled"
        )
        signs[because] = beyond(PARTIAL - e.labelled, 0.0, 0.3)
    missed = 1 - e.share("located")
    flat = e.best[0] - e.jaccard_at(e.threshold) < 0.04
    unknown = e.false_negative_probability < 0.5 * e.threshold
    if missed > 0.12 and flat and unknown and e.total("false_negative") >= 3:
        because = (
            f"{percent(missed)} of the labelled beads are missed with a probability "
            f"of {e.false_negative_probability:.2f}, which no threshold mends"
        )
        signs[because] = beyond(missed, 0.12, 0.4) - (0 if e.partial else 0.03)
    if not signs:
        return None
    because = as_sentence("; ".join(signs))
    return Sign(max(signs.values()), because, "beadseg complete DIR --run RUN")


def scattered(e: Evidence) -> Sign | None:
    if not e.rows or e.undecided or e.skill < SKILL:
        return None
    specks = e.share("specks")
    each = e.total("specks") / len(e.rows)
    if specks < 0.12 or each < 2:
        return None
    return Sign(
        beyond(specks, 0.12, 0.5),
        f"{e.total('specks'):.0f} specks far smaller than a bead lie off the beads, "
        f"{each:.0f} an image, {100 * specks:.0f} to 100 labelled beads.",
        f"{TRAIN} --config.model.dropout=0.3 --config.optim.weight_decay=1e-3",
    )


def seams(e: Evidence) -> Sign | None:
    seams = [row.seam for row in e.rows]
    if e.silent or not seams or np.median(seams) < 0.95:
        return None
    value = float(np.median(seams))
    return Sign(
        beyond(value, 0.95, 0.97),
        f"Along straight lines {percent(value)} of the pixels on beads jump in "
        "probability: tiles were joined with too little overlap.",
        "beadseg predict IMAGES --run RUN",
    )


def blurry(e: Evidence) -> Sign | None:
    width = e.unsure_width
    limit = max(3.5, 0.14 * e.diameter) if np.isfinite(e.diameter) else 3.5
    if e.silent or e.undecided or width < limit or e.total("outline") < 50:
        return None
    if e.skill < SKILL:
        return None
    return Sign(
        beyond(width, limit, 2 * limit),
        f"Around outlines {width:.1f} px are neither bead nor background (probability "
        f"0.2 to 0.8), for beads of {e.diameter:.0f} px.",
        f"{TRAIN} --config.loss.boundary=1.0 --config.train.epochs=60",
    )


def outlines(e: Evidence) -> Sign | None:
    if e.silent or e.total("outline_pixels") < 50:
        return None
    error = e.total("outline_error") / e.total("outline_pixels")
    ratios = np.concatenate([row.area_ratio for row in e.rows])
    ratio = float(np.median(ratios)) if len(ratios) else 1.0
    limit = max(1.1, 0.055 * e.diameter)
    away = abs(np.sqrt(ratio) - 1) * e.diameter / 2
    worst = max(error, away)
    if worst < limit or e.share("located") < 0.5 or e.undecided:
        return None
    size = "too small" if ratio < 0.85 else "too large" if ratio > 1.18 else "off"
    return Sign(
        beyond(worst, limit, 2 * limit),
        f"Beads are found ({percent(e.share('located'))}) but their outlines are "
        f"{size}: {error:.1f} px away on average, area {ratio:.2f} of the labelled.",
        f"{TRAIN} --config.loss.boundary=1.0 --config.model.deep_supervision=True",
    )


def merges(e: Evidence) -> Sign | None:
    return _not_apart(e, "merged", 0.15, "lie under one prediction with another")


def splits(e: Evidence) -> Sign | None:
    return _not_apart(e, "split", 0.08, "are cut into several predictions")


def _not_apart(e: Evidence, kind: str, limit: float, words: str) -> Sign | None:
    share = e.share(kind)
    if e.silent or e.undecided or share < limit or e.skill < SKILL:
        return None
    return Sign(
        beyond(share, limit, 0.3),
        f"{percent(share)} of the labelled beads {words}.",
        f"{TRAIN} --config.model.heads=\"('mask','distance')\"",
    )


def scale(e: Evidence) -> Sign | None:
    rows = [r for r in e.rows if np.isfinite(r.diameter) and r.truth]
    if not rows or not np.isfinite(e.expected_diameter):
        return None
    ratio = np.array([row.diameter / e.expected_diameter for row in rows])
    score = np.array(
        [2 * r.true_positive / max(r.truth + r.predicted, 1) for r in rows]
    )
    off = (ratio < 0.6) | (ratio > 1.7)
    weak = score[off].mean() if off.any() else 1.0
    good = 0.9 if off.mean() > 0.5 else score[~off].mean()
    if off.mean() < 0.15 or weak > good - 0.15:
        return None
    usual = float(np.median(ratio[off]))
    return Sign(
        0.995 if off.mean() > 0.5 else beyond(good - weak, 0.15, 0.4),
        f"In {off.sum()} of {counted(len(rows), 'image')} beads are {usual:.1f} times "
        f"as large as those learnt ({e.expected_diameter:.0f} px); there F1 is "
        f"{weak:.2f}.",
        "beadseg predict IMAGES --run RUN --diameter auto",
    )


def uneven(e: Evidence) -> Sign | None:
    rows = [row for row in e.rows if row.truth]
    if e.silent or sum(row.truth for row in rows) < 40:
        return None
    light = np.concatenate([row.light - np.mean(row.light) for row in rows])
    low, high = np.percentile(light, (33, 67))
    if high - low < 0.04:
        return None
    # Not whether they are found: beads that crowd merge, and crowds cast shadows.
    sure = np.concatenate([row.sure for row in rows])
    dark, bright = sure[light <= low].mean(), sure[light >= high].mean()
    gap = abs(dark - bright)
    chance = 2.5 * sure.std() * np.sqrt(6 / len(sure))  # of two thirds drawn by lot
    if gap < max(0.12, chance):
        return None
    where = "dark" if dark < bright else "bright"
    return Sign(
        beyond(gap, 0.12, 0.2),
        f"In the {where} third of the light beads have a mean probability of "
        f"{min(dark, bright):.2f}, in the other of {max(dark, bright):.2f}.",
        f"{TRAIN} --config.data.normalise.flatten=3.0",
    )


def leak(e: Evidence) -> Sign | None:
    if not e.leaks:
        return None
    pair = e.leaks[0]
    return Sign(
        0.99,
        f"{counted(len(e.leaks), 'validation image is', 'validation images are')} also "
        f"in training, such as {pair.second} and {pair.first}: validation cannot be "
        "believed.",
        "beadseg analyze DIR",
    )
