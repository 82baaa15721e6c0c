"""Evidence from a run folder: its curves, and its network on its validation images.

What is missing is left out and said: a run cut short still has curves.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from beadseg import old_names
from beadseg.analysis.diagnosis.evidence import Evidence, ExaminedImage, pool
from beadseg.analysis.fingerprint import find_duplicates, share_labelled
from beadseg.analysis.image_facts import thumbnail
from beadseg.config import base_config
from beadseg.errors import BeadsegError
from beadseg.files import read_json
from beadseg.inference.estimate import estimate
from beadseg.partial.agreement import agree
from beadseg.training.tracking.summary import best_of

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
    """Reads a run and predicts its validation images.

    Args:
      run: the folder of the run.
      data: of the images, where they have moved since.
      most: validation tiles that are looked at.

    Raises:
      BeadsegError: it is no run folder, or nothing in it can be used.
    """
    if not run.is_dir():
        raise BeadsegError(f"{run}: no such folder: give the folder of a run")
    stored = _read(run / "config.json")
    if stored is None:
        raise BeadsegError(f"{run}: no config.json in it: this is no run folder")
    config = _as_config(stored, run)
    if data is not None:
        config.data.dir = str(data)
    rows = _rows(run / "metrics.jsonl")
    curve = tuple(row for row in rows if row.get("kind") == "validation")
    notes = []
    if not curve:
        notes.append(
            "metrics.jsonl holds no validation: the run ended before its first."
        )
    known: dict[str, Any] = {
        "curve": curve,
        "training": tuple(row for row in rows if row.get("kind") == "train_epoch"),
        "steps": tuple(row for row in rows if row.get("kind") == "train"),
        "config": stored,
    }
    threshold = _threshold(run, curve)
    images: tuple[ExaminedImage, ...] = ()
    try:
        images, more = _predicted(run, config, threshold, most)
        known |= more
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
) -> tuple[tuple[ExaminedImage, ...], dict[str, Any]]:
    from beadseg.data import splits
    from beadseg.data.builders import open_dataset
    from beadseg.training.weights import WEIGHTS, read_weights

    if not (run / WEIGHTS).exists():
        raise BeadsegError(f"{run / WEIGHTS} is not there: the run has not ended")
    stored = _read(run / "split.json")
    if stored is None:
        raise BeadsegError(f"{run / 'split.json'} is not there")
    dataset = open_dataset(config)
    truth = dataset
    if not config.data.dir and config.data.generated.damage != "none":
        whole = config.copy_and_resolve_references()
        whole.data.generated.damage = "none"
        truth = open_dataset(whole)
    sides = splits.from_json(stored, truth.records)
    weights = read_weights(run / WEIGHTS)
    chosen = _spread(sides.validation, most)
    size = 24.0
    if dataset.bead_diameter_px:
        size = dataset.bead_diameter_px * dataset.scale
    network = _Network(config, weights)
    images = tuple(
        network.predict(truth.records[i].name, truth[i], threshold, size)
        for i in chosen
    )
    labelled, seen = _completeness(dataset, _spread(sides.train, _MASKS))
    return images, {
        "expected_diameter": size,
        "labelled": labelled,
        "seen": seen,
        "leaks": tuple(_leaks(dataset, sides)),
    }


class _Network:
    """The network of a run, compiled once for each padded shape."""

    def __init__(self, config: ConfigDict, weights: Any):
        import jax

        from beadseg import models

        model = models.build(config.model)
        self._stride = model.stride
        variables = {"params": weights.params, "batch_stats": weights.statistics}
        self._apply = jax.jit(lambda image: model.apply(variables, image))

    def predict(
        self, name: str, tile: dict, threshold: float, size: float
    ) -> ExaminedImage:
        from scipy.special import expit

        from beadseg.data.masks.instances import find_beads

        image = tile["image"]
        height, width = image.shape
        # Few shapes: each is compiled anew.
        step = max(self._stride, 64)
        pad = [(0, -n % step) for n in image.shape]
        padded = np.pad(image, pad, mode="symmetric")[None, ..., None]
        out = self._apply(padded.astype(np.float32))
        maps = {
            head: expit(np.asarray(out[head], np.float32))[0, :height, :width, 0]
            for head in ("mask", "distance")
            if head in out
        }
        beads = find_beads(maps["mask"], maps.get("distance"), threshold, diameter=size)
        return ExaminedImage(name, image, tile["labels"], maps["mask"], beads)


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
    summary = _read(run / "summary.json")
    threshold = (summary or {}).get("threshold")
    if type(threshold) in (int, float) and 0 <= threshold <= 1:
        return float(threshold)
    best = best_of(list(curve)) if curve else {}
    return float(best.get("threshold", 0.5))


def _read(file: Path) -> Any | None:
    try:
        return read_json(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BeadsegError(f"{file}: damaged ({error})") from error


def _rows(file: Path) -> list[dict[str, Any]]:
    """Lines of the log; a last one cut in the middle is left out."""
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return []
    rows = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return [old_names.row(row) for row in rows if isinstance(row, dict)]


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
    except (TypeError, AttributeError) as error:
        raise BeadsegError(f"{run / 'config.json'}: damaged ({error})") from error
    return config
