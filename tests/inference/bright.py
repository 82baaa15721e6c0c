"""A run whose network is known in closed form: what is bright is bead."""

import json
from pathlib import Path

import jax
import numpy as np

from beadseg import __version__, models
from beadseg.training.weights import WEIGHTS, write_weights
from configs import base

DIAMETER = 16.0  # px, of the beads that the run knows


def bright_weights(config):
    """Weights of a UNet of width 1 that hand the image on: logit = 20 image - 10."""
    side = models.stride(config)
    model = models.build(config)
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, side, side, 1)))
    params = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), shapes["params"])
    for block in ("encoder_0", "decoder_0"):
        for convolution in params[block].values():
            convolution["kernel"][1, 1, 0, 0] = 1.0
    params["head_mask"] = {
        "kernel": np.full((1, 1), 20.0, np.float32),
        "bias": np.full(1, -10.0, np.float32),
    }
    return params


def write_run(folder: Path, *, diameter=DIAMETER, scale=1.0, threshold=0.5) -> Path:
    """A run folder as training leaves it, of the network above."""
    config = base.get_config()
    config.model.width, config.model.depth, config.model.norm = 1, 1, "none"
    folder.mkdir(parents=True)
    files = {
        "config.json": config.to_dict(),
        "versions.json": {"beadseg": __version__},
        "summary.json": {"threshold": threshold},
        "dataset.json": {
            "bead_diameter_px": diameter / scale,
            "scale": scale,
            "normalise": {"low": 1.0, "high": 99.5, "flatten_sigma": 0.0},
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    write_weights(folder / WEIGHTS, bright_weights(config.model), {})
    return folder


def beads_image(diameter=DIAMETER, count=5, pitch=1.6, level=1000, ground=100):
    """`count` x `count` bright discs on a grid, none at the border, and their labels.

    u16[H, W] and i32[H, W]; centres are in the middle of squares of pitch * diameter.
    """
    step = pitch * diameter
    size = round(step * count)
    at = np.arange(size) + 0.5
    row = np.minimum((at // step).astype(int), count - 1)
    off = at - (row + 0.5) * step
    inside = off[:, None] ** 2 + off**2 <= (diameter / 2) ** 2
    ids = row[:, None] * count + row + 1
    labels = np.where(inside, ids, 0).astype(np.int32)
    return np.where(inside, level, ground).astype(np.uint16), labels
