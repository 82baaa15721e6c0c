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

--keep holds what was trained and predicted: the same command continues there.

A centre is right within 2 px of a connected piece of the mask, a piece found within 2
px of a centre, as in `tests.bench.real_sets`. Some masks lie beside their beads, by up
to 12 px in a corner: "on_beads" moves these to where the default model sees the beads
(`beadseg.partial.alignment`), "as_they_are" does not.

Marks of beads that touch are one piece, which hides beads and bends the slope of the
pieces: in the thickest dilution they are a third fewer than the beads. "beads" are the
centres of marks (`mark_centres`), each with one predicted centre within half a bead at
most; counts are compared with their number. Those that were counted by eye, in four
crops and in windows of four of the thickest dilution, say how right that is: 671 by
eye, 671 marks, 633 when pieces are cut at their necks. The slope of "pieces" is that of
what hangs together, of the prediction as of the masks: like with like.

`jaccard` is that of all pixels of a fold with the marks, `jaccard_one_radius` that with
marks redrawn as discs of one radius, the one that fits best. The two of "marks_redrawn"
are what discs of one radius at the very centres of the marks reach, with marks as they
are and on their beads: more has nobody who draws equal beads.

--sizes has the default model look at all crops at one scale after the other, where
the beads of about 7.9 px are larger and larger: F1 against time.

--deleted trains on masks that lack a share of their marks, at random or those in the
most crowded places, and says which share of the F1 is left: on the first fold alone.
--scratch has configs/dice.py train on the same crops, without the default model.

--verify says how complete `beadseg verify` finds the masks, and those that lack half of
their marks. --walk goes from the folder of the lab, all crops and masks in it, to the
calibrated count.
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
from scipy import ndimage
from scipy.spatial import cKDTree

from beadseg import matching
from beadseg.data.cache import hash_file
from beadseg.data.frames import frame_of
from beadseg.data.images.reading import file_stem
from beadseg.data.masks.beads import crowding, number_beads
from beadseg.data.masks.labels import read_labels
from beadseg.data.masks.marks import centres, mark_centres
from beadseg.default_model import DEFAULT
from beadseg.inference.run import load_runs
from beadseg.partial.alignment import aligned
from beadseg.training.weights import WEIGHTS
from tests.bench.command import Predicted, predict, read
from tests.bench.real_sets import NEAR, Near, by_dilution, images_of, near_pieces
from tests.bench.record import keep, rounded
from tests.real_data import real_set

SET = "brightfield_dilution_dev"
FEW = 20  # pieces of a crop that is nearly empty
SCALES = (1.0, 1.27, 1.5, 2.0)  # at which the network sees the crops
ALL_AROUND = np.ones((3, 3), bool)  # neighbours of a pixel, and it
RADII = np.arange(2.0, 6.01, 0.25)  # px, of redrawn marks
# Beads of crops by eye, of which touching ones have one piece of the mask: enlarged
# eight times, image and mask side by side.
COUNTED = {
    "1280x_2025-05-16_00-59-00_grid_r2_c3": 119,
    "2560x_2025-05-16_00-59-00_002_grid_r3_c6": 79,
    "640x_2025-05-16_00-59-00_002_grid_r1_c4": 205,
    "640x_2025-05-16_00-59-00_002_grid_r2_c4": 178,
}
# Of windows of the thickest dilution, by the image alone: rows and columns, beads.
DENSE = (200, 296)
COUNTED_THERE = {
    "320x_2025-05-16_00-59-00_grid_r3_c2": 30,
    "320x_2025-05-16_00-59-00_grid_r3_c4": 14,
    "320x_2025-05-16_00-59-00_grid_r3_c5": 25,
    "320x_2025-05-16_00-59-00_grid_r3_c7": 21,
}
HALF_A_BEAD = 4.0  # px
TOLD = (  # of the summary of a run
    *("verdict", "seconds", "completeness", "scale", "threshold", "share_of_start"),
    *("best_epoch", "start_score", "tuned_score"),
)


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


def timed(place: Path, *command: str | Path) -> float:
    """Runs a command of beadseg, with what it prints in PLACE.txt; its seconds.

    What was done before is not done again.

    Raises:
      RuntimeError: it failed.
    """
    said = place.with_suffix(".txt")
    seconds = place.with_suffix(".seconds")
    if not seconds.exists():
        said.parent.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        with said.open("w") as text:
            done = subprocess.run([sys.executable, "-m", *command], stdout=text)
        if done.returncode not in (0, 1):  # 1: it found what it looks for
            raise RuntimeError(f"{command[0]} ends with exit code {done.returncode}")
        seconds.write_text(str(time.monotonic() - started))
    return float(seconds.read_text())


def train(
    folder: Path, run: Path, seed: int = 0, recipe: str = "finetune", more=()
) -> dict:
    """The command of the docstring; its summary and how long it took."""
    command = ["beadseg.main", f"--config=configs/{recipe}.py"]
    command += [f"--config.data.dir={folder}", f"--workdir={run}", *more]
    if seed:
        command += [f"--config.seed={seed}", f"--config.data.seed={seed}"]
    seconds = timed(run, *command)
    return json.loads((run / "summary.json").read_text()) | {"seconds": seconds}


def seen(images: Sequence[Path], folder: Path, model: Sequence[str] = ()) -> Predicted:
    """`predict`, unless that was done before."""
    if (folder / "images.csv").exists():
        return read(folder)
    return predict(images, folder, model)


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
        self.beads = {name: mark_centres(m) for name, m in self.on_beads.items()}

    def figures(self, predicted: dict[str, Predicted]) -> dict:
        """Of a prediction of every crop."""
        found: dict[str, dict[str, Near]] = {"as_they_are": {}, "on_beads": {}}
        beads: dict[str, Near] = {}
        pieces: dict[str, Near] = {}
        false, by_eye, where_dense = [], [], []
        for name, of in predicted.items():
            at = of.centres(name)
            for place, masks in zip(found, (self.labels, self.on_beads), strict=True):
                found[place][name] = near_pieces(masks[name] > 0, at, NEAR)
            marks = self.beads[name]
            right = len(matching.match_points(marks, at, HALF_A_BEAD).truth)
            beads[name] = Near(len(at), right, len(marks), right)
            parts = [
                int(ndimage.label(labels > 0, ALL_AROUND)[1])
                for labels in (of.labels(name), self.on_beads[name])
            ]
            pieces[name] = Near(parts[0], 0, parts[1], 0)
            if name in COUNTED:
                by_eye.append(len(at) / COUNTED[name] - 1)
            if name in COUNTED_THERE:
                there = np.count_nonzero(((at >= DENSE[0]) & (at < DENSE[1])).all(1))
                where_dense.append((there, COUNTED_THERE[name]))
            near = found["on_beads"][name]
            if near.pieces < FEW:
                false.append(near.predicted - near.right)
        result = {}
        for place, of in (found | {"beads": beads}).items():
            result[place] = by_dilution(of) | {"f1": f1(of.values())}
        slopes = ("slope", "slope_of_masks", "slope_error")
        of_pieces = by_dilution(pieces)
        result["pieces"] = {key: of_pieces[key] for key in slopes}
        counts, counted = map(sum, zip(*where_dense or [(0, 0)], strict=True))
        return result | {
            "mean_count_error": statistics.mean(
                abs(near.predicted / near.pieces - 1) for near in beads.values()
            ),
            "mean_count_error_by_eye": statistics.mean(map(abs, by_eye or [0])),
            "count_by_eye_where_dense": counts / counted - 1 if counted else None,
            "false_beads_in_a_nearly_empty_crop": statistics.mean(false or [0]),
            **self._jaccards(predicted),
        }

    def _away(self, name: str) -> np.ndarray:
        """px from each pixel to the nearest centre of a mark, on its bead: f[H, W]."""
        pixels = np.stack(np.indices(self.labels[name].shape), -1)
        return cKDTree(self.beads[name]).query(pixels)[0]

    def _jaccards(self, predicted: dict[str, Predicted]) -> dict:
        drawn = {name: of.labels(name) > 0 for name, of in predicted.items()}
        away = {name: self._away(name) for name in drawn}
        redrawn = [
            {name: to <= radius for name, to in away.items()} for radius in RADII
        ]
        as_they_are, on_beads = (
            {name: masks[name] > 0 for name in drawn}
            for masks in (self.labels, self.on_beads)
        )
        one_radius = [pooled_jaccard(drawn, masks) for masks in redrawn]
        return {
            "jaccard": pooled_jaccard(drawn, as_they_are),
            "jaccard_on_beads": pooled_jaccard(drawn, on_beads),
            "jaccard_one_radius": max(one_radius),
            "radius": float(RADII[int(np.argmax(one_radius))]),
            "marks_redrawn": {
                "as_they_are": max(pooled_jaccard(m, as_they_are) for m in redrawn),
                "on_beads": max(pooled_jaccard(m, on_beads) for m in redrawn),
            },
        }


def pooled_jaccard(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """Of masks bool[H, W] by name, all pixels pooled."""
    shared = sum(int((one[name] & other[name]).sum()) for name in one)
    either = sum(int((one[name] | other[name]).sum()) for name in one)
    return shared / max(either, 1)


def sizes(files: Sequence[Path], truth: Truth, home: Path) -> list[dict]:
    """The default model at one scale after the other."""
    low, high = load_runs([])[0].sizes
    rows = []
    for scale in SCALES:
        told = math.sqrt(2 * low * high) / scale  # that is looked at there
        found = predict(files, home / f"scale-{scale}", ["--diameter", f"{told:.2f}"])
        figures = truth.figures(dict.fromkeys(found.images, found))
        row = {"scale": scale, "seconds": found.seconds}
        rows.append(row | {k: figures[k]["f1"] for k in ("on_beads", "beads")})
        print(json.dumps(rows[-1]), flush=True)
    return rows


def f1(found) -> float:
    """Of centres and pieces, all images pooled."""
    total = Near(*(sum(column) for column in zip(*found, strict=True)))
    precision = total.right / max(total.predicted, 1)
    recall = total.found / max(total.pieces, 1)
    return 2 * precision * recall / max(precision + recall, 1e-9)


def completeness(data: Path, names: Sequence[str], home: Path) -> list[dict]:
    """What `beadseg verify` says of whole masks, and of those that lack half."""
    rows = []
    for how in (None, "random:0.5"):
        place = home / f"verify-{how}".replace(":", "-")
        if not place.exists():
            make_folder(data, names, place, how)
        told = home / f"{place.name}.json"
        command = ["beadseg.cli", "verify", place, "-o", home / f"{place.name}-page"]
        timed(told, *command, "--json", told)
        found = json.loads(told.read_text())
        shares = [row["completeness"] for row in found["images"]]
        row = {"deleted": how, "pooled": found["completeness"], "lowest": min(shares)}
        rows.append(row | {"median": statistics.median(shares), "highest": max(shares)})
        print(json.dumps(rows[-1]), flush=True)
    return rows


def walk(data: Path, home: Path) -> dict:
    """From the folder of the lab to the calibrated count, and how long that takes."""
    run, out = home / "walk/run", home / "walk/out"
    told = home / "walk/calibration.json"
    steps = {
        "analyze": ["beadseg.cli", "analyze", data, "-o", home / "walk/analysis"],
        "verify": ["beadseg.cli", "verify", data, "-o", home / "walk/verify"],
        "train": ["beadseg.main", "--config=configs/finetune.py"],
        "predict": ["beadseg.cli", "predict", data, "--run", run, "-o", out],
        "calibrate": ["beadseg.cli", "calibrate", out, "--dilution", r"^(\d+)x_"],
    }
    steps["train"] += [f"--config.data.dir={data}", f"--workdir={run}"]
    steps["calibrate"] += ["--json", told]
    seconds = {name: timed(home / f"walk/{name}", *steps[name]) for name in steps}
    line = json.loads(told.read_text())["line"]
    return {
        "seconds": seconds | {"all": sum(seconds.values())},
        "slope": line["slope"],
        "interval": line["interval"],
    }


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
    parser.add_argument("--scratch", action="store_true", help="configs/dice.py")
    parser.add_argument("--sizes", action="store_true", help="F1 against size")
    parser.add_argument("--verify", action="store_true", help="completeness")
    parser.add_argument("--walk", action="store_true", help="analyze to calibrate")
    parser.add_argument("--set", nargs="*", default=[], help="flags of training")
    parser.add_argument("--keep", type=Path, help="folder of what is trained")
    parser.add_argument(
        "--write",
        action="store_true",
        help="keep in results/lab.json, or lab_finetuned.json",
    )
    options = parser.parse_args()
    if options.write and (options.only is not None or options.set):
        parser.error("--write is for all folds with nothing told: leave the rest out")
    try:
        data = real_set(SET)
    except FileNotFoundError as error:
        parser.error(str(error))
    files = images_of(data)
    names = [file_stem(file) for file in files]
    folds = folds_of(names, options.folds)
    chosen = list(range(options.folds)) if options.only is None else [options.only]
    told = [word for word in sys.argv[1:] if word not in ("--keep", str(options.keep))]
    results: dict = {
        "command": " ".join(["python -m tests.bench.lab", *told]),
        "images": len(names),
        "folds": folds,
        "weights": hash_file(DEFAULT / WEIGHTS)[:12],
        "finetuned": [],
    }
    with tempfile.TemporaryDirectory() as temporary:
        home = options.keep or Path(temporary)
        default = seen(files, home / "default")
        truth = Truth(data, names, default)

        def learn(how: str | None, seed: int, recipe: str, these: list[int]) -> dict:
            """Figures on the frames of `these` folds, each by the run without it."""
            of, runs = {}, []
            for fold in these:
                told = f"{recipe}-{how}-{seed}-{fold}of{options.folds}"
                place = home / told.replace(":", "-")
                if not (place / "crops").exists():
                    kept = [n for n in names if n not in folds[fold]]
                    make_folder(data, kept, place / "crops", how)
                runs.append(
                    train(place / "crops", place / "run", seed, recipe, options.set)
                )
                apart = [f for f in files if file_stem(f) in folds[fold]]
                model = ["--run", str(place / "run")]
                found = seen(apart, place / "predicted", model)
                of |= dict.fromkeys(found.images, found)
            row = {"deleted": how, "seed": seed, "tested": these} | truth.figures(of)
            row["runs"] = [{k: run.get(k) for k in TOLD} for run in runs]
            show(f"{recipe}, seed {seed}, deleted {how}", row)
            return row

        tested = [name for fold in chosen for name in folds[fold]]
        results["default"] = truth.figures({name: default for name in tested})
        show("default", results["default"])
        if options.sizes:
            results["sizes"] = sizes(files, truth, home)
        if options.verify:
            results["verify"] = completeness(data, names, home)
        for seed in range(options.seeds):
            results["finetuned"].append(learn(None, seed, "finetune", chosen))
        whole = None
        for how in options.deleted:
            whole = whole or learn(None, 0, "finetune", chosen[:1])
            row = learn(how, 0, "finetune", chosen[:1])
            row["f1_kept"] = row["on_beads"]["f1"] / whole["on_beads"]["f1"]
            results.setdefault("deleted", []).append(row)
        if options.scratch:
            results["scratch"] = learn(None, 0, "dice", chosen[:1])
        if options.walk:
            results["walk"] = walk(data, home)
    if options.write:
        keep("lab" if options.deleted else "lab_finetuned", rounded(results))


def show(what: str, row: dict) -> None:
    """A few lines to read while it goes on."""
    print(what)
    for place in ("as_they_are", "on_beads", "beads"):
        for name, found in row[place]["dilutions"].items():
            told = f"{found['precision']:.3f} {found['recall']:.3f}"
            print(f"  {place:12} {name:>7} precision, recall {told}")
        error = row[place]["slope_error"]
        print(f"  {place:12} F1 {row[place]['f1']:.3f}, slope error {error}")
    print(f"  pieces       slope error {row['pieces']['slope_error']}")
    for field in (
        "mean_count_error",
        "mean_count_error_by_eye",
        "count_by_eye_where_dense",
        "false_beads_in_a_nearly_empty_crop",
        "jaccard",
        "jaccard_on_beads",
        "jaccard_one_radius",
        "radius",
    ):
        if row[field] is not None:
            print(f"  {field} {row[field]:.3f}")
    print(json.dumps(row.get("runs")), flush=True)


if __name__ == "__main__":
    main()
