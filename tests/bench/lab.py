"""The lab's folder: the default model, and what fine-tuning with nothing told makes.

  BEADSEG_REAL_DATA=DIR:DIR python -m tests.bench.lab --write
  ... python -m tests.bench.lab --seeds 3 --deleted random:0.5 random:0.8 crowded:0.5
  ... python -m tests.bench.lab --folds 3 --only 0
  ... python -m tests.bench.lab --seeds 0 --sizes

The 44 sound crops of brightfield_dilution_dev. Crops of one frame share what stands
before _grid in their name; frames are dealt into folds, and each crop is predicted by a
model that was trained without its frame:

  python -m beadseg.main --config=configs/finetune.py --config.data.dir=CROPS
  beadseg predict CROPS --run RUN

A centre is right within 2 px of a connected piece of the mask, a piece found within 2
px of a centre, as in `tests.bench.real_sets`. Some masks lie beside their beads, by up
to 12 px in a corner: "on_beads" moves these to where the default model sees the beads
(`beadseg.partial.alignment`), "as_they_are" does not. Counts are compared with the
beads of the mask cut at its necks. `jaccard` is that of all pixels of a fold with the
marks, `jaccard_one_radius` that with marks redrawn as discs of one radius, the one that
fits best.

--sizes has the default model look at all crops at one scale after the other, where
the beads of about 7.9 px are larger and larger: F1 against time.

--deleted trains on masks that lack a share of their marks, at random or those in the
most crowded places, and says which share of the F1 is left.
"""

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile

from beadseg.data.frames import frame_of
from beadseg.data.images.reading import file_stem
from beadseg.data.masks.beads import crowding, number_beads
from beadseg.data.masks.labels import read_labels
from beadseg.data.masks.marked import centres
from beadseg.data.masks.points import discs
from beadseg.inference.run import load_runs
from beadseg.partial.alignment import aligned
from tests.bench.command import Predicted, predict
from tests.bench.real_sets import NEAR, Near, by_dilution, images_of, near_pieces
from tests.bench.record import keep, rounded
from tests.real_data import real_set

SET = "brightfield_dilution_dev"
FEW = 20  # pieces of a crop that is nearly empty
SCALES = (1.0, 1.27, 1.5, 2.0)  # at which the network sees the crops
RADII = np.arange(2.0, 6.01, 0.25)  # px, of redrawn marks


def folds_of(names: Sequence[str], count: int) -> list[list[str]]:
    """Names of the crops that are kept apart in each fold: whole frames."""
    frames = sorted({frame_of(n) for n in names}, key=lambda f: int(f.split("x")[0]))
    return [
        [n for n in names if frames.index(frame_of(n)) % count == fold]
        for fold in range(count)
    ]


def delete(labels: np.ndarray, how: str, rng: np.random.Generator) -> np.ndarray:
    """The mask less a share of its marks, "random:0.5" or "crowded:0.5"."""
    kind, _, share = how.partition(":")
    ids, index = number_beads(labels)
    order = rng.random(len(ids))
    if kind == "crowded" and len(ids):
        at = centres(labels)
        area = np.bincount(index.ravel(), minlength=len(ids) + 1)[1:]
        order -= crowding(at[:, 0], at[:, 1], 3 * np.sqrt(area / np.pi))
    gone = np.argsort(order)[: round(float(share) * len(ids))]
    return np.where(np.isin(labels, ids[gone]), 0, labels)


def make_folder(
    data: Path, names: Sequence[str], folder: Path, how: str | None
) -> None:
    """Copies crops; marks are deleted where `how` says so."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in names:
        (image,) = (data / "images").glob(f"{name}.*")
        (mask,) = (data / "masks").glob(f"{name}.*")
        shutil.copy(image, folder / "images")
        if how is None:
            shutil.copy(mask, folder / "masks")
        else:
            labels = delete(read_labels(mask), how, rng)
            white = 255 * (labels > 0).astype(np.uint8)
            tifffile.imwrite(folder / "masks" / f"{name}.tif", white)


def train(folder: Path, run: Path, seed: int, more: Sequence[str]) -> dict:
    """The command of the docstring; its summary and how long it took."""
    command = [sys.executable, "-m", "beadseg.main", "--config=configs/finetune.py"]
    command += [f"--config.data.dir={folder}", f"--workdir={run}", *more]
    if seed:
        command += [f"--config.seed={seed}", f"--config.data.seed={seed}"]
    started = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    summary = json.loads((run / "summary.json").read_text())
    return summary | {"seconds": time.monotonic() - started}


class Truth:
    """The marks of the crops, as they are and where their beads are."""

    def __init__(self, data: Path, names: Sequence[str], default: Predicted):
        """`default`: all crops, predicted by the default model."""
        self.labels = {}
        for name in names:
            (mask,) = (data / "masks").glob(f"{name}.*")
            self.labels[name] = read_labels(mask)
        self.on_beads = {
            name: aligned(labels, default.labels(name))[0]
            for name, labels in self.labels.items()
        }

    def figures(self, predicted: dict[str, Predicted]) -> dict:
        """Of a prediction of every crop."""
        found: dict[str, dict[str, Near]] = {"as_they_are": {}, "on_beads": {}}
        errors, false = [], []
        for name, of in predicted.items():
            at = of.centres(name)
            for place, masks in zip(found, (self.labels, self.on_beads), strict=True):
                found[place][name] = near_pieces(masks[name] > 0, at, NEAR)
            beads = len(np.unique(self.labels[name])) - 1
            errors.append(abs(len(at) - beads) / beads)
            near = found["on_beads"][name]
            if near.pieces < FEW:
                false.append(near.predicted - near.right)
        result = {}
        for place, of in found.items():
            result[place] = by_dilution(of) | {"f1": f1(of.values())}
        return result | {
            "mean_count_error": statistics.mean(errors),
            "false_beads_in_a_nearly_empty_crop": statistics.mean(false),
            **self._jaccards(predicted),
        }

    def _jaccards(self, predicted: dict[str, Predicted]) -> dict:
        drawn = {name: of.labels(name) > 0 for name, of in predicted.items()}

        def pooled(masks: dict[str, np.ndarray]) -> float:
            pairs = [(drawn[name], masks[name] > 0) for name in drawn]
            shared = sum(int((a & b).sum()) for a, b in pairs)
            return shared / max(sum(int((a | b).sum()) for a, b in pairs), 1)

        redrawn = [
            pooled(
                {
                    name: discs(centres(marks), 2 * radius, marks.shape)
                    for name, marks in self.on_beads.items()
                    if name in drawn
                }
            )
            for radius in RADII
        ]
        return {
            "jaccard": pooled(self.labels),
            "jaccard_on_beads": pooled(self.on_beads),
            "jaccard_one_radius": max(redrawn),
            "radius": float(RADII[int(np.argmax(redrawn))]),
        }


def sizes(files: Sequence[Path], truth: Truth, home: Path) -> list[dict]:
    """The default model at one scale after the other."""
    low, high = load_runs([])[0].sizes
    rows = []
    for scale in SCALES:
        told = math.sqrt(2 * low * high) / scale  # that is looked at there
        found = predict(files, home / f"scale-{scale}", ["--diameter", f"{told:.2f}"])
        figures = truth.figures(dict.fromkeys(found.images, found))
        row = {"scale": scale, "seconds": found.seconds}
        rows.append(row | {"f1": figures["on_beads"]["f1"]})
        print(json.dumps(rows[-1]), flush=True)
    return rows


def f1(found) -> float:
    """Of centres and pieces, all images pooled."""
    total = Near(*(sum(column) for column in zip(*found, strict=True)))
    precision = total.right / max(total.predicted, 1)
    recall = total.found / max(total.pieces, 1)
    return 2 * precision * recall / max(precision + recall, 1e-9)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--only", type=int, help="one fold of them")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--deleted", nargs="*", default=[], metavar="KIND:SHARE", help="random:0.5 ..."
    )
    parser.add_argument("--sizes", action="store_true", help="F1 against size")
    parser.add_argument("--set", nargs="*", default=[], help="flags of training")
    parser.add_argument("--keep", type=Path, help="folder of runs that are kept")
    parser.add_argument("--write", action="store_true", help="keep in results/lab.json")
    options = parser.parse_args()
    if options.write and (options.only is not None or options.set or options.keep):
        parser.error("--write is for all folds with nothing told: leave the rest out")
    try:
        data = real_set(SET)
    except FileNotFoundError as error:
        parser.error(str(error))
    files = images_of(data)
    names = [file_stem(file) for file in files]
    folds = folds_of(names, options.folds)
    chosen = range(options.folds) if options.only is None else [options.only]
    results: dict = {"images": len(names), "folds": folds, "finetuned": []}
    with tempfile.TemporaryDirectory() as temporary:
        home = options.keep or Path(temporary)
        default = predict(files, home / "default")
        truth = Truth(data, names, default)
        tested = [name for fold in chosen for name in folds[fold]]
        results["default"] = truth.figures({name: default for name in tested})
        show("default", results["default"])
        if options.sizes:
            results["sizes"] = sizes(files, truth, home)
        for how in (None, *options.deleted):
            for seed in range(options.seeds):
                of, runs = {}, []
                for fold in chosen:
                    place = home / f"{how}-{seed}-{fold}".replace(":", "-")
                    kept = [n for n in names if n not in folds[fold]]
                    make_folder(data, kept, place / "crops", how)
                    runs.append(
                        train(place / "crops", place / "run", seed, options.set)
                    )
                    apart = [f for f in files if file_stem(f) in folds[fold]]
                    model = ["--run", str(place / "run")]
                    found = predict(apart, place / "predicted", model)
                    of |= dict.fromkeys(found.images, found)
                row = {"deleted": how, "seed": seed} | truth.figures(of)
                fields = ("verdict", "seconds", "completeness", "scale", "threshold")
                row["runs"] = [{k: run.get(k) for k in fields} for run in runs]
                results["finetuned"].append(row)
                show(f"fine-tuned, seed {seed}, deleted {how}", row)
    whole = {
        r["seed"]: r["on_beads"]["f1"] for r in results["finetuned"][: options.seeds]
    }
    for row in results["finetuned"]:
        row["f1_kept"] = row["on_beads"]["f1"] / whole[row["seed"]]
    if options.write:
        keep("lab", rounded(results))


def show(what: str, row: dict) -> None:
    """A few lines to read while it goes on."""
    print(what)
    for place in ("as_they_are", "on_beads"):
        for name, found in row[place]["dilutions"].items():
            told = f"{found['precision']:.3f} {found['recall']:.3f}"
            print(f"  {place:12} {name:>7} precision, recall {told}")
        error = row[place]["slope_error"]
        print(f"  {place:12} F1 {row[place]['f1']:.3f}, slope error {error}")
    for field in (
        "mean_count_error",
        "false_beads_in_a_nearly_empty_crop",
        "jaccard",
        "jaccard_on_beads",
        "jaccard_one_radius",
        "radius",
    ):
        print(f"  {field} {row[field]:.3f}")
    print(json.dumps(row.get("runs")), flush=True)


if __name__ == "__main__":
    main()
