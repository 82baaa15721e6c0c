"""Evidence from a run folder: its curves, and its network on its validation images.

What is missing is left out and said: a run cut short still has curves.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from beadseg.analysis.diagnosis.evidence import Evidence, ExaminedImage, pool
from beadseg.analysis.fingerprint import find_duplicates, share_labelled
from beadseg.analysis.image_facts import thumbnail
from beadseg.config import base_config, check_ranges
from beadseg.data import splits
from beadseg.data.builders import open_dataset
from beadseg.data.dataset import Dataset
from beadseg.data.masks import sizes
from beadseg.data.masks.instances import find_beads
from beadseg.errors import BeadsegError
from beadseg.files import read_json_or_none
from beadseg.inference.estimate import estimate
from beadseg.inference.networks.tiles import Network
from beadseg.inference.predictor import Predictor
from beadseg.inference.run import load_run, read_part
from beadseg.partial.agreement import agree
from beadseg.training import beads
from beadseg.training.run_data import open_both
from beadseg.training.tracking.summary import SUMMARY, best_of
from beadseg.training.tracking.tracker import read_rows
from beadseg.training.weights import WEIGHTS

LOOKED_AT = 16  # validation tiles; all is not needed to see an illness
_MASKS = 8  # training tiles whose masks are compared with the estimate
_PICTURES = 400  # tiles of each side among which copies are looked for


class RunEvidence(NamedTuple):
    """A run as far as it could be looked into."""

    evidence: Evidence
    images: tuple[ExaminedImage, ...]
    config: ConfigDict
    notes: tuple[str, ...]  # what could not be computed, and why


def examine_run(
    run: Path, data: Path | None = None, most: int = LOOKED_AT
) -> RunEvidence:
    """Reads a run and predicts at most `most` of its validation tiles.

    `data` is the folder of the images, where they have moved since.

    Raises:
      BeadsegError: it is no run folder, or nothing in it can be used.
    """
    if not run.is_dir():
        raise BeadsegError(f"{run}: no such folder: give the folder of a run")
    stored = read_part(run, "config.json")
    if stored is None:
        raise BeadsegError(f"{run}: no config.json in it: this is no run folder")
    config = _as_config(stored, run)
    if data is not None:
        config.data.dir = str(data)
    rows = read_rows(run / "metrics.jsonl")
    curve = tuple(row for row in rows if row["kind"] == "validation")
    notes = []
    if not curve:
        notes.append(
            "metrics.jsonl holds no validation: the run ended before its first."
        )
    known: dict[str, Any] = {
        "curve": curve,
        "training": tuple(row for row in rows if row["kind"] == "train_epoch"),
        "config": stored,
    }
    threshold = _threshold(run, curve)
    images: tuple[ExaminedImage, ...] = ()
    try:
        images, more, notes_of_run = _predicted(run, config, threshold, most)
        known |= more
        notes += notes_of_run
    except BeadsegError as error:
        notes.append(f"No image was predicted: {error}")
    if not curve and not images:
        raise BeadsegError(
            f"{run}: neither curves nor weights: train it further, then diagnose it "
            f"({notes[-1]})"
        )
    return RunEvidence(pool(images, threshold, **known), images, config, tuple(notes))


def _predicted(
    run: Path, config: ConfigDict, threshold: float, most: int
) -> tuple[tuple[ExaminedImage, ...], dict[str, Any], tuple[str, ...]]:
    """What its network makes of its images, what else they tell, and notes."""
    if not (run / WEIGHTS).exists():
        ended = (run / SUMMARY).exists()
        why = "copy the run folder again" if ended else "the run has not ended"
        raise BeadsegError(f"{run / WEIGHTS} is not there: {why}")
    stored = read_part(run, "split.json")
    if stored is None:
        raise BeadsegError(f"{run / 'split.json'} is not there")
    settled = sizes.settled(config, read_part(run, "dataset.json"))
    dataset, truth = open_both(settled)
    sides = splits.from_json(stored, truth.records)
    loaded, size = load_run(run), 24.0
    if config.data.dir and dataset.sizes:
        dataset, sides = _as_they_are(settled, dataset, sides)
        truth, size = dataset, float("nan")  # of any
        look = partial(_on_pyramid, Predictor([loaded]), threshold)
    else:
        if dataset.bead_diameter_px:
            size = dataset.bead_diameter_px * dataset.scale
        look = partial(
            _at_one_scale, Network(loaded), threshold, beads.options(dataset)
        )
    images = []
    for i in _spread(sides.validation, most):
        tile = truth[i]
        seen = ExaminedImage(
            *(truth.records[i].name, tile["image"], tile["labels"]),
            *look(tile["image"]),
        )
        images.append(seen)
    labelled, seen = _completeness(dataset, _spread(sides.train, _MASKS))
    more = {
        "expected_diameter": size,
        "labelled": labelled,
        "seen": seen,
        "leaks": tuple(_leaks(dataset, sides)),
    }
    return tuple(images), more, loaded.notes


def _as_they_are(
    config: ConfigDict, dataset: Dataset, sides: splits.Split
) -> tuple[Dataset, splits.Split]:
    """The images of a data set of levels of pyramids, and the sides that they are on.

    What training sees is single levels, which lack the beads of the others.
    """
    config = config.copy_and_resolve_references()
    with config.ignore_type():
        config.data.sizes, config.data.bead_diameter = sizes.ONE, 0.0
    whole = open_dataset(config)
    numbers = []
    for side in (sides.train, sides.validation):
        images = {dataset.records[i].image for i in side}
        tiles = enumerate(whole.records)
        numbers.append(tuple(i for i, r in tiles if r.has_mask and r.image in images))
    return whole, splits.Split(*numbers, sides.strata)


def _at_one_scale(network, threshold, options, image) -> tuple[np.ndarray, np.ndarray]:
    """Probability and beads, as training finds them."""
    found = network.predict(image)
    labels = find_beads(found.probability, found.distance, threshold, **options)
    return found.probability, labels


def _on_pyramid(predictor, threshold, image) -> tuple[np.ndarray, np.ndarray]:
    """The same of beads of any size, by their scores, as prediction finds them."""
    found = predictor.predict(image, threshold)
    return found.probability, found.labels


def _completeness(dataset, chosen) -> tuple[float, float]:
    """Medians of the share labelled of what is seen, and seen of what is labelled."""
    shares = []
    for i in chosen:
        tile = dataset[i]
        found, labels = estimate(tile["image"]), tile["labels"]
        if not (labels > 0).any():
            continue
        agreement = agree(tile["image"], labels, found)
        pair = share_labelled(found, agreement, None)
        if None not in pair:
            shares.append(pair)
    if not shares:
        return float("nan"), float("nan")
    return tuple(float(v) for v in np.median(np.array(shares), 0))


def _leaks(dataset, sides) -> Iterator:
    """Copies among tiles of both sides."""
    chosen = [_spread(side, _PICTURES) for side in (sides.train, sides.validation)]
    names, pictures, digests = [], [], []
    for i in (*chosen[0], *chosen[1]):
        image = dataset[i]["image"]
        names.append(dataset.records[i].name)
        pictures.append(thumbnail(image))
        digests.append(image.tobytes())
    held = {dataset.records[i].name for i in sides.validation}
    for pair in find_duplicates(names, pictures, digests):
        if (pair.first in held) != (pair.second in held):
            yield pair


def _spread(indices, most: int) -> list[int]:
    if len(indices) <= most:
        return list(indices)
    places = np.linspace(0, len(indices) - 1, most).round().astype(int)
    return [indices[i] for i in places]


def _threshold(run: Path, curve) -> float:
    summary = read_json_or_none(run / SUMMARY)  # damage is said as the run is loaded
    best = best_of(list(curve)) if curve else {}
    for source in (summary or {}, best):
        threshold = source.get("threshold")
        if type(threshold) in (int, float) and 0 <= threshold <= 1:
            return float(threshold)
    return 0.5


def _as_config(stored: dict, run: Path) -> ConfigDict:
    """The settings of a run over those of today, which may know more fields."""
    config = base_config()

    def set_all(target: ConfigDict, values: dict) -> None:
        for name, value in values.items():
            if name not in target:
                continue
            if isinstance(target[name], ConfigDict):
                set_all(target[name], value)
            elif value is not None:
                target[name] = tuple(value) if isinstance(value, list) else value

    try:
        set_all(config, stored)
        check_ranges(config)
    except (TypeError, AttributeError, BeadsegError) as error:
        raise BeadsegError(
            f"{run / 'config.json'}: damaged ({error}): copy this file again"
        ) from error
    return config
