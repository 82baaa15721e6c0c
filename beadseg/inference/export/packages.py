"""A run as a model for other tools: one ONNX file, or a bioimage.io package."""

import json
from pathlib import Path

import jax
import numpy as np
import onnxruntime
from onnx import helper

from beadseg import __version__, models
from beadseg.data.scaling import CLIP, NOISE_SPAN
from beadseg.errors import BeadsegError
from beadseg.files import write_whole, writing
from beadseg.inference.export.onnx_graph import OPSET, OUTPUTS, build_graph
from beadseg.inference.run import Run

TOLERANCE = 1e-4  # largest difference of a probability from that of JAX
_SIZES = ((64, 48), (43, 58))  # px; the second is no multiple of any pooling grid


def export_run(run: Run, kind: str, file: Path) -> dict:
    """Writes a run in a format, after a comparison of its numbers with those of JAX.

    Args:
      run: of one model.
      kind: "onnx" or "bioimageio".
      file: to write; whole or not at all.

    Returns:
      What was written: "file", "outputs", "opset", "largest_difference" from JAX over
      random images of two sizes, and "metadata" (see `metadata`).

    Raises:
      BeadsegError: the numbers differ, or the file cannot be written.
    """
    about = metadata(run)
    model = build_graph(run.model_config, run.weights)
    helper.set_model_props(model, {key: json.dumps(v) for key, v in about.items()})
    content = model.SerializeToString()
    apart = largest_difference(run, content)
    if not apart <= TOLERANCE:
        raise BeadsegError(
            f"{run.name}: onnxruntime differs from JAX by {apart:.2g} (more than "
            f"{TOLERANCE:g}), so nothing was written: update onnx and onnxruntime, and "
            "report this run"
        )
    with writing(file, "-o"):
        file.parent.mkdir(parents=True, exist_ok=True)
        if kind == "onnx":
            write_whole(file, content)
        else:
            from beadseg.inference.export.bioimage_package import write_package

            write_package(run, content, about, file)
    return {
        "file": str(file),
        "format": kind,
        "outputs": [OUTPUTS[head] for head in run.model_config.heads],
        "opset": OPSET,
        "largest_difference": apart,
        "metadata": about,
    }


def metadata(run: Run) -> dict:
    """What a user of the model must know, ready for JSON.

    An image is normalised so that its percentiles "percentile_low" and
    "percentile_high" become 0 and 1 (first its background is subtracted if
    "flatten_sigma_px" is above 0), at least "noise_span" standard deviations of its
    noise apart, and cut at "clip". It is resampled so that its beads are
    "bead_diameter_px" across, or between the two "sizes_px" where these are given. A
    pixel is bead where the probability is "threshold" or more. Pixels further away
    than "receptive_field_px" change nothing.
    """
    return {
        "beadseg": __version__,
        "model": run.model_config.name,
        "threshold": run.threshold,
        "bead_diameter_px": run.bead_diameter,
        "sizes_px": run.sizes,
        "clip": CLIP,
        "noise_span": NOISE_SPAN,
        "percentile_low": run.low,
        "percentile_high": run.high,
        "flatten_sigma_px": run.flatten_sigma,
        "stride_px": run.graph.extent.stride,
        "receptive_field_px": run.graph.extent.receptive_field,
    }


def probabilities(run: Run, images: np.ndarray) -> list[np.ndarray]:
    """The sigmoid of every head as JAX computes it in f32, f32[B, 1, H, W] each.

    `images`: f32[B, 1, H, W].
    """
    config = run.model_config.copy_and_resolve_references()
    config.bfloat16 = False
    network = models.build(config)
    with jax.default_matmul_precision("float32"):
        logits = jax.jit(network.apply)(run.variables, images.transpose(0, 2, 3, 1))
    return [
        np.asarray(jax.nn.sigmoid(logits[head])).transpose(0, 3, 1, 2)
        for head in config.heads
    ]


def largest_difference(run: Run, model: bytes) -> float:
    """Between a serialised ONNX model and JAX, over random images of two sizes."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    apart = 0.0
    for size in _SIZES:
        images = rng.uniform(-0.1, 1.1, (1, 1, *size)).astype(np.float32)
        there = session.run(None, {"image": images})
        here = probabilities(run, images)
        for a, b in zip(here, there, strict=True):
            apart = max(apart, float(np.abs(a - b).max()))
    return apart
