"""python -m tests.bench.fit_scores: fits the scores of beads anew.

Generated images of all kinds, sizes and densities, empty ones among them, are looked at
with the default model; every region that any level of the pyramid shows is right if it
lies on a bead as large as it, else wrong. Networks of two small layers learn to tell
the two apart (`beadseg.inference.pyramid.bead_scores`), by cross-entropy, so that a
score is the share of regions like it that are right.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.spatial import cKDTree
from tqdm import tqdm

from beadseg.data.generated.render import GeneratedImage, generate
from beadseg.data.generated.settings import GeneratedSettings
from beadseg.data.scaling import resample_labels
from beadseg.inference.predictor import Predictor, load
from beadseg.inference.pyramid import bead_scores, pyramid
from beadseg.inference.pyramid.pyramid import Level

SEED = 77  # of the images; not that of training
IMAGES = 2400
WIDE = 500  # images more, with sizes over a factor of 4 to 20, of the seed after that
SIDES = (160, 224, 320, 448, 640, 896)  # px
RADII = (2.6, 0.38)  # px; share of the side
FEWER = 448  # px of a side; in larger frames beads are no smaller than
LARGE = 0.05  # of the side, radius
SOFT_NOISE = 0.5  # share of the images: its crests are what a score is needed for
SMALL_RADIUS = 0.7 * pyramid.FINER  # px; half of such images are looked at enlarged
DUST = 0.3  # share of a region, from which on it is dust
LIKE = 3.0  # times as large as dust: beads that tell what it is
RIGHT = 0.5  # IoU with a true bead
# Beads of fewer px at their level are right by their centre, within a share of the true
# diameter, and a size within a factor: their IoU is that of single pixels.
SMALL, NEAR, ALIKE = 10.0, 0.35, 1.7
HIDDEN = 64  # units of each layer
EPOCHS, BATCH, RATE, DECAY = 20, 2048, 3e-3, 3e-2
MEMBERS = 4  # networks of each kind, from other first weights
FOLDS = 3


class Regions(NamedTuple):
    """The candidates of one image."""

    alone: np.ndarray  # f32[N, F], features
    supported: np.ndarray  # f32[N, F]
    found: pyramid.Candidates
    beneath: np.ndarray
    differs: np.ndarray  # f64[N], brightness, see `bead_scores.polarity`
    right: np.ndarray  # bool[N]
    known: np.ndarray  # bool[N]; dust like the beads of its image could be one


def draw(index: int, seed: int = SEED, wide: bool = False) -> GeneratedImage:
    """One of the images; `wide`: with beads of many sizes, else a fifth of them has."""
    rng = np.random.default_rng([seed, index])
    side = int(rng.choice(SIDES))
    smallest = RADII[0] if side <= FEWER else LARGE * side
    low, high = np.log((smallest, RADII[1] * side))
    radius = float(np.exp(rng.uniform(low, high)))
    settings = GeneratedSettings(
        preset="varied",
        size=side,
        radius=(0.9 * radius, 1.1 * radius),
        soft_noise_share=SOFT_NOISE,
        wide_share=1.0 if wide else None,
    )
    return generate(settings, seed, index)


def overlap(level: Level, truth: np.ndarray) -> np.ndarray:
    """Largest IoU of each label of a level with a true bead: f64[L + 1].

    Args:
      level: of the image.
      truth: i32[H, W].
    """
    true = resample_labels(truth, level.shape)
    labels = level.labels
    both = (labels > 0) & (true > 0)
    width = int(true.max(initial=0)) + 1
    pairs, shared = np.unique(
        labels[both].astype(np.int64) * width + true[both], return_counts=True
    )
    one, other = np.divmod(pairs, width)
    areas = np.bincount(labels.ravel()), np.bincount(true.ravel())
    best = np.zeros(len(areas[0]))
    np.maximum.at(best, one, shared / (areas[0][one] + areas[1][other] - shared))
    return best


def regions(
    predictor: Predictor, drawn: GeneratedImage, finer: bool = False
) -> Regions:
    """The candidates of an image, and which of them are right; see `pyramid`."""
    shape, levels = drawn.image.shape, predictor.pyramid(drawn.image, finer)
    found, beneath = predictor.candidates(levels, shape)
    iou = [overlap(level, drawn.labels) for level in levels]
    best = np.zeros(len(found.level))
    for number, values in enumerate(iou):
        own = found.level == number
        best[own] = values[found.label[own]]
    usual = 2 * np.median(drawn.beads["radius"]) if len(drawn.beads) else 0.0
    unlike = usual > LIKE * found.diameter
    known = unlike | (_dusty(levels, found, drawn.dust) < DUST)
    alone = bead_scores.appearance(levels, found)
    around = bead_scores.support(found, beneath, pyramid.octaves(levels))
    supported = np.concatenate([alone, around], 1)
    right = best >= RIGHT
    right |= (found.size < SMALL) & _centred(found, drawn)
    differs = bead_scores.polarity(levels, found)
    return Regions(alone, supported, found, beneath, differs, right, known | right)


def _centred(found: pyramid.Candidates, drawn: GeneratedImage) -> np.ndarray:
    """Whether the nearest true bead is in the same place and as large, bool[N]."""
    beads = drawn.beads
    if not len(beads) or not len(found.level):
        return np.zeros(len(found.level), bool)
    tree = cKDTree(np.stack([beads["y"], beads["x"]], 1))
    apart, nearest = tree.query(np.stack([found.y, found.x], 1))
    true = 2.0 * beads["radius"][nearest]
    ratio = np.maximum(found.diameter / true, true / found.diameter)
    return (apart < NEAR * true) & (ratio < ALIKE)


def _dusty(levels, found: pyramid.Candidates, dust: np.ndarray) -> np.ndarray:
    """Share of each candidate that is dust, f64[N]."""
    share = np.zeros(len(found.level))
    for number, level in enumerate(levels):
        labels = level.labels.ravel()
        there = resample_labels(dust.astype(np.int32), level.shape).ravel()
        area = np.maximum(np.bincount(labels), 1)
        own = found.level == number
        share[own] = (np.bincount(labels, there) / area)[found.label[own]]
    return share


def fit(
    features: np.ndarray, right: np.ndarray, weight: np.ndarray, seed: int
) -> dict[str, np.ndarray]:
    """A network as `bead_scores.forward` takes it."""
    key = jax.random.key(seed)
    mean, spread = features.mean(0), features.std(0) + 1e-3
    x = np.clip((features - mean) / spread, -6, 6).astype(np.float32)
    sizes = (x.shape[1], HIDDEN, HIDDEN, 1)
    params = {}
    for i, (n, m) in enumerate(zip(sizes, sizes[1:], strict=False)):
        key, own = jax.random.split(key)
        params[f"w{i}"] = jax.random.normal(own, (n, m)) * float(np.sqrt(2 / n))
        params[f"b{i}"] = jnp.zeros((1, m))
    steps = EPOCHS * (len(x) // BATCH + 1)
    rate = optax.cosine_decay_schedule(RATE, steps)
    optimiser = optax.adamw(rate, weight_decay=DECAY)

    def loss(params, x, right, weight):
        h = jax.nn.relu(x @ params["w0"] + params["b0"])
        h = jax.nn.relu(h @ params["w1"] + params["b1"])
        logits = (h @ params["w2"] + params["b2"])[:, 0]
        each = optax.sigmoid_binary_cross_entropy(logits, right)
        return (weight * each).sum() / weight.sum()

    @jax.jit
    def step(params, state, *batch):
        value, gradient = jax.value_and_grad(loss)(params, *batch)
        updates, state = optimiser.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, value

    rng = np.random.default_rng(seed)
    with jax.numpy_dtype_promotion("standard"):  # optax counts steps in int32
        state = optimiser.init(params)
        for _ in range(steps):
            some = rng.integers(len(x), size=BATCH)
            batch = x[some], right[some].astype(np.float32), weight[some]
            params, state, _ = step(params, state, *batch)
    arrays = {name: np.asarray(value, np.float32) for name, value in params.items()}
    return arrays | {"mean": mean.astype("f4"), "spread": spread.astype("f4")}


def fit_all(images: list[Regions]) -> dict[str, list[dict[str, np.ndarray]]]:
    """The networks of `bead_scores.KINDS`, by kind."""
    images = [image for image in images if len(image.right)]
    known = np.concatenate([image.known for image in images])
    right = np.concatenate([image.right for image in images])
    # Crowded images hold most of the regions; sparse ones are as many for a person.
    weight = np.concatenate(
        [np.full(len(i.right), len(i.right) ** -0.5, np.float32) for i in images]
    )
    weight *= known
    alone = np.concatenate([image.alone for image in images])
    supported = np.concatenate([image.supported for image in images])
    number = np.repeat(np.arange(len(images)), [len(i.right) for i in images])

    def members(features, rows=slice(None)):
        known = features[rows], right[rows], weight[rows]
        return [fit(*known, seed) for seed in range(MEMBERS)]

    parts: list = [None] * len(images)
    for fold in range(FOLDS):  # first scores as of images that were not fitted on
        nets = members(supported, number % FOLDS != fold)
        for i in range(fold, len(images), FOLDS):
            one = images[i]
            first = bead_scores.mean_of(nets, one.supported)
            parts[i] = bead_scores.context(one.found, one.beneath, first, one.differs)
    wider = np.concatenate([supported, np.concatenate(parts)], 1)
    return {
        "alone": members(alone),
        "supported": members(supported),
        "in_context": members(wider),
    }


def save(nets: dict[str, list[dict[str, np.ndarray]]], file: Path) -> None:
    """Writes the networks."""
    arrays = {
        f"{kind}/{member}/{name}": array
        for kind, each in nets.items()
        for member, net in enumerate(each)
        for name, array in net.items()
    }
    np.savez_compressed(file, **arrays)


def looked_at(
    predictor: Predictor, count: int, seed: int = SEED, wide: bool = False
) -> Iterator[Regions]:
    """The candidates of the images, in turn."""
    for index in tqdm(range(count), desc="looking", unit="image", disable=None):
        drawn = draw(index, seed, wide)
        radius = np.median(drawn.beads["radius"]) if len(drawn.beads) else np.inf
        yield regions(predictor, drawn, bool(radius < SMALL_RADIUS and index % 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="instead of the default model")
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument(
        "--wide",
        action="store_true",
        help=f"for images whose beads differ in size: {WIDE} such images more",
    )
    parser.add_argument("-o", "--output", type=Path, help="(where prediction looks)")
    options = parser.parse_args()
    predictor = load(options.run) if options.run else load()
    images = list(looked_at(predictor, options.images))
    if options.wide:
        images += looked_at(predictor, WIDE, SEED + 1, wide=True)
    nets = fit_all(images)
    file = options.output or (bead_scores.WIDE if options.wide else bead_scores.FILE)
    save(nets, file)
    print(f"{file}: {', '.join(nets)}")


if __name__ == "__main__":
    main()
