"""`beadseg complete`: a data set with proposals for the beads that its masks lack."""

import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from ml_collections import ConfigDict
from tqdm import tqdm

from beadseg.data.cache import hash_file
from beadseg.data.folder import Folder, scan
from beadseg.data.images.gaps import fill
from beadseg.data.images.reading import ReadError
from beadseg.data.samples import Sample, mask_of, read_sample
from beadseg.data.settings_file import FILE, format_beads_toml, read_beads_toml
from beadseg.errors import BeadsegError
from beadseg.files import check_unused, whole_folder, write_json, write_whole
from beadseg.inference.settings import AUTO
from beadseg.partial.alignment import aligned
from beadseg.partial.audit import VisibleBeads, look, missingness
from beadseg.partial.calibration import calibrate
from beadseg.partial.completed import FOLDERS, write_labels
from beadseg.partial.proposals import SAME, Proposed, certain, propose, strictest
from beadseg.partial.review.annotation_log import AnnotationLog
from beadseg.partial.review.derived import saving

AGREES = 0.3  # of the labelled beads: a model that finds less is for other images


class OtherKind(BeadsegError):
    """The model finds too few of the labelled beads to be heard on the others."""


# From an image [H, W] to labels, probability and threshold.
Predict = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, float]]


class Page(NamedTuple):
    """A page of a data set with the mask that a person made of it."""

    sample: Sample
    image: np.ndarray  # [H, W]
    manual: np.ndarray  # i32[H, W], -1 unknown; all 0 where there is no mask


def load_predict(run: Path | None, settings: Any = None) -> Predict:
    """The model of a run folder, or the default one; raises BeadsegError.

    `settings`, of `beadseg.inference.settings`, say which beads count.
    """
    # jax takes seconds: commands without a model start at once
    from beadseg.inference.arrays import usable
    from beadseg.inference.predictor import Predictor
    from beadseg.inference.run import load_runs
    from beadseg.inference.settings import Settings

    predictor = Predictor(load_runs([run] if run else [], None))
    asked = settings or Settings()

    def predict(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        image = usable(image, "the image", predictor.runs[0].channel)
        found = predictor.find(image, asked)
        return found.labels, found.probability, predictor.threshold(asked.threshold)

    return predict


def pages(
    folder: Folder, problems: list[str], only: Collection[str] | None = None
) -> Iterator[Page]:
    """All readable pages of a folder; `problems` gets a line for each that is not.

    `only` names the samples wanted; None: all.
    """
    problems += folder.problems
    for sample in folder.samples:
        if only is not None and sample.name not in only:
            continue
        try:
            image, manual, _ = read_sample(sample, _mask_or_none_labelled)
        except ReadError as error:
            problems.append(str(error))
            continue
        yield Page(sample, image, manual)


def _mask_or_none_labelled(sample: Sample, points: np.ndarray | None) -> np.ndarray:
    return mask_of(sample) if sample.mask else np.zeros(sample.shape, np.int32)


def complete(
    data: ConfigDict,
    output: Path,
    run: str,
    predict: Predict,
    accept: float | str | None,
    only: Collection[str] | None = None,
    maker: str = "",
) -> dict[str, Any]:
    """Writes the completed data set `output`, whole or not at all.

    Args:
      data: `config.data` with `dir`, the folder to complete; it is only read. Masks
        that do not belong to their images are named and not taken along.
      output: a new folder.
      run: the model, for the provenance.
      predict: the model.
      accept: expected precision at which proposals are accepted at once; None: none;
        "auto": as the scores allow (`strictest`).
      only: names of the samples to take along; None: all.
      maker: as in `whole_folder`.

    Raises:
      BeadsegError: no data set, a folder that holds something, a precision that is no
        share, or a model for another kind of image.
      OSError: `output` cannot be written.
    """
    if accept not in (None, AUTO) and not 0.5 <= accept <= 1.0:
        raise BeadsegError(
            f"--accept {accept}: give an expected precision, 0.5 to 1, or auto"
        )
    check_unused(output, "--output", maker)
    problems: list[str] = []
    with whole_folder(output, "--output", maker) as part:
        for kind in FOLDERS:
            (part / kind).mkdir()
        done, source = {}, scan(data)
        foreign = {d.image: d for d in source.doubts if d.left_out}
        for page in tqdm(pages(source, problems, only), "completing", disable=None):
            if doubt := foreign.get(page.sample.name):
                problems.append(
                    f"{doubt.file}: {doubt.evidence}; its beads are not taken along"
                )
                page = page._replace(manual=np.minimum(page.manual, 0))
            done[page.sample.name] = _one(page, part, run, predict, data.stack)
        if not done:
            raise BeadsegError(f"{data.dir}: no image can be read")
        _check_kind(done, run)
        _copy_settings(Path(data.dir).expanduser(), part, done)
        known = _score(part, done)
        result = _accept(part, done, accept) | {
            "calibrated_on": known,
            "omission": missingness([d.seen for d in done.values()]).kind,
        }
    return result | {"problems": problems}


def _one(page: Page, part: Path, run: str, predict: Predict, stack: str) -> "_Done":
    labels, probability, threshold = predict(page.image)
    # Beads whose labels lie beside them are labelled: none is proposed again.
    manual, move = aligned(page.manual, labels)
    found = propose(manual, labels, probability, threshold)
    if move is not None:
        found = _beside(found, page.manual)
    sample = page.sample
    source = sample.image.path
    if sample.name == sample.source:
        image = part / "images" / f"{sample.name}{source.suffix}"
        shutil.copyfile(source, image)
    else:
        image = part / "images" / f"{sample.name}.tif"
        tifffile.imwrite(image, page.image, compression="zlib")
        stack = "pages"
    about = {
        "image": image.name,
        "image_digest": hash_file(image),
        "run": run,
        "stack": stack,
        "channel": sample.image.channel if sample.name == sample.source else None,
        "threshold": threshold,
    }
    write_labels(part / "person" / f"{sample.name}.tif", page.manual)
    write_labels(part / "proposals" / f"{sample.name}.tif", found.labels)
    seen = look(fill(page.image)[0], labels, manual, found.labels)
    return _Done(sample.group, found._replace(labels=None), about, seen)


def _beside(found: Proposed, manual: np.ndarray) -> Proposed:
    """Proposals off the pixels of a mask; those that it hides by half are left out."""
    labels = np.where(manual == 0, found.labels, 0)
    whole, left = (
        np.bincount(a.ravel(), minlength=found.labels.max() + 1)
        for a in (found.labels, labels)
    )
    kept = [n for n in found.beads if left[n] >= SAME * whole[n]]
    after = int(manual.max())  # moving may have lost the last numbers of the mask
    beads = {n + after: found.beads[n] for n in kept}
    labels = np.where(np.isin(labels, kept), labels + after, 0).astype(np.int32)
    return found._replace(labels=labels, beads=beads)


class _Done(NamedTuple):
    group: str
    found: Proposed  # without its labels
    about: dict[str, Any]  # of proposals/NAME.json, but the beads
    seen: VisibleBeads


def _check_kind(done: dict[str, _Done], run: str) -> None:
    labelled = sum(d.found.labelled for d in done.values())
    agreed = sum(d.found.agreed for d in done.values())
    if labelled >= 10 and agreed < AGREES * labelled:
        raise OtherKind(
            f"{run}: finds only {agreed} of the {labelled} labelled beads: it was "
            "trained on another kind of image; train on this folder first"
        )


def _score(part: Path, done: dict[str, _Done]) -> int:
    """Writes the proposals of all images, with expected precision where it is known.

    Returns the number of labelled beads that it was calibrated on; 0: it was not.
    """
    found = [d.found for d in done.values()]
    right = [score for f in found for score in f.right]
    certainty = [bead.score for f in found for bead in f.beads.values()]
    scores = calibrate(certainty, right, [score for f in found for score in f.wrong])
    left = iter(certainty if scores is None else scores)
    for name, one in done.items():
        for number, bead in one.found.beads.items():
            one.found.beads[number] = bead._replace(score=round(float(next(left)), 4))
        beads = {str(n): bead._asdict() for n, bead in one.found.beads.items()}
        file = part / "proposals" / f"{name}.json"
        write_json(file, one.about | {"beads": beads}, indent=1)
    return 0 if scores is None else len(right)


def _accept(
    part: Path, done: dict[str, _Done], accept: float | str | None
) -> dict[str, Any]:
    scores = [p.score for d in done.values() for p in d.found.beads.values()]
    if accept == AUTO:
        accept = strictest(scores)
    least = certain(scores, accept) if accept is not None and scores else None
    accepted = 0
    for name, one in done.items():
        annotations = AnnotationLog(part, name)
        sure = [n for n, p in one.found.beads.items() if least and p.score >= least]
        if sure:
            by = f"expected precision {accept}"
            annotations.act({"do": "accept", "ids": sure, "by": by})
        saving(annotations)()
        accepted += len(sure)
    chosen = [s for s in scores if least and s >= least]
    return {
        "images": len(done),
        "labelled": sum(d.found.labelled for d in done.values()),
        "agreed": sum(d.found.agreed for d in done.values()),
        "proposed": len(scores),
        "expected": round(float(np.sum(scores)), 1),
        "accepted": accepted,
        "expected_precision": round(float(np.mean(chosen)), 4) if chosen else None,
        "least_score": least,
        "highest_score": max(scores, default=None),
        "asked_precision": accept,
    }


def _copy_settings(source: Path, part: Path, done: dict[str, _Done]) -> None:
    """Pixel size, channel and groups go with the images; completeness is new.

    Masks are now a number per bead.
    """
    groups = {name: d.group for name, d in done.items() if d.group != name}
    settings = read_beads_toml(source, str)
    settings = replace(settings, completeness=None, classes=None, group=groups)
    if text := format_beads_toml(settings):
        write_whole(part / FILE, text)
    if (source / "points").is_dir():
        for file in (source / "points").iterdir():
            if file.stem in done:
                (part / "points").mkdir(exist_ok=True)
                shutil.copyfile(file, part / "points" / file.name)
