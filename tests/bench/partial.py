"""Jaccard against complete masks when beads are left out of the masks trained on.

  python -m tests.bench.partial generated none drop_random:0.5 --seeds 3 --write
  BEADSEG_REAL_DATA=DIR python -m tests.bench.partial emps_spheres_dev none drop_dim:0.5
  python -m tests.bench.partial generated --all --small   # every row, two CPU cores
  ... python -m tests.bench.partial emps_spheres_dev --all --recipe finetune --small
  ... --config.partial.self_training=2    # Jaccard of each round, kept apart

A cell makes a data set whose masks lack beads, trains on it with the masks that lack
them on both sides of the split (nothing sees the complete ones), and judges the run's
own threshold on complete masks of the validation images, which are the same in all
cells: other papers than those trained on (emps_spheres_dev), else every fifth image by
number of beads. It then audits and completes the data set with that run, against the
truth. The share is of the cell "none" of the same seed. Each cell is kept in results as
soon as it is done. `--draw NAME ...` draws results (`partial_NAME.json`).
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
from matplotlib.figure import Figure

import beadseg
from beadseg.data.generated.damage import damage_labels
from beadseg.data.generated.write import write_generated
from beadseg.data.masks.beads import describe_beads
from beadseg.data.masks.labels import read_labels
from beadseg.matching import match
from beadseg.partial.verification import verify
from beadseg.training.run_folder import ROUNDS
from tests.bench.instances import folds
from tests.bench.record import RESULTS, keep
from tests.partial.book_mask import book_mask
from tests.real_data import real_set

ROWS = (
    *("none", "drop_random:0.5", "drop_random:0.8", "drop_random:0.95"),
    *("drop_dim:0.5", "drop_blurred:0.5", "drop_crowded:0.5", "drop_outside:0.5"),
)
ACCEPT = 0.95  # expected precision of beads accepted unseen
SMALL = {
    "dice": {
        "model.width": 8,
        "model.depth": 3,
        "data.crop": 64,
        "data.bead_diameter": 0,
        "train.epochs": 10,
        "train.steps_per_epoch": 40,
        "optim.learning_rate": 3e-3,
    },
    "finetune": {"train.epochs": 6, "train.steps_per_epoch": 32},
}
TOLD = {  # rows that are drawn, in words
    "drop_random:0.5": "half left out",
    "drop_random:0.8": "80 % left out",
    "drop_random:0.95": "95 % left out",
    "drop_dim:0.5": "the dim half",
    "drop_blurred:0.5": "the blurred half",
    "drop_crowded:0.5": "the crowded half",
    "drop_outside:0.5": "half, outside a region",
}
SETS = {
    "emps_spheres_dev_finetune_small": "spheres, electron microscope",
    "dsb2018_nuclei_dev_finetune_small": "round nuclei, light microscope",
    "generated_small": "generated beads",
}


def make(
    name: str,
    row: str,
    folder: Path,
    small: bool,
    seed: int = 0,
    modalities: tuple[str, ...] = (),
) -> None:
    """Writes images, masks that lack beads, and complete ones in truth/."""
    kind, _, share = row.partition(":")
    amount = float(share or 0)
    if name == "generated":
        size = {"count": 60, "size": 128} if small else {"count": 140, "size": 256}
        drawn = size | {"seed": seed, "modalities": modalities}
        write_generated(folder, damage=kind, amount=amount, **drawn)
        if kind == "none":
            shutil.copytree(folder / "masks", folder / "truth")
        return
    source = real_set(name)
    shutil.copytree(source / "images", folder / "images")
    for part in ("masks", "truth"):
        (folder / part).mkdir()
    for number, file in enumerate(sorted((source / "masks").iterdir())):
        labels = read_labels(file)
        image = next((source / "images").glob(f"{file.stem}.*"))
        grey = np.asarray(_read(image), np.float32)
        beads = describe_beads(labels, grey.mean(-1) if grey.ndim == 3 else grey)
        rng = np.random.default_rng((seed, number))
        lacking = damage_labels(kind, amount, labels, beads, rng)
        for part, array in (("truth", labels), ("masks", lacking)):
            tifffile.imwrite(folder / part / f"{file.stem}.tif", array.astype(np.int32))


def validating(name: str, folder: Path) -> list[str]:
    """Images that validate in every cell."""
    if name != "generated" and (papers := real_set(name) / "papers.json").exists():
        return folds(json.loads(papers.read_text()), 4)[0]
    beads = {
        file.stem: len(np.unique(read_labels(file)))
        for file in (folder / "truth").iterdir()
    }
    return sorted(sorted(beads, key=lambda n: (beads[n], n))[2::5])


def cell(name: str, row: str, seed: int, options: argparse.Namespace, extra) -> dict:
    """Trains, judges, audits and completes one cell."""
    small, recipe = options.small, options.recipe
    with tempfile.TemporaryDirectory() as temporary:
        folder, run = Path(temporary, "data"), Path(temporary, "run")
        make(name, row, folder, small, seed, ("fluorescence",))  # as configs/dice.py
        images = validating(name, folder)
        fields = {
            "seed": seed,
            "data.seed": seed,
            "data.dir": folder,
            "data.validation": tuple(images),
            "log.wandb": "off",
        }
        fields |= SMALL[recipe] if small else {}
        command = [*(sys.executable, "-m", "beadseg.main"), f"--workdir={run}"]
        command += [f"--config=configs/{recipe}.py"]
        command += [*(f"--config.{k}={v}" for k, v in fields.items()), *extra]
        started = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        minutes = (time.monotonic() - started) / 60
        runs = [run]
        if (run / ROUNDS).exists():  # --config.partial.self_training=N
            record = json.loads((run / ROUNDS).read_text())
            runs = [run / entry["run"] for entry in record["rounds"]]
            run = run / record["best"]
        summary = json.loads((run / "summary.json").read_text())
        result = {"row": row, "seed": seed, "minutes": round(minutes, 2)}
        result |= {"jaccard": _jaccard(folder, run, images)}
        if len(runs) > 1:
            result["rounds"] = [_jaccard(folder, each, images) for each in runs]
        result |= _completed(folder, run)
        audited = verify(folder, Path(temporary, "verify"), run, 0.9, False)
        true = _completeness(folder)
        return result | {
            "threshold": summary["threshold"],
            "said": round(summary["best_jaccard"], 4),
            "validation": summary["validation"],
            "completeness": round(true, 4),
            "completeness_by_training": summary["completeness"],
            "completeness_by_audit": audited["completeness"],
            "completeness_mask_free": round(
                float(np.mean([r["mask_free"] for r in audited["images"]])), 4
            ),
            "omission": audited["omission"],
        }


def _jaccard(folder: Path, run: Path, images: list[str]) -> float:
    """Of the pixels of all images against the truth, at the run's threshold."""
    predictor = beadseg.load(run)
    both = either = 0
    for name in images:
        image = _read(next((folder / "images").glob(f"{name}.*")))
        truth = read_labels(next((folder / "truth").glob(f"{name}.*"))) > 0
        found = predictor.predict(image).probability >= predictor.threshold("auto")
        both, either = both + (found & truth).sum(), either + (found | truth).sum()
    return round(float(both / max(either, 1)), 4)


def _completed(folder: Path, run: Path) -> dict:
    """Beads accepted for all images, against the truth."""
    from beadseg.config import base_config
    from beadseg.partial.completion import complete, load_predict
    from beadseg.partial.review.annotation_log import AnnotationLog

    data = base_config().data
    data.dir = str(folder)
    new = folder.parent / "completed"
    done = complete(data, new, str(run), load_predict(run), ACCEPT)
    right = wrong = labelled = 0
    for file in sorted((new / "images").iterdir()):
        book = AnnotationLog(new, file.stem)
        truth = read_labels(next((folder / "truth").glob(f"{file.stem}.*")))
        accepted = np.where(
            np.isin(book.map.labels, [n for n, b in book.map.beads.items() if b.score]),
            book_mask(book),
            0,
        )
        number = len(np.unique(accepted[accepted > 0]))
        hits = match(truth, accepted, 0.5).counts.true_positive if number else 0
        right, wrong = right + hits, wrong + number - hits
        labelled += len(np.unique(truth[truth > 0]))
    return {
        "accepted": done["accepted"],
        "accepted_right": right,
        "accepted_wrong": wrong,
        "beads": labelled,
    }


def _completeness(folder: Path) -> float:
    counts = [
        sum(len(np.unique(a[a > 0])) for a in map(read_labels, (folder / k).iterdir()))
        for k in ("masks", "truth")
    ]
    return counts[0] / counts[1]


def _read(file: Path) -> np.ndarray:
    from beadseg.data.images.reading import open_pages

    return open_pages(file)[0].read()


def draw(names: list[str], file: Path) -> None:
    """Share of what full labels give, by omission: a dot a seed, a colour a data set.

    `names` are of results: "emps_spheres_dev_finetune_small" of `partial_*.json`.
    """
    figure = Figure((7, 3.6), layout="constrained")
    axes = figure.subplots()
    for i, name in enumerate(names):
        cells = json.loads((RESULTS / f"partial_{name}.json").read_text())["cells"]
        cells = [c for c in cells if "share" in c and c["row"] in TOLD]
        place = [list(TOLD).index(c["row"]) + 0.2 * (i - 1) for c in cells]
        share = [100 * c["share"] for c in cells]
        axes.plot(share, place, "o", alpha=0.8, label=SETS.get(name, name))
    axes.axvline(100, color="grey", linewidth=0.8)
    axes.set_yticks(range(len(TOLD)), TOLD.values())
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("Jaccard against complete masks, % of what full labels give")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")
    figure.savefig(file, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draw", nargs="*", help="results to draw, and nothing else")
    parser.add_argument(
        "data", nargs="?", help="generated, or a set in $BEADSEG_REAL_DATA"
    )
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--all", action="store_true", help="all rows")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="minutes on two cores")
    parser.add_argument("--recipe", choices=sorted(SMALL), default="dice")
    parser.add_argument("--write", action="store_true", help="keep in results/")
    options, extra = parser.parse_known_args()
    if options.draw is not None:
        return draw(options.draw, RESULTS / "partial.png")
    size = "_small" if options.small else ""
    recipe = "" if options.recipe == "dice" else f"_{options.recipe}"
    rounds = "_rounds" * any("partial.self_training" in field for field in extra)
    name = f"partial_{options.data}{recipe}{size}{rounds}"
    file = RESULTS / f"{name}.json"
    kept = json.loads(file.read_text())["cells"] if file.exists() else []
    for seed in range(options.seeds):
        for row in ROWS if options.all else options.rows:
            found = cell(options.data, row, seed, options, extra)
            kept = [c for c in kept if (c["row"], c["seed"]) != (row, seed)] + [found]
            full = {c["seed"]: c["jaccard"] for c in kept if c["row"] == "none"}
            for c in kept:
                if c["seed"] in full:
                    c["share"] = round(c["jaccard"] / full[c["seed"]], 4)
            print(kept[-1], flush=True)
            if options.write:
                keep(name, {"cells": kept})


if __name__ == "__main__":
    main()
