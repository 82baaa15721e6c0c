"""A run whose network is known in closed form: what is bright is bead."""

import json
from pathlib import Path

import jax
import numpy as np
import tifffile

from beadseg import __version__, models
from beadseg.training.weights import WEIGHTS, write_weights
from configs import base

DIAMETER = 16.0  # px, of the beads that the run knows


def handed_on(config):
    """Weights of a UNet of depth 1 that hand their channels on, of heads that do not.

    The first convolution gives each channel the image.
    """
    model = models.build(config)
    side = model.stride
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, side, side, 1)))
    params = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), shapes["params"])
    for block in ("encoder_0", "decoder_0"):
        for convolution in params[block].values():
            kernel = convolution["kernel"]
            for channel in range(config.width):
                kernel[1, 1, min(channel, kernel.shape[2] - 1), channel] = 1.0
    return params


def bright_weights(config):
    """Of width 1, logit = 20 image - 10."""
    params = handed_on(config)
    params["head_mask"] = {
        "kernel": np.full((1, 1), 20.0, np.float32),
        "bias": np.full(1, -10.0, np.float32),
    }
    return params


def contrast_weights(config):
    """Of width 2, logit = 40 |image - 1/2| - 10: dark is bead too."""
    params = handed_on(config)
    params["encoder_0"]["conv_0"]["kernel"][1, 1, 0] = (1.0, -1.0)
    params["encoder_0"]["conv_0"]["bias"][:] = (-0.5, 0.5)
    params["head_mask"] = {
        "kernel": np.full((2, 1), 40.0, np.float32),
        "bias": np.full(1, -10.0, np.float32),
    }
    return params


def write_run(
    folder: Path,
    *,
    diameter=DIAMETER,
    scale=1.0,
    threshold=0.5,
    sizes=(),
    dark=False,
    pixel_size=None,
) -> Path:
    """A run folder as training leaves it, of one of the networks above.

    As if it had been trained on images of a microscope, so that it knows one size of
    beads; with `sizes` on generated ones of that range, so that it looks at a pyramid.
    """
    config = base.get_config()
    config.data.dir = "" if sizes else "images"
    config.data.generated.sizes = sizes
    config.model.width, config.model.depth, config.model.norm = 1 + dark, 1, "none"
    folder.mkdir(parents=True)
    files = {
        "config.json": config.to_dict(),
        "versions.json": {"beadseg": __version__},
        "summary.json": {"threshold": threshold},
        "dataset.json": {
            "bead_diameter_px": diameter / scale,
            "pixel_size_um": pixel_size,
            "scale": scale,
            "normalise": {"low": 1.0, "high": 99.5, "flatten_sigma": 0.0},
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    weights = contrast_weights if dark else bright_weights
    write_weights(folder / WEIGHTS, weights(config.model), {})
    return folder


def beads_image(diameter=DIAMETER, count=5, pitch=1.6, level=1000, background=100):
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
    return np.where(inside, level, background).astype(np.uint16), labels


def write_labelled(folder, images="images", labels="labels"):
    """Writes the images a.tif and b.tif of `beads_image` and their labels, returned."""
    image, found = beads_image()
    for kind, array in ((images, image), (labels, found.astype(np.uint16))):
        (folder / kind).mkdir()
        for name in "ab":
            tifffile.imwrite(folder / kind / f"{name}.tif", array)
    return found
