"""A completed data set with known beads: no network needed."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from beadseg.data.cache import hash_file
from beadseg.partial.completed import FOLDERS, write_labels


def disc(labels, y, x, radius, number):
    rows, columns = np.ogrid[: labels.shape[0], : labels.shape[1]]
    labels[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = number


@pytest.fixture
def completed(tmp_path) -> Path:
    """Image `a`: beads 1..3 by a person, 4..7 proposed with falling scores."""
    folder = tmp_path / "new"
    for kind in FOLDERS:
        (folder / kind).mkdir(parents=True)
    person, proposals = np.zeros((2, 64, 80), np.int32)
    for number, x in enumerate((10, 26, 42), 1):
        disc(person, 12, x, 6, number)
    for number, x in enumerate((10, 26, 42, 58), 4):
        disc(proposals, 40, x, 6, number)
    rng = np.random.default_rng(0)
    image = (800 * ((person + proposals) > 0) + rng.normal(200, 20, person.shape)).clip(
        0
    )
    tifffile.imwrite(folder / "images" / "a.tif", image.astype(np.uint16))
    write_labels(folder / "person" / "a.tif", person)
    write_labels(folder / "proposals" / "a.tif", proposals)
    scores = {4: 0.999, 5: 0.97, 6: 0.8, 7: 0.55}
    about = {
        "image": "a.tif",
        "image_digest": hash_file(folder / "images" / "a.tif"),
        "run": "runs/test",
        "beads": {str(n): {"score": s, "reason": "a test"} for n, s in scores.items()},
    }
    (folder / "proposals" / "a.json").write_text(json.dumps(about))
    return folder
