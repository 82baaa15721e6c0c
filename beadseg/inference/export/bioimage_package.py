"""A bioimage.io package: an ONNX model with all that other programs need to run it.

The format is that of https://bioimage.io, "model" 0.5: a zip file with `rdf.yaml` and
what that names. It is written here, in JSON, which is YAML too; `bioimageio.core`
validates and runs it in the tests.
"""

import datetime
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tifffile
from PIL import Image

from beadseg import __version__
from beadseg.data.generated.render import generate
from beadseg.data.generated.settings import GeneratedSettings
from beadseg.data.scaling import CLIP, NOISE_SPAN, prepare
from beadseg.default_model import DEFAULT
from beadseg.files import write_whole
from beadseg.inference.export.onnx_graph import INPUT, OPSET, OUTPUTS
from beadseg.inference.run import Run

_FORMAT = "0.5.4"
_ABOUT = {
    "probability": "how sure the model is that a pixel is bead",
    "distance": "depth of a pixel in its own bead: 1 at its centre, 0 at its edge",
}
_README = """# Microbeads

Finds microbeads in microscope images. Trained with beadseg {version}.

- Input: a grey image; its percentiles {low:g} and {high:g} become 0 and 1, and what
  lies beyond {clip} is cut. The model expects beads {diameter} px across: resample
  images first. In an all but empty image move 0 and 1 apart to {noise:g} standard
  deviations of its noise, or the noise is stretched to full contrast.
{flatten}- Output: {outputs}.
- A pixel is bead where the probability is {threshold:.3f} or more.

## What beadseg does beyond this package

{beyond}
- outlines, measurements and counts from the labels.

With the package alone: threshold the probability{parted}.
For counts and sizes to rely on use `beadseg predict`.

## Validation

The threshold is the one of the best Jaccard index on validation images. Check the model
on images of your own: `beadseg evaluate PREDICTED TRUTH`.
"""
_PARTS = """\
The package is the network alone. In beadseg follow
- parting beads that touch, by the distance;"""
_PYRAMID = """\
The package is the network at one scale: it finds beads of one range of sizes, in images
as they are given. Around it beadseg has, and no package of this format can hold:
- a pyramid: the image is looked at from 1/16 of its pixels and less up to its own, and
  enlarged where tiny beads are found, so that beads of any size are found;
- parting beads that touch at each level, by the distance;
- a score for each of these beads, from how it looks, from what other levels found and
  from the other beads of the image; noise, dust and rims, which the network marks here
  and there, are left out by it;
- choosing the better of beads that lie on each other, and moving outlines to half the
  height of the edge;"""


def write_package(run: Run, model: bytes, about: dict[str, Any], file: Path) -> None:
    """Writes the package of a run, a zip file, whole or not at all.

    `model` is its serialised ONNX model, `about` its `packages.metadata`, kept under
    config.beadseg.
    """
    image = generate(GeneratedSettings(size=256), 0, 1).image.astype(np.float32)
    normal = prepare(image, low=run.low, high=run.high).image
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    found = session.run(None, {INPUT: normal[None, None]})
    names = [OUTPUTS[head] for head in run.model_config.heads]
    tensors = {INPUT: image[None, None]} | dict(zip(names, found, strict=True))
    members = {
        "rdf.yaml": json.dumps(_description(run, names, about), indent=2),
        "README.md": _readme(run, names),
        "weights.onnx": model,
        "cover.png": _cover(normal, found[0][0, 0]),
    }
    for name, array in tensors.items():
        members[f"{name}.npy"] = _written(np.save, array)
        shown = array[0, 0]
        members[f"{name}.tif"] = _written(tifffile.imwrite, shown, compression="zlib")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as package:
        for name, data in members.items():
            package.writestr(name, data)
    write_whole(file, content.getvalue())


def _description(run: Run, names: list[str], about: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "model",
        "format_version": _FORMAT,
        "name": "Microbeads (beadseg)",
        "description": "Finds microbeads, also touching ones, in microscope images.",
        "authors": [{"name": "beadseg"}],
        "cite": [
            {
                "text": "Ronneberger et al., U-Net (MICCAI 2015)",
                "doi": "10.1007/978-3-319-24574-4_28",
            }
        ],
        "license": "Apache-2.0",
        "documentation": "README.md",
        "covers": ["cover.png"],
        "tags": ["beads", "microbeads", "segmentation", "2d", "unet"],
        "timestamp": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "inputs": [_input(run)],
        "outputs": [_output(name) for name in names],
        "weights": {"onnx": {"source": "weights.onnx", "opset_version": OPSET}},
        "config": {"beadseg": about},
    }


def _input(run: Run) -> dict[str, Any]:
    stride = run.graph.extent.stride
    size = {"min": 4 * stride, "step": stride}
    percentiles = {"min_percentile": run.low, "max_percentile": run.high}
    return {
        "id": INPUT,
        "description": "grey image",
        "axes": _axes("grey", {"y": size, "x": size}),
        **_examples(INPUT),
        "data": {"type": "float32"},
        "preprocessing": [
            {"id": "scale_range", "kwargs": {"axes": ["y", "x"], **percentiles}},
            {"id": "clip", "kwargs": dict(zip(("min", "max"), CLIP, strict=True))},
        ],
    }


def _output(name: str) -> dict[str, Any]:
    size = {axis: {"tensor_id": INPUT, "axis_id": axis} for axis in ("y", "x")}
    return {
        "id": name,
        "description": _ABOUT[name],
        "axes": _axes(name, size),
        **_examples(name),
        "data": {"type": "float32", "range": [0.0, 1.0]},
    }


def _examples(name: str) -> dict[str, Any]:
    """The tensor that tests compare, and one that people look at."""
    kinds = {"test_tensor": "npy", "sample_tensor": "tif"}
    return {kind: {"source": f"{name}.{ending}"} for kind, ending in kinds.items()}


def _axes(channel: str, sizes: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"type": "batch"},
        {"type": "channel", "channel_names": [channel]},
        *({"type": "space", "id": axis, "size": size} for axis, size in sizes.items()),
    ]


def _cover(image: np.ndarray, probability: np.ndarray) -> bytes:
    """The image beside what is found in it, as PNG."""
    both = np.clip(np.concatenate([image, probability], axis=1), 0, 1)
    picture = Image.fromarray(np.round(255 * both).astype(np.uint8))
    return _written(picture.save, "PNG")


def _written(write: Callable[..., Any], *what: Any, **how: Any) -> bytes:
    """What a function writes into the file that it is given first."""
    file = io.BytesIO()
    write(file, *what, **how)
    return file.getvalue()


def _readme(run: Run, names: list[str]) -> str:
    flatten = ""
    if run.flatten_sigma:
        flatten = (
            "- Before that, subtract the background: a Gaussian mean of standard "
            f"deviation {run.flatten_sigma:g} px.\n"
        )
    known = "as large as those it was trained on"
    if run.sizes is not None:
        known = f"{run.sizes[0]:.0f} to {run.sizes[1]:.0f}"
    elif run.bead_diameter is not None:
        known = f"about {run.bead_diameter:.0f}"
    deep = "distance" in names
    text = _README.format(
        version=__version__,
        low=run.low,
        high=run.high,
        clip=f"{CLIP[0]:g} and {CLIP[1]:g}",
        diameter=known,
        noise=NOISE_SPAN,
        flatten=flatten,
        outputs="; ".join(f"{name}, {_ABOUT[name]}" for name in names),
        threshold=run.threshold,
        beyond=_PARTS if run.sizes is None else _PYRAMID,
        parted=",\nand part what touches by a watershed of the distance" * deep,
    )
    card = DEFAULT / "CARD.md"
    return text + ("\n" + card.read_text("utf-8") if run.path == DEFAULT else "")
