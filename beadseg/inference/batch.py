"""Many images to files: reading, network and writing at the same time.

While the network looks at an image the next is read and the last is measured and
written, each on a thread of its own; no more than one waits at each place, so memory
does not grow with the number of images.
"""

import hashlib
import io
import json
import math
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from beadseg import __version__
from beadseg.data.reading import ReadError, check_image
from beadseg.errors import BeadsegError
from beadseg.files import write_whole, writing
from beadseg.inference import writers
from beadseg.inference.files import Files
from beadseg.inference.inputs import Input, Inputs
from beadseg.inference.measure import Table
from beadseg.inference.outputs import OUTPUTS, UNCERTAINTY, write_outputs
from beadseg.inference.predictor import Prediction, Predictor, Seen
from beadseg.inference.stream import LARGE, is_large, predict_large
from beadseg.inference.writers import rows_to_table

SETTINGS = "prediction.json"
DONE = ".done"  # what is known of each finished image: rows of the tables


@dataclass(frozen=True)
class Options:
    """How to predict a batch."""

    output: Path
    threshold: float | str = "auto"
    diameter: float | str = "auto"
    pixel_size: float | None = None  # um, instead of what the files say
    only: tuple[str, ...] = tuple(OUTPUTS)
    tables: str = ".csv"  # ending of beads and images
    resume: bool = False


def predict_batch(
    inputs: Inputs, predictor: Predictor, options: Options
) -> dict[str, Any]:
    """Predicts images into a prediction folder.

    Returns:
      "images" (a dict an image), "failed" (lines), "skipped" (done before), "seconds".

    Raises:
      BeadsegError: the folder cannot be used or written.
    """
    started = time.monotonic()
    _claim(inputs, predictor, options)
    left = [image for image in inputs.images if not _is_done(image, options)]
    failed = list(inputs.problems)
    files = Files([image.page for image in inputs.images], predictor)
    bar = tqdm(
        total=len(inputs.images),
        initial=len(inputs.images) - len(left),
        unit="image",
        desc="predicting",
        disable=None,
    )
    try:
        with (
            ThreadPoolExecutor(1) as reader,
            ThreadPoolExecutor(1) as writer,
            writing(options.output, "-o"),
        ):
            _flow(left, predictor, options, files, reader, writer, failed, bar)
    finally:
        bar.close()
    done = [image for image in inputs.images if _record(image, options).exists()]
    rows = _write_tables(done, options)
    return {
        "output": str(options.output),
        "runs": [run.name for run in predictor.runs],
        "images": rows,
        "failed": failed,
        "skipped": len(inputs.images) - len(left),
        "seconds": time.monotonic() - started,
    }


def _flow(left, predictor, options, files, reader, writer, failed, bar) -> None:
    """Three stages; each is at most one image ahead of the next."""
    following: list[Future] = []
    written: Future | None = None
    try:
        for i, image in enumerate(left):
            pixels = following.pop(0) if following else reader.submit(_read, image)
            if i + 1 < len(left) and math.prod(left[i + 1].page.shape) < LARGE:
                following.append(reader.submit(_read, left[i + 1]))
            try:
                seen = _look(image, pixels.result(), predictor, options, files)
            except ReadError as error:
                failed.append(str(error))
                bar.update()
                continue
            del pixels
            if written is not None:
                written.result()
            if isinstance(seen, Large):  # alone: it is as much as memory should hold
                _finish_large(image, seen, predictor, options, bar)
                continue
            written = writer.submit(_finish, image, seen, predictor, options, bar)
        if written is not None:
            written.result()
    finally:
        for future in following:
            future.cancel()


def _read(image: Input) -> np.ndarray:
    pixels = image.page.read()
    check_image(pixels, image.page.where)
    return pixels


class Large(NamedTuple):
    """An image that is predicted in bands."""

    image: np.ndarray
    scale: float
    threshold: float
    least_span: float


def _look(
    image: Input, pixels: np.ndarray, predictor, options: Options, files: Files
) -> Seen | Large:
    threshold = predictor.threshold(options.threshold)
    scale, least_span = files.shared(image.page, threshold, options.diameter)
    maps = None
    if scale is None:
        scale, maps = predictor.choose_scale(pixels, threshold, options.diameter)
    if is_large(pixels, scale):
        return Large(pixels, scale, threshold, least_span)
    return predictor.look(pixels, threshold, scale, maps, least_span)


def _finish_large(
    image: Input, seen: Large, predictor: Predictor, options: Options, bar
) -> None:
    pixel_size = options.pixel_size or image.page.pixel_size
    found = predict_large(
        seen.image,
        predictor,
        scale=seen.scale,
        threshold=seen.threshold,
        least_span=seen.least_span,
        pixel_size=pixel_size,
        folder=options.output,
        files=_files(options, image.name, predictor.spreads),
    )
    about = found.image | {"threshold": seen.threshold, "scale": seen.scale}
    _write_record(image, options, about, found.table)
    bar.update()


def _finish(image: Input, seen, predictor: Predictor, options: Options, bar) -> None:
    pixel_size = options.pixel_size or image.page.pixel_size
    found = predictor.finish(seen, pixel_size)
    write_prediction(image.name, seen.image, found, pixel_size, options)
    _write_record(image, options, found.image, found.table)
    bar.update()


def write_prediction(
    name: str,
    image: np.ndarray,
    found: Prediction,
    pixel_size: float | None,
    options: Options,
) -> None:
    """Writes the files of one image that `options.only` names."""
    rasters = {
        "labels": lambda f: writers.write_labels(f, found.labels, pixel_size),
        "probability": lambda f: writers.write_map(f, found.probability, pixel_size),
        UNCERTAINTY: lambda f: writers.write_map(f, found.uncertainty, pixel_size),
    }
    files = _files(options, name, found.uncertainty is not None)
    table, boxes = found.table, found.boxes
    write_outputs(files, rasters, image, found.labels, table, boxes, pixel_size)


def _files(options: Options, name: str, spreads: bool) -> dict[str, Path]:
    """Of one image, by kinds; their folders are there."""
    kinds = list(options.only)
    if spreads and "probability" in kinds:
        kinds.append(UNCERTAINTY)
    files = {}
    for kind in kinds:
        ending = OUTPUTS.get(kind, ".tif")
        files[kind] = options.output / kind / f"{name}{ending}"
        files[kind].parent.mkdir(exist_ok=True)
    return files


def _claim(inputs: Inputs, predictor: Predictor, options: Options) -> None:
    """Makes the folder, or checks that it may be gone on with."""
    output = options.output
    _check_apart(inputs, output)
    settings = {
        "beadseg": __version__,
        "runs": [_identity(run) for run in predictor.runs],
        "threshold": options.threshold,
        "diameter": options.diameter,
        "pixel_size": options.pixel_size,
        "augment": predictor.augment,
        "only": list(options.only),
    }
    with writing(output, "-o"):
        output.mkdir(parents=True, exist_ok=True)
        holds = any(output.iterdir())
        if holds and not options.resume:
            raise BeadsegError(
                f"{output}: holds files already: give another folder with -o, or go on "
                "in it with --resume"
            )
        if holds:
            _check_same(output, settings)
        write_whole(output / SETTINGS, json.dumps(settings, indent=2) + "\n")
        (output / DONE).mkdir(exist_ok=True)


def _check_apart(inputs: Inputs, output: Path) -> None:
    """Raises if something written could lie among the images, or over one."""
    ours = {output.resolve(), *(output.resolve() / kind for kind in OUTPUTS)}
    for image in inputs.images:
        folder = image.page.path.resolve().parent
        if folder in ours:
            raise BeadsegError(
                f"{output}: the images lie there: give another folder with -o, so that "
                "nothing is written among them"
            )


def _identity(run) -> dict[str, str]:
    """Which weights, wherever the folder lies now."""
    digest = hashlib.blake2b(digest_size=8)
    for array in _leaves(run.weights):
        digest.update(np.ascontiguousarray(array).tobytes())
    return {"run": run.name, "weights": digest.hexdigest()}


def _leaves(tree: Any) -> list[np.ndarray]:
    if isinstance(tree, np.ndarray):
        return [tree]
    values = tree.values() if isinstance(tree, dict) else tree
    return [leaf for value in values for leaf in _leaves(value)]


def _check_same(output: Path, settings: dict[str, Any]) -> None:
    try:
        before = json.loads((output / SETTINGS).read_text())
    except (OSError, ValueError):
        raise BeadsegError(
            f"{output}: holds no prediction to go on with: give another folder with -o"
        ) from None
    for name, value in settings.items():
        was = before.get(name)
        if name == "runs":
            value, was = (
                [r.get("weights") for r in runs or []] for runs in (value, was)
            )
        if was != value:
            raise BeadsegError(
                f"{output}: was made with {name} = {was}, not {value}: give the same, "
                "or another folder with -o"
            )


def _record(image: Input, options: Options) -> Path:
    return options.output / DONE / f"{image.name}.npz"


def _write_record(
    image: Input, options: Options, about: dict[str, Any], table: Table
) -> None:
    """Written last: where it is, the files of the image are whole."""
    page = image.page
    about = {"image": image.name, "file": str(page.path), "page": page.index} | about
    content = io.BytesIO()
    words = np.array(json.dumps(about | {"stamp": page.stamp}))
    np.savez(content, about=words, **table)
    write_whole(_record(image, options), content.getvalue())


def _read_record(file: Path) -> tuple[dict[str, Any], Table]:
    with np.load(file, allow_pickle=False) as arrays:
        table = {name: arrays[name] for name in arrays.files if name != "about"}
        return json.loads(str(arrays["about"])), table


def _is_done(image: Input, options: Options) -> bool:
    file = _record(image, options)
    if not (options.resume and file.exists()):
        return False
    try:
        about, _ = _read_record(file)
    except Exception:  # damaged in any way: it is done again
        return False
    return about["stamp"] == list(image.page.stamp)


def _write_tables(done: list[Input], options: Options) -> list[dict[str, Any]]:
    """beads and images of all that is done; returns the rows of the images."""
    rows, tables = [], []
    for image in done:
        about, table = _read_record(_record(image, options))
        about.pop("stamp")
        rows.append(about)
        name = np.full(len(table["label"]), about["image"], dtype=object)
        tables.append({"image": name} | table)
    with writing(options.output, "-o"):
        for kind, content in (("beads", tables), ("images", [rows_to_table(rows)])):
            file = options.output / f"{kind}{options.tables}"
            writers.write_table(file, [table for table in content if table])
    return rows
