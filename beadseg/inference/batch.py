"""Many images to files: reading, network and writing at the same time.

While the network looks at an image the next is read and the last is measured and
written, each on a thread of its own; no more than one waits at each place, so memory
does not grow with the number of images.
"""

import hashlib
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from beadseg import __version__
from beadseg.config import flatten
from beadseg.data.images.reading import ReadError, check_image
from beadseg.data.images.stacks import PLACE
from beadseg.errors import BeadsegError
from beadseg.files import (
    folder_lock,
    holds_files,
    read_json,
    remove_leftovers,
    write_json,
    writing,
)
from beadseg.inference import doubts
from beadseg.inference.files import Files
from beadseg.inference.inputs import Input, Inputs
from beadseg.inference.outputs import writers
from beadseg.inference.outputs.channels import in_channels
from beadseg.inference.outputs.kinds import (
    OUTPUTS,
    Predicted,
    choices,
    output_of,
    write_outputs,
)
from beadseg.inference.outputs.regions import Regions, counting
from beadseg.inference.prediction import Prediction
from beadseg.inference.predictor import NetworkOutput, Predictor
from beadseg.inference.records import (
    DONE,
    read_as,
    read_record,
    record_of,
    write_record,
)
from beadseg.inference.scratch import Scratch, is_large
from beadseg.inference.settings import CALIBRATED, FILE, Settings
from beadseg.quoting import printable, some_of
from beadseg.sweep.claims import Claims
from beadseg.tables import constant, rows_to_table

TASKS = ".tasks"  # what several processes share, see `beadseg.inference.shares`
CLAIMS = f"{TASKS}/claims"
_NUMBER = re.compile(r"\d[\d,.]*")
_SINGLY = 3  # images of a note that are named, and have a line each if they are all
_KEPT = ("stamp", "read", "decisions")  # in records, in no table
LEASE = 180.0  # s without a sign of life before another process takes over


@dataclass(frozen=True)
class Options:
    """How to predict a batch."""

    output: Path
    settings: Settings = field(default_factory=Settings)
    pixel_size: float | None = None  # um, instead of what the files say
    edge: str = "corrected"  # of `outputs.measure.EDGES`
    regions: Regions = field(default_factory=Regions)
    only: tuple[str, ...] = field(default_factory=choices)
    tables: str = ".csv"  # ending of beads and images
    dialect: str = "plain"  # of CSV, see `tables.DIALECTS`
    channels: str = "auto"  # of `outputs.columns.CHANNELS`
    resume: bool = False


def predict_batch(
    inputs: Inputs, predictor: Predictor, options: Options
) -> dict[str, Any]:
    """Predicts images into a prediction folder.

    Returns:
      "images" (one dict per image), "failed" (lines), "notes" and "doubts" (likewise),
      "skipped" (done before), "seconds".

    Raises:
      BeadsegError: the folder cannot be used or written.
    """
    with folder_alone(inputs, options):
        return _predict(inputs, predictor, options)


@contextmanager
def folder_alone(inputs: Inputs, options: Options) -> Iterator[None]:
    """Holds the folder that no other process writes, apart from the images.

    Raises:
      BeadsegError: it cannot be used.
    """
    _check_apart(inputs, options.output)
    with writing(options.output, "-o"):
        options.output.mkdir(parents=True, exist_ok=True)
        _holds_files(options)
    with folder_lock(options.output, "-o"):
        claims = options.output / CLAIMS
        if claims.exists() and not Claims(claims, LEASE).alone():
            raise BeadsegError(
                f"{options.output}: tasks of a job work in this folder: wait until "
                "they have ended, or give another with -o"
            )
        yield


def _predict(inputs: Inputs, predictor: Predictor, options: Options) -> dict[str, Any]:
    started = time.monotonic()
    begin(predictor, options)
    left = [image for image in inputs.images if not is_done(image, options)]
    failed = list(inputs.problems)
    files = Files([image.page for image in inputs.images], predictor.runs[0])
    bar = tqdm(
        total=len(inputs.images),
        initial=len(inputs.images) - len(left),
        unit="image",
        desc="predicting",
        disable=None,
    )
    with bar:
        failed += predict_images(left, files, predictor, options, bar)
    skipped = len(inputs.images) - len(left)
    return join(inputs, predictor, options, failed, skipped, started)


def predict_images(
    left: list[Input], files: Files, predictor: Predictor, options: Options, bar: tqdm
) -> list[str]:
    """Writes all files of the images, and a record each; lines on those that failed.

    Args:
      files: of all images of the batch.
      bar: goes on by one per image.
    """
    failed: list[str] = []
    with (
        ThreadPoolExecutor(1) as reader,
        ThreadPoolExecutor(1) as writer,
        writing(options.output, "-o"),
    ):
        _flow(left, predictor, options, files, reader, writer, failed, bar)
    return failed


def join(
    inputs: Inputs,
    predictor: Predictor,
    options: Options,
    failed: list[str],
    skipped: int,
    started: float,
) -> dict[str, Any]:
    """Writes what is of all images, from their records; see `predict_batch`."""
    done = [i.name for i in inputs.images if _record(i, options).exists()]
    calibrated = predictor.has_calibrated_scores
    rows, notes, lines = write_tables(done, calibrated, options, failed)
    return {
        "output": str(options.output),
        "runs": [run.name for run in predictor.runs],
        "images": rows,
        "failed": failed,
        "notes": notes,
        "doubts": lines,
        "skipped": skipped,
        "seconds": time.monotonic() - started,
    }


def _flow(left, predictor, options, files, reader, writer, failed, bar) -> None:
    """Three stages; each is at most one image ahead of the next."""
    following: list[Future] = []
    written: Future | None = None
    try:
        for i, image in enumerate(left):
            read = (
                following.pop(0) if following else reader.submit(_read, image, options)
            )
            if i + 1 < len(left) and not is_large(left[i + 1].page.shape):
                following.append(reader.submit(_read, left[i + 1], options))
            try:
                pixels, *region = read.result()
                seen = _look(image, pixels, predictor, options, files)
            except ReadError as error:
                failed.append(str(error))
                bar.update()
                continue
            del pixels, read
            if written is not None:
                written.result()
            if is_large(seen.image.shape):  # alone: memory should hold no more
                _finish(image, seen, *region, predictor, options, bar)
                continue
            written = writer.submit(
                _finish, image, seen, *region, predictor, options, bar
            )
        if written is not None:
            written.result()
    finally:
        for future in following:
            future.cancel()


def _read(
    image: Input, options: Options
) -> tuple[np.ndarray, np.ndarray | None, list[int]]:
    """The image, its region, and the stamp of both."""
    pixels = image.page.read()
    check_image(pixels, image.page.where, constant=True)
    return pixels, options.regions.of(image), options.regions.stamp(image)


def _look(
    image: Input,
    pixels: np.ndarray,
    predictor: Predictor,
    options: Options,
    files: Files,
) -> NetworkOutput:
    allocate = np.zeros
    if is_large(pixels.shape):
        allocate = partial(Scratch, options.output)
    return predictor.look(
        pixels,
        options.settings,
        options.pixel_size or image.page.pixel_size,
        files.least_span(image.page),
        allocate,
    )


def _finish(
    image: Input, seen, region, stamp, predictor: Predictor, options: Options, bar
) -> None:
    page = image.page
    pixel_size = options.pixel_size or page.pixel_size
    found = predictor.finish(seen, pixel_size, region, options.edge)
    more, problems = in_channels(
        *(page, options.channels, found.labels, found.table, found.boxes),
        *(found.probability, found.image["threshold"]),
    )
    found = replace(found, table=found.table | more, notes=(*found.notes, *problems))
    where = {"file": printable(page.path), "page": page.index} | dict(page.place)
    where |= {"stamp": stamp, "read": read_as(page)}
    write_image(image.name, found, where, options, region)
    bar.update()


def write_image(
    name: str,
    found: Prediction,
    where: dict[str, Any],
    options: Options,
    region: np.ndarray | None = None,
) -> None:
    """Writes all files of an image, and at last its record.

    Args:
      name: of the image, and of its files.
      found: what was found in it.
      where: its "file", "page" and "stamp", and its place among others.
      options: of the batch.
      region: bool[H, W], where beads count.
    """
    of = Predicted(found.pixels, found, found.pixel_size, region)
    write_outputs(options.output, name, options.only, of)
    about = {"image": name} | where | found.image | {"notes": list(found.notes)}
    write_record(record_of(options.output, name), about, found.table)


def begin(predictor: Predictor, options: Options) -> None:
    """Checks that the folder is empty or may be continued, and says what it is."""
    output = options.output
    with writing(output, "-o"):
        if _holds_files(options):
            check_same(predictor, options)
        remove_leftovers(output, *(output / kind for kind in (DONE, *OUTPUTS)))
        write_json(output / FILE, _settings(predictor, options))
        (output / DONE).mkdir(exist_ok=True)


def _settings(predictor: Predictor, options: Options) -> dict[str, Any]:
    return {
        "beadseg": __version__,
        "runs": [_identity(run) for run in predictor.runs],
        **asdict(options.settings),
        "pixel_size": options.pixel_size,
        "augment": predictor.augment,
        "only": list(options.only),
        **counting(options.edge, options.regions),
        "channels": options.channels,
        CALIBRATED: predictor.has_calibrated_scores,
    }


def _check_apart(inputs: Inputs, output: Path) -> None:
    """Raises if something written could lie among the images, or over one."""
    root = Path(os.path.realpath(output))  # whose links may lead in a circle
    ours = {root, *(root / kind for kind in OUTPUTS)}
    for path in {image.page.path for image in inputs.images}:
        if Path(os.path.realpath(path)).parent in ours:
            raise BeadsegError(
                f"{output}: the images lie there: give another folder with -o, so that "
                "nothing is written among them"
            )


def _identity(run) -> dict[str, str]:
    """Which weights, wherever the folder lies now."""
    digest = hashlib.blake2b(digest_size=8)
    for array in flatten(run.weights._asdict()).values():
        digest.update(np.ascontiguousarray(array).tobytes())
    return {"run": run.name, "weights": digest.hexdigest()}


def check_same(predictor: Predictor, options: Options) -> None:
    """Raises if what lies in the folder was predicted in another way."""
    output, settings = options.output, _settings(predictor, options)
    try:
        # What has none of these was written before they were there.
        asked = {name: settings[name] for name in ("channels", CALIBRATED)}
        before = counting("corrected", Regions()) | asked | read_json(output / FILE)
    except (OSError, ValueError):
        raise BeadsegError(
            f"{output}: holds no prediction to continue: give another folder with -o"
        ) from None
    for name, value in settings.items():
        was = before.get(name)
        if name == "runs":
            value, was = (_weights_of(runs) for runs in (value, was))
        if was != value:
            raise BeadsegError(
                f"{output}: was made with {name} = {was}, not {value}: give the same, "
                "or another folder with -o"
            )


def _holds_files(options: Options) -> bool:
    """Whether there is something in the folder to continue."""
    holds = holds_files(options.output)
    if holds and not options.resume:
        raise BeadsegError(
            f"{options.output}: holds files already: give another folder with -o, or "
            "continue it with --resume"
        )
    return holds


def _weights_of(runs: Any) -> list[Any]:
    runs = runs if isinstance(runs, list) else []
    return [run.get("weights") for run in runs if isinstance(run, dict)]


def _record(image: Input, options: Options) -> Path:
    return record_of(options.output, image.name)


def is_done(image: Input, options: Options) -> bool:
    file = _record(image, options)
    if not (options.resume and file.exists()):
        return False
    try:
        about, _ = read_record(file)
        if about["stamp"] != options.regions.stamp(image):
            return False
        # What a person has decided since is for `beadseg review` to write anew.
        return bool(about.get("decisions")) or all(
            output_of(options.output, image.name, kind).exists()
            for kind in options.only
        )
    except Exception:  # damaged in any way: it is done again
        return False


def write_tables(
    done: list[str], calibrated: bool, options: Options, failed: list[str]
) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    """Writes beads and images of all that is done, by name.

    Args:
      done: names of images that have a record.
      calibrated: see `doubts.mark`.
      failed: lines on records that are damaged are added.

    Returns:
      The rows of the images; lines that were noted of single ones; lines of doubt.
    """
    rows, tables, noted = [], [], []
    for image in done:
        file = record_of(options.output, image)
        try:
            about, table = read_record(file)
        except Exception as error:  # damaged in any way
            failed.append(
                f"{printable(file)}: damaged ({printable(error)}): "
                "run beadseg predict again with --resume"
            )
            continue
        for kept in _KEPT:
            about.pop(kept, None)
        noted += [(about["image"], note) for note in about.pop("notes")]
        rows.append(about)
        where = {key: about[key] for key in ("image", *PLACE) if key in about}
        tables.append(constant(len(table["label"]), **where) | table)
    lines = doubts.mark(rows, calibrated)
    with writing(options.output, "-o"):
        for kind, content in (("beads", tables), ("images", [rows_to_table(rows)])):
            file = options.output / f"{kind}{options.tables}"
            some = [table for table in content if table]
            writers.write_table(file, some, options.dialect)
    return rows, _together(noted), lines


def _together(noted: list[tuple[str, str]]) -> list[str]:
    """A line for each note on an image; for many that differ by numbers, one in all."""
    alike: dict[str, list[tuple[str, str]]] = {}
    for image, note in noted:
        alike.setdefault(_NUMBER.sub("0", note), []).append((image, note))
    lines = []
    for some in alike.values():
        if len(some) <= _SINGLY:
            lines += [f"{image}: {note}" for image, note in some]
        else:
            images = some_of([image for image, _ in some], _SINGLY)
            lines.append(f"{images}: such as {some[0][1]}")
    return lines
