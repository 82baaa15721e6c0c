"""Fits the three small networks of the mask-free estimate to generated beads.

  python -m tests.bench.fit_quick_count --images 900

Writes `beadseg/data/quick_count.npz`. The seeds are not those of the benchmark
`estimate.py`. A circle's target is how well it fits the nearest bead:
exp(-(d / 0.3 r)^2 - (log(radius / r) / 0.22)^2); the second output is that logarithm.
Poor circles are many: one in ten is kept, and weighs ten.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

import beadseg.data
from beadseg.data import quick_count
from beadseg.data.circles import (
    GLANCE,
    LOOK,
    Octave,
    even_out,
    look,
    padded,
    pyramid,
    vote,
)
from beadseg.data.generated import GeneratedImage, generate
from beadseg.data.generated_settings import GeneratedSettings

FILE = Path(beadseg.data.__file__).with_name("quick_count.npz")
SEED = 1001
KINDS = (  # and how many of them in a hundred images
    (GeneratedSettings(), 60),
    (GeneratedSettings(beads=(2, 20), coverage=(0.01, 0.3), radius=(4, 50)), 14),
    (GeneratedSettings(size=384, radius=(3.5, 55), beads=(8, 250)), 14),
    (GeneratedSettings(preset="mitochondria"), 12),
)
HIDDEN = {"glance": (16, 16), "look": (64, 32), "context": (16, 16)}
INVERTED = 0.3  # of the images
FEW = 0.1  # of the poor circles


def drawn(index: int) -> GeneratedImage:
    """Image `index` of the set to fit to."""
    rng = np.random.default_rng([SEED, index])
    weights = np.array([weight for _, weight in KINDS], float)
    settings = KINDS[rng.choice(len(KINDS), p=weights / weights.sum())][0]
    image = generate(settings, SEED, index)
    if rng.random() < INVERTED:  # beads are dark as often as they are bright
        image = image._replace(image=-image.image.astype(np.float32))
    return image


def octaves_of(image: np.ndarray) -> list[tuple[Octave, list[float]]]:
    """All octaves and radii, as the estimate of a small image tries them."""
    image = even_out(image)
    return [
        (padded(level, image.shape[0] / level.shape[0]), quick_count.radii(number))
        for number, level in enumerate(pyramid(image))
    ]


def fits(beads, y, x, radius) -> tuple[np.ndarray, np.ndarray]:
    """How well each circle fits its nearest bead, and the logarithm of their ratio."""
    apart = np.hypot(beads["y"][:, None] - y, beads["x"][:, None] - x)
    apart /= beads["radius"][:, None]
    ratio = np.log(beads["radius"][:, None] / radius)
    fit = np.exp(-((apart / 0.3) ** 2) - (ratio / 0.22) ** 2)
    best = fit.argmax(0)
    return fit.max(0), np.clip(ratio[best, np.arange(len(best))], -0.3, 0.3)


def circles_of(index: int) -> tuple[np.ndarray, ...]:
    """Features at a glance and in full, target, logarithm and weight of circles."""
    rng = np.random.default_rng([SEED + 1, index])
    image = drawn(index)
    parts = []
    for octave, radii in octaves_of(image.image):
        circles = vote(octave, tuple(radii))
        place = octave.place(circles.y), octave.place(circles.x)
        fit, ratio = fits(image.beads, *place, circles.radius * octave.factor)
        poor = fit < 0.02
        kept = ~poor | (rng.random(len(fit)) < FEW)
        circles = circles.take(kept)
        parts.append(
            (
                look(octave, circles, GLANCE),
                look(octave, circles, LOOK),
                fit[kept],
                ratio[kept],
                np.where(poor, 1 / FEW, 1)[kept],
            )
        )
    joined = (np.concatenate(part) for part in zip(*parts, strict=True))
    return tuple(part.astype(np.float32) for part in joined)


def contexts_of(index: int) -> tuple[np.ndarray, ...]:
    """The same, of the circles that the first two networks leave, in their context."""
    image = drawn(index)
    beads = quick_count.candidates(octaves_of(image.image))
    fit, ratio = fits(image.beads, beads.y, beads.x, beads.radius)
    return quick_count.context(beads), fit, ratio, np.ones_like(fit)


def fit(x, target, ratio, weight, hidden, epochs: int) -> dict[str, np.ndarray]:
    """A network of two hidden layers, by Adam on cross-entropy and squared error."""
    rng = np.random.default_rng(0)
    mean, spread = x.mean(0), x.std(0) + 1e-3
    x = (x - mean) / spread
    sizes = (x.shape[1], *hidden, 2)
    layers = {}
    for i in range(3):
        deviation = (2 / sizes[i]) ** 0.5 if i < 2 else 0.1
        layers[f"w{i}"] = rng.normal(0, deviation, sizes[i : i + 2])
        layers[f"b{i}"] = np.zeros(sizes[i + 1])
    layers["b2"][0] = -3.0
    layers = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), layers)
    batch = int(np.clip(len(x) // 100, 64, 2048))
    steps = epochs * (len(x) // batch)
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(optax.cosine_decay_schedule(3e-3, steps), weight_decay=1e-4),
    )
    state = optimiser.init(layers)

    def loss(layers, x, target, ratio, weight):
        for i in (0, 1):
            x = jax.nn.relu(x @ layers[f"w{i}"] + layers[f"b{i}"])
        out = x @ layers["w2"] + layers["b2"]
        wrong = optax.sigmoid_binary_cross_entropy(out[:, 0], target)
        return (wrong * weight + 100 * target * (out[:, 1] - ratio) ** 2).mean()

    @jax.jit
    def step(layers, state, *batch):
        value, gradient = jax.value_and_grad(loss)(layers, *batch)
        update, state = optimiser.update(gradient, state, layers)
        return optax.apply_updates(layers, update), state, value

    for epoch in range(epochs):
        order = rng.permutation(len(x))
        total = 0.0
        for start in range(0, len(x) - batch + 1, batch):
            rows = order[start : start + batch]
            chosen = (a[rows] for a in (x, target, ratio, weight))
            layers, state, value = step(layers, state, *chosen)
            total += float(value)
        print(f"epoch {epoch}: loss {total / (len(x) // batch):.4f}", flush=True)
    return {"mean": mean, "spread": spread} | jax.device_get(layers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=900)
    parser.add_argument("--epochs", type=int, default=25)
    options = parser.parse_args()
    stored = {}

    def learn(name, *data):
        layers = fit(*data, HIDDEN[name], options.epochs)
        stored.update({f"{name}/{key}": value for key, value in layers.items()})
        np.savez_compressed(FILE, **stored)
        quick_count.layers.cache_clear()

    glance, full, *rest = _gather(circles_of, options.images)
    learn("glance", glance, *rest)
    learn("look", full, *rest)
    learn("context", *_gather(contexts_of, options.images))
    print(f"{FILE}: {len(full)} circles, {FILE.stat().st_size // 1024} KiB")


def _gather(function, images: int) -> list[np.ndarray]:
    parts = [function(i) for i in tqdm(range(images), mininterval=10)]
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


if __name__ == "__main__":
    main()
