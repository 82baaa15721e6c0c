"""Beads found in images of papers that were not trained on, fold by fold.

  BEADSEG_REAL_DATA=DIR python -m tests.bench.instances emps_spheres_dev --write
  ... python -m tests.bench.instances beadnet_latex_dev --folds 5 --write

Each fold trains `configs/dice.py` on the images of the others, as it stands but for the
flags given, and predicts its own as `beadseg predict` does. A data set with
`papers.json` (image: paper) is folded by paper, unless `--by image`; the papers are
groups in training too, so that the threshold is chosen on another paper.
`--recipe finetune` trains `configs/finetune.py` instead, and `--few 2` on two images of
those there are, drawn anew for each seed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import beadseg
from beadseg.data.images.reading import open_pages
from beadseg.data.masks.labels import read_labels, read_points
from beadseg.inference.scores.evaluation import Score, metrics, pool, score
from beadseg.matching import MIN_IOUS
from tests.bench.record import keep
from tests.real_data import real_set


def folds(groups: dict[str, str], count: int) -> list[list[str]]:
    """Images of each fold: the largest group first, each to the smallest fold."""
    members: dict[str, list[str]] = {}
    for image in sorted(groups):
        members.setdefault(groups[image], []).append(image)
    found: list[list[str]] = [[] for _ in range(count)]
    for group in sorted(members, key=lambda g: (-len(members[g]), g)):
        min(found, key=len).extend(members[group])
    return found


def training_folder(data: Path, groups: dict[str, str], held: list[str], folder: Path):
    """Links to all files of a data set but those held out."""
    for kind in ("images", "masks", "points"):
        for file in sorted((data / kind).glob("*")):
            if file.stem not in held:
                (folder / kind).mkdir(parents=True, exist_ok=True)
                (folder / kind / file.name).symlink_to(file.resolve())
    lines = [f'"{i}" = "{g}"' for i, g in groups.items() if i not in held]
    (folder / "beads.toml").write_text("\n".join(["[group]", *lines]) + "\n")


def train(data: Path, run: Path, recipe: str, seed: int, extra: list[str]) -> tuple:
    """One run of the command in a process of its own: its minutes and summary.

    A run that was trained before keeps the minutes of then.
    """
    told = run / "minutes.txt"
    started = time.monotonic()
    command = [
        *(sys.executable, "-m", "beadseg.main", f"--config=configs/{recipe}.py"),
        f"--config.data.dir={data}",
        f"--workdir={run}",
        f"--config.seed={seed}",
        f"--config.data.seed={seed}",
        *extra,
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    if not told.exists():
        told.write_text(f"{(time.monotonic() - started) / 60}")
    return float(told.read_text()), json.loads((run / "summary.json").read_text())


def predict(data: Path, run: Path, held: list[str]) -> dict[str, Score]:
    """Scores by image."""
    predictor = beadseg.load(run)
    scores = {}
    for name in held:
        (image,) = (data / "images").glob(f"{name}.*")
        mask = next(data.glob(f"masks/{name}.*"), None)
        labels = predictor.predict(open_pages(image)[0].read()).labels
        if mask is not None:
            scores[name] = score(read_labels(mask), None, labels)
        else:
            (points,) = data.glob(f"points/{name}.*")
            nothing = np.zeros(labels.shape, np.int32)
            scores[name] = score(nothing, read_points(points), labels)
    return scores


def brief(scores: dict[str, Score]) -> dict:
    """The numbers that are compared: pooled, and means over images of the errors."""
    found = metrics(pool(list(scores.values())))
    each = [metrics(one) for one in scores.values()]
    result = {
        "images": len(scores),
        "beads": found["beads"],
        "predicted": found["predicted"],
        "count_error": found["count_error"],
        "count_error_of_images": np.mean([abs(e["count_error"]) for e in each]),
        "detection_f1": found["detection"]["f1"],
    }
    if "ap" in found:
        half, strict = MIN_IOUS.index(0.5), MIN_IOUS.index(0.75)
        result |= {
            "ap50": found["ap"][half],
            "ap75": found["ap"][strict],
            "pq": found["pq"][half],
            "jaccard": found["jaccard"],
            "errors": found["errors"],
            "diameter_error": found["diameter_error"],
            "diameter_error_of_images": np.mean(
                [abs(e["diameter_error"] or 0.0) for e in each]
            ),
        }
    return {
        key: round(float(value), 4) if isinstance(value, float) else value
        for key, value in result.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="a set in $BEADSEG_REAL_DATA")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--only", type=int, nargs="*", help="these folds, from 0")
    parser.add_argument("--seeds", type=int, default=1, help="of the first fold")
    parser.add_argument("--recipe", choices=("dice", "finetune"), default="dice")
    parser.add_argument("--few", type=int, help="images to train on (all others)")
    parser.add_argument("--by", choices=("paper", "image"), default="paper")
    parser.add_argument("--runs", type=Path, help="folder that keeps the runs")
    parser.add_argument("--write", action="store_true", help="keep in results/")
    options, extra = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        bench(options, extra, options.runs or Path(folder))


def bench(options: argparse.Namespace, extra: list[str], runs: Path) -> None:
    """Trains and predicts every fold; runs that are in `runs` are not trained again."""
    data = real_set(options.data)
    groups = {file.stem: file.stem for file in sorted((data / "images").iterdir())}
    if options.by == "paper" and (data / "papers.json").exists():
        groups = json.loads((data / "papers.json").read_text())
    kind = f"{options.data}_by_{options.by}"
    kind += "" if options.recipe == "dice" else f"_{options.recipe}"
    kind += "" if options.few is None else f"_{options.few}"

    def left_out(seed: int, held: list[str]) -> list[str]:
        others = [image for image in groups if image not in held]
        few = len(others) if options.few is None else options.few
        return list(np.random.default_rng(seed).permutation(others)[few:])

    rows, pooled = [], {}
    for fold, held in enumerate(folds(groups, options.folds)):
        if options.only and fold not in options.only:
            continue
        home = runs / f"{kind}_{fold}"
        for seed in range(options.seeds if fold == 0 else 1):
            run = home / f"seed_{seed}"
            images = home / f"data_{seed}"
            if not images.exists():
                training_folder(data, groups, held + left_out(seed, held), images)
            minutes, summary = train(images, run, options.recipe, seed, extra)
            scores = predict(data, run, held)
            row = {"fold": fold, "seed": seed, "minutes": round(minutes, 1)}
            row |= {"threshold": summary["threshold"]}
            rows.append(row | brief(scores))
            print(rows[-1], flush=True)
            if seed == 0:
                pooled |= scores
        result = {
            "pooled": brief(pooled),
            "runs": rows,
        }
        if options.write:  # after each fold: a bench cut short has told something
            keep(f"instances_{kind}", result)
    print("pooled", result["pooled"])


if __name__ == "__main__":
    main()
