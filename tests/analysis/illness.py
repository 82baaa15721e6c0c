"""Predictions made from rendered truth: healthy ones, and ill in one known way each.

`healthy(seed)` is what a good network gives: soft edges, a wavering outline, a bead
missed now and then. `ill(kind, seed)` spoils that in exactly one way.
"""

from dataclasses import replace

import numpy as np
from scipy import ndimage
from skimage.segmentation import expand_labels

from beadseg.analysis.diagnosis.evidence import Evidence, ExaminedImage, pool
from beadseg.analysis.fingerprint import Pair
from beadseg.data.generated.render import generate
from beadseg.data.generated.settings import GeneratedSettings
from beadseg.data.scaling import bead_diameters

IMAGES = 4
THRESHOLD = 0.5


def healthy(seed: int) -> Evidence:
    """The evidence of a run without an illness."""
    rng = np.random.default_rng([1, seed])
    seen = [predict(*truth, rng) for truth in scenes(seed)]
    return pool(seen, THRESHOLD, **curves(rng), **KNOWN)


def scenes(seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images f32 and labels with beads of 14 to 32 px."""
    settings = GeneratedSettings(radius=(7, 16), size=200, beads=(12, 120))
    drawn = [generate(settings, 11, IMAGES * seed + i) for i in range(IMAGES)]
    return [(_scaled(each.image), each.labels) for each in drawn]


KNOWN = {"expected_diameter": 22.0, "labelled": 0.97, "seen": 0.95}


def predict(
    image, labels, rng, name="image", *, miss=0.03, blur=0.8, shrink=0.0
) -> ExaminedImage:
    """A good network's answer: `shrink` px are taken off every bead."""
    field = ndimage.gaussian_filter(rng.normal(size=labels.shape), 4)
    field *= 0.5 / field.std()  # px by which outlines waver
    kept = labels.copy()
    ids = np.unique(labels[labels > 0])
    if miss:
        kept[np.isin(kept, ids[rng.random(len(ids)) < miss])] = 0
    depth = _depth(kept) - 0.5 - shrink + field
    sure = np.clip(rng.normal(0.93, 0.03), 0.85, 0.98)
    probability = sure * _step(depth / (0.6 * blur))
    probability += np.abs(rng.normal(0, 0.01, labels.shape))
    predicted = np.where(depth > 0, _nearest(kept), 0)
    return ExaminedImage(
        name, image, labels, _unit(probability), predicted.astype(np.int32)
    )


def curves(rng, *, best=0.85, epochs=20) -> dict:
    """The curves of a run that rises and stays."""
    epoch = np.arange(1, epochs + 1)
    rise = 1 - np.exp(-epoch / 3)
    score = best * rise + rng.normal(0, 0.008, epochs)
    loss = 0.7 - 0.55 * rise + rng.normal(0, 0.004, epochs)
    train = np.clip(score + 0.02, 0, 1)
    return _rows(epoch, score, score - 0.005, loss, train, loss - 0.02)


def ill(kind: str, seed: int) -> Evidence:
    """The evidence of a run that is ill in one way."""
    rng = np.random.default_rng([2, seed])
    made = ILLNESSES[kind](seed, rng)
    if isinstance(made, Evidence):
        return made
    return pool(made, THRESHOLD, **curves(rng), **KNOWN)


def _scattered(seed, rng):
    for image, labels in scenes(seed):
        seen = predict(image, labels, rng)
        probability, predicted = seen.probability.copy(), seen.predicted.copy()
        free = np.argwhere(ndimage.distance_transform_edt(labels == 0) > 4)
        number = int(rng.integers(12, 30))
        if not len(free):
            continue
        for y, x in free[rng.integers(0, len(free), number)]:
            box = slice(y, y + int(rng.integers(2, 4))), slice(x, x + 3)
            probability[box] = rng.uniform(0.6, 0.95)
            predicted[box] = predicted.max() + 1
        yield seen._replace(probability=probability, predicted=predicted)


def _partial_masks(seed, rng):
    """The masks of validation lack beads too; the network finds some of them."""
    for image, labels in scenes(seed):
        seen = predict(image, labels, rng)
        ids = np.unique(labels[labels > 0])
        left = labels.copy()
        left[np.isin(left, ids[rng.random(len(ids)) < rng.uniform(0.3, 0.6)])] = 0
        yield seen._replace(labels=left)


def _dropped(seed, rng):
    """Masks of validation are complete; those of training were not."""
    seen = [predict(*truth, rng, miss=rng.uniform(0.25, 0.5)) for truth in scenes(seed)]
    known = KNOWN | {"labelled": 0.55}
    return pool(seen, THRESHOLD, **curves(rng, best=0.55), **known)


def _threshold(seed, rng):
    """Half of the beads stay below the threshold, far above nothing."""
    for image, labels in scenes(seed):
        seen = predict(image, labels, rng)
        ids = np.unique(labels[labels > 0])
        dim = ids[rng.random(len(ids)) < rng.uniform(0.35, 0.65)]
        weak = np.isin(_nearest(labels), dim)
        probability = np.where(weak, 0.45 * seen.probability, seen.probability)
        predicted = np.where(probability > THRESHOLD, seen.predicted, 0)
        yield seen._replace(probability=probability, predicted=predicted)


def _silent(seed, rng):
    for image, labels in scenes(seed):
        noise = np.abs(rng.normal(0.05, 0.02, labels.shape))
        yield ExaminedImage("image", image, labels, _unit(noise), np.zeros_like(labels))


def _learnt_in_vain(seed, rng):
    """Training loss falls, validation stays where it was: the masks fit no image."""
    seen = []
    for image, labels in scenes(seed):
        level = np.clip(rng.normal(0.36, 0.01, labels.shape), 0, 1)
        seen.append(ExaminedImage("image", image, labels, _unit(level), labels > 2))
    epoch = np.arange(1, 13)
    flat = 0.13 + rng.normal(0, 0.002, 12)
    falls = 0.6 + 0.3 * np.exp(-epoch / 4)
    rows = _rows(epoch, flat, 0 * flat, falls, 0 * flat, falls)
    seen = [one._replace(predicted=one.predicted.astype(np.int32)) for one in seen]
    return pool(seen, 0.35, **rows, **KNOWN)


def _calibration(seed, rng):
    for image, labels in scenes(seed):
        seen = predict(image, labels, rng)
        factor = rng.uniform(0.25, 0.45)
        yield seen._replace(
            probability=factor * seen.probability, predicted=np.zeros_like(labels)
        )


def _blurry(seed, rng):
    for image, labels in scenes(seed):
        seen = predict(image, labels, rng)
        size = float(np.median(bead_diameters(labels)))
        wide = rng.uniform(0.16, 0.24) * size
        soft = _step(_depth(np.where(seen.predicted > 0, labels, 0)) / wide)
        yield seen._replace(probability=_unit(soft))


def _seams(seed, rng):
    """Tiles without overlap: each is unsure by its own amount, most at its edges."""
    for image, labels in scenes(seed):
        seen = predict(image, labels, rng)
        probability = seen.probability.copy()
        for y in range(0, labels.shape[0], 64):
            for x in range(0, labels.shape[1], 64):
                tile = slice(y, y + 64), slice(x, x + 64)
                level = rng.uniform(0.05, 0.3)
                probability[tile] = level + (1 - 2 * level) * probability[tile]
                rim = np.zeros(probability[tile].shape, bool)
                rim[:2], rim[:, :2] = True, True
                probability[tile][rim] *= 0.4
        predicted = np.where(probability > THRESHOLD, seen.predicted, 0)
        yield seen._replace(probability=probability, predicted=predicted)


def _eroded(seed, rng):
    for image, labels in scenes(seed):
        size = float(np.median(bead_diameters(labels)))
        yield predict(image, labels, rng, shrink=rng.uniform(0.09, 0.14) * size)


def _merged(seed, rng):
    for image, labels in scenes(seed):
        seen = predict(image, labels, rng)
        predicted = seen.predicted.copy()
        probability = seen.probability.copy()
        for a, b in _neighbours(labels):
            if rng.random() < 0.5:
                predicted[predicted == b] = a
        close = ndimage.binary_closing(predicted > 0, iterations=2)
        probability[close] = np.maximum(probability[close], 0.8)
        yield seen._replace(predicted=predicted, probability=probability)


def _split(seed, rng):
    for image, labels in scenes(seed):
        seen = predict(image, labels, rng)
        predicted = seen.predicted.copy()
        ids = np.unique(predicted[predicted > 0])
        for i in ids[rng.random(len(ids)) < rng.uniform(0.2, 0.5)]:
            y, x = np.nonzero(predicted == i)
            half = (y - y.mean()) * np.cos(i) + (x - x.mean()) * np.sin(i) > 0
            predicted[y[half], x[half]] = predicted.max() + 1
        yield seen._replace(predicted=predicted)


def _wrong_scale(seed, rng):
    """Beads far larger than those learnt: only their rims are found, in pieces."""
    seen = []
    for image, labels in scenes(seed):
        one = predict(image, labels, rng)
        depth = _depth(labels)
        size = float(np.median(bead_diameters(labels)))
        hollow = np.where(depth > 0.1 * size, 0.01, one.probability)
        pieces, _ = ndimage.label(hollow > THRESHOLD)
        seen.append(one._replace(probability=hollow, predicted=pieces.astype(np.int32)))
    usual = np.median([np.median(bead_diameters(one.labels)) for one in seen])
    known = KNOWN | {"expected_diameter": usual / rng.uniform(2.2, 3.5)}
    return pool(seen, THRESHOLD, **curves(rng), **known)


def _uneven(seed, rng):
    """One side of every image is dark, and its beads are missed."""
    for image, labels in scenes(seed):
        ramp = np.linspace(1, 0.35, labels.shape[1])[None] * np.ones((len(labels), 1))
        ramp = ramp if rng.random() < 0.5 else ramp.T
        dark = image * ramp
        seen = predict(dark.astype(np.float32), labels, rng)
        ids = np.unique(labels[labels > 0])
        level = ndimage.mean(ramp, labels, ids)
        gone = ids[rng.random(len(ids)) < np.clip(1.9 * (0.75 - level), 0, 0.9)]
        lost = np.isin(seen.predicted, gone)
        yield seen._replace(
            probability=np.where(
                np.isin(_nearest(labels), gone), 0.01, seen.probability
            ),
            predicted=np.where(lost, 0, seen.predicted),
        )


def _unsure_in_the_dark(seed, rng):
    """Beads in the dark half are found, but with far lower probability."""
    for image, labels in scenes(seed):
        ramp = np.linspace(1, 0.35, labels.shape[1])[None] * np.ones((len(labels), 1))
        seen = predict((image * ramp).astype(np.float32), labels, rng)
        lower = np.where(ramp < 0.68, 0.58, 1).astype(np.float32)
        yield seen._replace(probability=seen.probability * lower)


def _with_curves(seed, rng, **changed) -> Evidence:
    return replace(healthy(seed), **changed)


def _overfitting(seed, rng):
    epoch = np.arange(1, 21)
    rise = 1 - np.exp(-epoch / 2)
    after = np.maximum(epoch - rng.integers(5, 9), 0)
    score = 0.62 * rise - 0.006 * after + rng.normal(0, 0.008, 20)
    loss = 0.7 - 0.4 * rise + rng.uniform(0.012, 0.03) * after
    train = 0.9 * rise + 0.004 * epoch
    rows = _rows(
        epoch, score, score - 0.02, loss, train, 0.7 - 0.5 * rise - 0.005 * epoch
    )
    return _with_curves(seed, rng, **rows)


def _disagreement(seed, rng):
    """Best after two epochs, and a little worse with all that is learnt after that."""
    epoch = np.arange(1, 16)
    lost = rng.uniform(0.07, 0.15) * (1 - np.exp(-np.maximum(epoch - 2, 0) / 3))
    score = 0.88 - 0.1 * (epoch == 1) - lost + rng.normal(0, 0.004, 15)
    loss = 0.1 + 0.4 * np.exp(-epoch / 3)
    rows = _rows(epoch, score, score - 0.01, loss, score + 0.05, 0.8 * loss)
    return _with_curves(seed, rng, **rows)


def _collapse(seed, rng):
    epoch = np.arange(1, 16)
    top = int(rng.integers(1, 5))
    score = np.where(epoch <= top, 0.14 * epoch / top, 0.14 * 0.4 ** (epoch - top))
    score = np.clip(score + rng.normal(0, 0.002, 15), 0, 1)
    loss = 0.5 + 0.01 * epoch
    rows = _rows(epoch, score, score * 0.8, loss, score + 0.05, 0.5 - 0.01 * epoch)
    return _with_curves(seed, rng, **rows)


def _rate_high(seed, rng):
    epoch = np.arange(1, 21)
    swing = rng.uniform(0.08, 0.2)
    score = np.clip(0.55 + rng.normal(0, swing, 20), 0.05, 0.9)
    score[epoch % 2 == 0] -= 0.5 * swing
    loss = 0.6 - 0.3 * score + rng.normal(0, 0.05, 20)
    return _with_curves(
        seed, rng, **_rows(epoch, score, score - 0.05, loss, score, loss)
    )


def _blown_up(seed, rng):
    """Weights are gone after a few steps: all is bead, whatever comes in."""
    seen = [
        ExaminedImage("image", image, labels, np.ones_like(image), np.ones_like(labels))
        for image, labels in scenes(seed)
    ]
    epoch = np.arange(1, 13)
    flat = np.full(12, seen[0].labels.astype(bool).mean())
    loss = 0.66 + rng.normal(0, 0.01, 12)
    worst = loss + 1000 * rng.uniform(1, 9) * (epoch == 1)
    rows = _rows(epoch, flat, flat, worst, flat, loss)
    return pool(seen, THRESHOLD, **rows, **KNOWN)


def _dead(seed, rng):
    """The same from the first epoch on: no weight does anything any more."""
    blown = _blown_up(seed, rng)
    loss = 0.6 + rng.normal(0, 0.01, len(blown.curve))
    flat = np.full(len(loss), 0.3)
    rows = _rows(np.arange(1, 13), flat, flat, 0.57 + 0 * flat, flat, loss)
    return replace(blown, **rows)


def _rate_low(seed, rng):
    epoch = np.arange(1, 21)
    score = 0.05 + rng.uniform(0.012, 0.03) * epoch + rng.normal(0, 0.004, 20)
    loss = 0.8 - 0.01 * epoch + rng.normal(0, 0.001, 20)
    rows = _rows(epoch, score, score - 0.02, loss, score, loss)
    return _with_curves(seed, rng, **rows)


def _hardly_begun(seed, rng):
    """All is bead, beads a little more so: what a hundred steps may come to."""
    seen = []
    for image, labels in scenes(seed):
        level = 0.8 + 0.06 * (labels > 0) + rng.normal(0, 0.05, labels.shape)
        whole = np.ones_like(labels)
        seen.append(ExaminedImage("image", image, labels, _unit(level), whole))
    epoch = np.arange(1, 5)
    score = seen[0].labels.astype(bool).mean() + 0.1 + 0.002 * epoch
    loss = 1.05 - 0.03 * epoch
    rows = _rows(epoch, score, score - 0.1, loss, score, loss - 0.1)
    return pool(seen, THRESHOLD, **rows, **KNOWN)


def _leak(seed, rng):
    pairs = tuple(
        Pair(f"train{i}", f"validation{i}", bool(i % 2), 0.99)
        for i in range(int(rng.integers(1, 4)))
    )
    return _with_curves(seed, rng, leaks=pairs)


# Kind: how it is made. The cause it is to be named as comes before the dot.
ILLNESSES = {
    "background_loss": _silent,
    "background_loss.in_vain": _learnt_in_vain,
    "background_calibration": _calibration,
    "threshold": _threshold,
    "partial_masks.validation": _partial_masks,
    "partial_masks.training": _dropped,
    "scattered": _scattered,
    "seams": _seams,
    "blurry": _blurry,
    "outlines": _eroded,
    "merges": _merged,
    "splits": _split,
    "scale": _wrong_scale,
    "uneven_light": _uneven,
    "uneven_light.unsure": _unsure_in_the_dark,
    "overfitting": _overfitting,
    "disagreement": _disagreement,
    "collapse": _collapse,
    "rate_high": _rate_high,
    "rate_high.blown_up": _blown_up,
    "rate_high.dead": _dead,
    "rate_low": _rate_low,
    "rate_low.hardly_begun": _hardly_begun,
    "leak": _leak,
}


def _rows(epoch, score, half, loss, train, train_loss) -> dict:
    def row(kind, i, **numbers):
        return {"kind": kind, "epoch": int(epoch[i])} | {
            name: float(values[i]) for name, values in numbers.items()
        }

    numbers = range(len(epoch))
    return {
        "curve": tuple(
            row("validation", i, jaccard=score, **{"jaccard_at_0.5": half}, loss=loss)
            for i in numbers
        ),
        "training": tuple(
            row("train_epoch", i, jaccard=train, loss=train_loss) for i in numbers
        ),
    }


def _depth(labels: np.ndarray) -> np.ndarray:
    """px inside the nearest outline of any bead, negative outside."""
    inside = labels > 0
    edge = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        both = [slice(None), slice(None)]
        both[axis] = slice(1, None)
        differ = (np.diff(labels, axis=axis) != 0) & (labels[tuple(both)] > 0)
        edge[tuple(both)] |= differ & (np.roll(labels, 1, axis)[tuple(both)] > 0)
    deep = ndimage.distance_transform_edt(inside & ~edge)
    return np.where(inside, deep, -ndimage.distance_transform_edt(~inside))


def _nearest(labels: np.ndarray) -> np.ndarray:
    return expand_labels(labels, 3)


def _neighbours(labels: np.ndarray) -> list[tuple[int, int]]:
    pairs = set()
    grown = expand_labels(labels, 2)
    for axis in (0, 1):
        a = np.take(grown, range(1, grown.shape[axis]), axis)
        b = np.take(grown, range(grown.shape[axis] - 1), axis)
        meet = (a != b) & (a > 0) & (b > 0)
        pairs |= {tuple(sorted(p)) for p in zip(a[meet], b[meet], strict=True)}
    return sorted(pairs)


def _step(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(2 * x, -30, 30)))


def _unit(probability: np.ndarray) -> np.ndarray:
    return np.clip(probability, 0, 1).astype(np.float32)


def _scaled(image: np.ndarray) -> np.ndarray:
    low, high = np.percentile(image, (1, 99.5))
    return ((image - low) / max(high - low, 1)).astype(np.float32)
