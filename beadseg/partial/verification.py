"""`beadseg verify`: every mask of a folder audited, as table, page and beads.toml."""

import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from beadseg import colours
from beadseg.config import base_config
from beadseg.data.folder import doubt_lines, scan, stem_of
from beadseg.data.images.gaps import fill
from beadseg.data.masks.marked import BESIDE
from beadseg.data.masks.marks import Marks, kind_of_masks
from beadseg.data.settings_file import write_completeness
from beadseg.errors import BeadsegError
from beadseg.files import output_folder
from beadseg.inference.outputs.views import view
from beadseg.matching import count_beads
from beadseg.page import Page
from beadseg.partial.audit import (
    KINDS,
    Audit,
    CompletenessEstimate,
    Missingness,
    audit,
    missingness,
    pooled,
)
from beadseg.partial.completion import load_predict, pages
from beadseg.quoting import as_sentence, counted, percent
from beadseg.tables import rows_to_table, write_csv

PICTURES = 6  # on the page: the least complete
_FIELDS = (  # of a mask, in the order of the table
    *("image", "file", "labelled", "missing", "completeness", "low", "high", "passes"),
    *("by_count", "beside_px", "mask_free", "mask_free_low", "mask_free_high"),
    *("model", "model_low", "model_high", "wrong"),
)
_WORDS = KINDS | {"random": "at random, as far as can be told"}


def verify(
    folder: Path,
    output: Path,
    run: Path | None,
    least: float | None,
    write: bool,
    settings: Any = None,
) -> dict[str, Any]:
    """Audits the masks of a folder.

    Args:
      folder: data set.
      output: folder for `index.html` and `completeness.csv`.
      run: model to look with; None: the mask-free estimate alone.
      least: completeness that a mask must reach; None: from which on training takes
        masks as complete.
      write: into `beads.toml` of the folder.
      settings: of `beadseg.inference.settings`: which beads count.

    Raises:
      BeadsegError: no data set, no mask, or nowhere to write.
    """
    config = base_config()
    config.data.dir = str(folder)
    least = config.partial.enough if least is None else least
    if not 0 < least <= 1:
        raise BeadsegError(f"--min-completeness {least}: give a share, 0 to 1")
    predict = load_predict(run, settings) if run else None
    problems: list[str] = []
    rows, audits, seen, marked = [], [], [], []
    source = scan(config.data)
    wrong = {doubt.image: doubt.kind for doubt in source.doubts if doubt.left_out}
    for page in pages(source, problems):
        if page.sample.mask is None:
            continue
        if kind := wrong.get(page.sample.name):
            rows.append(_wrong_row(page.sample, page.manual, kind))
            continue
        image, _ = fill(page.image)
        found = audit(image, page.manual, predict, settings)
        audits.append(found)
        marked.append(replace(found.marked, name=page.sample.name))
        rows.append(_row(page.sample, found, least))
        layers = (page.manual, colours.LABELLED), (found.missing, colours.SEEN)
        seen.append((rows[-1], view(image, *layers)))
        seen = sorted(seen, key=lambda pair: pair[0]["completeness"])[:PICTURES]
    if not rows:
        hint = f" (the first problem: {problems[0]})" if problems else ""
        raise BeadsegError(f"{folder}: no image has a mask that can be read{hint}")
    whole = pooled(audits) if audits else CompletenessEstimate(None, None, None, 0.0)
    kind = missingness([a.seen for a in audits])
    marks = kind_of_masks(marked)
    checked = [row for row in rows if not row["wrong"]]
    short = sum(not row["passes"] for row in checked)
    result = {
        "images": rows,
        **_rounded(whole),
        "omission": kind.kind,
        "tests": kind.tests,
        "short": short,
        "wrong": len(rows) - len(checked),
        "marks": {k: None if v != v else v for k, v in asdict(marks).items()},
        "remarks": _remarks(checked, marks),
        "problems": problems,
        "mask_doubts": [doubt._asdict() for doubt in source.doubts],
        "doubts": doubt_lines(source.doubts),
        "sentence": _sentence(rows, checked, whole, kind, short, least, run),
        "exit_code": 1 if short or problems or len(checked) < len(rows) else 0,
    }
    with output_folder(output, "--output") as part:
        write_csv(part / "completeness.csv", [rows_to_table(rows)], digits=None)
        _write_page(result, seen, folder, run, least, part / "index.html")
    if write:
        write_completeness(folder, _by_file(checked), stem_of)
    return result


def _by_file(rows: list[dict]) -> dict[str, float]:
    """Pages of a file are one entry; beads.toml takes no 0."""
    shares: dict[str, list[float]] = {}
    for row in rows:
        shares.setdefault(row["file"], []).append(row["completeness"])
    return {name: max(float(np.mean(c)), 0.001) for name, c in shares.items()}


def _row(sample, found: Audit, least: float) -> dict[str, Any]:
    best = found.best
    row = {
        "image": sample.name,
        "file": sample.source,
        "labelled": found.labelled,
        **_rounded(best),
        "passes": bool(best.completeness >= least),
        "by_count": round(found.by_count, 4),
        "beside_px": round(found.shift, 1),
    }
    for way, guess in (("mask_free", found.mask_free), ("model", found.model)):
        for field in ("completeness", "low", "high"):
            value = None if guess is None else round(getattr(guess, field), 4)
            row[way if field == "completeness" else f"{way}_{field}"] = value
    return dict.fromkeys(_FIELDS) | row | {"wrong": ""}


def _wrong_row(sample, manual: np.ndarray, kind: str) -> dict[str, Any]:
    """Of a mask that is not this image's: how complete it is means nothing."""
    labelled = count_beads(manual)
    known = {"image": sample.name, "file": sample.source, "labelled": labelled}
    return dict.fromkeys(_FIELDS) | known | {"passes": False, "wrong": kind}


def _rounded(guess: CompletenessEstimate) -> dict[str, float | None]:
    return {
        field: value if value is None else round(value, 1 if field == "missing" else 4)
        for field, value in guess._asdict().items()
    }


def _sentence(rows, checked, whole, kind: Missingness, short, least: float, run) -> str:
    wrong = len(rows) - len(checked)
    if not checked:
        if wrong == 1:
            return "the only mask does not belong to its image"
        return f"none of the {counted(wrong, 'mask')} belongs to its image"
    said = (
        f"the masks label {percent(whole.completeness)} of the beads "
        f"({percent(whole.low)} to {percent(whole.high)}); {short} of {len(checked)} "
        f"are below {percent(least)}"
    )
    if wrong:
        said += f", and {counted(wrong, 'more is', 'more are')} wrong, not counted"
    if short and kind.kind in _WORDS:
        said += f"; missing are {_WORDS[kind.kind]}"
        if run is None:  # what is seen without a model are not the beads alone
            said += ", as it looks without --run"
    return said


def _remarks(rows: list[dict], marks: Marks) -> list[str]:
    """What else is to be said of the masks, a line each."""
    said = []
    if marks.are_marks:
        said.append(f"{marks.sentence()}: beads are counted, not pixels")
    beside = [row for row in rows if row["beside_px"] >= BESIDE]
    if beside:
        worst = max(beside, key=lambda row: row["beside_px"])
        said.append(
            f"masks that lie beside their beads, as if cut, enlarged or turned "
            f"otherwise than their images ({len(beside)}): {worst['image']} by up to "
            f"{worst['beside_px']:.0f} px"
            + (", ..." if len(beside) > 1 else "")
            + "; compared where they belong; export them again at the size of the image"
        )
    return said


def _percent(share: float | None) -> str | None:
    return None if share is None else percent(share)


def _write_page(result, seen, folder, run, least, file: Path) -> None:
    page = Page(f"Masks of {folder.resolve().name}", as_sentence(result["sentence"]))
    _numbers(page, result)
    _doubts(page, result)
    if result["short"]:
        _what_to_do(page, folder, run)
    elif _passed(result) == len(result["images"]) and not result["problems"]:
        page.callout(
            "good", f"Every mask labels {percent(least)} of its beads or more."
        )
    for remark in result["remarks"]:
        page.callout("warn", as_sentence(remark))
    if result["tests"]:
        _missingness(page, result)
    if seen:
        page.section("The least complete")
    page.pictures(
        [
            (
                picture,
                f"{row['image']}: {percent(row['completeness'])}. Turquoise: "
                "labelled; yellow: looks missing.",
            )
            for row, picture in seen
        ]
    )
    _all_masks(page, result)
    page.write(file, "--output")


def _passed(result: dict[str, Any]) -> int:
    return sum(row["passes"] for row in result["images"])


def _numbers(page: Page, result: dict[str, Any]) -> None:
    share = ""
    if result["completeness"] is not None:
        low, high = percent(result["low"]), percent(result["high"])
        share = f"90 % interval: {low} to {high}"
    page.numbers(
        [
            ("Completeness", _percent(result["completeness"]) or "–", share),
            ("Missing beads", f"{result['missing']:.0f}", "expected, in all images"),
            ("Masks that pass", f"{_passed(result)}", f"of {len(result['images'])}"),
        ]
    )


def _doubts(page: Page, result: dict[str, Any]) -> None:
    for problem in result["problems"]:
        page.callout("bad", problem, "Left out.")
    for doubt in result["mask_doubts"]:
        line = f"{doubt['file']}: {doubt['evidence']}; {doubt['remedy']}"
        page.callout("bad" if doubt["left_out"] else "warn", line, "Doubtful mask.")


def _what_to_do(page: Page, folder: Path, run: Path | None) -> None:
    page.callout(
        "warn",
        "Training copes with masks such as these, and `beadseg complete` proposes "
        "what they lack.",
        "Beads are missing.",
    )
    of = f" --run {shlex.quote(str(run))}" if run else ""
    source, completed = (shlex.quote(f"{folder}{end}") for end in ("", "-completed"))
    page.command(f"beadseg complete {source}{of} -o {completed}")
    page.command(f"beadseg review {completed}")


def _missingness(page: Page, result: dict[str, Any]) -> None:
    page.section("At random or by kind")
    page.paragraph(
        "An effect of 1 means that every missing bead is more so than every labelled "
        "one, 0 that they do not differ; of regions, that all neighbours share their "
        f"fate. Found: {_WORDS.get(result['omission'], 'nothing')}."
    )
    tests = result["tests"]
    page.table(
        ["kind", "effect", "p, corrected (Holm)"],
        [[kind, f"{tests[kind][0]:.2f}", tests[kind][1]] for kind in KINDS],
    )


def _all_masks(page: Page, result: dict[str, Any]) -> None:
    page.section("All masks")
    page.table(
        ["image", "labelled", "missing", "completeness", "interval"]
        + ["by components", "mask-free", "model"],
        [
            [
                row["image"],
                row["labelled"],
                f"{row['missing']:.0f}",
                _percent(row["completeness"]),
                f"{percent(row['low']).removesuffix(' %')} – {percent(row['high'])}",
                *(_percent(row[way]) for way in ("by_count", "mask_free", "model")),
            ]
            if not row["wrong"]
            else [row["image"], row["labelled"], None, row["wrong"], *[None] * 4]
            for row in result["images"]
        ],
    )
