"""A completed data set on disk: what `beadseg complete` wrote about each image.

Of image NAME (pages of one file: NAME_p000):
  images/NAME.*           the image, copied
  person/NAME.tif         the mask as a person made it, i32 labels; never written again
  proposals/NAME.tif      the beads that a model proposes, i32 labels, 0 elsewhere
  proposals/NAME.json     score and reason of each, the run, digests of what was seen;
                          whether all are accepted to begin with, as of a prediction
  decisions/NAME.jsonl    every decision, a line each, only ever appended to
and, made of these at any time, for training and for other tools:
  masks/NAME.tif          the person's beads with those accepted and drawn
  ignore/NAME.tif         255 where nobody has decided yet: unknown, not background
  provenance/NAME.json    where each bead comes from and what became of it

What of these is damaged keeps its own image from being reviewed, and no other. No
advice given here costs a decision.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from beadseg.data.cache import hash_file
from beadseg.data.images.stacks import STACKS
from beadseg.errors import BeadsegError
from beadseg.files import read_file, write_whole

FOLDERS = ("images", "person", "proposals", "decisions", "masks", "ignore")
FOLDERS += ("provenance",)
_MOST = 2**30  # of a bead's number: those drawn later follow


def names(folder: Path) -> list[str]:
    """The images of a completed folder, in order.

    Raises:
      BeadsegError: it is not one.
    """
    if not folder.is_dir():
        raise BeadsegError(f"{folder}: no such folder: give one to review")
    found = sorted(p.stem for p in (folder / "proposals").glob("*.json"))
    if not found:
        raise BeadsegError(
            f"{folder}: no proposals in it: make a new folder with them (beadseg "
            "complete DIR -o NEW), and review that"
        )
    return found


def read_proposals(folder: Path, name: str) -> dict[str, Any]:
    """What `beadseg complete` wrote about the proposals of an image.

    Raises:
      BeadsegError: the file is missing or damaged.
    """
    file = folder / "proposals" / f"{name}.json"
    try:
        about = json.loads(read_file(file))
        for number, facts in about["beads"].items():
            if not 1 <= int(number) <= _MOST or not 0 <= float(facts["score"]) <= 1:
                raise ValueError(f"bead {number} is none")
            str(facts["reason"])
        for key in ("run", "image", "image_digest"):
            if not isinstance(about[key], str):
                raise ValueError(f"{key} is no text")
        if Path(about["image"]).stem != name:
            raise ValueError(f"image is {about['image']!r}")
        threshold, stack = about.get("threshold", 0.5), about.get("stack", "pages")
        if type(threshold) not in (int, float) or not 0 <= threshold <= 1:
            raise ValueError(f"threshold is {threshold!r}")
        if stack not in STACKS:
            raise ValueError(f"stack is {stack!r}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(file, error) from error
    except RecursionError as error:
        raise damaged(file, "too deep") from error
    return about


def read_layers(folder: Path, name: str, about: Mapping[str, Any]):
    """The mask of the person and the proposals: two label images i32[H, W].

    Raises:
      BeadsegError: one is missing, damaged, or does not fit `read_proposals`.
    """
    files = [folder / kind / f"{name}.tif" for kind in ("person", "proposals")]
    manual, proposals = map(_read_labels, files)
    if manual.shape != proposals.shape:
        shapes = f"{proposals.shape} px, but the manual mask is {manual.shape}"
        raise damaged(files[1], shapes)
    known = set(map(int, about["beads"]))
    if both := known & set(np.unique(manual).tolist()):
        raise damaged(files[1], f"bead {min(both)} is a person's as well")
    if unknown := set(np.unique(proposals).tolist()) - known - {0}:
        raise damaged(files[1], f"nothing is said of bead {min(unknown)}")
    return manual, proposals


def read_provenance(folder: Path, name: str) -> dict[str, Any]:
    """What was last saved of an image; empty where that is missing or damaged."""
    try:
        stored = json.loads(read_file(folder / "provenance" / f"{name}.json"))
        kinds = {"decisions": int, "decisions_digest": str, "files": dict}
        kinds |= {"reviewed": bool, "counts": dict, "completeness": float}
        whole = all(type(stored[key]) is kind for key, kind in kinds.items())
        whole &= type(stored.get("threshold", 0.5)) in (int, float)
        for number, bead in stored["beads"].items():
            whole &= int(number) > 0 and type(bead["in_mask"]) is bool
            whole &= isinstance(bead["origin"], str)
        return stored if whole and stored["decisions"] >= 0 else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def damaged(file: Path, reason: object) -> BeadsegError:
    """The line on a damaged file of those that are never written again."""
    why = " ".join(str(reason).split()) or type(reason).__name__
    kind, name = file.parent.name, file.stem
    return BeadsegError(
        f"{file}: damaged ({why}): put a copy of it back; without one, run beadseg "
        f"complete as before, into another folder, and copy {kind}/{name}.* from "
        "there; the decisions are kept"
    )


def image_problem(folder: Path, about: Mapping[str, Any]) -> str | None:
    """Why the proposals no longer speak of the image that is there; None if they do."""
    image = folder / "images" / Path(about["image"]).name
    if not image.is_file():
        return f"{image}: the image is gone: put it back; the decisions on it are kept"
    try:
        same = hash_file(image) == about["image_digest"]
    except OSError as error:
        return f"{image}: cannot be read ({error.strerror}): put a copy of it back"
    if not same:
        return (
            f"{image}: the image has changed since beads were proposed: put the one of "
            "then back; the decisions on it are kept"
        )
    return None


def write_labels(file: Path, labels: np.ndarray) -> None:
    """Writes a label image as TIFF, whole."""
    content = io.BytesIO()
    tifffile.imwrite(content, labels, compression="zlib", compressionargs={"level": 1})
    write_whole(file, content.getvalue())


def _read_labels(file: Path) -> np.ndarray:
    try:
        labels = tifffile.imread(io.BytesIO(read_file(file)))
        if labels.ndim != 2 or labels.dtype.kind not in "iu":
            raise ValueError(f"{labels.dtype} {labels.shape} are no labels")
    except Exception as error:  # tifffile raises many kinds
        raise damaged(file, error) from error
    return labels.astype(np.int32)
