"""What is known of each finished image of a prediction folder: rows of the tables."""

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from beadseg import old_names
from beadseg.data.images.reading import PageRef
from beadseg.files import read_arrays, write_whole
from beadseg.tables import Table

DONE = ".done"  # the folder


def record_of(folder: Path, name: str) -> Path:
    """The file of an image in a prediction folder."""
    return folder / DONE / f"{name}.npz"


def records(folder: Path) -> list[Path]:
    """The files of all images of a prediction folder, by name."""
    return sorted((folder / DONE).glob("*.npz"), key=lambda file: file.stem)


def read_as(page: PageRef) -> dict[str, Any]:
    """How a page is found again, from any working directory."""
    return {
        "path": os.path.abspath(page.path),
        "channel": page.number,
        "stack": page.projection,
    }


def write_record(file: Path, about: dict[str, Any], table: Table) -> None:
    """Written last: where it is, the files of the image are whole.

    Args:
      about: the row of images.csv, and what else is to be kept.
      table: of its beads.
    """
    content = io.BytesIO()
    np.savez(content, about=np.array(json.dumps(about)), **table)
    write_whole(file, content.getvalue())


def read_record(file: Path) -> tuple[dict[str, Any], Table]:
    """What was written; raises errors of many kinds where the file is damaged."""
    table = read_arrays(file)
    about = json.loads(str(table.pop("about")))
    return old_names.row(about), old_names.row(table)
