"""What follows from the decisions on an image: masks/, ignore/ and provenance/.

It is written after them and may be late: a kill between the two leaves it old, until
somebody looks whether it stands for all of them. What is written last, provenance/,
says which decisions it stands for and what the two other files were.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from beadseg.data.cache import hash_file
from beadseg.files import write_json
from beadseg.partial.completed import read_provenance, write_labels
from beadseg.partial.review.annotation_log import AnnotationLog, open_log
from beadseg.partial.review.label_map import IN_MASK, MODEL, PROPOSED, Bead, among

FORMAT = "beadseg-provenance-1"
_KINDS = ("masks", "ignore")
_CHANGED = "changed"  # folder of what others changed


def saving(annotations: AnnotationLog) -> Callable[[], None]:
    """What writes mask, ignore and provenance of the present state, each whole.

    Whenever it is called, on any thread; raises OSError.
    """
    folder, name = annotations.folder, annotations.name
    labels = annotations.map.labels.copy()
    masked = [n for n, b in annotations.map.beads.items() if b.state in IN_MASK]
    waiting = [n for n, b in annotations.map.beads.items() if b.state == PROPOSED]
    provenance = {
        "format": FORMAT,
        "image": name,
        "reviewed": bool(annotations.reviewed),
        "decisions": annotations.version,
        "decisions_digest": annotations.log.digest(annotations.version),
        "completeness": round(float(annotations.completeness()), 4),
        "counts": annotations.counts(),
        "threshold": annotations.threshold,
        "proposed_by": annotations.about["run"],
        "beads": {
            str(number): _as_json(bead, number in annotations.map.boxes)
            for number, bead in sorted(annotations.map.beads.items())
        },
    }

    def write() -> None:
        unknown = labels < 0
        ignore = among(labels, waiting) | unknown
        mask = np.where(among(labels, masked) | unknown, labels, 0)
        if not unknown.any() and mask.max(initial=0) < 2**16:
            mask = mask.astype(np.uint16)
        layers = (mask, 255 * ignore.view("u1"))
        files = {}
        for kind, array in zip(_KINDS, layers, strict=True):
            file = folder / kind / f"{name}.tif"
            file.parent.mkdir(exist_ok=True)
            write_labels(file, array)
            files[kind] = hash_file(file)
        file = folder / "provenance" / f"{name}.json"
        file.parent.mkdir(exist_ok=True)
        write_json(file, provenance | {"files": files}, indent=1)

    return write


def stands(folder: Path, name: str) -> dict[str, Any] | None:
    """What provenance says of an image, if it stands for all decisions on it.

    Beside that, `was_reviewed`: whether a person has ever said so or taken it back.

    Raises:
      BeadsegError: the decisions are damaged, or others than those it was made of.
    """
    log, provenance = open_log(folder, name), read_provenance(folder, name)
    if not provenance or provenance["decisions"] != len(log.actions):
        return None
    was_reviewed = any(action["do"] == "reviewed" for action in log.actions)
    return provenance | {"was_reviewed": was_reviewed}


def changed(folder: Path, name: str) -> list[str]:
    """Of `masks` and `ignore`, those that are not as they were written, or are gone."""
    files = read_provenance(folder, name).get("files", {})
    found = []
    for kind in _KINDS:
        file = folder / kind / f"{name}.tif"
        try:
            same = file.is_file() and hash_file(file) == files.get(kind)
        except OSError:
            same = False
        if not same:
            found.append(kind)
    return found


def set_aside(folder: Path, name: str, kind: str) -> Path | None:
    """Keeps what somebody made of a file of `masks` or `ignore` before it is rewritten.

    Returns where it is now; None if there was none. Raises OSError.
    """
    file = folder / kind / f"{name}.tif"
    if not file.is_file():
        return None
    kept = folder / _CHANGED / kind / f"{name}.{hash_file(file)[:8]}.tif"
    kept.parent.mkdir(parents=True, exist_ok=True)
    os.replace(file, kept)
    return kept


def _as_json(bead: Bead, in_map: bool) -> dict[str, Any]:
    facts = {"origin": bead.origin, "state": bead.state}
    facts["in_mask"] = in_map and bead.state in IN_MASK
    if bead.origin == MODEL:
        facts |= {"score": bead.score, "reason": bead.reason, "run": bead.run}
    if bead.by:
        facts["decided_by"] = bead.by
    if bead.edited:
        facts["edited"] = True
    return facts
