"""The page of a run: what came of it, its curves, its images, its data and settings.

A run that was cut short gives a page as well, which says what is missing.
"""

import shlex
from pathlib import Path
from typing import Any

from beadseg.config import flatten
from beadseg.errors import BeadsegError
from beadseg.files import read_json
from beadseg.losses import LOSSES, loss_options
from beadseg.page import Page
from beadseg.quoting import as_sentence, percent, printable
from beadseg.training.tracking.curves import draw_run
from beadseg.training.tracking.summary import (
    MEANING,
    NO_HELP,
    UNCALIBRATED,
    best_of,
    cautions,
    sentence,
)
from beadseg.training.tracking.tracker import read_rows

_KINDS = {
    "converged": "good",
    "still rising": "warn",
    "collapsed": "bad",
    "did not learn": "bad",
    NO_HELP: "warn",
    UNCALIBRATED: "bad",
}
_SETTINGS = ("seed", "init_from", "model.", "optim.", "train.", "partial.", "data.dir")
_SETTINGS += ("data.batch_size", "data.crop", "data.bead_diameter", "data.sizes")
_SETTINGS += ("data.rehearsal", "data.normalise.")
_SCORES = {
    "jaccard": "Jaccard",
    "jaccard_at_0.5": "Jaccard at threshold 0.5",
    "jaccard_mean_of_images": "Jaccard, mean of images",
    "dice": "Dice",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1 of the beads",
    "bead_precision": "precision of the beads",
    "bead_recall": "recall of the beads",
    "count_error": "count error per image",
    "diameter_error": "error of the median diameter",
    "loss": "loss",
}


def write_run_report(run: Path, file: Path) -> dict:
    """Writes the page of a run folder, also of one whose training has not ended.

    Returns:
      "file", "summary" (empty before the end), "best" (the evaluation of the weights
      that were kept, or None) and "missing" (lines), ready for JSON.

    Raises:
      BeadsegError: it is no run folder, or the page cannot be written.
    """
    if not (run / "config.json").exists():
        raise BeadsegError(
            f"{run}: neither a run nor a sweep (no config.json, no sweep.json): give "
            "the folder that training printed"
        )
    missing: list[str] = []
    names = ("config", "dataset", "split", "summary", "versions")
    config, dataset, split, summary, versions = (
        _read(run / f"{name}.json", missing) for name in names
    )
    rows = read_rows(run / "metrics.jsonl")
    validations = [r for r in rows if r["kind"] == "validation" and "jaccard" in r]
    best = _kept(summary, best_of(validations) if validations else None)
    page = Page(f"Run {run.resolve().name}", _lead(summary, best))
    missing += _missing(run, summary, best)
    parts = {
        "summary.json": lambda: _verdict(page, summary, missing),
        "metrics.jsonl": lambda: _numbers(page, summary, best),
        "metrics.jsonl, curves": lambda: _curves(page, rows),
        "samples.png": lambda: _images(page, run),
        "dataset.json or split.json": lambda: _data(page, dataset, split),
        "config.json": lambda: _settings(page, config),
        "versions.json": lambda: _versions(page, versions),
        "summary.json, what to do next": lambda: _next(page, run, summary, best),
    }
    for name, add in parts.items():
        try:
            add()
        except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
            missing.append(f"{name}: damaged, not shown here ({printable(error)})")
            page.callout("warn", missing[-1])
    page.write(file, "-o")
    return {"file": str(file), "summary": summary, "best": best, "missing": missing}


def _read(file: Path, missing: list[str]) -> dict[str, Any]:
    """The content of a file; of one that is damaged nothing, and a line."""
    try:
        return read_json(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        missing.append(f"{file.name} cannot be read ({error})")
        return {}


def _kept(summary: Any, best: dict[str, Any] | None) -> dict[str, Any] | None:
    """The evaluation of the weights that were kept.

    It is that of the best epoch, but where they were mixed with those of the start, or
    are others since a checkpoint was damaged: then the summary alone knows of it.
    """
    try:
        own = {name: summary.get(f"best_{name}") for name in (*_SCORES, "epoch")}
        own["threshold"] = summary["threshold"]
    except (AttributeError, KeyError):
        return best
    pair = ("jaccard", "threshold")
    if best and all(best.get(name, own[name]) == own[name] for name in pair):
        return best
    known = {name: value for name, value in own.items() if value is not None}
    return known if isinstance(own["jaccard"], float) else best


def _lead(summary: dict, best: dict | None) -> str:
    try:
        said = sentence(summary)
        return said[0].upper() + said[1:] + "."
    except (KeyError, TypeError, ValueError):
        pass
    if best is None:
        return "No epoch is finished yet."
    return (
        f"Best validation Jaccard so far {best['jaccard']:.3f}, at epoch "
        f"{best.get('epoch', '?')}."
    )


def _missing(run: Path, summary: dict, best: dict | None) -> list[str]:
    missing = []
    if not summary:
        missing.append("Training is not finished: the same command continues it.")
    if best is None:
        missing.append("There is no validation yet, so there are no scores or curves.")
    if not (run / "samples.png").exists():
        missing.append("There are no pictures yet: they are drawn when training ends.")
    return missing


def _verdict(page: Page, summary: dict, missing: list[str]) -> None:
    verdict = summary.get("verdict")
    if verdict:
        kind = _KINDS.get(verdict, "note")
        page.callout(kind, as_sentence(MEANING.get(verdict, verdict)), "Verdict.")
    for line in (*cautions(summary), *missing):
        page.callout("warn", line)


def _numbers(page: Page, summary: dict, best: dict | None) -> None:
    if best is None:
        return
    tiles = [("Jaccard", f"{best['jaccard']:.3f}", f"epoch {best.get('epoch', '?')}")]
    if best.get("f1") is not None:
        tiles.append(("F1", f"{best['f1']:.3f}", "beads"))
        tiles.append(("Count error", percent(best["count_error"], 1), "per image"))
    for key in ("dice", "precision", "recall"):
        if key in best:
            tiles.append((key.capitalize(), f"{best[key]:.3f}", "pixels"))
    if "threshold" in best:
        tiles.append(("Threshold", f"{best['threshold']:.2f}", "of the probability"))
    if summary.get("images_per_second"):
        rate = f"{summary['images_per_second']:.3g}"
        tiles.append(("Speed", rate, "training crops / s"))
    page.numbers(tiles)
    known = [pair for pair in _SCORES.items() if best.get(pair[0]) is not None]
    rows = [[name, f"{best[k]:.4f}"] for k, name in known]
    where = summary.get("validation")
    header = ["validation", "weights that were kept"]
    page.table(header, rows, f"Measured {where}." if where else "")


def _curves(page: Page, rows: list[dict[str, Any]]) -> None:
    if not {row["kind"] for row in rows} & {"train_epoch", "validation"}:
        return
    page.section("Curves")
    caption = "After each epoch. Training crops are augmented, validation images not."
    with page.plot(caption, 2, 3, width=9.2, height=5.6) as axes:
        draw_run(axes, rows)


def _images(page: Page, run: Path) -> None:
    if (run / "samples.png").exists():
        page.section("Images")
        page.picture(
            run / "samples.png",
            "The worst, the median and the best validation image, from top to bottom.",
        )


def _data(page: Page, dataset: dict, split: dict) -> None:
    if not dataset and not split:
        return
    page.section("Data")
    names = {
        "images": "images",
        "labelled_images": "of them with masks",
        "tiles": "tiles",
        "bead_diameter_px": "median bead diameter, px",
        "scale": "resampled by",
        "fingerprint": "fingerprint",
    }
    rows = [[name, dataset[k]] for k, name in names.items() if k in dataset]
    rows += [[f"normalise.{k}", v] for k, v in (dataset.get("normalise") or {}).items()]
    if rows:
        page.table(["data", ""], rows)
    strata = [s for s in split.get("strata", ()) if isinstance(s, dict)]
    if strata:
        page.table(
            ["images with", "training", "validation"],
            [
                [s.get("name"), s.get("train_images"), s.get("validation_images")]
                for s in strata
            ],
            "How the images were split.",
        )
    if notes := dataset.get("notes"):
        page.items([str(note) for note in notes])


def _settings(page: Page, config: dict) -> None:
    if not config:
        return
    page.section("Settings")
    page.paragraph("Those that shape training; `config.json` in the run has them all.")
    flat = flatten(config)
    loss = flat.get("loss.name")
    options = loss_options(loss) if loss in LOSSES else ()  # a run may have another
    wanted = {"loss.name", "loss.boundary", *(f"loss.{name}" for name in options)}
    rows = [
        [f"`{field}`", None if value in (None, "") else str(value)]
        for field, value in flat.items()
        if field in wanted or field.startswith(_SETTINGS)
    ]
    page.table(["field", "value"], rows)


def _versions(page: Page, versions: dict) -> None:
    if versions:
        page.section("Versions")
        said = [f"{name} {value}" for name, value in versions.items() if value]
        page.paragraph(", ".join(said))


def _next(page: Page, run: Path, summary: dict, best: dict | None) -> None:
    page.section("What to do next")
    folder = shlex.quote(str(run))
    verdict = summary.get("verdict")
    if verdict == "still rising":
        page.paragraph("Train on: the same command with more epochs goes on.")
        epochs = 2 * int(summary.get("epochs") or summary.get("final_epoch") or 20)
        page.command(f"... --workdir={folder} --config.train.epochs={epochs}")
    elif verdict in ("collapsed", "did not learn", UNCALIBRATED) or best is None:
        page.paragraph("Find out why: masks, learning rate or threshold.")
        page.command(f"beadseg diagnose {folder}")
    if best is not None:
        page.paragraph("Find beads, and compare them with masks that took no part.")
        page.command(
            f"beadseg predict IMAGES --run {folder} -o PREDICTED\n"
            "beadseg evaluate PREDICTED TRUTH --page errors.html"
        )
